//! Decoded samples of one series, as columns that the reader reuses from series to series.

use std::sync::Arc;

use model::FloatHistogram;

/// The samples of one series, ascending in time, no timestamp twice: one that carries a histogram
/// is in the histogram columns only. Staleness markers are floats with `model::STALE_NAN_BITS`.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct SampleColumns {
    /// Milliseconds since the Unix epoch.
    pub float_ts: Vec<i64>,
    pub float_values: Vec<f64>,
    /// Start timestamps of the floats: empty when none is known, else as long as `float_ts`, 0 for
    /// unknown.
    pub float_st: Vec<i64>,
    pub histogram_ts: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
    /// As `float_st`, for the histograms.
    pub histogram_st: Vec<i64>,
}

/// Buckets and spans of a histogram of twenty buckets.
const HISTOGRAM_HEAP_BYTES: usize = 256;

impl SampleColumns {
    /// Empties the columns and keeps their allocations.
    pub fn clear(&mut self) {
        self.float_ts.clear();
        self.float_values.clear();
        self.float_st.clear();
        self.histogram_ts.clear();
        self.histograms.clear();
        self.histogram_st.clear();
    }

    /// What the columns have room for; histograms count as what most of them take.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let times = self.float_ts.capacity() + self.float_st.capacity();
        let histogram_times = self.histogram_ts.capacity() + self.histogram_st.capacity();
        let words = times + self.float_values.capacity() + histogram_times + self.histograms.capacity();
        (words * 8 + self.histograms.len() * (size_of::<FloatHistogram>() + HISTOGRAM_HEAP_BYTES)) as u64
    }

    pub(crate) fn lens(&self) -> [usize; 4] {
        [self.float_ts.len(), self.float_st.len(), self.histogram_ts.len(), self.histogram_st.len()]
    }

    /// Back to what [`SampleColumns::lens`] said.
    pub(crate) fn truncate(&mut self, lens: [usize; 4]) {
        self.float_ts.truncate(lens[0]);
        self.float_values.truncate(lens[0]);
        self.float_st.truncate(lens[1]);
        self.histogram_ts.truncate(lens[2]);
        self.histograms.truncate(lens[2]);
        self.histogram_st.truncate(lens[3]);
    }

    pub fn n_samples(&self) -> usize {
        self.float_ts.len() + self.histogram_ts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.n_samples() == 0
    }
}
