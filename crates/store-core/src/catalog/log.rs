//! The bytes of commits and checkpoints.

use std::sync::Arc;

use base::TenantId;

use super::state::sort_parts;
use super::{CatalogError, CatalogSnapshot, NewTombstone, Tombstone, Txn};
use crate::encoding::{FieldError, FieldReader, FieldWriter, FrameError, frame, unframe};
use crate::journal::Offset;
use crate::part::{PartId, PartMeta, TimeRange};

/// The version of commit and checkpoint objects.
pub const CATALOG_FORMAT_VERSION: u8 = 1;

const COMMIT_MAGIC: &[u8; 8] = b"SXTCOMIT";
const CHECKPOINT_MAGIC: &[u8; 8] = b"SXTCHKPT";

pub(super) const COMMIT_PREFIX: &str = "catalog/commit/";
pub(super) const CHECKPOINT_PREFIX: &str = "catalog/checkpoint/";

pub(super) const TOMBSTONE_PREFIX: &str = "tombstones/";

const TOMBSTONE_MAGIC: &[u8; 8] = b"SXTTOMBS";

pub(super) fn tombstone_key(seq: u64) -> String {
    format!("{TOMBSTONE_PREFIX}{seq:020}")
}

pub(super) fn commit_key(version: u64) -> String {
    format!("{COMMIT_PREFIX}{version:020}")
}

pub(super) fn checkpoint_key(version: u64) -> String {
    format!("{CHECKPOINT_PREFIX}{version:020}")
}

/// The version at the end of a key of either kind.
pub(super) fn version_of(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.parse().ok()
}

fn opened<'a>(magic: &[u8; 8], key: &str, bytes: &'a [u8]) -> Result<&'a [u8], CatalogError> {
    let opened = unframe(magic, CATALOG_FORMAT_VERSION, bytes);
    opened.map(|(_, body)| body).map_err(|error| match error {
        FrameError::NewerVersion { found, newest } => {
            CatalogError::NewerVersion { key: key.to_owned(), found, newest }
        }
        _ => CatalogError::Corrupt { key: key.to_owned(), reason: error.to_string() },
    })
}

fn corrupt(key: &str) -> impl Fn(FieldError) -> CatalogError + '_ {
    |error| CatalogError::Corrupt { key: key.to_owned(), reason: error.to_string() }
}

fn write_tombstone(w: &mut FieldWriter, t: &NewTombstone) {
    w.text(t.tenant.as_str());
    w.text(&t.family);
    w.i64(t.time.min_ms);
    w.i64(t.time.max_ms);
    w.u64(t.before.0);
    w.bytes(&t.selector);
}

fn read_tombstone(r: &mut FieldReader<'_>) -> Result<NewTombstone, FieldError> {
    let tenant = r.text()?;
    Ok(NewTombstone {
        tenant: TenantId::new(tenant).map_err(|_| r.error("a tenant id before this"))?,
        family: r.text()?.to_owned(),
        time: TimeRange { min_ms: r.i64()?, max_ms: r.i64()? },
        before: Offset(r.u64()?),
        selector: r.bytes()?.to_vec(),
    })
}

const PART_BYTES_MIN: usize = 100;
const TOMBSTONE_BYTES_MIN: usize = 36;

/// No store gets near it by counting, so whatever is above was not counted; and one more still fits.
const COUNTER_MAX: u64 = u64::MAX / 2;

fn read_counter(r: &mut FieldReader<'_>) -> Result<u64, FieldError> {
    let counter = r.u64()?;
    if counter > COUNTER_MAX { Err(r.error("a plausible number before this")) } else { Ok(counter) }
}

fn read_parts(r: &mut FieldReader<'_>) -> Result<Vec<PartMeta>, FieldError> {
    let n = r.count(PART_BYTES_MIN)?;
    (0..n).map(|_| PartMeta::decode(r)).collect()
}

pub(super) fn encode_commit(version: u64, txn: &Txn) -> Vec<u8> {
    let mut w = FieldWriter::new();
    w.u64(version);
    w.u8(u8::from(txn.committed.is_some()));
    w.u64(txn.committed.unwrap_or_default().0);
    w.count(txn.add.len());
    for part in &txn.add {
        part.encode(&mut w);
    }
    w.count(txn.remove.len());
    for id in &txn.remove {
        w.u128(id.0);
    }
    w.count(txn.add_tombstones.len());
    for tombstone in &txn.add_tombstones {
        write_tombstone(&mut w, tombstone);
    }
    w.count(txn.drop_tombstones.len());
    for seq in &txn.drop_tombstones {
        w.u64(*seq);
    }
    frame(COMMIT_MAGIC, CATALOG_FORMAT_VERSION, w.as_slice())
}

