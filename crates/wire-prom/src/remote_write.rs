//! Remote write 1.0 and 2.0: request bodies (already decompressed) to [`SeriesBatch`] and back.
//!
//! Validation is upstream's: what a request gets wrong is refused series by series, the rest is
//! kept, and the texts of the refusals are those senders log.

use std::fmt;

use base::TenantId;
use hashbrown::HashMap;
use model::labels::{LABEL_LENGTH_MAX, METRIC_NAME};
use model::validation::is_legacy_label_name;
use model::{BatchSeries, Exemplar, Labels, SeriesBatch, SeriesId};
use thiserror::Error;
use wire_core::ProtoError;

use crate::expose::QuotedBytes;

mod encode;
mod v1;
mod v2;

pub(crate) use encode::labels_v1;
pub use encode::{encode_v1, encode_v2};
pub use v1::decode_v1;
pub use v2::decode_v2;

/// The message of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMessage {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// Why a `Content-Type` names no message (status 415).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteContentTypeError {
    #[error("expected application/x-protobuf as the first (media) part, got {0} content-type")]
    NotProtobuf(String),
    #[error(
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type"
    )]
    MalformedParameter { part: String, content_type: String },
    #[error(
        "got {content_type} content type; unknown type for remote write protobuf message {message}, supported: \
         prometheus.WriteRequest, io.prometheus.write.v2.Request"
    )]
    UnknownMessage { content_type: String, message: String },
}

impl WriteMessage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Reads `Content-Type`; without a `proto` parameter the message is 1.0's.
    pub fn from_content_type(content_type: &str) -> Result<Self, WriteContentTypeError> {
        let mut parts = content_type.split(';');
        if parts.next().map(str::trim) != Some("application/x-protobuf") {
            return Err(WriteContentTypeError::NotProtobuf(content_type.to_owned()));
        }
        for part in parts {
            let Some((name, value)) = part.split_once('=') else {
                return Err(WriteContentTypeError::MalformedParameter {
                    part: part.to_owned(),
                    content_type: content_type.to_owned(),
                });
            };
            if name.trim() == "proto" {
                return match value.trim() {
                    "prometheus.WriteRequest" => Ok(Self::V1),
                    "io.prometheus.write.v2.Request" => Ok(Self::V2),
                    message => Err(WriteContentTypeError::UnknownMessage {
                        content_type: content_type.to_owned(),
                        message: message.to_owned(),
                    }),
                };
            }
        }
        Ok(Self::V1)
    }

    /// The `Content-Type` a sender puts.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The `X-Prometheus-Remote-Write-Version` a sender puts.
    pub fn version_header(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// Why a whole request is refused (status 400).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    #[error(transparent)]
    Proto(#[from] ProtoError),
    #[error("request holds more than {limit} series")]
    TooManySeries { limit: usize },
    #[error("request holds more than {limit} samples")]
    TooManySamples { limit: usize },
}

/// The limits and switches of a receiver.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Whether 2.0's type and unit become the labels `__type__` and `__unit__`.
    pub type_and_unit_labels: bool,
    /// Samples, histograms and exemplars later than this are refused; senders may run at most ten
    /// minutes ahead, and the caller knows the time.
    pub max_time_ms: i64,
    pub max_series: usize,
    pub max_samples: usize,
}

impl WriteOptions {
    /// Limits no honest sender meets.
    pub fn new(max_time_ms: i64) -> Self {
        Self { type_and_unit_labels: false, max_time_ms, max_series: 1 << 20, max_samples: 1 << 23 }
    }
}

/// How many of each were written: the `X-Prometheus-Remote-Write-*-Written` headers of 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteStats {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedWrite {
    pub batch: SeriesBatch,
    pub stats: WriteStats,
    /// What was refused, one text each. 2.0 answers 400 with them joined by line breaks although
    /// the rest is kept; 1.0 only logs them.
    pub rejected: Vec<String>,
    /// 1.0 only: a refusal for which the whole request fails with 400 and nothing is kept.
    pub fatal: Option<String>,
    /// Samples and histograms among the refused whose labels were invalid.
    pub invalid_label_samples: usize,
    /// Exemplars left out without telling the sender, as upstream does.
    pub dropped_exemplars: usize,
}

/// Upstream's text for a timestamp later than [`WriteOptions::max_time_ms`].
const TOO_FAR_AHEAD: &str = "out of bounds: timestamp is too far in the future";

impl DecodedWrite {
    /// Keeps an exemplar unless its labels could not be read or it is too far ahead.
    fn add_exemplar(&mut self, series_idx: u32, exemplar: Option<Exemplar>, options: &WriteOptions) {
        match exemplar.filter(|e| e.t <= options.max_time_ms) {
            Some(exemplar) => {
                self.batch.exemplars.push((series_idx, exemplar));
                self.stats.exemplars += 1;
            }
            None => self.dropped_exemplars += 1,
        }
    }
}

/// A request being decoded.
struct Decoding<'c> {
    out: DecodedWrite,
    cache: &'c mut SeriesCache,
    max_series: usize,
    max_samples: usize,
    n_series: usize,
    n_samples: usize,
}

