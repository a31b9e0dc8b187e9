//! Float columns, bit exact: decimals as integers, `pco`, packed XORs, raw. Chosen by trial.
//!
//! As with [`crate::ints`], a column does not say its length or end.

use crate::bytes::{ByteReader, CorruptInput, put_uvarint};
use crate::patched::{self, BitLengths};
use crate::{Effort, decimal, ints, pcodec};

const TAG_DECIMAL: u8 = 0;
const TAG_XOR: u8 = 1;
const TAG_PCO: u8 = 2;
const TAG_RAW: u8 = 3;
const TAG_CONSTANT: u8 = 4;

/// The staleness marker ends most series and so has a one-byte form among exceptions.
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Appends the column; the smallest of the codecs that `effort` allows wins.
pub fn encode(out: &mut Vec<u8>, values: &[f64], effort: Effort) {
    if values.is_empty() {
        return;
    }
    let before = out.len();
    if let Some(decimals) = decimal::detect(values) {
        write_decimals(out, &decimals, effort);
        if decimals.exceptions.is_empty() && out.len() - before <= values.len() * 2 {
            return;
        }
    }
    let mut best_len = if out.len() > before { out.len() - before } else { usize::MAX };
    let mut trial = Vec::new();
    let mut keep_if_smaller = |out: &mut Vec<u8>, trial: &mut Vec<u8>| {
        if trial.len() < best_len {
            best_len = trial.len();
            out.truncate(before);
            out.extend_from_slice(trial);
        }
        trial.clear();
    };
    if values.iter().all(|v| v.to_bits() == values[0].to_bits()) {
        trial.push(TAG_CONSTANT);
        trial.extend_from_slice(&values[0].to_bits().to_le_bytes());
        keep_if_smaller(out, &mut trial);
        return;
    }
    write_xor(&mut trial, values);
    keep_if_smaller(out, &mut trial);
    if effort == Effort::Merge && values.len() >= pcodec::PCO_LENGTH_MIN {
        trial.push(TAG_PCO);
        if pcodec::encode(&mut trial, values).is_some() && is_exact_pco(&trial[1..], values) {
            keep_if_smaller(out, &mut trial);
        }
        trial.clear();
    }
    if values.len() * 8 < out.len() - before {
        out.truncate(before);
        out.push(TAG_RAW);
        out.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
    }
}

