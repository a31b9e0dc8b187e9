//! Patched bit-packing: a width that fits most values, and the high bits of the few that it does
//! not fit as exceptions beside. Layout: width u8, exception count uvarint, per exception the gap
//! to the previous position and the high bits as uvarints, then the packed low bits.

use crate::bitpack;
use crate::bytes::{ByteReader, CorruptInput, put_uvarint, uvarint_len};

/// How many values have each bit length; enough to choose a width without encoding.
pub(crate) struct BitLengths {
    counts: [u32; 65],
    n: usize,
}

/// A width and the bytes that encoding with it takes (a close estimate from above).
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) width: u32,
    pub(crate) bytes: usize,
}

impl BitLengths {
    pub(crate) fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut counts = [0u32; 65];
        let mut n = 0;
        for v in values {
            counts[(64 - v.leading_zeros()) as usize] += 1;
            n += 1;
        }
        Self { counts, n }
    }

    pub(crate) fn plan(&self) -> Plan {
        let longest = (0..=64u32).rev().find(|len| self.counts[*len as usize] > 0).unwrap_or(0);
        let mut best = Plan { width: longest, bytes: 2 + bitpack::packed_len(self.n, longest) };
        let mut n_wider = 0usize;
        let mut wider_bits = 0usize;
        for width in (0..longest).rev() {
            let count = self.counts[width as usize + 1] as usize;
            n_wider += count;
            // Every wider value has one more bit above the new width.
            wider_bits += n_wider;
            if n_wider > self.n / 4 {
                break;
            }
            let exceptions = n_wider * 2 + wider_bits.div_ceil(7);
            let bytes = 3 + bitpack::packed_len(self.n, width) + exceptions;
            if bytes < best.bytes {
                best = Plan { width, bytes };
            }
        }
        best
    }
}

pub(crate) fn encode(out: &mut Vec<u8>, values: impl Iterator<Item = u64> + Clone, width: u32) {
    out.push(width as u8);
    let high = |v: u64| if width >= 64 { 0 } else { v >> width };
    let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
    put_uvarint(out, values.clone().filter(|v| high(*v) != 0).count() as u64);
    let mut next = 0;
    for (i, v) in values.clone().enumerate().filter(|(_, v)| high(*v) != 0) {
        put_uvarint(out, (i - next) as u64);
        put_uvarint(out, high(v));
        next = i + 1;
    }
    bitpack::pack(out, values.map(|v| v & mask), width);
}

/// Fills `dst` with the values, as their bits.
pub(crate) fn decode(reader: &mut ByteReader<'_>, dst: &mut [i64]) -> Result<(), CorruptInput> {
    let width = u32::from(reader.u8()?);
    if width > 64 {
        return Err(CorruptInput::OutOfRange("bit width"));
    }
    let n_exceptions = reader.len(dst.len())?;
    let mut exceptions = reader.clone();
    for _ in 0..n_exceptions {
        reader.uvarint()?;
        reader.uvarint()?;
    }
    let packed = reader.take(bitpack::packed_len(dst.len(), width))?;
    let mut i = 0;
    bitpack::unpack(packed, dst.len(), width, |v| {
        dst[i] = v as i64;
        i += 1;
    })?;
    let mut next = 0usize;
    for _ in 0..n_exceptions {
        let gap = usize::try_from(exceptions.uvarint()?).unwrap_or(usize::MAX);
        let high = exceptions.uvarint()?;
        let at = next.saturating_add(gap);
        let slot = dst.get_mut(at).ok_or(CorruptInput::OutOfRange("exception position"))?;
        *slot |= high.checked_shl(width).unwrap_or(0) as i64;
        next = at + 1;
    }
    Ok(())
}

/// The bytes of a header made of these varints, for comparing candidates.
pub(crate) fn varints_len(values: &[u64]) -> usize {
    values.iter().map(|v| uvarint_len(*v)).sum()
}
