//! The samples of one live series since the last cut, as they arrive: a control byte per sample and
//! the few bytes that differ from its predecessor. Appending costs no sealing later, and decoding is
//! a loop over bytes.

use std::sync::Arc;

use codec::bytes::{put_ivarint, unzigzag};
use model::{FloatHistogram, STALE_NAN_BITS};

use crate::columns::SampleColumns;
use crate::rows;

// Bits 0-1: how the change of the time step is written.
const STEP_SAME: u8 = 0;
const STEP_I8: u8 = 1;
const STEP_I16: u8 = 2;
const STEP_VARINT: u8 = 3;
// Bit 2: the start timestamp changed; its difference follows as a varint.
const ST_CHANGED: u8 = 1 << 2;
// Bits 3-5: how the value is written.
const VALUE_SAME: u8 = 0;
const VALUE_ADD_I8: u8 = 1;
const VALUE_ADD_I16: u8 = 2;
const VALUE_ADD_I32: u8 = 3;
const VALUE_RAW: u8 = 4;
const VALUE_STALE: u8 = 5;
/// The upper four bytes of the double; the lower are zero. Small integers and short fractions.
const VALUE_HIGH: u8 = 6;

/// Integers of this magnitude and below are exact, and so is their difference.
const EXACT_MAX: f64 = 4_503_599_627_370_496.0;

/// Floats in arrival order. Never read from outside except through [`FloatLog::decode`].
#[derive(Debug, Default, Clone)]
pub(crate) struct FloatLog {
    bytes: Vec<u8>,
    n: u32,
    last: Cursor,
}

#[derive(Debug, Default, Clone, Copy)]
struct Cursor {
    t: i64,
    step: i64,
    st: i64,
    bits: u64,
}

fn as_integer(bits: u64) -> Option<i64> {
    let v = f64::from_bits(bits);
    if v.is_nan() || v.abs() > EXACT_MAX {
        return None;
    }
    let integer = v as i64;
    ((integer as f64).to_bits() == bits).then_some(integer)
}

impl FloatLog {
    pub(crate) fn len(&self) -> usize {
        self.n as usize
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn push(&mut self, t: i64, st: i64, v: f64) {
        let control_at = self.bytes.len();
        self.bytes.push(0);
        let step = t.wrapping_sub(self.last.t);
        let change = step.wrapping_sub(self.last.step);
        let mut control = if change == 0 {
            STEP_SAME
        } else if let Ok(small) = i8::try_from(change) {
            self.bytes.push(small as u8);
            STEP_I8
        } else if let Ok(small) = i16::try_from(change) {
            self.bytes.extend_from_slice(&small.to_le_bytes());
            STEP_I16
        } else {
            put_ivarint(&mut self.bytes, change);
            STEP_VARINT
        };
        if st != self.last.st {
            control |= ST_CHANGED;
            put_ivarint(&mut self.bytes, st.wrapping_sub(self.last.st));
        }
        let bits = v.to_bits();
        control |= self.push_value(bits) << 3;
        self.bytes[control_at] = control;
        // A marker is not a value to difference with: the next sample refers to the one before it.
        let bits = if bits == STALE_NAN_BITS { self.last.bits } else { bits };
        // After the first sample the time itself is no step.
        let step = if self.n == 0 { 0 } else { step };
        self.last = Cursor { t, step, st, bits };
        self.n += 1;
    }

    fn push_value(&mut self, bits: u64) -> u8 {
        if bits == self.last.bits {
            return VALUE_SAME;
        }
        if bits == STALE_NAN_BITS {
            return VALUE_STALE;
        }
        if let (Some(now), Some(before)) = (as_integer(bits), as_integer(self.last.bits)) {
            let difference = now - before;
            if let Ok(small) = i8::try_from(difference) {
                self.bytes.push(small as u8);
                return VALUE_ADD_I8;
            }
            if let Ok(small) = i16::try_from(difference) {
                self.bytes.extend_from_slice(&small.to_le_bytes());
                return VALUE_ADD_I16;
            }
            if let Ok(small) = i32::try_from(difference) {
                self.bytes.extend_from_slice(&small.to_le_bytes());
                return VALUE_ADD_I32;
            }
        }
        if bits as u32 == 0 {
            self.bytes.extend_from_slice(&((bits >> 32) as u32).to_le_bytes());
            return VALUE_HIGH;
        }
        self.bytes.extend_from_slice(&bits.to_le_bytes());
        VALUE_RAW
    }

    /// Hands every sample as `(t, st, v)` to `each`, in arrival order.
    pub(crate) fn decode(&self, mut each: impl FnMut(i64, i64, f64)) {
        let mut at = Bytes { bytes: &self.bytes };
        let mut last = Cursor::default();
        for i in 0..self.n {
            let control = at.array::<1>()[0];
            let change = match control & 3 {
                STEP_SAME => 0,
                STEP_I8 => i64::from(i8::from_le_bytes(at.array())),
                STEP_I16 => i64::from(i16::from_le_bytes(at.array())),
                _ => at.ivarint(),
            };
            let step = last.step.wrapping_add(change);
            let t = last.t.wrapping_add(step);
            let st = if control & ST_CHANGED == 0 { last.st } else { last.st.wrapping_add(at.ivarint()) };
            let added = |last: Cursor, difference: i64| {
                ((f64::from_bits(last.bits) as i64 + difference) as f64).to_bits()
            };
            let bits = match control >> 3 & 7 {
                VALUE_SAME => last.bits,
                VALUE_ADD_I8 => added(last, i64::from(i8::from_le_bytes(at.array()))),
                VALUE_ADD_I16 => added(last, i64::from(i16::from_le_bytes(at.array()))),
                VALUE_ADD_I32 => added(last, i64::from(i32::from_le_bytes(at.array()))),
                VALUE_STALE => STALE_NAN_BITS,
                VALUE_HIGH => u64::from(u32::from_le_bytes(at.array())) << 32,
                _ => u64::from_le_bytes(at.array()),
            };
            each(t, st, f64::from_bits(bits));
            let bits = if bits == STALE_NAN_BITS { last.bits } else { bits };
            last = Cursor { t, step: if i == 0 { 0 } else { step }, st, bits };
        }
    }
}

/// A reader of bytes that this module wrote itself, in memory.
struct Bytes<'a> {
    bytes: &'a [u8],
}

