//! Bits in the order Prometheus's chunks have them: most significant first.

/// Appends bits to bytes.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte not written yet.
    free: u8,
}

impl BitWriter {
    pub(super) fn with_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    /// The lowest `n` bits of `v`, at most 64.
    pub(super) fn bits(&mut self, v: u64, n: u8) {
        let mut left = n;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let part = (v >> (left - take)) as u8 & (0xff >> (8 - take));
            let last = self.bytes.len() - 1;
            self.bytes[last] |= part << (self.free - take);
            self.free -= take;
            left -= take;
        }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bits(u64::from(byte), 8);
    }

    pub(super) fn f64(&mut self, v: f64) {
        self.bits(v.to_bits(), 64);
    }

    pub(super) fn uvarint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.byte(v as u8 | 0x80);
            v >>= 7;
        }
        self.byte(v as u8);
    }

    pub(super) fn varint(&mut self, v: i64) {
        self.uvarint((v << 1 ^ v >> 63).cast_unsigned());
    }

    /// A prefix of ones that tells the width, then the number.
    pub(super) fn varbit_int(&mut self, v: i64) {
        if v == 0 {
            return self.bit(false);
        }
        let class = VARBIT_WIDTHS.iter().position(|width| fits(v, *width));
        self.varbit(v.cast_unsigned(), class);
    }

    pub(super) fn varbit_uint(&mut self, v: u64) {
        if v == 0 {
            return self.bit(false);
        }
        let needed = 64 - v.leading_zeros();
        let class = VARBIT_WIDTHS.iter().position(|width| u32::from(*width) >= needed);
        self.varbit(v, class);
    }

    fn varbit(&mut self, v: u64, class: Option<usize>) {
        match class {
            Some(class) => {
                let ones = class as u8 + 1;
                self.bits((1 << (ones + 1)) - 2, ones + 1);
                self.bits(v, VARBIT_WIDTHS[class]);
            }
            None => {
                self.bits(0xff, 8);
                self.bits(v, 64);
            }
        }
    }
}

/// The widths of numbers behind 1, 2, … ones and a zero.
const VARBIT_WIDTHS: [u8; 7] = [3, 6, 9, 12, 18, 25, 56];

/// Whether a signed number fits, in upstream's lopsided two's complement.
pub(super) fn fits(v: i64, n: u8) -> bool {
    let half = 1i64 << (n - 1);
    (1 - half..=half).contains(&v)
}

/// Takes bits from bytes; the end is an error.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at_bit: usize,
}

/// The chunk ends within a number, or holds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadBits;

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at_bit: 0 }
    }

    pub(super) fn bits_left(&self) -> usize {
        self.bytes.len() * 8 - self.at_bit
    }

    pub(super) fn bit(&mut self) -> Result<bool, BadBits> {
        let byte = self.bytes.get(self.at_bit / 8).ok_or(BadBits)?;
        let bit = byte >> (7 - self.at_bit % 8) & 1;
        self.at_bit += 1;
        Ok(bit == 1)
    }

    /// A number of `n` bits, at most 64.
    pub(super) fn bits(&mut self, n: u8) -> Result<u64, BadBits> {
        if self.bits_left() < usize::from(n) {
            return Err(BadBits);
        }
        let (mut v, mut left) = (0u64, usize::from(n));
        while left > 0 {
            let free = 8 - self.at_bit % 8;
            let take = left.min(free);
            let part = self.bytes[self.at_bit / 8] >> (free - take) & (0xff >> (8 - take));
            v = v.checked_shl(take as u32).unwrap_or(0) | u64::from(part);
            self.at_bit += take;
            left -= take;
        }
        Ok(v)
    }

    pub(super) fn f64(&mut self) -> Result<f64, BadBits> {
        self.bits(64).map(f64::from_bits)
    }

    pub(super) fn uvarint(&mut self) -> Result<u64, BadBits> {
        let mut v = 0u64;
        for idx in 0..10 {
            let byte = self.bits(8)?;
            if idx == 9 && byte > 1 {
                return Err(BadBits);
            }
            v |= (byte & 0x7f) << (7 * idx);
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(BadBits)
    }

    pub(super) fn varint(&mut self) -> Result<i64, BadBits> {
        let v = self.uvarint()?;
        Ok((v >> 1).cast_signed() ^ -(v & 1).cast_signed())
    }

    /// How many ones stand before the next zero; after `max` of them there is no zero.
    pub(super) fn ones(&mut self, max: usize) -> Result<usize, BadBits> {
        for ones in 0..max {
            if !self.bit()? {
                return Ok(ones);
            }
        }
        Ok(max)
    }

    /// A signed number in upstream's lopsided two's complement; see [`fits`].
    pub(super) fn signed(&mut self, n: u8) -> Result<i64, BadBits> {
        let v = self.bits(n)?.cast_signed();
        Ok(if n < 64 && v > 1 << (n - 1) { v - (1 << n) } else { v })
    }

    pub(super) fn varbit_int(&mut self) -> Result<i64, BadBits> {
        match self.ones(8)? {
            0 => Ok(0),
            ones => self.signed(VARBIT_WIDTHS.get(ones - 1).copied().unwrap_or(64)),
        }
    }

    pub(super) fn varbit_uint(&mut self) -> Result<u64, BadBits> {
        match self.ones(8)? {
            0 => Ok(0),
            ones => self.bits(VARBIT_WIDTHS.get(ones - 1).copied().unwrap_or(64)),
        }
    }
}

/// The window of significant bits that successive XORed values share.
#[derive(Debug, Clone, Copy)]
pub(super) struct XorValue {
    bits: u64,
    /// Leading and trailing zeros of the last window.
    window: Option<(u8, u8)>,
}

impl XorValue {
    pub(super) fn new(v: f64) -> Self {
        Self { bits: v.to_bits(), window: None }
    }

    /// The next value of a chunk.
    pub(super) fn read(&mut self, r: &mut BitReader<'_>) -> Result<f64, BadBits> {
        if r.bit()? {
            if r.bit()? {
                let leading = r.bits(5)? as u8;
                let significant = match r.bits(6)? as u8 {
                    0 => 64,
                    n => n,
                };
                let trailing = 64u8.checked_sub(leading + significant).ok_or(BadBits)?;
                self.window = Some((leading, trailing));
            }
            let (leading, trailing) = self.window.unwrap_or((0, 0));
            self.bits ^= r.bits(64 - leading - trailing)? << trailing;
        }
        Ok(f64::from_bits(self.bits))
    }

    /// Writes `v` as its difference from the value before.
    pub(super) fn write(&mut self, w: &mut BitWriter, v: f64) {
        let delta = self.bits ^ v.to_bits();
        self.bits = v.to_bits();
        if delta == 0 {
            return w.bit(false);
        }
        w.bit(true);
        let leading = (delta.leading_zeros() as u8).min(31);
        let trailing = delta.trailing_zeros() as u8;
        if let Some((l, t)) = self.window.filter(|(l, t)| leading >= *l && trailing >= *t) {
            w.bit(false);
            return w.bits(delta >> t, 64 - l - t);
        }
        self.window = Some((leading, trailing));
        w.bit(true);
        w.bits(u64::from(leading), 5);
        let significant = 64 - leading - trailing;
        // 64 does not fit into six bits; its low six are zero, which readers take for 64.
        w.bits(u64::from(significant), 6);
        w.bits(delta >> trailing, significant);
    }
}
