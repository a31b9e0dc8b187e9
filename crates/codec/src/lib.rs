//! Encodings of numbers: varints, bit-packed integers, timestamp and float columns.
//!
//! Duty: turn slices of numbers into few bytes and back, bit for bit. Every decoder is total: any
//! input gives values or a [`CorruptInput`], never a panic, and never more values than the caller
//! allowed. Not its duty: files, checksums, series.

pub mod bitpack;
pub mod block;
pub mod bytes;
pub mod floats;
pub mod ints;

mod decimal;
mod patched;
mod pcodec;

pub use bytes::{ByteReader, CorruptInput};

/// How much work to spend on making a column small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Fast both ways: constants, deltas and bit-packing only.
    Hot,
    /// As small as it gets, for parts that will be read for long.
    Merge,
}
