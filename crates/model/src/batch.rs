//! What receivers and the scraper hand to the store: one tenant's samples, columnar, with each
//! distinct series named once.

use std::sync::Arc;

use base::TenantId;

use crate::exemplar::Exemplar;
use crate::fingerprint::SeriesId;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::metadata::Metadata;

/// A series as a batch names it. Senders that repeat themselves keep these and clone them, so that
/// labels are hashed once in a series' life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSeries {
    pub id: SeriesId,
    pub labels: Labels,
}

impl BatchSeries {
    pub fn new(tenant: &TenantId, labels: Labels) -> Self {
        Self { id: SeriesId::of(tenant, &labels), labels }
    }
}

/// One float sample. Times are milliseconds since the Unix epoch; `st` is the start (created)
/// timestamp, 0 when unknown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatSample {
    /// Index into [`SeriesBatch::series`].
    pub series_idx: u32,
    pub st: i64,
    pub t: i64,
    pub v: f64,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    pub series_idx: u32,
    pub st: i64,
    pub t: i64,
    pub h: Arc<FloatHistogram>,
}

/// One tenant's batch. Samples of one series are in time order unless the sender sent otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesBatch {
    pub tenant: TenantId,
    pub series: Vec<BatchSeries>,
    pub floats: Vec<FloatSample>,
    pub histograms: Vec<HistogramSample>,
    /// `(series_idx, exemplar)`
    pub exemplars: Vec<(u32, Exemplar)>,
    /// `(metric family name, metadata)`
    pub metadata: Vec<(String, Metadata)>,
}

impl SeriesBatch {
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            series: Vec::new(),
            floats: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// Adds a series and returns its index. The caller adds each series once.
    pub fn add_series(&mut self, series: BatchSeries) -> u32 {
        let idx = u32::try_from(self.series.len()).expect("a batch is limited to far fewer series");
        self.series.push(series);
        idx
    }

    pub fn n_samples(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.n_samples() == 0 && self.exemplars.is_empty() && self.metadata.is_empty()
    }
}
