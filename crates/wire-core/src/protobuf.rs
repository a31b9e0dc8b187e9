//! Protobuf on the wire without generated code: a borrowed cursor that allocates nothing, and a
//! writer into a byte vector. Every read is bounded by the slice it was given.

mod writer;

pub use writer::ProtoWriter;

use thiserror::Error;

/// How deep deprecated groups may nest before a message is refused.
const GROUP_DEPTH_MAX: u32 = 16;

/// Why bytes are no protobuf message. The texts are those Go's decoders give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtoError {
    #[error("unexpected EOF")]
    Truncated,
    #[error("proto: integer overflow")]
    VarintOverflow,
    #[error("proto: illegal tag {0} (wire type {1})")]
    IllegalTag(u64, u8),
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongWireType { field: u32, wire_type: u8 },
    #[error("proto: field {field} contains invalid UTF-8")]
    InvalidUtf8 { field: u32 },
    #[error("proto: groups nest too deeply")]
    GroupsTooDeep,
    #[error("proto: unexpected end of group")]
    UnexpectedEndGroup,
}

/// A field's payload as its wire type carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtoValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtoField<'a> {
    pub number: u32,
    pub value: ProtoValue<'a>,
}

/// A cursor over one message.
#[derive(Debug, Clone, Copy)]
pub struct ProtoReader<'a> {
    rest: &'a [u8],
}

