//! Verifies everything in a store's directory, and rebuilds its catalog from its parts. Reads and
//! reports; changes something only when told to rebuild.

use std::path::Path;
use std::sync::Arc;

use vfs::Vfs;

use crate::blob::{BlobStore, LocalBlobStore};
use crate::catalog::{
    Catalog, CatalogSnapshot, JournalBounds, LocalCatalog, RebuildReport, rebuild, unreadable_tombstones,
};
use crate::journal::{Journal, JournalOptions, LocalJournal, RecoveryReport, inspect};
use crate::part::{PartError, PartReader};
use crate::part_family::PartFamily;
use crate::store_dir::{LockedDir, StoreDirError};
use crate::sweep::{find_orphans, kept_reason, lost_reason, plan_sweep};

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// A key or a segment.
    pub object: String,
    pub reason: String,
}

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoctorReport {
    pub journal: RecoveryReport,
    pub n_parts: u64,
    pub n_blocks: u64,
    pub part_bytes: u64,
    pub n_rows: u64,
    /// Objects that no commit names and whose rows are elsewhere: harmless, deleted at the next start.
    pub orphans: Vec<String>,
    /// Everything that means lost or doubtful rows.
    pub defects: Vec<Defect>,
}

impl DoctorReport {
    pub fn is_healthy(&self) -> bool {
        self.defects.is_empty() && self.journal.is_clean()
    }
}

/// Checks every journal record, every block of every part, and the catalog against both. Families check
/// what their blocks mean; a part of an unknown family gets its checksums checked only.
pub fn verify(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    families: &[Arc<dyn PartFamily>],
) -> Result<DoctorReport, StoreDirError> {
    let locked = LockedDir::open_existing(Arc::clone(vfs), dir)?;
    let blobs: Arc<dyn BlobStore> = Arc::new(LocalBlobStore::open(Arc::clone(vfs), dir)?);
    let mut report = DoctorReport::default();
    if vfs.exists(&locked.journal_path())? {
        let record_bytes_max = JournalOptions::default().record_bytes_max;
        report.journal = inspect(&**vfs, &locked.journal_path(), record_bytes_max)?;
    }
    let view = match LocalCatalog::open(Arc::clone(&blobs)) {
        Ok(catalog) => catalog.snapshot(),
        Err(e) => {
            report.defects.push(Defect { object: "catalog".to_owned(), reason: e.to_string() });
            Arc::new(CatalogSnapshot::empty())
        }
    };
    for part in &view.parts {
        let key = part.key();
        let mut defect = |reason: String| report.defects.push(Defect { object: key.clone(), reason });
        match PartReader::open(&blobs, &key) {
            Ok(reader) if reader.meta() != &**part => {
                defect("its footer differs from what the catalog says".to_owned());
            }
            Ok(reader) => verify_part(&reader, families, &mut report),
            Err(e) => defect(e.to_string()),
        }
    }
    let record_bytes_max = JournalOptions::default().record_bytes_max;
    let bounds = crate::journal::bounds(&**vfs, &locked.journal_path(), record_bytes_max)?;
    let plan = plan_sweep(&blobs, &view, find_orphans(&blobs, &view)?, bounds)?;
    report.orphans = plan.delete.into_iter().map(|orphan| orphan.key).collect();
    for orphan in plan.adopt.parts {
        let reason = format!("{}; the next start takes it in", lost_reason(&orphan));
        report.defects.push(Defect { reason, object: orphan.key });
    }
    for orphan in plan.keep {
        report.defects.push(Defect { reason: kept_reason(&orphan), object: orphan.key });
    }
    for object in unreadable_tombstones(&*blobs)? {
        let reason = "unreadable: should the commit log be lost too, this deletion would be forgotten";
        report.defects.push(Defect { object, reason: reason.to_owned() });
    }
    if let Some(segment) = &report.journal.emptied {
        let reason = "it holds nothing: it was being created when the power failed, or its records are gone";
        report.defects.push(Defect { object: format!("journal/{segment}"), reason: reason.to_owned() });
    }
    Ok(report)
}

fn verify_part(part: &PartReader, families: &[Arc<dyn PartFamily>], report: &mut DoctorReport) {
    let meta = part.meta();
    report.n_parts += 1;
    report.part_bytes += meta.len_bytes;
    report.n_rows += meta.rows;
    let mut is_intact = true;
    let mut defect = |reason: String| {
        report.defects.push(Defect { object: part.key().to_owned(), reason });
    };
    for block in part.blocks() {
        report.n_blocks += 1;
        if let Err(e) = part.read_block(block) {
            is_intact = false;
            defect(e.to_string());
        }
    }
    let family = families.iter().find(|f| f.name() == meta.family);
    if let Some(family) = family.filter(|_| is_intact) {
        match family.verify(part) {
            Ok(defects) => defects.into_iter().for_each(defect),
            Err(PartError::Corrupt(e)) => defect(e.to_string()),
            Err(e) => defect(e.to_string()),
        }
    }
}

/// Rebuilds the catalog from the parts and the journal, replacing the commit log.
pub fn rebuild_catalog(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<RebuildReport, StoreDirError> {
    let locked = LockedDir::open_existing(Arc::clone(vfs), dir)?;
    let blobs: Arc<dyn BlobStore> = Arc::new(LocalBlobStore::open(Arc::clone(vfs), dir)?);
    let journal = LocalJournal::open(Arc::clone(vfs), &locked.journal_path(), JournalOptions::default())?;
    let bounds = JournalBounds {
        incarnation: journal.incarnation(),
        start: journal.start_offset(),
        end: journal.end_offset(),
    };
    // An empty journal says nothing about what was committed.
    let (_, report) = rebuild(&blobs, (journal.len_bytes() > 0).then_some(bounds))?;
    Ok(report)
}

#[cfg(test)]
mod tests;
