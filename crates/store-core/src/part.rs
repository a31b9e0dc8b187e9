//! Immutable, self-describing parts: blocks with checksums, then a footer from which the catalog can be
//! rebuilt. docs/formats/part.md has the bytes.

use base::{BudgetExceeded, ShardRange, TenantId};

use crate::blob::BlobError;
use crate::encoding::{FieldError, FrameError};

mod footer;
mod id;
mod meta;
mod reader;
mod writer;

pub use footer::PartFooter;
pub use id::PartId;
pub use meta::{OffsetRange, PartMeta, TimeRange};
pub use reader::PartReader;
pub use writer::PartWriter;

/// The version of the container: header, footer, trailer. What is inside the blocks has its own
/// [`PartHeader::schema_version`].
pub const PART_FORMAT_VERSION: u8 = 1;

/// The largest block. Families aim at 64 KiB to 1 MiB, so that a read is worth its request and a
/// flipped bit costs little.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;

/// The largest footer, and with it the number of blocks, that a reader accepts.
pub const FOOTER_BYTES_MAX: usize = 64 << 20;

/// Where one block is and what it must hash to. Families may keep these in their own index blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// The family's name for the block's content.
    pub kind: u16,
    pub offset: u64,
    pub len_bytes: u32,
    pub crc32c: u32,
}

/// What is known about a part before its rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHeader {
    pub id: PartId,
    /// [`crate::part_family::PartFamily::name`]
    pub family: String,
    pub schema_version: u16,
    pub tenant: TenantId,
    /// What the part may hold: no row is of a shard outside. Parts of different ranges are not merged.
    pub shards: ShardRange,
    /// 0: cut from the live store.
    pub level: u8,
    /// The journal that the offsets count in.
    pub incarnation: u64,
    pub offsets: OffsetRange,
    /// The newest tombstone that the rows already obey; 0 for none.
    pub tombstones_applied: u64,
    /// The parts whose rows this one holds instead.
    pub replaces: Vec<PartId>,
    /// Whether all rows of those parts are durable once this part is: true for the only or the last
    /// output of a merge, false for the earlier outputs of one that splits its inputs.
    pub completes: bool,
}

/// What is known about a part when its rows are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartStats {
    pub rows: u64,
    pub series: u64,
    /// The times of the first and the last row; `None` only when there are no rows.
    pub time: Option<TimeRange>,
    /// Statistics of the family's own, kept in the footer and not in the catalog.
    pub extra: Vec<u8>,
}

/// A part whose bytes are not what was written: which part, which block, where, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("part {key} is corrupt at byte {offset} ({place}): {reason}")]
pub struct CorruptPart {
    pub key: String,
    /// `trailer`, `footer`, or `block <n> of kind <k>`.
    pub place: String,
    pub offset: u64,
    pub reason: String,
}

/// Why a part could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Corrupt(#[from] CorruptPart),
    #[error(
        "part {key} was written by a newer release: {what} version {found}, this one reads up to {newest}"
    )]
    NewerVersion { key: String, what: &'static str, found: u16, newest: u16 },
    #[error("part {key}: a block of {len_bytes} bytes is larger than {BLOCK_BYTES_MAX}")]
    BlockTooLarge { key: String, len_bytes: usize },
    #[error("part {key}: a footer of {len_bytes} bytes is larger than {FOOTER_BYTES_MAX}")]
    FooterTooLarge { key: String, len_bytes: usize },
    /// What a family decodes was refused by its budget.
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
}

impl PartError {
    /// The key of the part, when it is damaged, cut short or gone rather than unreachable for now.
    pub fn damaged_key(&self) -> Option<&str> {
        match self {
            Self::Corrupt(corrupt) => Some(&corrupt.key),
            Self::Blob(BlobError::NotFound { key } | BlobError::OutOfRange { key, .. }) => Some(key),
            _ => None,
        }
    }

    /// For families: a block whose checksum holds but whose content makes no sense.
    pub fn corrupt_block(key: &str, block: &BlockRef, error: &FieldError) -> Self {
        let place = format!("block of kind {}", block.kind);
        let offset = block.offset + error.at as u64;
        Self::Corrupt(CorruptPart { key: key.to_owned(), place, offset, reason: error.to_string() })
    }

    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Blob(e) if e.is_no_space())
    }

    pub(crate) fn from_frame(key: &str, place: &str, offset: u64, error: &FrameError) -> Self {
        match *error {
            FrameError::NewerVersion { found, newest } => Self::NewerVersion {
                key: key.to_owned(),
                what: "format",
                found: u16::from(found),
                newest: u16::from(newest),
            },
            _ => Self::Corrupt(CorruptPart {
                key: key.to_owned(),
                place: place.to_owned(),
                offset,
                reason: error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
