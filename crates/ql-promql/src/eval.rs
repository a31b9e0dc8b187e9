//! The evaluation engine.
//!
//! An expression is prepared ([`plan`]): durations and times are resolved, step-invariant parts
//! found. Then each node gives a [`block::Block`] over all steps at once. Selectors read each series
//! once and slide over its columns; series are spread over threads there, where the work is.

mod aggregate;
mod arithmetic;
mod binary;
pub(crate) mod block;
mod call;
mod durations;
pub mod error;
mod evaluator;
mod fragments;
pub(crate) mod grid;
mod info;
mod join;
mod label_functions;
mod matching;
mod plan;
mod ranking;
mod reduce;
mod selector;
mod shard;
mod smoothed;
mod split;
mod tally;
mod windows;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base::ShardSet;
use model::is_stale_nan;

pub use error::EvalError;
pub use fragments::{Fragment, Place, evaluate_in_fragments, fragments_of};
pub use split::Merge;

use crate::annotations::Annotations;
use crate::ast::{Expr, ValueType};
use crate::eval::block::{Block, Cell};
use crate::eval::durations::QueryTimes;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::Node;
use crate::eval::tally::{HeldSamples, Tally};
use crate::functions::drop_metric_name;
use crate::query::{EngineOptions, EvalContext, QueryKind, QueryOutput, QueryParams};
use crate::source::{SeriesBuffer, SeriesSource};
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};

/// The most steps a query or subquery may have. A row of that many takes half a gigabyte, and every
/// budget refuses it earlier.
pub(crate) const STEPS_MAX: usize = 1 << 26;

/// A time and a float.
const RESULT_BYTES_PER_SAMPLE: u64 = 16;

/// Evaluates one query. Results are complete or an error; nothing is truncated here.
pub fn evaluate(
    options: &EngineOptions,
    params: &QueryParams<'_>,
    source: &dyn SeriesSource,
    context: &EvalContext,
) -> Result<QueryOutput, EvalError> {
    run(options, params, source, &[], context)
}

