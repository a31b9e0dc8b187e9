//! Remote write 1.0 and 2.0: request bodies (already decompressed) to [`SeriesBatch`] and back.
//!
//! Validation is upstream's: what a request gets wrong is refused series by series, the rest is
//! kept, and the texts of the refusals are those senders log.

use hashbrown::HashMap;
use model::{BatchSeries, Labels, SeriesBatch};
use thiserror::Error;
use wire_core::ProtoError;

mod encode;
mod v1;
mod v2;

pub use encode::{encode_v1, encode_v2};
pub use v1::decode_v1;
pub use v2::decode_v2;

use base::TenantId;

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
    #[error("as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type")]
    MalformedParameter { part: String, content_type: String },
    #[error("got {content_type} content type; unknown remote write protobuf message {message:?}")]
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
    /// the rest is kept; 1.0 logs them, except those in `fatal`.
    pub rejected: Vec<String>,
    /// 1.0 only: the first refusal for which upstream fails the whole request with 400.
    pub fatal: Option<String>,
    /// Samples and histograms among the refused whose labels were invalid.
    pub invalid_label_samples: usize,
}

impl DecodedWrite {
    fn new(tenant: &TenantId) -> Self {
        Self {
            batch: SeriesBatch::new(tenant.clone()),
            stats: WriteStats::default(),
            rejected: Vec::new(),
            fatal: None,
            invalid_label_samples: 0,
        }
    }
}

/// Series a sender has named before, by their bytes on the wire: a known series costs one hash and
/// no allocation. One per connection or per tenant; bounded, and emptied when it is full.
#[derive(Debug)]
pub struct SeriesCache {
    known: HashMap<Box<[u8]>, BatchSeries>,
    max_bytes: usize,
    bytes: usize,
    scratch: Vec<u8>,
}

impl SeriesCache {
    pub fn new(max_bytes: usize) -> Self {
        Self { known: HashMap::new(), max_bytes, bytes: 0, scratch: Vec::new() }
    }

    /// Bytes held, for the owner's budget.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
