//! A family of plain integers, for the tests of everything that must not know what is in a part, and
//! for the simulator. Rows are never deduplicated, so that one that is counted twice shows.

use std::sync::Arc;

use base::{ShardRange, TenantId};

use crate::blob::BlobStore;
use crate::catalog::Tombstone;
use crate::encoding::{FieldError, FieldReader, FieldWriter};
use crate::part::{
    OffsetRange, PartError, PartHeader, PartId, PartMeta, PartReader, PartStats, PartWriter, TimeRange,
};
use crate::part_family::{FamilyError, MergeContext, PartFamily};

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToyRow {
    pub t_ms: i64,
    pub value: u64,
}

/// The family. A selector is one byte `k` and matches values whose last byte is `k`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ToyFamily;

const ROWS: u16 = 1;
const ROWS_PER_BLOCK: usize = 64;
const ROW_BYTES: usize = 16;

/// Whether a tombstone's selector and time match a row.
pub fn toy_matches(tombstone: &Tombstone, row: &ToyRow) -> bool {
    let last_byte = row.value.to_le_bytes()[0];
    tombstone.selector == [last_byte] && tombstone.time.contains(row.t_ms)
}

/// Encodes rows as a block or a journal record.
pub fn encode_rows(rows: &[ToyRow]) -> Vec<u8> {
    let mut w = FieldWriter::new();
    w.count(rows.len());
    for row in rows {
        w.i64(row.t_ms);
        w.u64(row.value);
    }
    w.into_bytes()
}

/// Reads rows back.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<ToyRow>, FieldError> {
    let mut r = FieldReader::new(bytes);
    let n = r.count(ROW_BYTES)?;
    let rows = (0..n).map(|_| Ok(ToyRow { t_ms: r.i64()?, value: r.u64()? })).collect::<Result<_, _>>()?;
    r.finish()?;
    Ok(rows)
}

/// Every row of a part.
pub fn read_rows(part: &PartReader) -> Result<Vec<ToyRow>, PartError> {
    let mut rows = Vec::new();
    for block in part.blocks_of(ROWS) {
        let bytes = part.read_block(block)?;
        rows.extend(decode_rows(&bytes).map_err(|e| PartError::corrupt_block(part.key(), block, &e))?);
    }
    Ok(rows)
}

/// Every row of a part that no tombstone hides.
pub fn visible_rows(part: &PartReader, tombstones: &[Arc<Tombstone>]) -> Result<Vec<ToyRow>, PartError> {
    let meta = part.meta();
    let hides = |row: &ToyRow| tombstones.iter().any(|t| t.applies_to(meta) && toy_matches(t, row));
    Ok(read_rows(part)?.into_iter().filter(|row| !hides(row)).collect())
}

fn write_rows(out: &mut PartWriter, mut rows: Vec<ToyRow>) -> Result<PartStats, PartError> {
    rows.sort_unstable();
    for chunk in rows.chunks(ROWS_PER_BLOCK) {
        out.add_block(ROWS, &encode_rows(chunk))?;
    }
    let time = rows.first().zip(rows.last());
    let time = time.map(|(first, last)| TimeRange { min_ms: first.t_ms, max_ms: last.t_ms });
    let rows = rows.len() as u64;
    Ok(PartStats { rows, series: rows.min(1), time, extra: Vec::new() })
}

/// Cuts journalled rows into a level-0 part; `None` when there are none.
pub fn cut_part(
    blobs: &dyn BlobStore,
    tenant: &TenantId,
    incarnation: u64,
    offsets: OffsetRange,
    tombstones_applied: u64,
    rows: Vec<ToyRow>,
) -> Result<Option<PartMeta>, PartError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let header = PartHeader {
        id: PartId::of_cut(tenant, "toy", incarnation, offsets, 0),
        family: "toy".to_owned(),
        schema_version: 1,
        tenant: tenant.clone(),
        shards: ShardRange::ALL,
        level: 0,
        incarnation,
        offsets,
        tombstones_applied,
        replaces: Vec::new(),
        completes: true,
    };
    let mut out = PartWriter::new(blobs, header)?;
    let stats = write_rows(&mut out, rows)?;
    out.finish(stats).map(Some)
}

impl PartFamily for ToyFamily {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn schema_version(&self) -> u16 {
        1
    }

    fn merge(
        &self,
        inputs: &[PartReader],
        out: &mut PartWriter,
        ctx: &MergeContext,
    ) -> Result<PartStats, FamilyError> {
        let mut rows = Vec::new();
        for input in inputs {
            ctx.cancel.check()?;
            rows.extend(visible_rows(input, &ctx.tombstones)?);
        }
        let kept = |row: &ToyRow| {
            ctx.window.contains(row.t_ms) && ctx.drop_before_ms.is_none_or(|before| row.t_ms >= before)
        };
        rows.retain(kept);
        Ok(write_rows(out, rows)?)
    }

    fn verify(&self, part: &PartReader) -> Result<Vec<String>, PartError> {
        let rows = read_rows(part)?;
        let meta = part.meta();
        let mut defects = Vec::new();
        if rows.len() as u64 != meta.rows {
            defects.push(format!("the footer counts {} rows, the blocks hold {}", meta.rows, rows.len()));
        }
        if rows.iter().any(|row| !meta.time.contains(row.t_ms)) {
            defects.push("a row lies outside the footer's time range".to_owned());
        }
        Ok(defects)
    }
}
