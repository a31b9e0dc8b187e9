//! Selectors: the latest sample of each series at each step, and raw ranges.

use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::{FloatHistogram, is_stale_nan};

use crate::eval::block::Block;
use crate::eval::drop_stale_markers;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::{MatrixNode, Selector};
use crate::eval::shard::{Delivery, Shard};
use crate::eval::tally::HeldSamples;
use crate::functions::extended;
use crate::source::{SelectRequest, SeriesBuffer, SeriesSet};
use crate::value::MatrixSeries;

/// What the latest sample of a series is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    Value,
    /// Its time, in seconds, whatever its value.
    Timestamp,
    /// Its start timestamp, in seconds.
    StartTimestamp,
    /// Its time in milliseconds; an error for histograms. For `info`.
    InfoTimestamp,
}

/// Walks forward over the samples of a series.
pub(crate) struct Latest<'a> {
    buffer: &'a SeriesBuffer,
    /// How many floats and histograms are at or before the last time asked for.
    n_floats: usize,
    n_histograms: usize,
}

/// The sample in force at some time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LatestSample<'a> {
    pub(crate) t_ms: i64,
    pub(crate) start_ms: i64,
    pub(crate) value: LatestValue<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum LatestValue<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl<'a> Latest<'a> {
    pub(crate) fn new(buffer: &'a SeriesBuffer) -> Self {
        Self { buffer, n_floats: 0, n_histograms: 0 }
    }

    /// The latest sample at or before `at_ms` and after `at_ms - lookback_ms`, unless it is a
    /// staleness marker. Times must not fall from call to call.
    pub(crate) fn at(&mut self, at_ms: i64, lookback_ms: i64) -> Option<LatestSample<'a>> {
        let buffer = self.buffer;
        while buffer.float_ts.get(self.n_floats).is_some_and(|t_ms| *t_ms <= at_ms) {
            self.n_floats += 1;
        }
        while buffer.histogram_ts.get(self.n_histograms).is_some_and(|t_ms| *t_ms <= at_ms) {
            self.n_histograms += 1;
        }
        let float = self.n_floats.checked_sub(1);
        let histogram = self.n_histograms.checked_sub(1);
        let float_ms = float.map(|idx| buffer.float_ts[idx]);
        let histogram_ms = histogram.map(|idx| buffer.histogram_ts[idx]);
        let oldest_ms = at_ms.saturating_sub(lookback_ms);
        if histogram_ms > float_ms {
            let (idx, t_ms) = (histogram?, histogram_ms?);
            let h = &buffer.histograms[idx];
            let start_ms = buffer.histogram_st.get(idx).copied().unwrap_or(0);
            let in_force = t_ms > oldest_ms && !is_stale_nan(h.sum);
            return in_force.then_some(LatestSample { t_ms, start_ms, value: LatestValue::Histogram(h) });
        }
        let (idx, t_ms) = (float?, float_ms?);
        let value = buffer.float_values[idx];
        let start_ms = buffer.float_st.get(idx).copied().unwrap_or(0);
        let in_force = t_ms > oldest_ms && !is_stale_nan(value);
        in_force.then_some(LatestSample { t_ms, start_ms, value: LatestValue::Float(value) })
    }
}

