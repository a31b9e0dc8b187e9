//! Arithmetic on durations inside `[...]` and after `offset`, in seconds.

use ql_core::Span;

use super::{NumberLiteral, UnaryOp};

/// A duration that is known only at evaluation, or was written as a computation.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    pub kind: DurationKind,
    /// Written in parentheses, and printed so.
    pub wrapped: bool,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// A literal, in seconds.
    Number(NumberLiteral),
    /// `step()`: the step of the query, 0 for an instant query.
    Step,
    /// `range()`: end minus start of the query.
    Range,
    Unary {
        op: UnaryOp,
        operand: Box<DurationExpr>,
    },
    Binary {
        op: DurationOp,
        lhs: Box<DurationExpr>,
        rhs: Box<DurationExpr>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    /// `min_of(a, b)`
    MinOf,
    /// `max_of(a, b)`
    MaxOf,
}

impl DurationOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }
}
