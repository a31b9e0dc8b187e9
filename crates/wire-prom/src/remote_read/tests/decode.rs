//! A reader of chunks, written from the format's description.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{CounterResetHint, Span};

use super::*;

#[derive(Debug, Clone)]
pub(super) enum Decoded {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Decoded {
    pub(super) fn as_value(&self) -> SampleValue<'_> {
        match self {
            Self::Float(v) => SampleValue::Float(*v),
            Self::Histogram(h) => SampleValue::Histogram(h),
        }
    }

    /// All but the hint, with floats by their bits.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Float(v) => format!("{:x}", v.to_bits()),
            Self::Histogram(h) => {
                let h = FloatHistogram { counter_reset_hint: CounterResetHint::Unknown, ..(**h).clone() };
                format!("{:x} {h:?}", h.sum.to_bits())
            }
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bits(&mut self, n: u8) -> u64 {
        (0..n).fold(0, |v, _| {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            self.at += 1;
            v << 1 | u64::from(bit)
        })
    }

    fn f64(&mut self) -> f64 {
        f64::from_bits(self.bits(64))
    }

    fn uvarint(&mut self) -> u64 {
        let (mut v, mut shift) = (0, 0);
        loop {
            let byte = self.bits(8);
            v |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return v;
            }
        }
    }

    /// The ones in front of a number, at most `max`.
    fn ones(&mut self, max: usize) -> usize {
        (0..max).take_while(|_| self.bits(1) == 1).count()
    }

    fn signed(&mut self, n: u8) -> i64 {
        let v = self.bits(n);
        if n < 64 && v > 1 << (n - 1) { (v as i64) - (1i64 << n) } else { v as i64 }
    }

    fn varbit_int(&mut self) -> i64 {
        match self.ones(8) {
            0 => 0,
            ones => self.signed([3, 6, 9, 12, 18, 25, 56, 64][ones - 1]),
        }
    }

    fn varbit_uint(&mut self) -> u64 {
        match self.ones(8) {
            0 => 0,
            ones => self.bits([3, 6, 9, 12, 18, 25, 56, 64][ones - 1]),
        }
    }
}

struct Xor {
    v: u64,
    window: (u8, u8),
}

impl Xor {
    fn first(bits: &mut Bits<'_>) -> Self {
        Self { v: bits.bits(64), window: (0, 0) }
    }

    fn next(&mut self, bits: &mut Bits<'_>) -> f64 {
        if bits.bits(1) == 1 {
            if bits.bits(1) == 1 {
                let leading = bits.bits(5) as u8;
                let significant = match bits.bits(6) as u8 {
                    0 => 64,
                    n => n,
                };
                self.window = (leading, 64 - leading - significant);
            }
            let (leading, trailing) = self.window;
            self.v ^= bits.bits(64 - leading - trailing) << trailing;
        }
        f64::from_bits(self.v)
    }
}

pub(super) fn decode_chunk(chunk: &EncodedChunk) -> Vec<(i64, Decoded)> {
    let samples = u16::from_be_bytes([chunk.data[0], chunk.data[1]]);
    match chunk.encoding {
        ChunkEncoding::Xor => decode_floats(&chunk.data[2..], samples),
        ChunkEncoding::FloatHistogram => decode_histograms(&chunk.data[3..], samples),
    }
}

fn decode_floats(data: &[u8], samples: u16) -> Vec<(i64, Decoded)> {
    let mut bits = Bits { bytes: data, at: 0 };
    let zigzag = bits.uvarint();
    let mut t = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let mut xor = Xor::first(&mut bits);
    let mut out = vec![(t, Decoded::Float(f64::from_bits(xor.v)))];
    let mut delta = 0i64;
    for n in 1..samples {
        if n == 1 {
            delta = bits.uvarint() as i64;
        } else {
            let dod = match bits.ones(4) {
                0 => 0,
                ones => bits.signed([14, 17, 20, 64][ones - 1]),
            };
            delta = delta.wrapping_add(dod);
        }
        t = t.wrapping_add(delta);
        out.push((t, Decoded::Float(xor.next(&mut bits))));
    }
    out
}

fn decode_histograms(data: &[u8], samples: u16) -> Vec<(i64, Decoded)> {
    let mut bits = Bits { bytes: data, at: 0 };
    let zero_threshold = match bits.bits(8) {
        0 => 0.0,
        255 => bits.f64(),
        byte => 0.5 * 2f64.powi(byte as i32 - 243),
    };
    let schema = bits.varbit_int() as i32;
    let [positive_spans, negative_spans] = [(), ()].map(|()| {
        let n = bits.varbit_uint();
        let span = |_| {
            let length = bits.varbit_uint() as u32;
            Span { length, offset: bits.varbit_int() as i32 }
        };
        (0..n).map(span).collect::<Vec<_>>()
    });
    let mut custom_values = Vec::new();
    if schema == -53 {
        for _ in 0..bits.varbit_uint() {
            custom_values.push(match bits.varbit_uint() {
                0 => bits.f64(),
                v => (v - 1) as f64 / 1000.0,
            });
        }
    }
    let count = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
    let (positive, negative) = (count(&positive_spans), count(&negative_spans));
    let mut t = bits.varbit_int();
    let mut xors: Vec<Xor> = (0..3 + positive + negative).map(|_| Xor::first(&mut bits)).collect();
    let mut values: Vec<f64> = xors.iter().map(|x| f64::from_bits(x.v)).collect();
    let (mut delta, mut out) = (0i64, Vec::new());
    for n in 0..samples {
        if n > 0 {
            delta = delta.wrapping_add(bits.varbit_int());
            t = t.wrapping_add(delta);
            let mut sizes = 3;
            values = xors[..3].iter_mut().map(|x| x.next(&mut bits)).collect();
            if !model::is_stale_nan(values[2]) {
                sizes += positive + negative;
            }
            values.extend(xors[3..sizes].iter_mut().map(|x| x.next(&mut bits)));
        }
        let h = if model::is_stale_nan(values[2]) {
            FloatHistogram { sum: values[2], ..FloatHistogram::default() }
        } else {
            FloatHistogram {
                counter_reset_hint: CounterResetHint::Unknown,
                schema,
                zero_threshold,
                zero_count: values[1],
                count: values[0],
                sum: values[2],
                positive_spans: positive_spans.clone(),
                negative_spans: negative_spans.clone(),
                positive_buckets: values[3..3 + positive].to_vec(),
                negative_buckets: values[3 + positive..].to_vec(),
                custom_values: custom_values.clone(),
            }
        };
        out.push((t, Decoded::Histogram(Arc::new(h))));
    }
    out
}
