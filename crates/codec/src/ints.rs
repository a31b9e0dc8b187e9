//! Integer columns: constants, straight lines, patched deltas, `pco`. Timestamps are such columns.
//!
//! A column does not say its length or end: the caller keeps both.

use crate::Effort;
use crate::bytes::{ByteReader, CorruptInput, put_ivarint, unzigzag, zigzag};
use crate::patched::{self, BitLengths, Plan};
use crate::pcodec;

const TAG_CONSTANT: u8 = 0;
const TAG_LINEAR: u8 = 1;
const TAG_OFFSETS: u8 = 2;
const TAG_DELTAS: u8 = 3;
const TAG_ZIGZAG_DELTAS: u8 = 4;
const TAG_PCO: u8 = 5;

/// Below this a column is not worth a trial of `pco`: its tables alone take as much.
const PCO_TRIAL_BYTES_MIN: usize = 24;

/// The packed candidates, each with what it would cost.
#[derive(Clone, Copy)]
enum Packed {
    Offsets { base: i64 },
    Deltas { base: i64 },
    ZigzagDeltas,
}

/// Appends the column; the smallest of the codecs that `effort` allows wins.
pub fn encode(out: &mut Vec<u8>, values: &[i64], effort: Effort) {
    let Some(&first) = values.first() else { return };
    let step = if values.len() > 1 { values[1].wrapping_sub(first) } else { 0 };
    if values.windows(2).all(|w| w[1].wrapping_sub(w[0]) == step) {
        if step == 0 {
            out.push(TAG_CONSTANT);
            put_ivarint(out, first);
        } else {
            out.push(TAG_LINEAR);
            put_ivarint(out, first);
            put_ivarint(out, step);
        }
        return;
    }
    let (packed, plan) = cheapest_packed(values);
    if effort == Effort::Merge && values.len() >= pcodec::PCO_LENGTH_MIN && plan.bytes > PCO_TRIAL_BYTES_MIN {
        let before = out.len();
        out.push(TAG_PCO);
        if pcodec::encode(out, values).is_some() && out.len() - before < plan.bytes {
            return;
        }
        out.truncate(before);
    }
    write_packed(out, values, packed, plan.width);
}

fn deltas(values: &[i64]) -> impl Iterator<Item = i64> + Clone + '_ {
    values.windows(2).map(|w| w[1].wrapping_sub(w[0]))
}

fn cheapest_packed(values: &[i64]) -> (Packed, Plan) {
    let first_len = patched::varints_len(&[zigzag(values[0])]);
    let mut best: Option<(Packed, Plan)> = None;
    let mut consider = |packed: Packed, plan: Plan, header_len: usize| {
        let plan = Plan { bytes: plan.bytes + header_len, ..plan };
        if best.is_none_or(|(_, b)| plan.bytes < b.bytes) {
            best = Some((packed, plan));
        }
    };
    let base = deltas(values).min().unwrap_or(0);
    let lengths = BitLengths::of(deltas(values).map(|d| d.wrapping_sub(base) as u64));
    let header_len = 1 + first_len + patched::varints_len(&[zigzag(base)]);
    consider(Packed::Deltas { base }, lengths.plan(), header_len);
    if base < 0 {
        // A counter that was reset: the few falls are exceptions, and the rest rises as it always does.
        if let Some(base) = deltas(values).filter(|d| *d >= 0).min() {
            let lengths = BitLengths::of(deltas(values).map(|d| d.wrapping_sub(base) as u64));
            let header_len = 1 + first_len + patched::varints_len(&[zigzag(base)]);
            consider(Packed::Deltas { base }, lengths.plan(), header_len);
        }
        let lengths = BitLengths::of(deltas(values).map(zigzag));
        consider(Packed::ZigzagDeltas, lengths.plan(), 1 + first_len);
        let base = values.iter().copied().min().unwrap_or(0);
        let lengths = BitLengths::of(values.iter().map(|v| v.wrapping_sub(base) as u64));
        consider(Packed::Offsets { base }, lengths.plan(), 1 + patched::varints_len(&[zigzag(base)]));
    }
    best.expect("at least one candidate was considered")
}

fn write_packed(out: &mut Vec<u8>, values: &[i64], packed: Packed, width: u32) {
    match packed {
        Packed::Offsets { base } => {
            out.push(TAG_OFFSETS);
            put_ivarint(out, base);
            patched::encode(out, values.iter().map(|v| v.wrapping_sub(base) as u64), width);
        }
        Packed::Deltas { base } => {
            out.push(TAG_DELTAS);
            put_ivarint(out, values[0]);
            put_ivarint(out, base);
            patched::encode(out, deltas(values).map(|d| d.wrapping_sub(base) as u64), width);
        }
        Packed::ZigzagDeltas => {
            out.push(TAG_ZIGZAG_DELTAS);
            put_ivarint(out, values[0]);
            patched::encode(out, deltas(values).map(zigzag), width);
        }
    }
}

