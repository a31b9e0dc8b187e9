//! Chunks as Prometheus stores them: XOR for floats, float histogram chunks for histograms.

use model::FloatHistogram;
use model::histogram::{CounterResetHint, Span, is_custom_buckets_schema};
use model::sample::is_stale_nan;

use super::bits::{BitWriter, XorValue, fits};
use crate::api_json::SampleValue;

/// Samples per chunk, as upstream cuts them.
const CHUNK_SAMPLES_MAX: u16 = 120;

/// What a chunk's bytes are, under the numbers of `prometheus.Chunk.Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkEncoding {
    Xor = 1,
    FloatHistogram = 3,
}

/// A chunk with the time it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    pub min_time_ms: i64,
    pub max_time_ms: i64,
    pub encoding: ChunkEncoding,
    pub data: Vec<u8>,
}

/// Encodes the samples of one series, in time order, as chunks of at most 120 samples.
pub fn encode_chunks<'h>(samples: impl IntoIterator<Item = (i64, SampleValue<'h>)>) -> Vec<EncodedChunk> {
    let mut chunks = Vec::new();
    let mut open: Option<OpenChunk<'h>> = None;
    for (t, value) in samples {
        let fitting = open.as_mut().is_some_and(|chunk| chunk.append(t, value));
        if !fitting {
            chunks.extend(open.replace(OpenChunk::new(t, value)).map(OpenChunk::finish));
        }
    }
    chunks.extend(open.map(OpenChunk::finish));
    chunks
}

struct OpenChunk<'h> {
    w: BitWriter,
    samples: u16,
    min_time_ms: i64,
    t: i64,
    t_delta: i64,
    kind: Kind<'h>,
}

enum Kind<'h> {
    Float(XorValue),
    Histogram(Box<HistogramState<'h>>),
}

struct HistogramState<'h> {
    /// The first histogram, whose layout all have, and the one before.
    layout: &'h FloatHistogram,
    previous: &'h FloatHistogram,
    is_stale: bool,
    count: XorValue,
    zero_count: XorValue,
    sum: XorValue,
    buckets: Vec<XorValue>,
}

impl<'h> OpenChunk<'h> {
    fn new(t: i64, value: SampleValue<'h>) -> Self {
        let (w, kind) = match value {
            SampleValue::Float(v) => {
                let mut w = BitWriter::with_bytes(vec![0, 1]);
                w.varint(t);
                w.f64(v);
                (w, Kind::Float(XorValue::new(v)))
            }
            SampleValue::Histogram(h) => {
                let (w, state) = HistogramState::start(t, h);
                (w, Kind::Histogram(Box::new(state)))
            }
        };
        Self { w, samples: 1, min_time_ms: t, t, t_delta: 0, kind }
    }

    /// False if the sample needs another chunk.
    fn append(&mut self, t: i64, value: SampleValue<'h>) -> bool {
        if self.samples == CHUNK_SAMPLES_MAX {
            return false;
        }
        let t_delta = t.wrapping_sub(self.t);
        let dod = t_delta.wrapping_sub(self.t_delta);
        match (&mut self.kind, value) {
            (Kind::Float(xor), SampleValue::Float(v)) => {
                if self.samples == 1 {
                    self.w.uvarint(t_delta.cast_unsigned());
                } else {
                    write_float_dod(&mut self.w, dod);
                }
                xor.write(&mut self.w, v);
            }
            (Kind::Histogram(state), SampleValue::Histogram(h)) if state.accepts(h) => {
                self.w.varbit_int(dod);
                state.append(&mut self.w, h);
            }
            _ => return false,
        }
        (self.t, self.t_delta) = (t, t_delta);
        self.samples += 1;
        true
    }

    fn finish(mut self) -> EncodedChunk {
        self.w.bytes_mut()[..2].copy_from_slice(&self.samples.to_be_bytes());
        EncodedChunk {
            min_time_ms: self.min_time_ms,
            max_time_ms: self.t,
            encoding: match self.kind {
                Kind::Float(_) => ChunkEncoding::Xor,
                Kind::Histogram(_) => ChunkEncoding::FloatHistogram,
            },
            data: self.w.finish(),
        }
    }
}

fn write_float_dod(w: &mut BitWriter, dod: i64) {
    let v = dod.cast_unsigned();
    match dod {
        0 => w.bit(false),
        _ if fits(dod, 14) => {
            w.bits(0b10, 2);
            w.bits(v, 14);
        }
        _ if fits(dod, 17) => {
            w.bits(0b110, 3);
            w.bits(v, 17);
        }
        _ if fits(dod, 20) => {
            w.bits(0b1110, 4);
            w.bits(v, 20);
        }
        _ => {
            w.bits(0b1111, 4);
            w.bits(v, 64);
        }
    }
}