impl Bytes<'_> {
    #[inline]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().expect("the log ends with a whole sample");
        self.bytes = rest;
        *taken
    }

    fn ivarint(&mut self) -> i64 {
        let mut v = 0u64;
        let mut shift = 0;
        loop {
            let [byte] = self.array::<1>();
            v |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return unzigzag(v);
            }
            shift += 7;
        }
    }
}

#[derive(Debug, Clone)]
struct HistogramRow {
    t: i64,
    st: i64,
    h: Arc<FloatHistogram>,
}

/// All samples of one series in one generation.
#[derive(Debug, Default, Clone)]
pub(crate) struct SeriesLog {
    pub(crate) generation: u32,
    floats: FloatLog,
    /// Boxed: few series have histograms.
    #[expect(clippy::box_collection, reason = "a series without histograms pays one pointer")]
    histograms: Option<Box<Vec<HistogramRow>>>,
    min_t: i64,
    max_t: i64,
}

impl SeriesLog {
    pub(crate) fn new(generation: u32) -> Self {
        Self { generation, min_t: i64::MAX, max_t: i64::MIN, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_samples() == 0
    }

    pub(crate) fn n_samples(&self) -> usize {
        self.floats.len() + self.histograms.as_ref().map_or(0, |h| h.len())
    }

    /// The times of the earliest and latest sample; meaningless when empty.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        (self.min_t, self.max_t)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let histograms =
            self.histograms.as_ref().map_or(0, |rows| rows.iter().map(|row| row.h.live_bytes()).sum());
        self.floats.heap_bytes() + histograms
    }

    pub(crate) fn floats_bytes(&self) -> usize {
        self.floats.heap_bytes()
    }

    fn cover(&mut self, t: i64) {
        self.min_t = self.min_t.min(t);
        self.max_t = self.max_t.max(t);
    }

    pub(crate) fn push_float(&mut self, t: i64, st: i64, v: f64) {
        self.cover(t);
        self.floats.push(t, st, v);
    }

    pub(crate) fn push_histogram(&mut self, t: i64, st: i64, h: Arc<FloatHistogram>) {
        self.cover(t);
        self.histograms.get_or_insert_default().push(HistogramRow { t, st, h });
    }

    /// Appends the samples within the bounds to `columns`, in arrival order.
    pub(crate) fn read(&self, start_ms: i64, end_ms: i64, columns: &mut SampleColumns) {
        if self.is_empty() || self.max_t < start_ms || self.min_t > end_ms {
            return;
        }
        self.floats.decode(|t, st, v| {
            if t >= start_ms && t <= end_ms {
                rows::push_float(columns, t, st, v);
            }
        });
        for row in self.histograms.iter().flat_map(|rows| rows.iter()) {
            if row.t >= start_ms && row.t <= end_ms {
                rows::push_histogram(columns, row.t, row.st, Arc::clone(&row.h));
            }
        }
    }
}

/// What a histogram occupies while it is live.
pub(crate) trait LiveBytes {
    fn live_bytes(&self) -> usize;
}

impl LiveBytes for FloatHistogram {
    fn live_bytes(&self) -> usize {
        let buckets = self.positive_buckets.len() + self.negative_buckets.len() + self.custom_values.len();
        let spans = self.positive_spans.len() + self.negative_spans.len();
        size_of::<Self>() + size_of::<HistogramRow>() + 16 + (buckets + spans) * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-300i64..300).prop_map(|i| i as f64),
            (-3_000_000_000i64..3_000_000_000).prop_map(|i| i as f64),
            (-300i64..300).prop_map(|i| i as f64 / 4.0),
            Just(model::stale_nan()),
            Just(-0.0),
        ]
    }

    proptest! {
        #[test]
        fn what_was_pushed_is_decoded_bit_for_bit(
            rows in proptest::collection::vec((any::<i32>(), -3i64..3, any_value()), 0..60),
            scale in 0u32..32,
        ) {
            let mut log = FloatLog::default();
            let mut expected = Vec::new();
            let mut t = 1_700_000_000_000i64;
            for (step, st, v) in rows {
                t += i64::from(step >> scale);
                log.push(t, st * 1_000, v);
                expected.push((t, st * 1_000, v.to_bits()));
            }
            let mut back = Vec::new();
            log.decode(|t, st, v| back.push((t, st, v.to_bits())));
            prop_assert_eq!(back, expected);
        }
    }

    #[test]
    fn a_regular_counter_takes_two_bytes_a_sample() {
        let mut log = FloatLog::default();
        for i in 0..1_000 {
            log.push(1_700_000_000_000 + i * 15_000, 0, (i * 7) as f64);
        }
        assert!(log.bytes.len() <= 2_000 + 16, "{}", log.bytes.len());
    }
}
