//! The nouns of metrics: labels, matchers, samples, histograms, batches, relabelling.
//! Knows no storage, language or protocol.

pub mod batch;
pub mod exemplar;
pub mod fingerprint;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod validation;

pub use batch::{BatchSeries, FloatSample, HistogramSample, SeriesBatch};
pub use exemplar::Exemplar;
pub use fingerprint::{SeriesId, shard_of};
pub use histogram::FloatHistogram;
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use sample::{STALE_NAN_BITS, is_stale_nan, stale_nan};
