//! The syntax tree of PromQL. Every node knows the bytes of the query it came from.
//!
//! Durations that were written as plain literals are resolved to milliseconds by the parser; those
//! written as expressions (`[step() * 2]`) are kept in an `Option<DurationExpr>` beside the literal,
//! which is then 0, and are resolved at evaluation, when step and range are known.

pub mod duration;
pub mod functions;
pub mod operators;
pub mod walk;

use model::Matcher;
use model::labels::GoQuoted;
use ql_core::Span;

pub use duration::{DurationExpr, DurationKind, DurationOp};
pub use functions::FunctionSignature;
pub use operators::{AggregateOp, BinaryOp, UnaryOp};

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    None,
    Vector,
    Scalar,
    Matrix,
    String,
}

impl ValueType {
    /// The name in the API: `vector`, `matrix`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Vector => "vector",
            Self::Scalar => "scalar",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// The name in the documentation and in error texts.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

/// Any expression. The large nodes are boxed, so that an `Expr` is two words.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Aggregate(Box<AggregateExpr>),
    Binary(Box<BinaryExpr>),
    Call(Box<Call>),
    Matrix(Box<MatrixSelector>),
    Number(Box<NumberLiteral>),
    Paren(Box<ParenExpr>),
    /// An expression whose value does not depend on the evaluation time. The parser never makes
    /// one; the evaluator's preparation does. It prints as what it holds.
    StepInvariant(Box<Expr>),
    String(Box<StringLiteral>),
    Subquery(Box<SubqueryExpr>),
    Unary(Box<UnaryExpr>),
    Vector(Box<VectorSelector>),
}

impl Expr {
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Aggregate(_) | Self::Vector(_) => ValueType::Vector,
            Self::Binary(e) => match (e.lhs.value_type(), e.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Self::Call(e) => e.function.return_type,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Number(_) => ValueType::Scalar,
            Self::Paren(e) => e.expr.value_type(),
            Self::StepInvariant(e) => e.value_type(),
            Self::String(_) => ValueType::String,
            Self::Unary(e) => e.expr.value_type(),
        }
    }

    pub fn span(&self) -> Span {
        match self {
            Self::Aggregate(e) => e.span,
            Self::Binary(e) => e.span(),
            Self::Call(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Number(e) => e.span,
            Self::Paren(e) => e.span,
            Self::StepInvariant(e) => e.span(),
            Self::String(e) => e.span,
            Self::Subquery(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Vector(e) => e.span,
        }
    }

    /// The expression inside any number of parentheses and step-invariant wrappers.
    pub fn unwrapped(&self) -> &Self {
        let mut expr = self;
        loop {
            expr = match expr {
                Self::Paren(e) => &e.expr,
                Self::StepInvariant(e) => e,
                other => return other,
            };
        }
    }
}

/// `sum by (job) (x)`, `topk(3, x)`.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateExpr {
    pub op: AggregateOp,
    pub expr: Expr,
    /// Present exactly if [`AggregateOp::takes_parameter`].
    pub param: Option<Expr>,
    /// The labels of `by` or `without`, in the order written, perhaps repeated.
    pub grouping: Vec<String>,
    pub without: bool,
    pub span: Span,
}

/// `a + on (x) group_left (y) b`.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryExpr {
    pub op: BinaryOp,
    pub lhs: Expr,
    pub rhs: Expr,
    /// Present exactly if both operands are instant vectors.
    pub matching: Option<VectorMatching>,
    /// A comparison that gives 0 or 1 instead of filtering.
    pub return_bool: bool,
}

impl BinaryExpr {
    pub fn span(&self) -> Span {
        self.lhs.span().to(self.rhs.span())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchCardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

impl MatchCardinality {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
}

/// How elements of two vectors find each other.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatching {
    pub cardinality: MatchCardinality,
    /// The labels of `on` or `ignoring`, in the order written.
    pub labels: Vec<String>,
    pub on: bool,
    /// The labels of `group_left` or `group_right`: taken over from the "one" side.
    pub include: Vec<String>,
    /// Stands in where the left side has no partner.
    pub fill_left: Option<f64>,
    /// Stands in where the right side has no partner.
    pub fill_right: Option<f64>,
}

impl Default for VectorMatching {
    fn default() -> Self {
        Self {
            cardinality: MatchCardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        }
    }
}

/// `rate(x[5m])`.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub function: &'static FunctionSignature,
    pub args: Vec<Expr>,
    pub span: Span,
}

/// `x[5m]`: a vector selector over a range. Offset and `@` live in the selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    /// 0 if `range_expr` is present.
    pub range_ms: i64,
    pub range_expr: Option<DurationExpr>,
    pub span: Span,
}

/// `x[1h:5m]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SubqueryExpr {
    pub expr: Expr,
    /// 0 if `range_expr` is present.
    pub range_ms: i64,
    pub range_expr: Option<DurationExpr>,
    /// 0 if the step was left out or `step_expr` is present.
    pub step_ms: i64,
    pub step_expr: Option<DurationExpr>,
    /// As written; 0 if there is none or `offset_expr` is present.
    pub offset_ms: i64,
    pub offset_expr: Option<DurationExpr>,
    pub at: Option<AtModifier>,
    pub span: Span,
}

/// `@ 1609746000`, `@ start()`, `@ end()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtModifier {
    /// Milliseconds since 1970.
    Timestamp(i64),
    Start,
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration (`5m` for 300), and printed as one.
    pub is_duration: bool,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ParenExpr {
    pub expr: Expr,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text; bytes that are not UTF-8 are U+FFFD here.
    pub value: String,
    /// The bytes, if escapes such as `\xff` made them something other than UTF-8. No label has such
    /// a name or value.
    pub not_utf8: Option<Box<[u8]>>,
    pub span: Span,
}

impl StringLiteral {
    /// The value as Go's `%q` shows it, in printed expressions and error texts.
    pub fn quoted(&self) -> String {
        let Some(bytes) = &self.not_utf8 else { return GoQuoted(&self.value).to_string() };
        let mut out = String::from("\"");
        for chunk in bytes.utf8_chunks() {
            let quoted = GoQuoted(chunk.valid()).to_string();
            out.push_str(&quoted[1..quoted.len() - 1]);
            out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        out.push('"');
        out
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct UnaryExpr {
    pub op: UnaryOp,
    pub expr: Expr,
    pub span: Span,
}

/// `x{job="a"} offset 5m @ 0`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorSelector {
    /// The name written in front of the braces, empty if there is none.
    pub name: String,
    /// All conditions, that of a `name` in front of the braces included as the last.
    pub matchers: Vec<Matcher>,
    /// As written; 0 if there is none or `offset_expr` is present.
    pub offset_ms: i64,
    pub offset_expr: Option<DurationExpr>,
    pub at: Option<AtModifier>,
    /// `anchored`: the window's ends are real samples or the range's own.
    pub anchored: bool,
    /// `smoothed`: values at the window's ends are interpolated. Never together with `anchored`.
    pub smoothed: bool,
    /// The second argument of `info`: conditions that may all match the empty value.
    pub allows_empty_matchers: bool,
    pub span: Span,
}
