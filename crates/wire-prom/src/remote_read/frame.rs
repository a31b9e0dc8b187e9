//! Frames of `prometheus.ChunkedReadResponse`: a length, a checksum, a message.

use model::Labels;
use wire_core::{ProtoError, ProtoReader, ProtoWriter};

use super::{AnswerError, EncodedChunk};
use crate::remote_write::labels_v1;

/// What a frame holds at most unless one chunk alone is larger; upstream's default.
pub const SERIES_FRAME_BYTES_MAX: usize = 1 << 20;

/// Appends frames to a buffer that the caller sends on and empties.
#[derive(Debug)]
pub struct FrameWriter {
    frame_bytes_max: usize,
    message: ProtoWriter,
}

impl Default for FrameWriter {
    fn default() -> Self {
        Self::new(SERIES_FRAME_BYTES_MAX)
    }
}

impl FrameWriter {
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, message: ProtoWriter::new() }
    }

    /// Writes a series of the given query, in as many frames as its chunks need. Series come in
    /// label order. A series without chunks writes nothing.
    pub fn series(&mut self, out: &mut Vec<u8>, query_idx: usize, labels: &Labels, chunks: &[EncodedChunk]) {
        let mut rest = chunks;
        while !rest.is_empty() {
            let mut left = self.frame_bytes_max.saturating_sub(labels.as_bytes().len());
            let mut taken = 0;
            for chunk in rest {
                taken += 1;
                left = left.saturating_sub(chunk.data.len());
                if left == 0 {
                    break;
                }
            }
            let (frame, after) = rest.split_at(taken);
            self.frame(out, query_idx, labels, frame);
            rest = after;
        }
    }

    fn frame(&mut self, out: &mut Vec<u8>, query_idx: usize, labels: &Labels, chunks: &[EncodedChunk]) {
        let w = &mut self.message;
        w.clear();
        w.message_field(1, |w| {
            labels_v1(w, 1, labels);
            for chunk in chunks {
                w.message_field(2, |w| {
                    w.i64_field(1, chunk.min_time_ms);
                    w.i64_field(2, chunk.max_time_ms);
                    w.u64_field(3, chunk.encoding as u64);
                    w.bytes_field(4, &chunk.data);
                });
            }
        });
        w.u64_field(2, query_idx as u64);
        let mut length = ProtoWriter::into_buffer(std::mem::take(out));
        length.varint(w.as_bytes().len() as u64);
        *out = length.finish();
        out.extend_from_slice(&crc32c::crc32c(w.as_bytes()).to_be_bytes());
        out.extend_from_slice(w.as_bytes());
    }
}

/// Cuts a stream into the messages of its frames.
#[derive(Debug)]
pub struct FrameReader {
    frame_bytes_max: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame begins.
    from: usize,
}

impl FrameReader {
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, buffer: Vec::new(), from: 0 }
    }

    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.from);
        self.from = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their frame.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() - self.from
    }

    /// The next message, or `None` until more has arrived.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, AnswerError> {
        let rest = &self.buffer[self.from..];
        let mut reader = ProtoReader::new(rest);
        let length = match reader.varint() {
            Ok(length) => length,
            Err(ProtoError::Truncated) => return Ok(None),
            Err(error) => return Err(AnswerError::Proto(error)),
        };
        let limit = self.frame_bytes_max;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            return Err(AnswerError::FrameTooLarge { limit, bytes: length });
        }
        let Some((checksum, behind)) = reader.rest().split_first_chunk::<4>() else { return Ok(None) };
        let Some(message) = behind.get(..length) else { return Ok(None) };
        if crc32c::crc32c(message) != u32::from_be_bytes(*checksum) {
            return Err(AnswerError::Checksum);
        }
        let begins = self.buffer.len() - behind.len();
        self.from = begins + length;
        Ok(Some(&self.buffer[begins..self.from]))
    }
}