/// Whether the trial reads back bit for bit, payloads of NaNs included: a check of the library on
/// the data itself, once per page.
fn is_exact_pco(bytes: &[u8], values: &[f64]) -> bool {
    let mut back = vec![0f64; values.len()];
    pcodec::decode(bytes, &mut back).is_ok()
        && back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn write_decimals(out: &mut Vec<u8>, decimals: &decimal::Decimals, effort: Effort) {
    out.push(TAG_DECIMAL);
    out.push(decimals.exponent);
    put_uvarint(out, decimals.exceptions.len() as u64);
    let mut next = 0;
    for (at, bits) in &decimals.exceptions {
        // The gap and, in its lowest bit, whether the value is the staleness marker.
        let is_stale = *bits == STALE_BITS;
        put_uvarint(out, ((at - next) as u64) << 1 | u64::from(is_stale));
        if !is_stale {
            out.extend_from_slice(&bits.to_le_bytes());
        }
        next = at + 1;
    }
    ints::encode(out, &decimals.mantissas, effort);
}

/// Neighbours XORed, common trailing zeros shifted out, the rest patched bit-packing.
fn write_xor(out: &mut Vec<u8>, values: &[f64]) {
    let xors = values.windows(2).map(|w| w[0].to_bits() ^ w[1].to_bits());
    let shift = xors.clone().fold(0, |all, x| all | x).trailing_zeros().min(63);
    let plan = BitLengths::of(xors.clone().map(|x| x >> shift)).plan();
    out.push(TAG_XOR);
    out.extend_from_slice(&values[0].to_bits().to_le_bytes());
    out.push(shift as u8);
    patched::encode(out, xors.map(|x| x >> shift), plan.width);
}

/// Fills `dst`, whose length is the length of the column, from all of `bytes`. Allocates nothing
/// except within `pco`.
pub fn decode(bytes: &[u8], dst: &mut [f64]) -> Result<(), CorruptInput> {
    if dst.is_empty() {
        return Ok(());
    }
    let mut reader = ByteReader::new(bytes);
    match reader.u8()? {
        TAG_DECIMAL => read_decimals(&mut reader, dst),
        TAG_XOR => read_xor(&mut reader, dst),
        TAG_PCO => pcodec::decode(reader.rest(), dst),
        TAG_CONSTANT => {
            dst.fill(reader.f64()?);
            Ok(())
        }
        TAG_RAW => {
            let raw = reader.take(dst.len() * 8)?;
            for (slot, bytes) in dst.iter_mut().zip(raw.as_chunks::<8>().0) {
                *slot = f64::from_bits(u64::from_le_bytes(*bytes));
            }
            Ok(())
        }
        tag => Err(CorruptInput::UnknownTag(tag)),
    }
}

fn read_decimals(reader: &mut ByteReader<'_>, dst: &mut [f64]) -> Result<(), CorruptInput> {
    let divisor = decimal::power(reader.u8()?).ok_or(CorruptInput::OutOfRange("decimal exponent"))?;
    let n_exceptions = reader.len(dst.len())?;
    let mut exceptions = reader.clone();
    for _ in 0..n_exceptions {
        if reader.uvarint()? & 1 == 0 {
            reader.u64()?;
        }
    }
    ints::decode(reader.rest(), as_ints(dst))?;
    if divisor == 1.0 {
        for slot in dst.iter_mut() {
            *slot = slot.to_bits() as i64 as f64;
        }
    } else {
        for slot in dst.iter_mut() {
            *slot = slot.to_bits() as i64 as f64 / divisor;
        }
    }
    let mut next = 0usize;
    for _ in 0..n_exceptions {
        let head = exceptions.uvarint()?;
        let bits = if head & 1 == 1 { STALE_BITS } else { exceptions.u64()? };
        let at = next.saturating_add(usize::try_from(head >> 1).unwrap_or(usize::MAX));
        *dst.get_mut(at).ok_or(CorruptInput::OutOfRange("exception position"))? = f64::from_bits(bits);
        next = at + 1;
    }
    Ok(())
}

fn read_xor(reader: &mut ByteReader<'_>, dst: &mut [f64]) -> Result<(), CorruptInput> {
    let mut bits = reader.u64()?;
    let shift = u32::from(reader.u8()?);
    if shift > 63 {
        return Err(CorruptInput::OutOfRange("shift"));
    }
    let (first, rest) = dst.split_first_mut().expect("dst is not empty");
    *first = f64::from_bits(bits);
    patched::decode(reader, as_ints(rest))?;
    for slot in rest {
        bits ^= slot.to_bits() << shift;
        *slot = f64::from_bits(bits);
    }
    Ok(())
}

/// The same memory as integers, so that a float column decodes without a second buffer.
#[expect(unsafe_code, reason = "saves an allocation and a copy per page on the query path")]
fn as_ints(floats: &mut [f64]) -> &mut [i64] {
    // SAFETY: f64 and i64 have the same size and alignment, every bit pattern is valid for both,
    // and the borrow of `floats` lasts as long as the returned slice.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast::<i64>(), floats.len()) }
}

/// Appends the `n` values of the column to `out`.
pub fn decode_append(bytes: &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), CorruptInput> {
    let before = out.len();
    out.resize(before + n, 0.0);
    let decoded = decode(bytes, &mut out[before..]);
    if decoded.is_err() {
        out.truncate(before);
    }
    decoded
}

#[cfg(test)]
mod tests;
