//! Bytes in, numbers out: little endian integers, LEB128 varints, zigzag, with typed errors.

/// Input that no encoder of this crate has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorruptInput {
    /// The input ends within a value.
    Truncated,
    /// A varint is longer than ten bytes or does not fit 64 bits.
    VarintOverflow,
    /// A tag that has no meaning.
    UnknownTag(u8),
    /// A length or count above what the caller or the format allows.
    TooLong { len: u64, limit: u64 },
    /// A value outside its range; the text names it.
    OutOfRange(&'static str),
    /// Text that is not UTF-8.
    NotUtf8,
    /// A compressed block that its decompressor refuses.
    Compressed,
}

impl std::fmt::Display for CorruptInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("input ends within a value"),
            Self::VarintOverflow => f.write_str("varint does not fit 64 bits"),
            Self::UnknownTag(tag) => write!(f, "unknown tag {tag}"),
            Self::TooLong { len, limit } => write!(f, "length {len} is above the limit {limit}"),
            Self::OutOfRange(what) => write!(f, "{what} is out of range"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::Compressed => f.write_str("compressed block does not decompress"),
        }
    }
}

impl std::error::Error for CorruptInput {}

/// Appends `v` as LEB128, one to ten bytes.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends `v` zigzagged, so that small magnitudes are short.
#[inline]
pub fn put_ivarint(out: &mut Vec<u8>, v: i64) {
    put_uvarint(out, zigzag(v));
}

/// Appends the length and then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The number of bytes [`put_uvarint`] writes.
#[inline]
pub fn uvarint_len(v: u64) -> usize {
    ((64 - (v | 1).leading_zeros()) as usize).div_ceil(7)
}

#[inline]
pub fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

#[inline]
pub fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// Reads from the front of a slice.
#[derive(Debug, Clone)]
pub struct ByteReader<'a> {
    rest: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], CorruptInput> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(CorruptInput::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CorruptInput> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CorruptInput::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, CorruptInput> {
        let (first, rest) = self.rest.split_first().ok_or(CorruptInput::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn u16(&mut self) -> Result<u16, CorruptInput> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, CorruptInput> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64, CorruptInput> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn u128(&mut self) -> Result<u128, CorruptInput> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub fn f64(&mut self) -> Result<f64, CorruptInput> {
        Ok(f64::from_bits(self.u64()?))
    }

    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, CorruptInput> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut v = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CorruptInput::VarintOverflow);
            }
            v |= bits << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(CorruptInput::VarintOverflow)
    }

    #[inline]
    pub fn ivarint(&mut self) -> Result<i64, CorruptInput> {
        Ok(unzigzag(self.uvarint()?))
    }

    /// A varint that must not exceed `limit`: a count or a length.
    pub fn len(&mut self, limit: usize) -> Result<usize, CorruptInput> {
        let len = self.uvarint()?;
        match usize::try_from(len) {
            Ok(n) if n <= limit => Ok(n),
            _ => Err(CorruptInput::TooLong { len, limit: limit as u64 }),
        }
    }

    /// A count of things that take at least one byte each, so that it is bounded by what is left.
    pub fn count(&mut self) -> Result<usize, CorruptInput> {
        let len = self.uvarint()?;
        let limit = self.rest.len();
        match usize::try_from(len) {
            Ok(n) if n <= limit => Ok(n),
            _ => Err(CorruptInput::TooLong { len, limit: limit as u64 }),
        }
    }

    /// What [`put_bytes`] wrote.
    pub fn bytes(&mut self) -> Result<&'a [u8], CorruptInput> {
        let len = self.uvarint()?;
        self.take(usize::try_from(len).map_err(|_| CorruptInput::Truncated)?)
    }

    /// UTF-8 text written by [`put_bytes`].
    pub fn text(&mut self) -> Result<&'a str, CorruptInput> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CorruptInput::NotUtf8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(values in proptest::collection::vec(any::<i64>(), 0..50), shift in 0u32..64) {
            let mut out = Vec::new();
            for v in &values {
                put_uvarint(&mut out, *v as u64 >> shift);
                put_ivarint(&mut out, *v >> shift);
            }
            let mut reader = ByteReader::new(&out);
            for v in &values {
                let before = reader.remaining();
                prop_assert_eq!(reader.uvarint().unwrap(), *v as u64 >> shift);
                prop_assert_eq!(before - reader.remaining(), uvarint_len(*v as u64 >> shift));
                prop_assert_eq!(reader.ivarint().unwrap(), *v >> shift);
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = ByteReader::new(&bytes);
            while !reader.is_empty() && reader.uvarint().is_ok() {}
            let _ = ByteReader::new(&bytes).text();
            let _ = ByteReader::new(&bytes).count();
        }
    }

    #[test]
    fn overlong_varints_are_refused() {
        assert_eq!(ByteReader::new(&[0xff; 11]).uvarint(), Err(CorruptInput::VarintOverflow));
        assert_eq!(ByteReader::new(&[0x80]).uvarint(), Err(CorruptInput::Truncated));
        assert_eq!(ByteReader::new(&[5, 1]).count(), Err(CorruptInput::TooLong { len: 5, limit: 1 }));
    }
}