impl<'h> HistogramState<'h> {
    fn start(t: i64, h: &'h FloatHistogram) -> (BitWriter, Self) {
        let is_stale = is_stale_nan(h.sum);
        // A staleness marker has neither layout nor counts.
        let empty = FloatHistogram { sum: h.sum, ..FloatHistogram::default() };
        let written = if is_stale { &empty } else { h };
        let flags = match h.counter_reset_hint {
            CounterResetHint::Unknown => 0,
            CounterResetHint::Reset => 0b1000_0000,
            CounterResetHint::NotReset => 0b0100_0000,
            CounterResetHint::Gauge => 0b1100_0000,
        };
        let mut w = BitWriter::with_bytes(vec![0, 1, flags]);
        write_layout(&mut w, written);
        w.varbit_int(t);
        let buckets = || written.positive_buckets.iter().chain(&written.negative_buckets);
        for v in [written.count, written.zero_count, written.sum] {
            w.f64(v);
        }
        buckets().for_each(|v| w.f64(*v));
        let state = Self {
            layout: h,
            previous: h,
            is_stale,
            count: XorValue::new(written.count),
            zero_count: XorValue::new(written.zero_count),
            sum: XorValue::new(written.sum),
            buckets: buckets().map(|v| XorValue::new(*v)).collect(),
        };
        (w, state)
    }

    /// Whether the histogram may follow in this chunk: readers take the samples behind the first
    /// for continuing it without a counter reset.
    fn accepts(&self, h: &FloatHistogram) -> bool {
        if is_stale_nan(h.sum) {
            return true;
        }
        let (first, is_gauge) = (self.layout, h.counter_reset_hint == CounterResetHint::Gauge);
        let same_layout = !self.is_stale
            && first.schema == h.schema
            && first.zero_threshold.to_bits() == h.zero_threshold.to_bits()
            && first.positive_spans == h.positive_spans
            && first.negative_spans == h.negative_spans
            && first.custom_values == h.custom_values
            && is_gauge == (first.counter_reset_hint == CounterResetHint::Gauge);
        same_layout && (is_gauge || !h.detect_reset(self.previous))
    }

    fn append(&mut self, w: &mut BitWriter, h: &'h FloatHistogram) {
        let is_stale = is_stale_nan(h.sum);
        let (count, zero_count) = if is_stale { (0.0, 0.0) } else { (h.count, h.zero_count) };
        self.count.write(w, count);
        self.zero_count.write(w, zero_count);
        self.sum.write(w, h.sum);
        if is_stale {
            self.is_stale = true;
            return;
        }
        for (xor, v) in self.buckets.iter_mut().zip(h.positive_buckets.iter().chain(&h.negative_buckets)) {
            xor.write(w, *v);
        }
        self.previous = h;
    }
}

fn write_layout(w: &mut BitWriter, h: &FloatHistogram) {
    write_zero_threshold(w, h.zero_threshold);
    w.varbit_int(i64::from(h.schema));
    for spans in [&h.positive_spans, &h.negative_spans] {
        w.varbit_uint(spans.len() as u64);
        for Span { offset, length } in spans {
            w.varbit_uint(u64::from(*length));
            w.varbit_int(i64::from(*offset));
        }
    }
    if is_custom_buckets_schema(h.schema) {
        w.varbit_uint(h.custom_values.len() as u64);
        h.custom_values.iter().for_each(|bound| write_bound(w, *bound));
    }
}

/// Powers of two from 2^-243 to 2^10 take one byte.
fn write_zero_threshold(w: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return w.byte(0);
    }
    // Biased by 1023, of a mantissa in [1, 2).
    let exponent = ((threshold.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let is_power = threshold > 0.0 && threshold.to_bits() & ((1 << 52) - 1) == 0;
    match u8::try_from(exponent + 244) {
        Ok(byte @ 1..=254) if is_power => w.byte(byte),
        _ => {
            w.byte(255);
            w.f64(threshold);
        }
    }
}

/// Bounds with at most three decimals are stored as thousandths plus one.
fn write_bound(w: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let is_whole = thousandths.round() / 1000.0 == bound;
    if (0.0..=33_554_430.0).contains(&thousandths) && is_whole {
        return w.varbit_uint(thousandths.round() as u64 + 1);
    }
    w.bit(false);
    w.f64(bound);
}
