//! Makes a catalog from the parts alone, for the day when the commit log is lost or unreadable.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::local::{load, stored_tombstones};
use super::log::{CHECKPOINT_PREFIX, COMMIT_PREFIX, version_of};
use super::state::sort_parts;
use super::{CatalogError, CatalogSnapshot, LocalCatalog};
use crate::blob::BlobStore;
use crate::journal::Offset;
use crate::part::{PartError, PartFooter, PartId, PartMeta, PartReader};

/// What the journal still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalBounds {
    pub incarnation: u64,
    pub start: Offset,
    pub end: Offset,
}

/// What a rebuild did with each part it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildReport {
    pub n_parts: u64,
    pub n_rows: u64,
    pub committed: Offset,
    /// Parts whose rows are in another part that was made from them.
    pub replaced: Vec<PartId>,
    /// Parts whose rows the journal still holds and that may not have been committed.
    pub in_journal: Vec<PartId>,
    /// Outputs of interrupted merges; their rows are in the inputs.
    pub unfinished: Vec<PartId>,
    /// Deletions that are not carried out yet and stay in force.
    pub n_tombstones: u64,
    /// Whether an older catalog was readable: without one, deletions from before tombstones had objects
    /// of their own may come back.
    pub had_catalog: bool,
    /// Objects that could not be read, with the reason. They stay where they are.
    pub unreadable: Vec<(String, String)>,
}

/// Reads the footer of every part, decides which of them were visible, and replaces the commit log by
/// one checkpoint. Deletions are taken from the old catalog if it is readable, and from the objects that
/// were put beside it. A part whose footer is unreadable stays where it is, and in the catalog if the old
/// one tells what it was.
pub fn rebuild(
    blobs: &Arc<dyn BlobStore>,
    journal: Option<JournalBounds>,
) -> Result<(CatalogSnapshot, RebuildReport), CatalogError> {
    let mut report = RebuildReport::default();
    let mut footers = Vec::new();
    for object in blobs.list("parts/")? {
        match PartReader::open(blobs, &object.key) {
            Ok(part) if part.meta().key() == object.key => footers.push(part.footer().clone()),
            Ok(part) => report.unreadable.push((object.key, format!("it is part {}", part.meta().id))),
            Err(PartError::Blob(e)) => return Err(e.into()),
            Err(e) => report.unreadable.push((object.key, e.to_string())),
        }
    }
    let known = load(&**blobs).map(|(view, _)| view).unwrap_or_else(|_| CatalogSnapshot::empty());
    report.had_catalog = known.version > 0;
    let mut view = decide(footers, journal, &mut report);
    let is_unreadable = |p: &&Arc<PartMeta>| report.unreadable.iter().any(|(key, _)| *key == p.key());
    view.parts.extend(known.parts.iter().filter(is_unreadable).map(Arc::clone));
    sort_parts(&mut view.parts);
    view.tombstones.clone_from(&known.tombstones);
    for stored in stored_tombstones(&**blobs)? {
        if !view.tombstones.iter().any(|t| t.seq == stored.seq) {
            view.tombstones.push(Arc::new(stored));
        }
    }
    view.tombstones.sort_by_key(|t| t.seq);
    report.n_tombstones = view.tombstones.len() as u64;
    let newest = view.tombstones.last().map_or(0, |t| t.seq).max(known.tombstone_seq);
    view.tombstone_seq = view.tombstone_seq.max(newest);
    let old = blobs.list(CHECKPOINT_PREFIX)?;
    let commits = blobs.list(COMMIT_PREFIX)?;
    // Later than anything in the old log, so that nothing of it can be mistaken for a continuation.
    view.version =
        1 + old.iter().chain(&commits).filter_map(|object| version_of(&object.key)).max().unwrap_or(0);
    LocalCatalog::write_checkpoint(&**blobs, "", &view)?;
    // The commits stay for a while: they prove which parts were removed.
    for object in old {
        blobs.delete(&object.key)?;
    }
    Ok((view, report))
}

/// Which parts make up the catalog.
///
/// A part that another one replaces is left out. Which cuts were committed shows in the journal: it is
/// trimmed only after a commit, and commits take whole cuts, so every cut that begins before the
/// journal's start was committed, and the rows of those that begin later are still in it.
fn decide(
    footers: Vec<PartFooter>,
    journal: Option<JournalBounds>,
    report: &mut RebuildReport,
) -> CatalogSnapshot {
    let complete = footers.iter().filter(|f| f.completes);
    let replaced: BTreeSet<PartId> = complete.flat_map(|f| f.replaces.iter().copied()).collect();
    // A merge that splits its inputs was interrupted when an early output and an input are both there.
    let present: BTreeSet<PartId> = footers.iter().map(|f| f.meta.id).collect();
    let unfinished = |f: &PartFooter| {
        !f.completes && f.replaces.iter().any(|id| present.contains(id) && !replaced.contains(id))
    };
    let same_journal = |f: &PartFooter| journal.is_none_or(|j| j.incarnation == f.meta.incarnation);
    let surely_committed = |f: &PartFooter| {
        journal.is_none_or(|j| f.meta.level > 0 || f.meta.offsets.start < j.start || !same_journal(f))
    };
    let ends = footers.iter().filter(|f| surely_committed(f) && same_journal(f)).map(|f| f.meta.offsets.end);
    let committed = ends.chain(journal.map(|j| j.start)).max().unwrap_or(Offset::ZERO);
    let mut parts = Vec::new();
    for footer in footers {
        let is_unfinished = unfinished(&footer);
        let meta = footer.meta;
        if is_unfinished {
            report.unfinished.push(meta.id);
        } else if replaced.contains(&meta.id) {
            report.replaced.push(meta.id);
        } else if journal.is_some_and(|j| j.incarnation == meta.incarnation)
            && meta.level == 0
            && meta.offsets.start >= committed
        {
            report.in_journal.push(meta.id);
        } else {
            report.n_parts += 1;
            report.n_rows += meta.rows;
            parts.push(Arc::new(meta));
        }
    }
    sort_parts(&mut parts);
    let tombstone_seq = parts.iter().map(|p| p.tombstones_applied).max().unwrap_or(0);
    report.committed = committed;
    CatalogSnapshot { version: 0, parts, committed, tombstones: Vec::new(), tombstone_seq }
}
