//! Histograms as integer senders write them: counts as deltas from bucket to bucket.

use super::{CounterResetHint, FloatHistogram, Span};

/// A native histogram with whole counts, before it becomes a [`FloatHistogram`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IntegerHistogram {
    pub counter_reset_hint: CounterResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub count: u64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    /// The first is the count of the first bucket, each other the difference to the bucket before.
    pub positive_deltas: Vec<i64>,
    pub negative_deltas: Vec<i64>,
    pub custom_values: Vec<f64>,
}

impl IntegerHistogram {
    /// The same histogram with absolute float counts. Counts above 2^53 are rounded.
    pub fn to_float(&self) -> FloatHistogram {
        self.clone().into_float()
    }

    /// As [`IntegerHistogram::to_float`], keeping the spans' memory.
    pub fn into_float(self) -> FloatHistogram {
        let mut float = FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans,
            positive_buckets: absolute(&self.positive_deltas),
            ..FloatHistogram::default()
        };
        if float.uses_custom_buckets() {
            float.custom_values = self.custom_values;
        } else {
            float.zero_threshold = self.zero_threshold;
            float.zero_count = self.zero_count as f64;
            float.negative_spans = self.negative_spans;
            float.negative_buckets = absolute(&self.negative_deltas);
        }
        float
    }
}

fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0.0;
    deltas
        .iter()
        .map(|delta| {
            count += *delta as f64;
            count
        })
        .collect()
}