impl<'c> Decoding<'c> {
    fn new(options: &WriteOptions, cache: &'c mut SeriesCache) -> Self {
        cache.in_batch.clear();
        Self {
            out: DecodedWrite {
                batch: SeriesBatch::new(cache.tenant.clone()),
                stats: WriteStats::default(),
                rejected: Vec::new(),
                fatal: None,
                invalid_label_samples: 0,
                dropped_exemplars: 0,
            },
            cache,
            max_series: options.max_series,
            max_samples: options.max_samples,
            n_series: 0,
            n_samples: 0,
        }
    }

    fn count_series(&mut self) -> Result<(), WriteError> {
        self.n_series += 1;
        if self.n_series > self.max_series {
            return Err(WriteError::TooManySeries { limit: self.max_series });
        }
        Ok(())
    }

    fn count_samples(&mut self, n: usize) -> Result<(), WriteError> {
        self.n_samples += n;
        if self.n_samples > self.max_samples {
            return Err(WriteError::TooManySamples { limit: self.max_samples });
        }
        Ok(())
    }

    /// Whether the series that `cache.scratch` names needs no labels to be built.
    fn knows_series(&self) -> bool {
        self.cache.known.contains_key(self.cache.scratch.as_slice())
    }

    /// The index in the batch of the series that `cache.scratch` names; its labels are built only
    /// when they are not known yet.
    fn series_idx(
        &mut self,
        build: impl FnOnce() -> Result<Labels, InvalidLabels>,
    ) -> Result<u32, InvalidLabels> {
        let cache = &mut *self.cache;
        let series = match cache.known.get(cache.scratch.as_slice()) {
            Some(series) => series.clone(),
            None => {
                let series = BatchSeries::new(&cache.tenant, build()?);
                cache.remember(&series);
                series
            }
        };
        let batch = &mut self.out.batch;
        Ok(*cache.in_batch.entry(series.id).or_insert_with(|| batch.add_series(series)))
    }
}

/// Labels that upstream refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InvalidLabels {
    /// As upstream prints label sets.
    shown: String,
    /// A name that occurs twice; otherwise a name or value is missing or not UTF-8.
    duplicate: Option<String>,
}

impl fmt::Display for InvalidLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.duplicate {
            Some(name) => {
                write!(f, "invalid labels for series, labels {}, duplicated label {name}", self.shown)
            }
            None => write!(f, "invalid metric name or labels, got {}", self.shown),
        }
    }
}

/// Names and values as they came, which need not be UTF-8.
type RawLabels<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Checks and sorts labels as they came.
fn check_labels(pairs: &mut [(&[u8], &[u8])]) -> Result<Labels, InvalidLabels> {
    pairs.sort_unstable_by_key(|(name, _)| *name);
    let invalid = |duplicate: Option<String>| InvalidLabels { shown: show_labels(pairs), duplicate };
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| invalid(None));
    let mut checked = Vec::with_capacity(pairs.len());
    let mut named = false;
    for (name, value) in pairs.iter() {
        let (name, value) = (text(name)?, text(value)?);
        let is_metric_name = name == METRIC_NAME;
        named |= is_metric_name;
        let too_long = name.len().max(value.len()) > LABEL_LENGTH_MAX;
        if name.is_empty() || (is_metric_name && value.is_empty()) || too_long {
            return Err(invalid(None));
        }
        checked.push((name, value));
    }
    if !named {
        return Err(invalid(None));
    }
    if let Some(pair) = checked.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(invalid(Some(pair[0].0.to_owned())));
    }
    Ok(Labels::from_sorted(checked.into_iter().filter(|(_, value)| !value.is_empty())))
}

fn show_labels(pairs: &[(&[u8], &[u8])]) -> String {
    let shown: Vec<String> = pairs
        .iter()
        .map(|(name, value)| match std::str::from_utf8(name) {
            Ok(name) if is_legacy_label_name(name) => format!("{name}={}", QuotedBytes(value)),
            _ => format!("{}={}", QuotedBytes(name), QuotedBytes(value)),
        })
        .collect();
    format!("{{{}}}", shown.join(", "))
}

/// Series a sender has named before, by their bytes on the wire: a known series costs one hash and
/// no allocation. One per tenant; bounded, and emptied when it is full.
#[derive(Debug)]
pub struct SeriesCache {
    tenant: TenantId,
    known: HashMap<Box<[u8]>, BatchSeries>,
    max_bytes: usize,
    bytes: usize,
    /// The key being looked up.
    scratch: Vec<u8>,
    /// Series of the batch being decoded.
    in_batch: HashMap<SeriesId, u32>,
}

/// What a cached series costs besides its key and labels.
const CACHE_ENTRY_BYTES: usize = 96;

impl SeriesCache {
    pub fn new(tenant: TenantId, max_bytes: usize) -> Self {
        Self {
            tenant,
            known: HashMap::new(),
            max_bytes,
            bytes: 0,
            scratch: Vec::new(),
            in_batch: HashMap::new(),
        }
    }

    /// Bytes held, for the owner's budget.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    fn remember(&mut self, series: &BatchSeries) {
        let cost = self.scratch.len() + series.labels.heap_bytes() + CACHE_ENTRY_BYTES;
        if self.bytes + cost > self.max_bytes {
            self.known.clear();
            self.bytes = 0;
        }
        if cost <= self.max_bytes {
            self.known.insert(self.scratch.as_slice().into(), series.clone());
            self.bytes += cost;
        }
    }
}

#[cfg(test)]
mod tests;