impl<'a> ProtoReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field, or `None` at the end of the message. Groups are skipped.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<ProtoField<'a>>, ProtoError> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let tag = self.varint()?;
            let (number, wire_type) = split_tag(tag)?;
            let value = match wire_type {
                0 => ProtoValue::Varint(self.varint()?),
                1 => ProtoValue::Fixed64(self.fixed64()?),
                2 => ProtoValue::Bytes(self.length_delimited()?),
                3 => {
                    self.skip_group()?;
                    continue;
                }
                4 => return Err(ProtoError::UnexpectedEndGroup),
                5 => ProtoValue::Fixed32(self.fixed32()?),
                _ => return Err(ProtoError::IllegalTag(tag, wire_type)),
            };
            return Ok(Some(ProtoField { number, value }));
        }
    }

    /// A base-128 number of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, ProtoError> {
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        let mut value = 0u64;
        for (idx, byte) in self.rest.iter().enumerate() {
            if idx == 10 || (idx == 9 && *byte > 1) {
                return Err(ProtoError::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * idx);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[idx + 1..];
                return Ok(value);
            }
        }
        Err(ProtoError::Truncated)
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, ProtoError> {
        let (head, rest) = self.rest.split_first_chunk::<8>().ok_or(ProtoError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, ProtoError> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or(ProtoError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// A length and as many bytes.
    #[inline]
    pub fn length_delimited(&mut self) -> Result<&'a [u8], ProtoError> {
        let len = usize::try_from(self.varint()?).map_err(|_| ProtoError::Truncated)?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(ProtoError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn skip_group(&mut self) -> Result<(), ProtoError> {
        let mut depth = 1;
        while depth > 0 {
            let tag = self.varint()?;
            match split_tag(tag)?.1 {
                0 => drop(self.varint()?),
                1 => drop(self.fixed64()?),
                2 => drop(self.length_delimited()?),
                3 if depth == GROUP_DEPTH_MAX => return Err(ProtoError::GroupsTooDeep),
                3 => depth += 1,
                4 => depth -= 1,
                5 => drop(self.fixed32()?),
                wire_type => return Err(ProtoError::IllegalTag(tag, wire_type)),
            }
        }
        Ok(())
    }
}

fn split_tag(tag: u64) -> Result<(u32, u8), ProtoError> {
    let wire_type = (tag & 7) as u8;
    match u32::try_from(tag >> 3) {
        Ok(number) if number > 0 && number < 1 << 29 => Ok((number, wire_type)),
        _ => Err(ProtoError::IllegalTag(tag, wire_type)),
    }
}

impl<'a> ProtoField<'a> {
    fn wrong_type(&self) -> ProtoError {
        let wire_type = match self.value {
            ProtoValue::Varint(_) => 0,
            ProtoValue::Fixed64(_) => 1,
            ProtoValue::Bytes(_) => 2,
            ProtoValue::Fixed32(_) => 5,
        };
        ProtoError::WrongWireType { field: self.number, wire_type }
    }

    /// `uint64`, `bool` and the bits of every other varint.
    #[inline]
    pub fn u64(&self) -> Result<u64, ProtoError> {
        match self.value {
            ProtoValue::Varint(v) => Ok(v),
            _ => Err(self.wrong_type()),
        }
    }

    /// `uint32`; wider values lose their upper bits, as in every protobuf decoder.
    #[inline]
    pub fn u32(&self) -> Result<u32, ProtoError> {
        self.u64().map(|v| v as u32)
    }

    /// `int64`
    #[inline]
    pub fn i64(&self) -> Result<i64, ProtoError> {
        self.u64().map(u64::cast_signed)
    }

    /// `int32` and enums.
    #[inline]
    pub fn i32(&self) -> Result<i32, ProtoError> {
        self.u64().map(|v| v as i32)
    }

    pub fn bool(&self) -> Result<bool, ProtoError> {
        self.u64().map(|v| v != 0)
    }

    /// `sint32`
    pub fn sint32(&self) -> Result<i32, ProtoError> {
        self.u32().map(|v| (v >> 1).cast_signed() ^ -(v & 1).cast_signed())
    }

    /// `sint64`
    pub fn sint64(&self) -> Result<i64, ProtoError> {
        self.u64().map(unzigzag)
    }

    #[inline]
    pub fn f64(&self) -> Result<f64, ProtoError> {
        self.fixed64().map(f64::from_bits)
    }

    /// `fixed64`
    #[inline]
    pub fn fixed64(&self) -> Result<u64, ProtoError> {
        match self.value {
            ProtoValue::Fixed64(v) => Ok(v),
            _ => Err(self.wrong_type()),
        }
    }

    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], ProtoError> {
        match self.value {
            ProtoValue::Bytes(v) => Ok(v),
            _ => Err(self.wrong_type()),
        }
    }

    /// `string`; text that is not UTF-8 is refused.
    #[inline]
    pub fn str(&self) -> Result<&'a str, ProtoError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtoError::InvalidUtf8 { field: self.number })
    }

    /// An embedded message.
    #[inline]
    pub fn message(&self) -> Result<ProtoReader<'a>, ProtoError> {
        self.bytes().map(ProtoReader::new)
    }

    /// A repeated varint field, packed or not: each value goes to `each`.
    pub fn repeated_u64(&self, mut each: impl FnMut(u64)) -> Result<(), ProtoError> {
        match self.value {
            ProtoValue::Varint(v) => each(v),
            ProtoValue::Bytes(bytes) => {
                let mut packed = ProtoReader::new(bytes);
                while !packed.is_empty() {
                    each(packed.varint()?);
                }
            }
            _ => return Err(self.wrong_type()),
        }
        Ok(())
    }

    /// A repeated `uint32` field, packed or not.
    pub fn repeated_u32(&self, mut each: impl FnMut(u32)) -> Result<(), ProtoError> {
        self.repeated_u64(|v| each(v as u32))
    }

    /// A repeated `sint64` field, packed or not.
    pub fn repeated_sint64(&self, mut each: impl FnMut(i64)) -> Result<(), ProtoError> {
        self.repeated_u64(|v| each(unzigzag(v)))
    }

    /// A repeated `fixed64` field, packed or not.
    pub fn repeated_fixed64(&self, mut each: impl FnMut(u64)) -> Result<(), ProtoError> {
        match self.value {
            ProtoValue::Fixed64(v) => each(v),
            ProtoValue::Bytes(bytes) => {
                let (chunks, tail) = bytes.as_chunks::<8>();
                if !tail.is_empty() {
                    return Err(ProtoError::Truncated);
                }
                for chunk in chunks {
                    each(u64::from_le_bytes(*chunk));
                }
            }
            _ => return Err(self.wrong_type()),
        }
        Ok(())
    }

    /// A repeated `double` field, packed or not.
    pub fn repeated_f64(&self, mut each: impl FnMut(f64)) -> Result<(), ProtoError> {
        self.repeated_fixed64(|v| each(f64::from_bits(v)))
    }
}

fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -(v & 1).cast_signed()
}

#[cfg(test)]
mod tests;
