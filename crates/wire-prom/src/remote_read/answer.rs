//! What a server answers, as the one who asked reads it. Nothing is gathered here: series and samples go
//! to a sink that may refuse them.

use model::{FloatHistogram, Labels, LabelsBuilder};
use thiserror::Error;
use wire_core::{ProtoError, ProtoReader};

use super::read_chunk::read_chunk;
use crate::wire_histogram::WireHistogram;

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    #[error("unable to unmarshal response body: {0}")]
    Proto(#[from] ProtoError),
    #[error("responses: want {want}, got {got}")]
    ResultCount { want: usize, got: usize },
    #[error("chunkedReader: message size exceeded the limit {limit} bytes; got: {bytes} bytes")]
    FrameTooLarge { limit: usize, bytes: usize },
    #[error("chunkedReader: corrupted frame; checksum mismatch")]
    Checksum,
    #[error("the answer ends within a frame")]
    TruncatedFrame,
    #[error("invalid chunk encoding {0}")]
    ChunkEncoding(u64),
    #[error("a chunk is damaged")]
    DamagedChunk,
    #[error("{0}")]
    Histogram(String),
}

/// Takes an answer piece by piece: a series, then its samples in the order in which they were sent. A
/// series may come in several pieces with the same labels.
pub trait ReadSink {
    type Error: From<AnswerError>;

    fn series(&mut self, labels: Labels) -> Result<(), Self::Error>;
    fn float(&mut self, t_ms: i64, v: f64) -> Result<(), Self::Error>;
    fn histogram(&mut self, t_ms: i64, h: FloatHistogram) -> Result<(), Self::Error>;
}

/// Reads a decompressed answer of the samples type to `want` queries.
pub fn decode_samples<S: ReadSink>(body: &[u8], want: usize, sink: &mut S) -> Result<(), S::Error> {
    let (mut reader, mut got) = (ProtoReader::new(body), 0);
    while let Some(field) = reader.next_field().map_err(AnswerError::from)? {
        if field.number == 1 {
            got += 1;
            let mut result = field.message().map_err(AnswerError::from)?;
            while let Some(field) = result.next_field().map_err(AnswerError::from)? {
                if field.number == 1 {
                    decode_series(field.message().map_err(AnswerError::from)?, sink)?;
                }
            }
        }
    }
    if got == want { Ok(()) } else { Err(AnswerError::ResultCount { want, got }.into()) }
}

fn decode_series<S: ReadSink>(message: ProtoReader<'_>, sink: &mut S) -> Result<(), S::Error> {
    sink.series(decode_labels(message)?)?;
    let mut reader = message;
    while let Some(field) = reader.next_field().map_err(AnswerError::from)? {
        match field.number {
            2 => {
                let (t_ms, v) = decode_sample(field.message().map_err(AnswerError::from)?)?;
                sink.float(t_ms, v)?;
            }
            4 => {
                let message = field.message().map_err(AnswerError::from)?;
                let wire = WireHistogram::decode(message).map_err(AnswerError::from)?;
                let t_ms = wire.timestamp_ms;
                let stored = wire.into_stored().map_err(|e| AnswerError::Histogram(e.to_string()))?;
                sink.histogram(t_ms, stored)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn decode_sample(mut reader: ProtoReader<'_>) -> Result<(i64, f64), AnswerError> {
    let (mut t_ms, mut v) = (0, 0.0);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => v = field.f64()?,
            2 => t_ms = field.i64()?,
            _ => {}
        }
    }
    Ok((t_ms, v))
}

/// The labels of a time series or of a chunked series, which have the same field.
fn decode_labels(mut reader: ProtoReader<'_>) -> Result<Labels, AnswerError> {
    let mut labels = LabelsBuilder::new();
    while let Some(field) = reader.next_field()? {
        if field.number != 1 {
            continue;
        }
        let (mut name, mut value) = ("", "");
        let mut label = field.message()?;
        while let Some(field) = label.next_field()? {
            match field.number {
                1 => name = field.str()?,
                2 => value = field.str()?,
                _ => {}
            }
        }
        labels.set(name, value);
    }
    Ok(labels.build())
}

/// Reads the message of one frame.
pub fn decode_frame<S: ReadSink>(message: &[u8], sink: &mut S) -> Result<(), S::Error> {
    let mut reader = ProtoReader::new(message);
    while let Some(field) = reader.next_field().map_err(AnswerError::from)? {
        if field.number != 1 {
            continue;
        }
        let series = field.message().map_err(AnswerError::from)?;
        sink.series(decode_labels(series)?)?;
        let mut reader = series;
        while let Some(field) = reader.next_field().map_err(AnswerError::from)? {
            if field.number == 2 {
                let (encoding, data) = decode_chunk(field.message().map_err(AnswerError::from)?)?;
                read_chunk(encoding, data, sink)?;
            }
        }
    }
    Ok(())
}

fn decode_chunk<'a>(mut reader: ProtoReader<'a>) -> Result<(u64, &'a [u8]), AnswerError> {
    let (mut encoding, mut data) = (0, &[][..]);
    while let Some(field) = reader.next_field()? {
        match field.number {
            3 => encoding = field.u64()?,
            4 => data = field.bytes()?,
            _ => {}
        }
    }
    Ok((encoding, data))
}
