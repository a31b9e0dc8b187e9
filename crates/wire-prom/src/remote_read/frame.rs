//! Frames of `prometheus.ChunkedReadResponse`: a length, a checksum, a message.

use model::Labels;
use wire_core::ProtoWriter;

use super::EncodedChunk;
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
