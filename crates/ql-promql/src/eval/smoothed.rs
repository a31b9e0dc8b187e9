//! `smoothed` instant selectors: values between samples are interpolated.

use std::sync::Arc;

use model::histogram::CounterResetHint;

use crate::annotations::Annotation;
use crate::eval::block::Block;
use crate::eval::drop_stale_markers;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::Selector;
use crate::eval::selector::read;
use crate::functions::extended::{interpolate, interpolate_histograms};
use crate::functions::window::{Extension, WindowContext};
use crate::source::SeriesBuffer;

/// The samples around a time: the last before it and the first after, or one exactly there.
enum Around {
    At(usize),
    Between(usize, usize),
    After(usize),
    Nothing,
}

/// Finds the samples around `at_ms` among those less than `lookback_ms` before or at most that after.
fn around(times: &[i64], at_ms: i64, lookback_ms: i64) -> Around {
    let start = times.partition_point(|t_ms| *t_ms <= at_ms.saturating_sub(lookback_ms));
    let end = times.partition_point(|t_ms| *t_ms <= at_ms.saturating_add(lookback_ms));
    let next = start + times[start..end].partition_point(|t_ms| *t_ms < at_ms);
    match (next > start, next < end) {
        (_, true) if times[next] == at_ms => Around::At(next),
        (true, true) => Around::Between(next - 1, next),
        (true, false) => Around::After(next - 1),
        (false, _) => Around::Nothing,
    }
}

fn any_near(times: &[i64], at_ms: i64, lookback_ms: i64) -> bool {
    let start = times.partition_point(|t_ms| *t_ms <= at_ms.saturating_sub(lookback_ms));
    times.get(start).is_some_and(|t_ms| *t_ms <= at_ms.saturating_add(lookback_ms))
}

impl Evaluator<'_> {
    pub(crate) fn smoothed_selector(
        &mut self,
        selector: &Selector<'_>,
        grid: Grid,
    ) -> Result<Block, EvalError> {
        let lookback_ms = self.lookback_ms;
        let set = self.select(selector, grid, lookback_ms, lookback_ms, false)?;
        self.for_each_series(set.len(), grid.n_steps, |idx, shard| {
            read(&*set, idx, selector, &mut shard.buffer)?;
            drop_stale_markers(&mut shard.buffer);
            let labels = set.labels(idx);
            let row = shard.block.push_row(labels.clone(), false);
            let mut context = WindowContext {
                labels,
                scalars: &[],
                extension: Extension::Smoothed,
                annotations: &mut shard.annotations,
                position: selector.position,
                scratch: &mut shard.scratch,
                carry: &mut shard.carry,
            };
            for step in 0..grid.n_steps {
                let at_ms = selector.reference_ms(grid.time_ms(step));
                let near_histogram = any_near(&shard.buffer.histogram_ts, at_ms, lookback_ms);
                if near_histogram && any_near(&shard.buffer.float_ts, at_ms, lookback_ms) {
                    context.warn_mixed();
                } else if near_histogram {
                    let around = around(&shard.buffer.histogram_ts, at_ms, lookback_ms);
                    if let Some(histogram) = histogram_at(&shard.buffer, &around, at_ms, &mut context) {
                        shard.block.set_histogram(row, step, histogram);
                    }
                } else if let Some(value) = float_at(&shard.buffer, at_ms, lookback_ms) {
                    shard.block.set_float(row, step, value);
                }
            }
            if shard.block.row_is_empty(row) {
                shard.block.pop_row();
            }
            Ok(())
        })
    }
}

fn float_at(buffer: &SeriesBuffer, at_ms: i64, lookback_ms: i64) -> Option<f64> {
    let at = |idx: usize| (buffer.float_ts[idx], buffer.float_values[idx]);
    Some(match around(&buffer.float_ts, at_ms, lookback_ms) {
        Around::At(idx) | Around::After(idx) => at(idx).1,
        Around::Between(before, after) => interpolate(at(before), at(after), at_ms, false),
        Around::Nothing => return None,
    })
}

fn histogram_at(
    buffer: &SeriesBuffer,
    around: &Around,
    at_ms: i64,
    context: &mut WindowContext<'_>,
) -> Option<Arc<model::FloatHistogram>> {
    let is_gauge = |idx: usize| buffer.histograms[idx].counter_reset_hint == CounterResetHint::Gauge;
    match *around {
        Around::At(idx) => Some(Arc::clone(&buffer.histograms[idx])),
        Around::After(idx) => {
            // The hint says how a sample follows the one before it, which does not hold later.
            let mut histogram = (*buffer.histograms[idx]).clone();
            histogram.counter_reset_hint = CounterResetHint::Unknown;
            Some(Arc::new(histogram))
        }
        Around::Between(before, after) => {
            let at = |idx: usize| (buffer.histogram_ts[idx], &*buffer.histograms[idx]);
            if at(before).1.uses_custom_buckets() != at(after).1.uses_custom_buckets() {
                let metric = context.metric();
                context.annotate(Annotation::MixedExponentialCustomHistograms { metric });
                return None;
            }
            let is_counter = !(is_gauge(before) && is_gauge(after));
            interpolate_histograms(at(before), at(after), at_ms, is_counter, context).map(Arc::new)
        }
        Around::Nothing => None,
    }
}
