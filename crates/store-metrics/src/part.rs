//! Metrics parts: what is in their blocks, written and read. docs/formats/metrics-part.md has the
//! bytes.

pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod decode;
pub(crate) mod exemplars;
pub mod family;
pub(crate) mod histograms;
pub(crate) mod memory;
pub(crate) mod metadata;
pub(crate) mod postings;
pub(crate) mod reader;
pub(crate) mod symbols;

use codec::CorruptInput;
use store_core::{BlockRef, CorruptPart, PartError};

/// The name of the family in keys and footers.
pub const FAMILY: &str = "metrics";

/// The version of the content of the blocks.
pub const SCHEMA_VERSION: u16 = 1;

/// Kinds of blocks.
pub(crate) mod kind {
    pub(crate) const SYMBOLS: u16 = 1;
    pub(crate) const LABELS: u16 = 2;
    pub(crate) const IDS: u16 = 3;
    pub(crate) const PAGES: u16 = 4;
    pub(crate) const TIMES: u16 = 5;
    pub(crate) const TIME_DIRECTORY: u16 = 6;
    pub(crate) const SAMPLES: u16 = 7;
    pub(crate) const NAMES: u16 = 8;
    pub(crate) const VALUES: u16 = 9;
    pub(crate) const EXEMPLARS: u16 = 10;
    pub(crate) const METADATA: u16 = 11;
}

/// Series per block of labels, ids and pages.
pub(crate) const SERIES_PER_CHUNK: usize = 1024;

/// Samples per page: long enough to compress, short enough that a query of hours does not decode days.
pub(crate) const PAGE_SAMPLES_MAX: usize = 2048;

/// Blocks of samples and timestamps are closed at this size: one series' page costs one such read.
pub(crate) const SAMPLE_BLOCK_BYTES: usize = 32 << 10;

/// Blocks of label values are closed at this size.
pub(crate) const VALUE_BLOCK_BYTES: usize = 32 << 10;

/// Label values that one entry of the name directory covers.
pub(crate) const VALUES_PER_CHUNK: usize = 512;

/// No decompressed block is larger.
pub(crate) const BLOCK_BYTES_MAX: usize = 256 << 20;

/// A block whose checksum holds but whose content makes no sense.
pub(crate) fn corrupt(key: &str, block: &BlockRef, error: CorruptInput) -> PartError {
    PartError::Corrupt(CorruptPart {
        key: key.to_owned(),
        place: format!("block of kind {}", block.kind),
        offset: block.offset,
        reason: error.to_string(),
    })
}
