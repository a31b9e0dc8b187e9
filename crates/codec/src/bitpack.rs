//! Bit-packing: `n` integers of `width` bits each, lowest bits first, in whole bytes.

use crate::bytes::CorruptInput;

/// The bytes that `n` values of `width` bits take.
pub fn packed_len(n: usize, width: u32) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `values`, each of which fits `width` bits (0 to 64).
pub fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    debug_assert!(width <= 64, "a value has 64 bits");
    if width == 0 {
        return;
    }
    let mut pending: u128 = 0;
    let mut n_bits = 0u32;
    for v in values {
        pending |= u128::from(v) << n_bits;
        n_bits += width;
        while n_bits >= 32 {
            out.extend_from_slice(&(pending as u32).to_le_bytes());
            pending >>= 32;
            n_bits -= 32;
        }
    }
    while n_bits > 0 {
        out.push(pending as u8);
        pending >>= 8;
        n_bits = n_bits.saturating_sub(8);
    }
}

/// Hands `n` values of `width` bits to `each`, in order. `packed` must hold at least
/// [`packed_len`] bytes.
#[inline]
pub fn unpack(packed: &[u8], n: usize, width: u32, mut each: impl FnMut(u64)) -> Result<(), CorruptInput> {
    if width > 64 {
        return Err(CorruptInput::OutOfRange("bit width"));
    }
    if packed.len() < packed_len(n, width) {
        return Err(CorruptInput::Truncated);
    }
    if width == 0 {
        for _ in 0..n {
            each(0);
        }
        return Ok(());
    }
    let mask = u64::MAX >> (64 - width);
    let width = width as usize;
    let mut bit = 0usize;
    let mut i = 0;
    if width <= 57 {
        // Eight whole bytes are available: one unaligned load holds the value.
        while i < n {
            let Some(window) = packed.get(bit >> 3..).and_then(<[u8]>::first_chunk::<8>) else { break };
            each((u64::from_le_bytes(*window) >> (bit & 7)) & mask);
            bit += width;
            i += 1;
        }
    }
    while i < n {
        let from = bit >> 3;
        let to = (from + 16).min(packed.len());
        let mut window = [0u8; 16];
        window[..to - from].copy_from_slice(&packed[from..to]);
        each((u128::from_le_bytes(window) >> (bit & 7)) as u64 & mask);
        bit += width;
        i += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_values_come_back(values in proptest::collection::vec(any::<u64>(), 0..200), width in 0u32..=64) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let mut out = Vec::new();
            pack(&mut out, values.iter().map(|v| v & mask), width);
            prop_assert_eq!(out.len(), packed_len(values.len(), width));
            let mut back = Vec::new();
            unpack(&out, values.len(), width, |v| back.push(v)).unwrap();
            let expected: Vec<u64> = values.iter().map(|v| v & mask).collect();
            prop_assert_eq!(back, expected);
        }
    }

    #[test]
    fn short_input_is_an_error() {
        assert_eq!(unpack(&[0; 3], 4, 7, |_| ()), Err(CorruptInput::Truncated));
        assert_eq!(unpack(&[0; 3], 1, 65, |_| ()), Err(CorruptInput::OutOfRange("bit width")));
    }
}
