//! Remote read, both ends: requests to queries, series to `SAMPLES` answers or frames of XOR chunks, and
//! back.

use model::Matcher;
use thiserror::Error;
use wire_core::ProtoError;

mod answer;
mod bits;
mod chunk;
mod frame;
mod read_chunk;
mod request;
mod response;

pub use answer::{AnswerError, ReadSink, decode_frame, decode_samples};
pub use chunk::{ChunkEncoding, EncodedChunk, encode_chunks};
pub use frame::{FrameReader, FrameWriter, SERIES_FRAME_BYTES_MAX};
pub use request::{decode_request, encode_request};
pub use response::{QueryResultWriter, SamplesResponse};

/// One query of a request. Times are inclusive.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadQuery {
    pub start_ms: i64,
    pub end_ms: i64,
    pub matchers: Vec<Matcher>,
    pub hints: Option<ReadHints>,
}

/// What the asking engine means to do; all of it may be ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadHints {
    pub step_ms: i64,
    pub func: String,
    pub start_ms: i64,
    pub end_ms: i64,
    pub grouping: Vec<String>,
    pub by: bool,
    pub range_ms: i64,
}

/// The two answers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadResponseType {
    Samples,
    StreamedXorChunks,
}

impl ReadResponseType {
    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Samples => "application/x-protobuf",
            Self::StreamedXorChunks => {
                "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
            }
        }
    }
}

/// A decoded request.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRequest {
    pub queries: Vec<ReadQuery>,
    /// The first accepted type we know, or samples when the client named none.
    pub response_type: ReadResponseType,
}

/// Why a request is refused (status 400).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    #[error(transparent)]
    Proto(#[from] ProtoError),
    #[error(
        "server does not support any of the requested response types: {0:?}; supported: map[SAMPLES:{{}} STREAMED_XOR_CHUNKS:{{}}]"
    )]
    NoSupportedResponseType(Vec<i32>),
    #[error("invalid matcher type")]
    InvalidMatcherType,
    #[error("{0}")]
    InvalidRegex(String),
    #[error("request holds more than {limit} queries or matchers")]
    TooMany { limit: usize },
}

#[cfg(test)]
mod tests;
