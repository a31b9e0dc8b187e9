//! Functions over histograms, native and classic.
//!
//! A classic histogram is the rows whose labels are equal but for `le`; a native one is a cell.
//! Where a native histogram and classic buckets of the same labels meet at one step, neither is
//! evaluated, and a warning says so.

mod classic;
mod input;
mod native;

#[cfg(test)]
mod tests;

use model::FloatHistogram;
use model::histogram::{ClassicSeries, kahan_add};
use model::labels::METRIC_NAME;
use ql_core::Span;

use crate::annotations::Annotation;
use crate::eval::block::Block;
use crate::functions::CallContext;
use input::{Histograms, Sample};

/// The functions that map each histogram sample to one float; floats are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramStatistic {
    Avg,
    Count,
    Stddev,
    Stdvar,
    Sum,
}

impl HistogramStatistic {
    fn of(self, h: &FloatHistogram) -> f64 {
        match self {
            Self::Avg => h.sum / h.count,
            Self::Count => h.count,
            Self::Stddev => variance(h).sqrt(),
            Self::Stdvar => variance(h),
            Self::Sum => h.sum,
        }
    }
}

/// The variance of observations that lie at the middle of their buckets: the arithmetic middle of
/// custom buckets, zero in the zero bucket, else the geometric one.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut compensation) = (0.0, 0.0);
    for bucket in h.iter_all().filter(|b| b.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = middle - mean;
        kahan_add(bucket.count * delta * delta, &mut sum, &mut compensation);
    }
    (sum + compensation) / h.count
}

/// `histogram_avg(v)` and its kin.
pub(crate) fn histogram_statistic(
    context: &mut CallContext<'_>,
    statistic: HistogramStatistic,
    input: &Block,
) -> Block {
    let mut out = input.sibling(input.n_steps());
    for row in (0..input.n_rows()).filter(|row| !input.histograms(*row).is_empty()) {
        let labels = input.labels(row);
        let labels = if context.delayed_name_removal {
            labels.clone()
        } else {
            labels.without(|name| name == METRIC_NAME)
        };
        let to = out.push_row(labels, true);
        out.set_origin(to, input.origin(row));
        for (step, h) in input.histograms(row) {
            out.set_float(to, *step as usize, statistic.of(h));
        }
    }
    out
}

/// `histogram_quantile(q, v)`; `q` has one float per step. Arguments 0 and 1 of the call.
pub(crate) fn histogram_quantile(context: &mut CallContext<'_>, q: &[f64], input: &Block) -> Block {
    warn_of_invalid_quantiles(context, q, context.arg_positions[0]);
    let position = context.arg_positions[1];
    let histograms = Histograms::of(context, input, position);
    histograms.map(context, position, None, |sample, step, remarks| Some(quantile(q[step], sample, remarks)))
}

/// `histogram_quantiles(v, label, q...)`; the vector is argument 0, the quantiles arguments 2 and on.
pub(crate) fn histogram_quantiles(
    context: &mut CallContext<'_>,
    input: &Block,
    label: &str,
    qs: &[Vec<f64>],
) -> Block {
    for (q, position) in qs.iter().zip(context.arg_positions.iter().skip(2)) {
        warn_of_invalid_quantiles(context, q, *position);
    }
    let position = context.arg_positions[0];
    let histograms = Histograms::of(context, input, position);
    let mut out = Block::new(input.n_steps());
    for q in qs {
        for value in distinct(q) {
            let text = ClassicSeries::le_text(value);
            let rows = histograms.map(context, position, Some((label, &text)), |sample, step, remarks| {
                (q[step].to_bits() == value.to_bits()).then(|| quantile(value, sample, remarks))
            });
            out.append(rows);
        }
    }
    out
}

/// `histogram_fraction(lower, upper, v)`; the vector is argument 2.
pub(crate) fn histogram_fraction(
    context: &mut CallContext<'_>,
    lower: &[f64],
    upper: &[f64],
    input: &Block,
) -> Block {
    let position = context.arg_positions[2];
    let histograms = Histograms::of(context, input, position);
    histograms.map(context, position, None, |sample, step, remarks| {
        let (lower, upper) = (lower[step], upper[step]);
        Some(match sample {
            Sample::Native(h) => native::fraction(lower, upper, h, remarks),
            Sample::Classic(buckets) => classic::fraction(lower, upper, buckets),
        })
    })
}

fn quantile(q: f64, sample: Sample<'_>, remarks: &mut input::Remarks) -> f64 {
    match sample {
        Sample::Native(h) => native::quantile(q, h, remarks),
        Sample::Classic(buckets) => classic::quantile(q, buckets, remarks),
    }
}

/// The values that occur, each once, in the order they first occur.
fn distinct(values: &[f64]) -> Vec<f64> {
    let mut seen: Vec<f64> = Vec::new();
    for value in values {
        if seen.last().is_none_or(|last| last.to_bits() != value.to_bits())
            && !seen.iter().any(|v| v.to_bits() == value.to_bits())
        {
            seen.push(*value);
        }
    }
    seen
}

fn warn_of_invalid_quantiles(context: &mut CallContext<'_>, qs: &[f64], position: Span) {
    for quantile in distinct(qs) {
        if !(0.0..=1.0).contains(&quantile) {
            context.annotations.add(Annotation::InvalidQuantile { quantile }, position);
        }
    }
}
