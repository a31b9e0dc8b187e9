//! The seam between the language and whatever holds the samples. `engine` implements it over the
//! store; tests implement it in memory.
//!
//! A query selects series once per selector and decodes each series once, into a buffer that the
//! evaluator reuses, so that shards of series can be read by several threads side by side.

use std::sync::Arc;

use base::{BudgetExceeded, Cancelled, ShardSet};
use model::{FloatHistogram, Labels, Matcher};

/// What one selector needs.
#[derive(Debug, Clone)]
pub struct SelectRequest<'a> {
    pub matchers: &'a [Matcher],
    /// The first millisecond that matters, inclusive.
    pub start_ms: i64,
    /// The last millisecond that matters, inclusive.
    pub end_ms: i64,
    /// Whether start timestamps will be read.
    pub with_start_timestamps: bool,
    /// Only series of these virtual shards ([`model::shard_of`]).
    pub shards: &'a ShardSet,
}

/// The decoded samples of one series within the requested time, ascending, without duplicates.
/// Floats and histograms are separate columns; no timestamp is in both. Staleness markers are
/// included, as floats with [`model::STALE_NAN_BITS`].
#[derive(Debug, Default, Clone)]
pub struct SeriesBuffer {
    pub float_ts: Vec<i64>,
    pub float_values: Vec<f64>,
    /// Start timestamps of the floats: empty when none is known, else as long as `float_ts`, 0 for unknown.
    pub float_st: Vec<i64>,
    pub histogram_ts: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
    /// As `float_st`, for the histograms.
    pub histogram_st: Vec<i64>,
}

impl SeriesBuffer {
    pub fn clear(&mut self) {
        self.float_ts.clear();
        self.float_values.clear();
        self.float_st.clear();
        self.histogram_ts.clear();
        self.histograms.clear();
        self.histogram_st.clear();
    }

    pub fn n_samples(&self) -> usize {
        self.float_ts.len() + self.histogram_ts.len()
    }
}

/// Why a source could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The store failed; the text says how.
    #[error("{0}")]
    Storage(String),
}

/// The series one selector matched, sorted by labels, each exactly once.
pub trait SeriesSet: Send + Sync {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The labels of series `idx`, with the metric name.
    fn labels(&self, idx: usize) -> &Labels;
    /// Replaces the contents of `buffer` with the samples of series `idx`. May be called from
    /// several threads at once.
    fn read(&self, idx: usize, buffer: &mut SeriesBuffer) -> Result<(), SourceError>;
}

/// Anything that holds series.
pub trait SeriesSource: Send + Sync {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SourceError>;
}
