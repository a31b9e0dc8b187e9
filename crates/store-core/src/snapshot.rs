//! Instant snapshots: the parts of one catalog view below `snapshots/<name>/`, linked rather than copied
//! where the place can, with a catalog of their own. The directory opens as a store by itself.
//!
//! The file `meta.json` says first that the snapshot is unfinished, and last that it is not: until then
//! nothing opens it, and the next start of the store deletes it.

use crate::blob::{BlobError, BlobStore, PutMode, check_key};
use crate::catalog::{Catalog, LocalCatalog};
use crate::store_dir::{META_FILE, is_unfinished, meta_text, unfinished_meta_text};

/// Keys of snapshots begin with it.
pub const SNAPSHOTS_PREFIX: &str = "snapshots/";

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotReport {
    /// The key prefix, `snapshots/<name>/<folder>`.
    pub prefix: String,
    pub n_parts: u64,
    pub len_bytes: u64,
}

/// Takes a snapshot. Rows that are not in parts yet are not in it: cut first to have them. A name that
/// exists is refused. `folder` is empty, or the folder of this store within a snapshot that may hold
/// several, with a slash at its end.
pub fn take(
    blobs: &dyn BlobStore,
    catalog: &dyn Catalog,
    name: &str,
    folder: &str,
) -> Result<SnapshotReport, BlobError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(valid) {
        let reason = "snapshot names are letters, digits, - _ and .";
        return Err(BlobError::InvalidKey { key: name.to_owned(), reason });
    }
    let prefix = format!("{SNAPSHOTS_PREFIX}{name}/{folder}");
    if !blobs.list(&prefix)?.is_empty() {
        return Err(BlobError::AlreadyExists { key: prefix });
    }
    let view = catalog.snapshot();
    let mut report = SnapshotReport { prefix, n_parts: 0, len_bytes: 0 };
    let meta_key = format!("{}{META_FILE}", report.prefix);
    blobs.put(&meta_key, unfinished_meta_text().as_bytes(), PutMode::Create)?;
    for part in &view.parts {
        let key = part.key();
        blobs.copy(&key, &format!("{}{key}", report.prefix))?;
        report.n_parts += 1;
        report.len_bytes += part.len_bytes;
    }
    LocalCatalog::write_checkpoint(blobs, &report.prefix, &view)?;
    blobs.put(&meta_key, meta_text().as_bytes(), PutMode::Overwrite)?;
    Ok(report)
}

/// Deletes a snapshot; while it goes, nothing opens what is left of it.
pub fn remove(blobs: &dyn BlobStore, name: &str, folder: &str) -> Result<(), BlobError> {
    let prefix = format!("{SNAPSHOTS_PREFIX}{name}/{folder}");
    let meta_key = format!("{prefix}{META_FILE}");
    blobs.put(&meta_key, unfinished_meta_text().as_bytes(), PutMode::Overwrite)?;
    remove_marked(blobs, &meta_key)
}

/// Deletes the snapshots that a crash has interrupted; returns how many.
pub(crate) fn remove_unfinished(blobs: &dyn BlobStore) -> Result<u64, BlobError> {
    let mut n_removed = 0;
    for object in blobs.list(SNAPSHOTS_PREFIX)? {
        let is_meta = object.key.ends_with(&format!("/{META_FILE}")) && check_key(&object.key).is_ok();
        // What somebody else has put there is none of ours, readable or not.
        if is_meta && blobs.get(&object.key).is_ok_and(|bytes| is_unfinished(&bytes)) {
            remove_marked(blobs, &object.key)?;
            n_removed += 1;
        }
    }
    Ok(n_removed)
}

/// Deletes what lies beside a meta file, and that file last.
fn remove_marked(blobs: &dyn BlobStore, meta_key: &str) -> Result<(), BlobError> {
    let prefix = meta_key.strip_suffix(META_FILE).expect("the key of a meta file");
    for object in blobs.list(prefix)? {
        if object.key != meta_key {
            blobs.delete(&object.key)?;
        }
    }
    blobs.delete(meta_key)
}
