//! Instant snapshots: the parts of one catalog view under `snapshots/<name>/`, linked rather than copied
//! where the place can, with a catalog of their own. The directory opens as a store by itself.

use crate::blob::{BlobError, BlobStore};
use crate::catalog::{Catalog, LocalCatalog};

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotReport {
    /// The key prefix, `snapshots/<name>/`.
    pub prefix: String,
    pub n_parts: u64,
    pub len_bytes: u64,
}

/// Takes a snapshot. Rows that are not in parts yet are not in it: cut first to have them. The catalog
/// comes last, so that an unfinished snapshot does not open; a name that exists is refused.
pub fn take(blobs: &dyn BlobStore, catalog: &dyn Catalog, name: &str) -> Result<SnapshotReport, BlobError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(valid) {
        let reason = "snapshot names are letters, digits, - _ and .";
        return Err(BlobError::InvalidKey { key: name.to_owned(), reason });
    }
    let prefix = format!("snapshots/{name}/");
    if !blobs.list(&prefix)?.is_empty() {
        return Err(BlobError::AlreadyExists { key: prefix });
    }
    let view = catalog.snapshot();
    let mut report = SnapshotReport { prefix, n_parts: 0, len_bytes: 0 };
    for part in &view.parts {
        let key = part.key();
        blobs.copy(&key, &format!("{}{key}", report.prefix))?;
        report.n_parts += 1;
        report.len_bytes += part.len_bytes;
    }
    let meta = crate::store_dir::meta_text();
    blobs.put(&format!("{}meta.json", report.prefix), meta.as_bytes(), crate::blob::PutMode::Overwrite)?;
    LocalCatalog::write_checkpoint(blobs, &report.prefix, &view)?;
    Ok(report)
}

/// Deletes a snapshot; its catalog first, so that half of one does not open.
pub fn remove(blobs: &dyn BlobStore, name: &str) -> Result<(), BlobError> {
    let mut objects = blobs.list(&format!("snapshots/{name}/"))?;
    objects.sort_by_key(|object| !object.key.contains("/catalog/"));
    for object in objects {
        blobs.delete(&object.key)?;
    }
    Ok(())
}
