//! Writes a part from front to back, block by block, holding only the directory in memory.

use super::{
    BLOCK_BYTES_MAX, BlockRef, FOOTER_BYTES_MAX, PART_FORMAT_VERSION, PartError, PartFooter, PartHeader,
    PartMeta, PartStats, TimeRange,
};
use crate::blob::{BlobStore, BlobUpload, PutMode};
use crate::encoding::frame;

pub(super) const HEAD_MAGIC: &[u8; 8] = b"SXTPART\n";
pub(super) const FOOTER_MAGIC: &[u8; 8] = b"SXTPFOOT";
pub(super) const TAIL_MAGIC: &[u8; 8] = b"\nSXTPEND";
/// Footer length (4) and its CRC32C (4), then the magic.
pub(super) const TRAILER_BYTES: usize = 16;

/// A part in the making. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct PartWriter {
    header: PartHeader,
    key: String,
    upload: Box<dyn BlobUpload>,
    offset: u64,
    blocks: Vec<BlockRef>,
}

impl PartWriter {
    /// Begins the part that `header` names.
    pub fn new(blobs: &dyn BlobStore, header: PartHeader) -> Result<Self, PartError> {
        let key = PartMeta::key_of(&header.family, &header.tenant, header.id);
        let mut upload = blobs.upload(&key)?;
        upload.write(HEAD_MAGIC)?;
        Ok(Self { header, key, upload, offset: HEAD_MAGIC.len() as u64, blocks: Vec::new() })
    }

    pub fn header(&self) -> &PartHeader {
        &self.header
    }

    /// Says that another output of the same merge follows; see [`PartHeader::completes`].
    pub(crate) fn expect_sibling(&mut self) {
        self.header.completes = false;
    }

    /// Bytes written so far.
    pub fn len_bytes(&self) -> u64 {
        self.offset
    }

    /// Appends one block. Families number their kinds themselves.
    pub fn add_block(&mut self, kind: u16, bytes: &[u8]) -> Result<BlockRef, PartError> {
        let len_bytes = match u32::try_from(bytes.len()) {
            Ok(len_bytes) if bytes.len() <= BLOCK_BYTES_MAX => len_bytes,
            _ => return Err(PartError::BlockTooLarge { key: self.key.clone(), len_bytes: bytes.len() }),
        };
        self.upload.write(bytes)?;
        let block = BlockRef { kind, offset: self.offset, len_bytes, crc32c: crc32c::crc32c(bytes) };
        self.offset += u64::from(len_bytes);
        self.blocks.push(block);
        Ok(block)
    }

    /// Writes the footer and makes the object durable. The name is deterministic, so an object of the
    /// same name is an earlier attempt at the same part and is replaced. Visible only once committed.
    pub fn finish(self, stats: PartStats) -> Result<PartMeta, PartError> {
        let Self { header, key, mut upload, offset, blocks } = self;
        let PartHeader { id, family, schema_version, tenant, shards, level, .. } = header;
        let meta = PartMeta {
            id,
            family,
            schema_version,
            tenant,
            shards,
            level,
            incarnation: header.incarnation,
            offsets: header.offsets,
            tombstones_applied: header.tombstones_applied,
            time: stats.time.unwrap_or(TimeRange { min_ms: 0, max_ms: 0 }),
            rows: stats.rows,
            series: stats.series,
            len_bytes: 0,
        };
        let mut footer = PartFooter {
            meta,
            replaces: header.replaces,
            completes: header.completes,
            extra: stats.extra,
            blocks,
        };
        let framed = frame(FOOTER_MAGIC, PART_FORMAT_VERSION, &footer.encode());
        let footer_len = match u32::try_from(framed.len()) {
            Ok(footer_len) if framed.len() <= FOOTER_BYTES_MAX => footer_len,
            _ => return Err(PartError::FooterTooLarge { key, len_bytes: framed.len() }),
        };
        upload.write(&framed)?;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&footer_len.to_le_bytes());
        trailer.extend_from_slice(&crc32c::crc32c(&footer_len.to_le_bytes()).to_le_bytes());
        trailer.extend_from_slice(TAIL_MAGIC);
        upload.write(&trailer)?;
        upload.finish(PutMode::Overwrite)?;
        footer.meta.len_bytes = offset + u64::from(footer_len) + TRAILER_BYTES as u64;
        Ok(footer.meta)
    }
}
