//! The metrics store: live buffers, parts, label index, selection.
//!
//! Duty: take batches of samples durably, keep them as parts, answer selections, label queries and
//! cardinality questions. Not its duty: query languages, protocols, threads (the owner calls
//! [`MetricStore::cut`] and [`MetricStore::maintain`] when it sees fit).

pub mod cardinality;
pub mod columns;
pub mod error;
pub mod options;
pub mod outcome;
pub mod part;
pub mod selection;
pub mod store;

mod live;
mod matching;
mod record;
mod rows;
mod selector;

pub use cardinality::{CardinalityStats, Count, HeadStats};
pub use columns::SampleColumns;
pub use error::{AppendError, StoreError};
pub use options::{AppendOptions, BatchId, Limits, LiveSamples, RetentionOptions, StoreOptions};
pub use outcome::{
    AppendOutcome, CutOutcome, DeleteOutcome, MaintainOutcome, PartInfo, RecoveryReport, RejectReason,
    Rejections, SnapshotReport, StoreStats,
};
pub use part::FAMILY;
pub use part::family::MetricsFamily;
pub use selection::{
    ExemplarAnswer, ExemplarSeries, LabelAnswer, LabelScope, SelectScope, SelectedSeries, SeriesAnswer,
};
pub use store::{MetricStore, MetricsView, StoreParts};
