//! The footer: the part's meta, its parents, its statistics and the directory of its blocks.

use super::{BlockRef, PartId, PartMeta};
use crate::encoding::{FieldError, FieldReader, FieldWriter};

/// Everything at the end of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFooter {
    /// [`PartMeta::len_bytes`] is that of the whole object; on disk the field is 0, since the footer
    /// cannot know what follows it.
    pub meta: PartMeta,
    pub replaces: Vec<PartId>,
    /// [`crate::part::PartHeader::completes`]
    pub completes: bool,
    pub extra: Vec<u8>,
    /// Every block, in the order of their offsets.
    pub blocks: Vec<BlockRef>,
}

const BLOCK_REF_BYTES: usize = 18;

impl PartFooter {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = FieldWriter::new();
        self.meta.encode(&mut w);
        w.count(self.replaces.len());
        for id in &self.replaces {
            w.u128(id.0);
        }
        w.u8(u8::from(self.completes));
        w.bytes(&self.extra);
        w.count(self.blocks.len());
        for block in &self.blocks {
            w.u16(block.kind);
            w.u64(block.offset);
            w.u32(block.len_bytes);
            w.u32(block.crc32c);
        }
        w.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FieldError> {
        let mut r = FieldReader::new(bytes);
        let meta = PartMeta::decode(&mut r)?;
        let n_replaces = r.count(16)?;
        let replaces = (0..n_replaces).map(|_| Ok(PartId(r.u128()?))).collect::<Result<_, FieldError>>()?;
        let completes = r.u8()? != 0;
        let extra = r.bytes()?.to_vec();
        let n_blocks = r.count(BLOCK_REF_BYTES)?;
        let mut blocks = Vec::with_capacity(n_blocks);
        for _ in 0..n_blocks {
            blocks.push(BlockRef { kind: r.u16()?, offset: r.u64()?, len_bytes: r.u32()?, crc32c: r.u32()? });
        }
        r.finish()?;
        Ok(Self { meta, replaces, completes, extra, blocks })
    }
}
