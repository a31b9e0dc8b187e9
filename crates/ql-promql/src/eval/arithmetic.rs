//! Binary operators on two samples.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{CounterResetHint, MergeNotes, TrimSide};
use ql_core::Span;

use crate::annotations::{Annotation, Annotations, HistogramOperation};
use crate::ast::BinaryOp;
use crate::eval::block::Cell;

/// What an operator gives for two samples.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The value, and whether a filtering comparison keeps it.
    Float(f64, bool),
    Histogram(Arc<FloatHistogram>, bool),
    /// The samples do not go together; [`Remarks`] says why.
    Nothing,
}

/// What operations on samples gave rise to, without allocating for each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Remarks {
    /// Operand kinds that do not go together, by (left is a histogram, right is a histogram).
    incompatible: [[bool; 2]; 2],
    incompatible_buckets: bool,
    reset_collision: bool,
    bounds_reconciled: bool,
}

impl Remarks {
    /// Turns the remarks into annotations of the binary expression at `position`.
    pub(crate) fn annotate(&self, op: BinaryOp, annotations: &mut Annotations, position: Span) {
        let kind = |is_histogram: usize| if is_histogram == 1 { "histogram" } else { "float" };
        for (left, row) in self.incompatible.iter().enumerate() {
            for (right, _) in row.iter().enumerate().filter(|(_, found)| **found) {
                let (left, right) = (kind(left), kind(right));
                let operator = op.as_str();
                annotations.add(Annotation::IncompatibleTypesInBinOp { left, operator, right }, position);
            }
        }
        if self.incompatible_buckets {
            annotations.add(Annotation::IncompatibleBucketLayoutInBinOp { operator: op.as_str() }, position);
        }
        let operation = match op {
            BinaryOp::Sub => HistogramOperation::Subtraction,
            _ => HistogramOperation::Addition,
        };
        if self.reset_collision {
            annotations.add(Annotation::HistogramCounterResetCollision { operation }, position);
        }
        if self.bounds_reconciled {
            annotations.add(Annotation::MismatchedCustomBuckets { operation }, position);
        }
    }
}

/// An operator on two floats: the value, and whether a filtering comparison keeps it. Trims have
/// no meaning here; see [`combine`].
#[inline]
pub(crate) fn combine_floats(op: BinaryOp, left: f64, right: f64) -> (f64, bool) {
    match op {
        BinaryOp::Add => (left + right, true),
        BinaryOp::Sub => (left - right, true),
        BinaryOp::Mul => (left * right, true),
        BinaryOp::Div => (left / right, true),
        BinaryOp::Mod => (left % right, true),
        BinaryOp::Pow => (pow(left, right), true),
        BinaryOp::Atan2 => (left.atan2(right), true),
        BinaryOp::Eq => (left, left == right),
        BinaryOp::Ne => (left, left != right),
        BinaryOp::Lt => (left, left < right),
        BinaryOp::Le => (left, left <= right),
        BinaryOp::Gt => (left, left > right),
        BinaryOp::Ge => (left, left >= right),
        BinaryOp::TrimUpper | BinaryOp::TrimLower | BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
            (f64::NAN, false)
        }
    }
}

/// Go's `math.Pow`, which C's and Rust's agree with but for (-1)^±Inf, where all give 1.
fn pow(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

/// An operator on two scalars: comparisons give 0 or 1.
pub(crate) fn combine_scalars(op: BinaryOp, left: f64, right: f64) -> f64 {
    let (value, keep) = combine_floats(op, left, right);
    if op.is_comparison() { f64::from(u8::from(keep)) } else { value }
}

/// An operator on two samples of any kind.
pub(crate) fn combine(op: BinaryOp, left: Cell<'_>, right: Cell<'_>, remarks: &mut Remarks) -> Outcome {
    let outcome = match (left, right) {
        (Cell::Float(_), Cell::Float(_)) if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) => None,
        (Cell::Float(left), Cell::Float(right)) => {
            let (value, keep) = combine_floats(op, left, right);
            Some(Outcome::Float(value, keep))
        }
        (Cell::Float(factor), Cell::Histogram(histogram)) => match op {
            BinaryOp::Mul => Some(changed(histogram, |h| h.mul(factor))),
            _ => None,
        },
        (Cell::Histogram(histogram), Cell::Float(value)) => match op {
            BinaryOp::Mul => Some(changed(histogram, |h| h.mul(value))),
            BinaryOp::Div => Some(changed(histogram, |h| h.div(value))),
            BinaryOp::TrimUpper => Some(trimmed(histogram, TrimSide::KeepBelow, value)),
            BinaryOp::TrimLower => Some(trimmed(histogram, TrimSide::KeepAbove, value)),
            _ => None,
        },
        (Cell::Histogram(left), Cell::Histogram(right)) => combine_histograms(op, left, right, remarks),
    };
    outcome.unwrap_or_else(|| {
        let is_histogram = |cell: Cell<'_>| usize::from(matches!(cell, Cell::Histogram(_)));
        remarks.incompatible[is_histogram(left)][is_histogram(right)] = true;
        Outcome::Nothing
    })
}

fn changed(histogram: &Arc<FloatHistogram>, change: impl FnOnce(&mut FloatHistogram)) -> Outcome {
    let mut out = (**histogram).clone();
    change(&mut out);
    out.compact(0);
    Outcome::Histogram(Arc::new(out), true)
}

fn trimmed(histogram: &Arc<FloatHistogram>, side: TrimSide, at: f64) -> Outcome {
    let mut out = (**histogram).clone();
    out.trim(side, at);
    Outcome::Histogram(Arc::new(out), true)
}

/// `None` if the operator is not defined on two histograms.
fn combine_histograms(
    op: BinaryOp,
    left: &Arc<FloatHistogram>,
    right: &Arc<FloatHistogram>,
    remarks: &mut Remarks,
) -> Option<Outcome> {
    match op {
        BinaryOp::Eq => return Some(Outcome::Histogram(Arc::clone(left), left.same_data(right))),
        BinaryOp::Ne => return Some(Outcome::Histogram(Arc::clone(left), !left.same_data(right))),
        BinaryOp::Add | BinaryOp::Sub => {}
        _ => return None,
    }
    let mut out = (**left).clone();
    let merged = if op == BinaryOp::Add { out.add(right) } else { out.sub(right) };
    let Ok(MergeNotes { reset_collision, bounds_reconciled }) = merged else {
        remarks.incompatible_buckets = true;
        return Some(Outcome::Nothing);
    };
    if op == BinaryOp::Sub {
        out.counter_reset_hint = CounterResetHint::Gauge;
    }
    if reset_collision {
        // Upstream gives the warning instead of the result.
        remarks.reset_collision = true;
        return Some(Outcome::Nothing);
    }
    remarks.bounds_reconciled |= bounds_reconciled;
    out.compact(0);
    Some(Outcome::Histogram(Arc::new(out), true))
}
