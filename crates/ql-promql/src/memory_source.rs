//! Series in memory, for tests, rule unit tests and tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::TenantId;
use model::histogram::CounterResetHint;
use model::{FloatHistogram, Labels, SeriesId, is_stale_nan, shard_of};

use crate::source::{SelectRequest, SeriesBuffer, SeriesSet, SeriesSource, SourceError};

/// Series by labels, of the tenant `anonymous`. Samples may be appended in any order; of equal times the
/// last one counts.
#[derive(Debug, Default, Clone)]
pub struct MemorySource {
    series: BTreeMap<Labels, Arc<Samples>>,
}

#[derive(Debug, Default, Clone)]
struct Samples {
    by_time: BTreeMap<i64, Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    value: Value,
    start_ms: i64,
}

#[derive(Debug, Clone)]
enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl MemorySource {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a float. `start_ms` is its start timestamp, 0 for unknown.
    pub fn append_float(&mut self, labels: &Labels, t_ms: i64, value: f64, start_ms: i64) {
        self.insert(labels, t_ms, Sample { value: Value::Float(value), start_ms });
    }

    /// Adds a histogram. One whose sum is the staleness marker marks the series stale. As a store
    /// does, one that continues the counter histogram before it is known not to follow a reset.
    pub fn append_histogram(
        &mut self,
        labels: &Labels,
        t_ms: i64,
        mut histogram: FloatHistogram,
        start_ms: i64,
    ) {
        if histogram.counter_reset_hint != CounterResetHint::Gauge {
            let before =
                self.series.get(labels).and_then(|samples| samples.by_time.range(..t_ms).next_back());
            histogram.counter_reset_hint = match before {
                Some((_, Sample { value: Value::Histogram(before), .. }))
                    if continues(before, &histogram) =>
                {
                    CounterResetHint::NotReset
                }
                _ => CounterResetHint::Unknown,
            };
        }
        self.insert(labels, t_ms, Sample { value: Value::Histogram(Arc::new(histogram)), start_ms });
    }

    fn insert(&mut self, labels: &Labels, t_ms: i64, sample: Sample) {
        let samples = self.series.entry(labels.clone()).or_default();
        Arc::make_mut(samples).by_time.insert(t_ms, sample);
    }

    /// All labels, sorted.
    pub fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.keys()
    }

    pub fn clear(&mut self) {
        self.series.clear();
    }
}

/// Whether a counter histogram may be stored together with the one before it.
fn continues(before: &FloatHistogram, histogram: &FloatHistogram) -> bool {
    let undecided = FloatHistogram { counter_reset_hint: CounterResetHint::Unknown, ..histogram.clone() };
    histogram.counter_reset_hint != CounterResetHint::Reset
        && before.counter_reset_hint != CounterResetHint::Gauge
        && !is_stale_nan(before.sum)
        && before.schema == histogram.schema
        && before.zero_threshold == histogram.zero_threshold
        && before.custom_values == histogram.custom_values
        && !undecided.detect_reset(before)
}

struct MemorySet {
    series: Vec<(Labels, Arc<Samples>)>,
    start_ms: i64,
    end_ms: i64,
    with_start_timestamps: bool,
}

impl SeriesSource for MemorySource {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SourceError> {
        let (start_ms, end_ms) = (request.start_ms, request.end_ms);
        let matches = |labels: &Labels| {
            request.matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
        };
        let tenant = TenantId::anonymous();
        let in_shards = |labels: &Labels| {
            request.shards.is_all() || request.shards.contains(shard_of(SeriesId::of(&tenant, labels)))
        };
        let has_samples = |samples: &Samples| {
            start_ms <= end_ms && samples.by_time.range(start_ms..=end_ms).next().is_some()
        };
        let series = self
            .series
            .iter()
            .filter(|(labels, samples)| matches(labels) && has_samples(samples) && in_shards(labels))
            .map(|(labels, samples)| (labels.clone(), Arc::clone(samples)))
            .collect();
        let with_start_timestamps = request.with_start_timestamps;
        Ok(Box::new(MemorySet { series, start_ms, end_ms, with_start_timestamps }))
    }
}

impl SeriesSet for MemorySet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, idx: usize) -> &Labels {
        &self.series[idx].0
    }

    fn read(&self, idx: usize, buffer: &mut SeriesBuffer) -> Result<(), SourceError> {
        buffer.clear();
        for (t_ms, sample) in self.series[idx].1.by_time.range(self.start_ms..=self.end_ms) {
            match &sample.value {
                Value::Histogram(histogram) if !is_stale_nan(histogram.sum) => {
                    buffer.histogram_ts.push(*t_ms);
                    buffer.histograms.push(Arc::clone(histogram));
                    if self.with_start_timestamps {
                        buffer.histogram_st.push(sample.start_ms);
                    }
                }
                value => {
                    buffer.float_ts.push(*t_ms);
                    buffer.float_values.push(match value {
                        Value::Float(float) => *float,
                        Value::Histogram(_) => model::stale_nan(),
                    });
                    if self.with_start_timestamps {
                        buffer.float_st.push(sample.start_ms);
                    }
                }
            }
        }
        Ok(())
    }
}
