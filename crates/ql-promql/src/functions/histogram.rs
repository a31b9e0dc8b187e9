//! Functions over histograms, native and classic.

use crate::eval::block::Block;
use crate::functions::CallContext;

/// The functions that map each histogram sample to one float; floats are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramStatistic {
    Avg,
    Count,
    Stddev,
    Stdvar,
    Sum,
}

/// `histogram_avg(v)` and its kin.
pub(crate) fn histogram_statistic(
    context: &mut CallContext<'_>,
    statistic: HistogramStatistic,
    input: &Block,
) -> Block {
    let _ = (context, statistic);
    Block::new(input.n_steps())
}

/// `histogram_quantile(q, v)`; `q` has one float per step. Arguments 0 and 1 of the call.
pub(crate) fn histogram_quantile(context: &mut CallContext<'_>, q: &[f64], input: &Block) -> Block {
    let _ = (context, q);
    Block::new(input.n_steps())
}

/// `histogram_quantiles(v, label, q...)`; the vector is argument 0, the quantiles arguments 2 and on.
pub(crate) fn histogram_quantiles(
    context: &mut CallContext<'_>,
    input: &Block,
    label: &str,
    qs: &[Vec<f64>],
) -> Block {
    let _ = (context, label, qs);
    Block::new(input.n_steps())
}

/// `histogram_fraction(lower, upper, v)`; the vector is argument 2.
pub(crate) fn histogram_fraction(
    context: &mut CallContext<'_>,
    lower: &[f64],
    upper: &[f64],
    input: &Block,
) -> Block {
    let _ = (context, lower, upper);
    Block::new(input.n_steps())
}
