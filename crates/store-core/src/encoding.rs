//! Little-endian fields, length-prefixed texts and checksummed frames: the words in which footers,
//! commits and records are written.

/// Appends fields to a buffer.
#[derive(Debug, Default, Clone)]
pub struct FieldWriter {
    bytes: Vec<u8>,
}

impl FieldWriter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }

    pub fn u16(&mut self, v: u16) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub fn u32(&mut self, v: u32) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub fn u64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub fn i64(&mut self, v: i64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    pub fn u128(&mut self, v: u128) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    /// A count of what follows. Writers limit counts long before 2³².
    pub fn count(&mut self, n: usize) {
        self.u32(u32::try_from(n).expect("counts are limited far below 2^32"));
    }

    /// A length and then the bytes.
    pub fn bytes(&mut self, v: &[u8]) {
        self.count(v.len());
        self.bytes.extend_from_slice(v);
    }

    pub fn text(&mut self, v: &str) {
        self.bytes(v.as_bytes());
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Why fields could not be read: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: expected {expected}")]
pub struct FieldError {
    pub at: usize,
    pub expected: &'static str,
}

/// Reads fields back in the order they were written. Never trusts a length.
#[derive(Debug, Clone)]
pub struct FieldReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> FieldReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn error(&self, expected: &'static str) -> FieldError {
        FieldError { at: self.at, expected }
    }

    fn take(&mut self, n: usize, expected: &'static str) -> Result<&'a [u8], FieldError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(FieldError { at: self.at, expected })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], FieldError> {
        let taken = self.take(N, expected)?;
        Ok(taken.try_into().expect("take returns as many bytes as were asked for"))
    }

    pub fn u8(&mut self) -> Result<u8, FieldError> {
        Ok(self.array::<1>("a byte")?[0])
    }

    pub fn u16(&mut self) -> Result<u16, FieldError> {
        Ok(u16::from_le_bytes(self.array("2 bytes")?))
    }

    pub fn u32(&mut self) -> Result<u32, FieldError> {
        Ok(u32::from_le_bytes(self.array("4 bytes")?))
    }

    pub fn u64(&mut self) -> Result<u64, FieldError> {
        Ok(u64::from_le_bytes(self.array("8 bytes")?))
    }

    pub fn i64(&mut self) -> Result<i64, FieldError> {
        Ok(i64::from_le_bytes(self.array("8 bytes")?))
    }

    pub fn u128(&mut self) -> Result<u128, FieldError> {
        Ok(u128::from_le_bytes(self.array("16 bytes")?))
    }

    /// A count of things that take at least `each_bytes` bytes each; one that the rest of the input
    /// cannot hold is an error, so that no caller allocates for a lie.
    pub fn count(&mut self, each_bytes: usize) -> Result<usize, FieldError> {
        let at = self.at;
        let n = self.u32()? as usize;
        let left = self.bytes.len() - self.at;
        match n.checked_mul(each_bytes) {
            Some(need) if need <= left => Ok(n),
            _ => Err(FieldError { at, expected: "a count that the remaining bytes can hold" }),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], FieldError> {
        let n = self.count(1)?;
        self.take(n, "as many bytes as their length says")
    }

    pub fn text(&mut self) -> Result<&'a str, FieldError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| FieldError { at, expected: "UTF-8 text" })
    }

    pub fn finish(self) -> Result<(), FieldError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("the end")) }
    }
}

/// The frame around small objects: magic (8), version (1), CRC32C of version and body (4), body.
pub fn frame(magic: &[u8; 8], version: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 13);
    bytes.extend_from_slice(magic);
    bytes.push(version);
    bytes.extend_from_slice(&frame_crc(version, body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn frame_crc(version: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), body)
}

/// Why a frame could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("it is not a {expected} file")]
    Magic { expected: String },
    #[error("it was written by a newer release: format version {found}, this one reads up to {newest}")]
    NewerVersion { found: u8, newest: u8 },
    #[error("its checksum does not match")]
    Checksum,
}

/// Opens a frame: its version and body.
pub fn unframe<'a>(magic: &[u8; 8], newest: u8, bytes: &'a [u8]) -> Result<(u8, &'a [u8]), FrameError> {
    let not_ours = || FrameError::Magic { expected: String::from_utf8_lossy(magic).into_owned() };
    let (head, body) = bytes.split_at_checked(13).ok_or_else(not_ours)?;
    if head[..8] != magic[..] {
        return Err(not_ours());
    }
    let version = head[8];
    if version > newest {
        return Err(FrameError::NewerVersion { found: version, newest });
    }
    let crc = u32::from_le_bytes(head[9..13].try_into().expect("four bytes"));
    if crc != frame_crc(version, body) {
        return Err(FrameError::Checksum);
    }
    Ok((version, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_lies_are_refused() {
        let mut w = FieldWriter::new();
        w.u8(1);
        w.u16(2);
        w.i64(-3);
        w.u128(4);
        w.text("five");
        let bytes = w.into_bytes();
        let mut r = FieldReader::new(&bytes);
        assert_eq!((r.u8(), r.u16(), r.i64(), r.u128(), r.text()), (Ok(1), Ok(2), Ok(-3), Ok(4), Ok("five")));
        assert_eq!(r.finish(), Ok(()));
        assert!(FieldReader::new(&[255, 255, 255, 255, 0]).bytes().is_err());
        assert!(FieldReader::new(&bytes).finish().is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let good = frame(b"TESTTEST", 1, b"body");
        assert_eq!(unframe(b"TESTTEST", 1, &good), Ok((1, &b"body"[..])));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(unframe(b"TESTTEST", 1, &bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(unframe(b"TESTTEST", 1, &good[..len]).is_err(), "length {len}");
        }
    }
}