pub(super) fn decode_commit(key: &str, bytes: &[u8]) -> Result<(u64, Txn), CatalogError> {
    let mut r = FieldReader::new(opened(COMMIT_MAGIC, key, bytes)?);
    let read = |r: &mut FieldReader<'_>| {
        let version = r.u64()?;
        let has_committed = r.u8()? != 0;
        let committed = Offset(r.u64()?);
        let add = read_parts(r)?;
        let n_removed = r.count(16)?;
        let remove = (0..n_removed).map(|_| Ok(PartId(r.u128()?))).collect::<Result<_, _>>()?;
        let n_added = r.count(TOMBSTONE_BYTES_MIN)?;
        let add_tombstones = (0..n_added).map(|_| read_tombstone(r)).collect::<Result<_, _>>()?;
        let n_dropped = r.count(8)?;
        let drop_tombstones = (0..n_dropped).map(|_| r.u64()).collect::<Result<_, _>>()?;
        let committed = has_committed.then_some(committed);
        Ok((version, Txn { expected_version: None, add, remove, committed, add_tombstones, drop_tombstones }))
    };
    let commit = read(&mut r).map_err(corrupt(key))?;
    r.finish().map_err(corrupt(key))?;
    Ok(commit)
}

fn write_numbered(w: &mut FieldWriter, t: &Tombstone) {
    w.u64(t.seq);
    let (tenant, family) = (t.tenant.clone(), t.family.clone());
    let selector = t.selector.clone();
    write_tombstone(w, &NewTombstone { tenant, family, time: t.time, before: t.before, selector });
}

fn numbered(seq: u64, t: NewTombstone) -> Tombstone {
    let NewTombstone { tenant, family, time, before, selector } = t;
    Tombstone { seq, tenant, family, time, before, selector }
}

/// A tombstone as an object of its own: what a rebuild reads when the log is lost.
pub(super) fn encode_stored_tombstone(t: &Tombstone) -> Vec<u8> {
    let mut w = FieldWriter::new();
    write_numbered(&mut w, t);
    frame(TOMBSTONE_MAGIC, CATALOG_FORMAT_VERSION, w.as_slice())
}

pub(super) fn decode_stored_tombstone(key: &str, bytes: &[u8]) -> Option<Tombstone> {
    let mut r = FieldReader::new(opened(TOMBSTONE_MAGIC, key, bytes).ok()?);
    let seq = r.u64().ok()?;
    let tombstone = read_tombstone(&mut r).ok()?;
    r.finish().ok()?;
    Some(numbered(seq, tombstone))
}

pub(super) fn encode_checkpoint(view: &CatalogSnapshot) -> Vec<u8> {
    let mut w = FieldWriter::new();
    w.u64(view.version);
    w.u64(view.committed.0);
    w.u64(view.tombstone_seq);
    w.count(view.parts.len());
    for part in &view.parts {
        part.encode(&mut w);
    }
    w.count(view.tombstones.len());
    for t in &view.tombstones {
        write_numbered(&mut w, t);
    }
    frame(CHECKPOINT_MAGIC, CATALOG_FORMAT_VERSION, w.as_slice())
}

pub(super) fn decode_checkpoint(key: &str, bytes: &[u8]) -> Result<CatalogSnapshot, CatalogError> {
    let mut r = FieldReader::new(opened(CHECKPOINT_MAGIC, key, bytes)?);
    let read = |r: &mut FieldReader<'_>| {
        let version = read_counter(r)?;
        let committed = Offset(r.u64()?);
        let tombstone_seq = read_counter(r)?;
        let mut parts: Vec<_> = read_parts(r)?.into_iter().map(Arc::new).collect();
        sort_parts(&mut parts);
        let n = r.count(8 + TOMBSTONE_BYTES_MIN)?;
        let mut tombstones = Vec::with_capacity(n);
        for _ in 0..n {
            let seq = r.u64()?;
            let NewTombstone { tenant, family, time, before, selector } = read_tombstone(r)?;
            tombstones.push(Arc::new(Tombstone { seq, tenant, family, time, before, selector }));
        }
        Ok(CatalogSnapshot { version, parts, committed, tombstones, tombstone_seq })
    };
    let view = read(&mut r).map_err(corrupt(key))?;
    r.finish().map_err(corrupt(key))?;
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_from_the_end_of_counting_is_refused() {
        let check = |version: u64, tombstone_seq: u64, is_read: bool| {
            let view = CatalogSnapshot { version, tombstone_seq, ..CatalogSnapshot::empty() };
            let read = decode_checkpoint("key", &encode_checkpoint(&view));
            assert_eq!(read.is_ok(), is_read, "{version} {tombstone_seq}");
        };
        check(7, 9, true);
        check(u64::MAX, 9, false);
        check(7, u64::MAX, false);
    }
}
