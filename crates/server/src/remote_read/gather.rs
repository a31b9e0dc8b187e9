//! Pieces of an answer to series, every byte charged before it is kept.

use std::sync::Arc;

use base::{Budget, BudgetExceeded, Charge};
use engine::remote::{RemoteAnswer, RemoteError, RemoteSeries};
use model::{FloatHistogram, Labels};
use ql_promql::source::SeriesBuffer;
use wire_core::{Compression, decompress};
use wire_prom::remote_read::{AnswerError, FrameReader, ReadSink, decode_frame, decode_samples};

use super::client::AnswerKind;

/// The largest answer of the samples type, unpacked. Such an answer is held whole, unlike a stream.
const SAMPLES_BYTES_MAX: usize = 512 << 20;

/// Memory is charged in steps of this, so that a sample does not cost a visit to the budget.
const CHARGE_STEP_BYTES: u64 = 64 << 10;

/// A float with its time, and the room that growing vectors leave.
const FLOAT_BYTES: u64 = 32;

/// A series and a histogram without what they point to.
const SERIES_BYTES: u64 = size_of::<RemoteSeries>() as u64;
const HISTOGRAM_BYTES: u64 = 64 + size_of::<FloatHistogram>() as u64;

/// An answer that is arriving.
pub(super) struct Gathering {
    kind: Option<AnswerKind>,
    /// Of a samples answer, which comes packed as a whole.
    packed: Vec<u8>,
    packed_charge: Charge,
    frames: FrameReader,
    kept: Kept,
}

impl Gathering {
    pub(super) fn new(budget: &Budget, frame_bytes_max: usize) -> Self {
        let nothing = || budget.charge(0).expect("nothing fits into every budget");
        Self {
            kind: None,
            packed: Vec::new(),
            packed_charge: nothing(),
            frames: FrameReader::new(frame_bytes_max),
            kept: Kept { series: Vec::new(), charge: nothing(), left_bytes: 0 },
        }
    }

    pub(super) fn begin(&mut self, kind: AnswerKind) {
        self.kind = Some(kind);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        self.packed_charge.grow(bytes.len() as u64)?;
        if self.kind == Some(AnswerKind::Samples) {
            if self.packed.len() + bytes.len() > SAMPLES_BYTES_MAX {
                return Err(RemoteError::Failed(format!(
                    "the answer is larger than {SAMPLES_BYTES_MAX} bytes"
                )));
            }
            self.packed.extend_from_slice(bytes);
            return Ok(());
        }
        self.frames.push(bytes);
        while let Some(message) = self.frames.next_message().map_err(|e| failed(&e))? {
            decode_frame(message, &mut self.kept)?;
        }
        self.packed_charge.shrink(self.packed_charge.bytes() - self.frames.buffered_bytes() as u64);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<RemoteAnswer, RemoteError> {
        match self.kind {
            None => return Err(RemoteError::Failed("the request ended without an answer".to_owned())),
            Some(AnswerKind::Samples) => {
                let unreadable =
                    |e: &dyn std::fmt::Display| RemoteError::Failed(format!("error reading response: {e}"));
                let bytes = snap::raw::decompress_len(&self.packed).map_err(|e| unreadable(&e))?;
                self.packed_charge.grow(bytes.min(SAMPLES_BYTES_MAX) as u64)?;
                let plain = decompress(Compression::Snappy, &self.packed, SAMPLES_BYTES_MAX);
                decode_samples(&plain.map_err(|e| unreadable(&e))?, 1, &mut self.kept)?;
            }
            _ if self.frames.buffered_bytes() > 0 => return Err(failed(&AnswerError::TruncatedFrame)),
            _ => {}
        }
        Ok(RemoteAnswer { series: self.kept.series, charge: self.kept.charge })
    }
}

fn failed(error: &AnswerError) -> RemoteError {
    RemoteError::Failed(error.to_string())
}

struct Kept {
    series: Vec<RemoteSeries>,
    charge: Charge,
    /// Charged and not used yet.
    left_bytes: u64,
}

impl Kept {
    fn take(&mut self, bytes: u64) -> Result<(), BudgetExceeded> {
        if self.left_bytes < bytes {
            let step = bytes.max(CHARGE_STEP_BYTES);
            self.charge.grow(step)?;
            self.left_bytes += step;
        }
        self.left_bytes -= bytes;
        Ok(())
    }

    fn samples(&mut self) -> Result<&mut SeriesBuffer, Refused> {
        // Decoders name a series before its samples.
        let last = self.series.last_mut().ok_or(AnswerError::DamagedChunk)?;
        Ok(&mut last.samples)
    }
}

/// Why a piece was not kept.
pub(super) struct Refused(RemoteError);

impl From<AnswerError> for Refused {
    fn from(error: AnswerError) -> Self {
        Self(failed(&error))
    }
}

impl From<BudgetExceeded> for Refused {
    fn from(error: BudgetExceeded) -> Self {
        Self(error.into())
    }
}

impl From<Refused> for RemoteError {
    fn from(refused: Refused) -> Self {
        refused.0
    }
}

impl ReadSink for Kept {
    type Error = Refused;

    fn series(&mut self, labels: Labels) -> Result<(), Refused> {
        // A series of many chunks comes in several frames.
        if self.series.last().is_some_and(|last| last.labels == labels) {
            return Ok(());
        }
        self.take(SERIES_BYTES + labels.heap_bytes() as u64)?;
        self.series.push(RemoteSeries { labels, samples: SeriesBuffer::default() });
        Ok(())
    }

    fn float(&mut self, t_ms: i64, v: f64) -> Result<(), Refused> {
        self.take(FLOAT_BYTES)?;
        let samples = self.samples()?;
        samples.float_ts.push(t_ms);
        samples.float_values.push(v);
        Ok(())
    }

    fn histogram(&mut self, t_ms: i64, h: FloatHistogram) -> Result<(), Refused> {
        self.take(HISTOGRAM_BYTES + h.size_bytes() as u64)?;
        let samples = self.samples()?;
        samples.histogram_ts.push(t_ms);
        samples.histograms.push(Arc::new(h));
        Ok(())
    }
}