impl Evaluator<'_> {
    pub(crate) fn instant_selector(
        &mut self,
        selector: &Selector<'_>,
        grid: Grid,
    ) -> Result<Block, EvalError> {
        if selector.smoothed {
            return self.smoothed_selector(selector, grid);
        }
        self.latest_samples(selector, grid, Take::Value)
    }

    /// Selects the series that have samples around the steps of `grid`.
    pub(crate) fn select(
        &self,
        selector: &Selector<'_>,
        grid: Grid,
        before_ms: i64,
        after_ms: i64,
        with_start_timestamps: bool,
    ) -> Result<Box<dyn SeriesSet>, EvalError> {
        let request = SelectRequest {
            matchers: selector.matchers,
            start_ms: selector.reference_ms(grid.start_ms).saturating_sub(before_ms).saturating_add(1),
            end_ms: selector.reference_ms(grid.end_ms()).saturating_add(after_ms),
            with_start_timestamps,
            shards: self.shards,
        };
        Ok(self.source.select(&request)?)
    }

    /// One row per series: what is `take`n of the sample in force at each step.
    pub(crate) fn latest_samples(
        &mut self,
        selector: &Selector<'_>,
        grid: Grid,
        take: Take,
    ) -> Result<Block, EvalError> {
        let mut all = Block::new(grid.n_steps);
        self.latest_rows(selector, grid, take, Delivery::Whole(&mut all))?;
        Ok(all)
    }

    /// As [`Evaluator::latest_samples`], delivered whole or in batches; gives the samples in all.
    pub(crate) fn latest_rows(
        &mut self,
        selector: &Selector<'_>,
        grid: Grid,
        take: Take,
        delivery: Delivery<'_, '_>,
    ) -> Result<usize, EvalError> {
        let lookback_ms = self.lookback_ms;
        let set = self.select(selector, grid, lookback_ms, 0, take == Take::StartTimestamp)?;
        let held = HeldSamples::new(self.options.samples_max.saturating_sub(self.held.current()));
        let work = |idx: usize, shard: &mut Shard| {
            let Shard { block, tally, buffer, .. } = shard;
            read(&*set, idx, selector, buffer)?;
            let row = block.push_row(set.labels(idx).clone(), false);
            let mut latest = Latest::new(buffer);
            let mut n_samples = 0;
            for step in 0..grid.n_steps {
                let at_ms = selector.reference_ms(grid.time_ms(step));
                let Some(sample) = latest.at(at_ms, lookback_ms) else { continue };
                let weight = put_sample(block, row, step, sample, take)?;
                n_samples += weight;
                tally.count(step, weight, weight);
            }
            if n_samples == 0 {
                block.pop_row();
            }
            held.add(n_samples)
        };
        self.deliver(set.len(), grid.n_steps, work, delivery)?;
        Ok(held.current())
    }

    /// A range selector on its own, at the single step of an instant query.
    pub(crate) fn range_selector(
        &mut self,
        matrix: &MatrixNode<'_>,
        grid: Grid,
    ) -> Result<Vec<MatrixSeries>, EvalError> {
        let selector = &matrix.selector;
        let end_ms = selector.reference_ms(grid.start_ms);
        let start_ms = end_ms.saturating_sub(matrix.range_ms);
        let extended = selector.anchored || selector.smoothed;
        let before_ms = matrix.range_ms + if extended { self.lookback_ms } else { 0 };
        let after_ms = if selector.smoothed { self.lookback_ms } else { 0 };
        let set = self.select(selector, grid, before_ms, after_ms, false)?;
        let mut out = Vec::new();
        for idx in 0..set.len() {
            self.context.cancel.check()?;
            let mut buffer = SeriesBuffer::default();
            read(&*set, idx, selector, &mut buffer)?;
            drop_stale_markers(&mut buffer);
            let mut series = MatrixSeries {
                labels: set.labels(idx).clone(),
                float_ts: buffer.float_ts,
                floats: buffer.float_values,
                histogram_ts: buffer.histogram_ts,
                histograms: buffer.histograms,
            };
            if extended {
                let modifier = if selector.smoothed { "smoothed" } else { "anchored" };
                if !series.histograms.is_empty() {
                    return Err(EvalError::Execution(format!(
                        "{modifier} modifier is not supported with histograms"
                    )));
                }
                extended::extend_floats(&mut series, start_ms, end_ms, selector.smoothed);
            }
            let weight: usize = series.histograms.iter().map(|h| h.sample_weight()).sum();
            let n_samples = series.floats.len() + weight;
            self.held.add(n_samples)?;
            self.tally.count(0, n_samples, n_samples);
            if !series.is_empty() {
                out.push(series);
            }
        }
        Ok(out)
    }
}

/// Reads one series for a selector.
pub(crate) fn read(
    set: &dyn SeriesSet,
    idx: usize,
    selector: &Selector<'_>,
    buffer: &mut SeriesBuffer,
) -> Result<(), EvalError> {
    set.read(idx, buffer)?;
    for starts in [&mut buffer.float_st, &mut buffer.histogram_st] {
        if starts.iter().all(|start_ms| *start_ms == 0) {
            starts.clear();
        }
    }
    if selector.statistics_only {
        keep_statistics(&mut buffer.histograms);
    }
    Ok(())
}

/// Reduces histograms to count and sum. The buckets, which tell most of counter resets, go, so that
/// the hints must say for good what they told.
fn keep_statistics(histograms: &mut [Arc<FloatHistogram>]) {
    let mut previous: Option<Arc<FloatHistogram>> = None;
    for histogram in histograms {
        let counter_reset_hint = match (&previous, histogram.counter_reset_hint) {
            (Some(previous), CounterResetHint::Unknown) if histogram.detect_reset(previous) => {
                CounterResetHint::Reset
            }
            (Some(_), CounterResetHint::Unknown) => CounterResetHint::NotReset,
            (_, hint) => hint,
        };
        let statistics = FloatHistogram {
            counter_reset_hint,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            ..FloatHistogram::default()
        };
        previous = Some(std::mem::replace(histogram, Arc::new(statistics)));
    }
}

/// Stores a sample and gives its weight.
fn put_sample(
    block: &mut Block,
    row: usize,
    step: usize,
    sample: LatestSample<'_>,
    take: Take,
) -> Result<usize, EvalError> {
    match (take, sample.value) {
        (Take::Value, LatestValue::Float(value)) => block.set_float(row, step, value),
        (Take::Value, LatestValue::Histogram(histogram)) => {
            block.set_histogram(row, step, Arc::clone(histogram));
            return Ok(histogram.sample_weight());
        }
        (Take::Timestamp, _) => block.set_float(row, step, sample.t_ms as f64 / 1000.0),
        (Take::StartTimestamp, _) => block.set_float(row, step, sample.start_ms as f64 / 1000.0),
        (Take::InfoTimestamp, LatestValue::Float(_)) => block.set_float(row, step, sample.t_ms as f64),
        (Take::InfoTimestamp, LatestValue::Histogram(_)) => {
            let labels = block.labels(row);
            return Err(EvalError::Execution(format!(
                "this should be an info metric, with float samples: {labels}"
            )));
        }
    }
    Ok(1)
}