/// Fills `dst`, whose length is the length of the column, from all of `bytes`. Allocates nothing
/// except within `pco`.
pub fn decode(bytes: &[u8], dst: &mut [i64]) -> Result<(), CorruptInput> {
    if dst.is_empty() {
        return Ok(());
    }
    let mut reader = ByteReader::new(bytes);
    match reader.u8()? {
        TAG_CONSTANT => dst.fill(reader.ivarint()?),
        TAG_LINEAR => {
            let mut v = reader.ivarint()?;
            let step = reader.ivarint()?;
            for slot in dst {
                *slot = v;
                v = v.wrapping_add(step);
            }
        }
        TAG_OFFSETS => {
            let base = reader.ivarint()?;
            patched::decode(&mut reader, dst)?;
            for slot in dst {
                *slot = slot.wrapping_add(base);
            }
        }
        TAG_DELTAS => {
            let mut v = reader.ivarint()?;
            let base = reader.ivarint()?;
            let (first, rest) = dst.split_first_mut().expect("dst is not empty");
            *first = v;
            patched::decode(&mut reader, rest)?;
            for slot in rest {
                v = v.wrapping_add(base).wrapping_add(*slot);
                *slot = v;
            }
        }
        TAG_ZIGZAG_DELTAS => {
            let mut v = reader.ivarint()?;
            let (first, rest) = dst.split_first_mut().expect("dst is not empty");
            *first = v;
            patched::decode(&mut reader, rest)?;
            for slot in rest {
                v = v.wrapping_add(unzigzag(*slot as u64));
                *slot = v;
            }
        }
        TAG_PCO => pcodec::decode(reader.rest(), dst)?,
        tag => return Err(CorruptInput::UnknownTag(tag)),
    }
    Ok(())
}

/// Appends the `n` values of the column to `out`.
pub fn decode_append(bytes: &[u8], n: usize, out: &mut Vec<i64>) -> Result<(), CorruptInput> {
    let before = out.len();
    out.resize(before + n, 0);
    let decoded = decode(bytes, &mut out[before..]);
    if decoded.is_err() {
        out.truncate(before);
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[i64]) -> [usize; 2] {
        [Effort::Hot, Effort::Merge].map(|effort| {
            let mut out = Vec::new();
            encode(&mut out, values, effort);
            let mut back = Vec::new();
            decode_append(&out, values.len(), &mut back).unwrap();
            assert_eq!(back, values, "{effort:?}");
            out.len()
        })
    }

    #[test]
    fn the_shapes_of_exporters_are_small() {
        let start = 1_700_000_000_000i64;
        assert_eq!(check(&[]), [0, 0]);
        assert_eq!(check(&[7; 500]), [2, 2]);
        let regular: Vec<i64> = (0..480).map(|i| start + i * 15_000).collect();
        assert!(check(&regular)[0] <= 12);
        let jittered: Vec<i64> = (0..480).map(|i| start + i * 15_000 + (i * 7) % 5).collect();
        assert!(check(&jittered)[0] <= 480 / 2 + 20);
        // A counter that is almost always still costs exceptions only.
        let sparse: Vec<i64> = (0..480).map(|i| i / 100).collect();
        assert!(check(&sparse)[0] <= 24, "{:?}", check(&sparse));
        // A reset does not widen the other deltas.
        let reset: Vec<i64> = (0..480).map(|i| (i % 400) * 1_000 + i % 3).collect();
        assert!(check(&reset)[0] <= 480 + 30, "{:?}", check(&reset));
        check(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
    }

    proptest! {
        #[test]
        fn any_column_round_trips(values in proptest::collection::vec(any::<i64>(), 0..80), shift in 0u32..64) {
            check(&values.iter().map(|v| v >> shift).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_decode_without_panic(
            tag in 0u8..7,
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
            n in 0usize..300,
        ) {
            let mut input = vec![tag];
            input.extend_from_slice(&bytes);
            let mut out = vec![1];
            let decoded = decode_append(&input, n, &mut out);
            prop_assert_eq!(out.len(), if decoded.is_ok() { n + 1 } else { 1 });
        }

        #[test]
        fn flipped_bits_decode_without_panic(seed in any::<i64>(), flips in proptest::collection::vec(any::<usize>(), 1..4)) {
            let values: Vec<i64> = (0..300i64).map(|i| i.wrapping_mul(seed >> 20) ^ (i * i)).collect();
            let mut out = Vec::new();
            encode(&mut out, &values, Effort::Merge);
            for flip in flips {
                let bit = flip % (out.len() * 8);
                out[bit / 8] ^= 1 << (bit % 8);
            }
            let mut back = Vec::new();
            let _ = decode_append(&out, values.len(), &mut back);
        }
    }
}
