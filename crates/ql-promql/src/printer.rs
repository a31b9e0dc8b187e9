//! The tree as text that parses to the same tree, spelled as upstream spells it.

use std::fmt::{self, Display, Formatter, Write as _};

use base::duration::format_ms;
use base::gofloat::{format_f, format_g};
use model::labels::{GoQuoted, METRIC_NAME};
use model::validation::is_legacy_label_name;
use model::{MatchOp, Matcher};

use crate::ast::{
    AggregateExpr, AtModifier, BinaryExpr, DurationExpr, DurationKind, DurationOp, Expr, MatchCardinality,
    MatrixSelector, NumberLiteral, SubqueryExpr, UnaryOp, VectorMatching, VectorSelector,
};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate(e) => {
                write!(f, "{}(", AggregateHead(e))?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.expr)
            }
            Self::Binary(e) => write!(f, "{} {} {}", e.lhs, BinaryHead(e), e.rhs),
            Self::Call(e) => {
                write!(f, "{}(", e.function.name)?;
                for (idx, arg) in e.args.iter().enumerate() {
                    let separator = if idx > 0 { ", " } else { "" };
                    write!(f, "{separator}{arg}")?;
                }
                f.write_str(")")
            }
            Self::Matrix(e) => e.fmt(f),
            Self::Number(e) => e.fmt(f),
            Self::Paren(e) => write!(f, "({})", e.expr),
            Self::StepInvariant(e) => e.fmt(f),
            Self::String(e) => f.write_str(&e.quoted()),
            Self::Subquery(e) => write!(f, "{}{}", e.expr, SubquerySuffix(e)),
            Self::Unary(e) => write!(f, "{}{}", e.op.as_str(), e.expr),
            Self::Vector(e) => e.fmt(f),
        }
    }
}

/// An aggregation up to its arguments: `sum by (job) `.
pub(crate) struct AggregateHead<'a>(pub(crate) &'a AggregateExpr);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        let grouping = LabelNames(&self.0.grouping);
        if self.0.without {
            write!(f, " without ({grouping}) ")
        } else if self.0.grouping.is_empty() {
            Ok(())
        } else {
            write!(f, " by ({grouping}) ")
        }
    }
}

/// Label names with commas, quoted where they must be.
struct LabelNames<'a>(&'a [String]);

impl Display for LabelNames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (idx, name) in self.0.iter().enumerate() {
            if idx > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                GoQuoted(name).fmt(f)?;
            }
        }
        Ok(())
    }
}

/// An operator with its modifiers: `* on (a) group_left ()`.
pub(crate) struct BinaryHead<'a>(pub(crate) &'a BinaryExpr);

impl Display for BinaryHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        self.0.matching.as_ref().map_or(Ok(()), |matching| write_matching(f, matching))
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.cardinality {
        MatchCardinality::ManyToOne => Some("left"),
        MatchCardinality::OneToMany => Some("right"),
        MatchCardinality::OneToOne | MatchCardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        let how = if matching.on { "on" } else { "ignoring" };
        write!(f, " {how} ({})", LabelNames(&matching.labels))?;
    }
    if let Some(side) = group {
        write!(f, " group_{side} ({})", LabelNames(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_g(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_g(left))?;
            }
            right.map_or(Ok(()), |right| write!(f, " fill_right ({})", format_g(right)))
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&format_f(self.value));
        }
        let ms = (self.value.abs() * 1e9) as i64 / 1_000_000;
        let sign = if self.value < 0.0 { "-" } else { "" };
        write!(f, "{sign}{}", format_ms(ms))
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        match &self.kind {
            DurationKind::Number(number) => number.fmt(f)?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            // A plus sign changes nothing, and stands above literals that were parenthesised.
            DurationKind::Unary { op: UnaryOp::Plus, operand } => operand.fmt(f)?,
            DurationKind::Unary { op: UnaryOp::Minus, operand } => write!(f, "-{operand}")?,
            DurationKind::Binary { op: op @ (DurationOp::MinOf | DurationOp::MaxOf), lhs, rhs } => {
                write!(f, "{}({lhs}, {rhs})", op.as_str())?;
            }
            DurationKind::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.as_str())?,
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// A duration as it was written: the expression, or the literal.
struct Written<'a> {
    ms: i64,
    expr: Option<&'a DurationExpr>,
}

impl Display for Written<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.expr {
            Some(expr) => expr.fmt(f),
            None => f.write_str(&format_ms(self.ms)),
        }
    }
}

fn write_offset(f: &mut Formatter<'_>, ms: i64, expr: Option<&DurationExpr>) -> fmt::Result {
    if ms == 0 && expr.is_none() {
        return Ok(());
    }
    write!(f, " offset {}", Written { ms, expr })
}

fn write_at(f: &mut Formatter<'_>, at: Option<AtModifier>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(AtModifier::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1_000.0),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
    }
}

fn write_extension(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    if selector.anchored {
        f.write_str(" anchored")
    } else if selector.smoothed {
        f.write_str(" smoothed")
    } else {
        Ok(())
    }
}

/// `[5m:1m] @ 1.000 offset 2m`
pub(crate) struct SubquerySuffix<'a>(pub(crate) &'a SubqueryExpr);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let e = self.0;
        write!(f, "[{}:", Written { ms: e.range_ms, expr: e.range_expr.as_ref() })?;
        if e.step_ms != 0 || e.step_expr.is_some() {
            write!(f, "{}", Written { ms: e.step_ms, expr: e.step_expr.as_ref() })?;
        }
        f.write_str("]")?;
        write_at(f, e.at)?;
        write_offset(f, e.offset_ms, e.offset_expr.as_ref())
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, &self.selector)?;
        write!(f, "[{}]", Written { ms: self.range_ms, expr: self.range_expr.as_ref() })?;
        write_extension(f, &self.selector)?;
        write_at(f, self.selector.at)?;
        write_offset(f, self.selector.offset_ms, self.selector.offset_expr.as_ref())
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, self)?;
        write_at(f, self.at)?;
        write_extension(f, self)?;
        write_offset(f, self.offset_ms, self.offset_expr.as_ref())
    }
}

/// The matchers are sorted as texts; the one that the name stands for is left out.
fn write_name_and_matchers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    f.write_str(&selector.name)?;
    let is_name = |m: &Matcher| {
        m.name == METRIC_NAME && m.op == MatchOp::Equal && m.value == selector.name && !m.value.is_empty()
    };
    let mut shown: Vec<String> =
        selector.matchers.iter().filter(|m| !is_name(m)).map(ToString::to_string).collect();
    if shown.is_empty() {
        return Ok(());
    }
    shown.sort_unstable();
    f.write_char('{')?;
    f.write_str(&shown.join(","))?;
    f.write_char('}')
}
