//! Opens a part by its tail and reads blocks by range, believing nothing without its checksum.

use std::sync::Arc;

use super::writer::{FOOTER_MAGIC, TAIL_MAGIC, TRAILER_BYTES};
use super::{BlockRef, CorruptPart, FOOTER_BYTES_MAX, PART_FORMAT_VERSION, PartError, PartFooter, PartMeta};
use crate::blob::BlobStore;
use crate::encoding::unframe;

/// The first read of an open part: most footers fit, so that opening takes one request.
const TAIL_READ_BYTES: u64 = 16 << 10;

/// An open part. Cheap to clone; blocks are read when asked for and not kept.
#[derive(Debug, Clone)]
pub struct PartReader {
    blobs: Arc<dyn BlobStore>,
    key: Arc<str>,
    footer: Arc<PartFooter>,
}

impl PartReader {
    /// Reads the trailer and the footer.
    pub fn open(blobs: &Arc<dyn BlobStore>, key: &str) -> Result<Self, PartError> {
        let len_bytes = blobs.head(key)?.len_bytes;
        let corrupt = |place: &str, offset: u64, reason: String| CorruptPart {
            key: key.to_owned(),
            place: place.to_owned(),
            offset,
            reason,
        };
        let tail_start = len_bytes.saturating_sub(TAIL_READ_BYTES);
        let tail = blobs.get_range(key, tail_start..len_bytes)?;
        let Some((_, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
            return Err(corrupt("trailer", 0, format!("only {len_bytes} bytes long")).into());
        };
        let trailer_at = len_bytes - TRAILER_BYTES as u64;
        if trailer[8..] != TAIL_MAGIC[..] {
            return Err(corrupt("trailer", trailer_at, "the end mark is missing".to_owned()).into());
        }
        let word = |at: usize| [trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]];
        if crc32c::crc32c(&word(0)) != u32::from_le_bytes(word(4)) {
            return Err(corrupt("trailer", trailer_at, "its checksum does not match".to_owned()).into());
        }
        let footer_len = u64::from(u32::from_le_bytes(word(0)));
        if footer_len > trailer_at || footer_len > FOOTER_BYTES_MAX as u64 {
            return Err(corrupt("trailer", trailer_at, format!("a footer of {footer_len} bytes")).into());
        }
        let footer_at = trailer_at - footer_len;
        let fetched;
        let framed = if footer_at >= tail_start {
            let within = |at: u64| usize::try_from(at - tail_start).expect("within the tail that was read");
            &tail[within(footer_at)..within(trailer_at)]
        } else {
            fetched = blobs.get_range(key, footer_at..trailer_at)?;
            &fetched[..]
        };
        let (_, body) = unframe(FOOTER_MAGIC, PART_FORMAT_VERSION, framed)
            .map_err(|e| PartError::from_frame(key, "footer", footer_at, &e))?;
        let mut footer = PartFooter::decode(body)
            .map_err(|e| corrupt("footer", footer_at + e.at as u64, e.to_string()))?;
        if footer.blocks.iter().any(|b| b.offset.saturating_add(u64::from(b.len_bytes)) > footer_at) {
            return Err(corrupt("footer", footer_at, "a block lies beyond the blocks".to_owned()).into());
        }
        footer.meta.len_bytes = len_bytes;
        Ok(Self { blobs: Arc::clone(blobs), key: Arc::from(key), footer: Arc::new(footer) })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn meta(&self) -> &PartMeta {
        &self.footer.meta
    }

    pub fn footer(&self) -> &PartFooter {
        &self.footer
    }

    /// Every block, in the order they were written.
    pub fn blocks(&self) -> &[BlockRef] {
        &self.footer.blocks
    }

    /// The blocks of one kind, in the order they were written.
    pub fn blocks_of(&self, kind: u16) -> impl Iterator<Item = &BlockRef> {
        self.footer.blocks.iter().filter(move |block| block.kind == kind)
    }

    /// Reads one block and checks it.
    pub fn read_block(&self, block: &BlockRef) -> Result<Vec<u8>, PartError> {
        let end = block.offset.saturating_add(u64::from(block.len_bytes));
        let bytes = self.blobs.get_range(&self.key, block.offset..end)?;
        let found = crc32c::crc32c(&bytes);
        if found == block.crc32c {
            return Ok(bytes);
        }
        let place = match self.footer.blocks.iter().position(|b| b.offset == block.offset) {
            Some(n) => format!("block {n} of kind {}", block.kind),
            None => format!("unlisted block of kind {}", block.kind),
        };
        let reason = format!("CRC32C is {found:08x}, {:08x} was written", block.crc32c);
        Err(CorruptPart { key: self.key.to_string(), place, offset: block.offset, reason }.into())
    }
}