/// Evaluates one query whole, or in fragments if there are places for them.
fn run(
    options: &EngineOptions,
    params: &QueryParams<'_>,
    source: &dyn SeriesSource,
    places: &[Place<'_>],
    context: &EvalContext,
) -> Result<QueryOutput, EvalError> {
    let (times, grid) = times_and_grid(params)?;
    if grid.n_steps > STEPS_MAX {
        return Err(EvalError::TooManySamples);
    }
    let mut node = plan::prepare(params.expr, &times)?;
    if !places.is_empty() {
        node = split::split(node, options.delayed_name_removal);
    }
    let lookback_ms =
        if params.lookback_delta_ms > 0 { params.lookback_delta_ms } else { options.lookback_delta_ms };
    let mut evaluator = Evaluator {
        options,
        context,
        source,
        shards: &ShardSet::ALL,
        places,
        tracks_origins: false,
        lookback_ms,
        annotations: Annotations::new(),
        held: HeldSamples::new(options.samples_max),
        tally: Tally::new(options.per_step_stats && params.per_step_stats, grid.n_steps),
    };
    let value = top_level(&mut evaluator, params, &node, grid)?;
    context.cancel.check()?;
    Ok(QueryOutput {
        value,
        annotations: evaluator.annotations,
        stats: evaluator.tally.into_stats(grid, evaluator.held.peak()),
    })
}

fn times_and_grid(params: &QueryParams<'_>) -> Result<(QueryTimes, Grid), EvalError> {
    match params.kind {
        QueryKind::Instant { t_ms } => {
            let times = QueryTimes { start_ms: t_ms, end_ms: t_ms, step_ms: 0 };
            Ok((times, Grid::new(t_ms, t_ms, 1)))
        }
        QueryKind::Range { start_ms, end_ms, step_ms } => {
            let kind = params.expr.value_type();
            if !matches!(kind, ValueType::Vector | ValueType::Scalar) {
                return Err(EvalError::Preparation(format!(
                    "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                    kind.documented()
                )));
            }
            if step_ms <= 0 {
                let text =
                    "zero or negative query resolution step widths are not accepted. Try a positive integer";
                return Err(EvalError::Preparation(text.to_owned()));
            }
            let times = QueryTimes { start_ms, end_ms, step_ms };
            Ok((times, Grid::new(start_ms, end_ms, step_ms)))
        }
    }
}

fn top_level(
    evaluator: &mut Evaluator<'_>,
    params: &QueryParams<'_>,
    node: &Node<'_>,
    grid: Grid,
) -> Result<Value, EvalError> {
    let t_ms = grid.start_ms;
    let mut value = match node {
        Node::String(literal) => return Ok(Value::String { t_ms, value: literal.value.clone() }),
        Node::Matrix(matrix) => Value::Matrix(evaluator.range_selector(matrix, grid)?),
        Node::Subquery(subquery) => {
            let (mut block, inner) = evaluator.subquery(subquery, grid, false)?;
            end_names(evaluator, &mut block)?;
            Value::Matrix(to_matrix(&block, inner))
        }
        _ => {
            let mut block = evaluator.eval(node, grid)?;
            end_names(evaluator, &mut block)?;
            // The result is a copy of the columns.
            let result_bytes = block.n_samples() as u64 * RESULT_BYTES_PER_SAMPLE;
            let _room = evaluator.context.budget.charge(result_bytes)?;
            match params.kind {
                QueryKind::Range { .. } => Value::Matrix(to_matrix(&block, grid)),
                QueryKind::Instant { .. } => to_instant(params.expr, &block, t_ms),
            }
        }
    };
    if let Value::Matrix(series) = &mut value {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    Ok(value)
}

/// Delayed name removal, and the merge it may need.
fn end_names(evaluator: &Evaluator<'_>, block: &mut Block) -> Result<(), EvalError> {
    if !evaluator.options.delayed_name_removal {
        return Ok(());
    }
    for row in 0..block.n_rows() {
        if block.drop_name(row) {
            let labels = drop_metric_name(block.labels(row));
            block.set_labels(row, labels);
        }
    }
    block.merge_duplicates()
}

fn to_instant(expr: &Expr, block: &Block, t_ms: i64) -> Value {
    if expr.value_type() == ValueType::Scalar {
        let value = if block.is_empty() { f64::NAN } else { block.values(0)[0] };
        return Value::Scalar { t_ms, value };
    }
    let sample = |row| {
        let value = match block.cell(row, 0)? {
            Cell::Float(value) => SampleValue::Float(value),
            Cell::Histogram(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
        };
        Some(VectorSample { labels: block.labels(row).clone(), value })
    };
    Value::Vector { t_ms, samples: (0..block.n_rows()).filter_map(sample).collect() }
}

fn to_matrix(block: &Block, grid: Grid) -> Vec<MatrixSeries> {
    let mut out = Vec::with_capacity(block.n_rows());
    for row in 0..block.n_rows() {
        let mut series = MatrixSeries { labels: block.labels(row).clone(), ..MatrixSeries::default() };
        let values = block.values(row);
        for step in (0..block.n_steps()).filter(|step| block.has_float(row, *step)) {
            series.float_ts.push(grid.time_ms(step));
            series.floats.push(values[step]);
        }
        for (step, histogram) in block.histograms(row) {
            series.histogram_ts.push(grid.time_ms(*step as usize));
            series.histograms.push(Arc::clone(histogram));
        }
        if !series.is_empty() {
            out.push(series);
        }
    }
    out
}

/// Removes staleness markers from a series that was just read: no window shows them.
pub(crate) fn drop_stale_markers(buffer: &mut SeriesBuffer) {
    if buffer.float_values.iter().any(|value| is_stale_nan(*value)) {
        let stale: Vec<bool> = buffer.float_values.iter().map(|value| is_stale_nan(*value)).collect();
        drop_marked(&mut buffer.float_ts, &stale);
        drop_marked(&mut buffer.float_values, &stale);
        drop_marked(&mut buffer.float_st, &stale);
    }
    if buffer.histograms.iter().any(|histogram| histogram.is_stale_marker()) {
        let stale: Vec<bool> =
            buffer.histograms.iter().map(|histogram| histogram.is_stale_marker()).collect();
        drop_marked(&mut buffer.histogram_ts, &stale);
        drop_marked(&mut buffer.histograms, &stale);
        drop_marked(&mut buffer.histogram_st, &stale);
    }
}

/// Removes the entries of a column that are marked; a column may be empty.
fn drop_marked<T>(column: &mut Vec<T>, marked: &[bool]) {
    let mut marks = marked.iter();
    column.retain(|_| marks.next() == Some(&false));
}
