//! Finds the objects below `parts/` that no commit names, and deletes those that nobody needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::blob::{BlobError, BlobStore};
use crate::catalog::{CatalogSnapshot, JournalBounds, removed_in_log};
use crate::part::{PartError, PartId, PartReader};
use crate::plan::{self, Evidence, Orphan, OrphanPlan};

/// The objects below `parts/` that `view` does not name.
pub fn find_orphans(blobs: &Arc<dyn BlobStore>, view: &CatalogSnapshot) -> Result<Vec<Orphan>, BlobError> {
    let named: BTreeSet<String> = view.parts.iter().map(|p| p.key()).collect();
    let mut found = Vec::new();
    for object in blobs.list("parts/")? {
        if named.contains(&object.key) {
            continue;
        }
        let stem = object.key.rsplit('/').next().and_then(|name| name.strip_suffix(".part"));
        let id = stem.and_then(PartId::parse);
        let unreadable = match PartReader::open(blobs, &object.key) {
            Ok(part) if part.meta().key() == object.key => {
                let (footer, replaces) = (part.footer(), part.footer().replaces.clone());
                let footer = Some((footer.meta.clone(), footer.completes));
                found.push(Orphan { key: object.key, id, replaces, footer, unreadable: None });
                continue;
            }
            Ok(part) => format!("it is part {}", part.meta().id),
            Err(PartError::Blob(e)) => return Err(e),
            Err(e) => e.to_string(),
        };
        let unreadable = Some(unreadable);
        found.push(Orphan { key: object.key, id, replaces: Vec::new(), footer: None, unreadable });
    }
    Ok(found)
}

/// Decides about orphans, with everything that the log, the visible parts and the journal prove.
pub fn plan_sweep(
    blobs: &Arc<dyn BlobStore>,
    view: &CatalogSnapshot,
    found: Vec<Orphan>,
    journal: Option<JournalBounds>,
) -> Result<OrphanPlan, BlobError> {
    if found.is_empty() {
        return Ok(OrphanPlan::default());
    }
    let mut removed = removed_in_log(&**blobs)?;
    let mut present = BTreeSet::new();
    for part in &view.parts {
        match PartReader::open(blobs, &part.key()) {
            Ok(reader) => {
                present.insert(part.id);
                removed.extend(&reader.footer().replaces);
            }
            Err(PartError::Blob(e)) if !e.is_not_found() => return Err(e),
            Err(_) => {}
        }
    }
    Ok(plan::orphans(found, Evidence { view, removed: &removed, present: &present, journal }))
}

/// One sentence about an orphan that the catalog lost.
pub fn lost_reason(orphan: &Orphan) -> String {
    format!("{} is not in the catalog, and its rows are nowhere else: the catalog lost it", orphan.key)
}

/// One sentence about an orphan that is kept.
pub fn kept_reason(orphan: &Orphan) -> String {
    match &orphan.unreadable {
        Some(reason) => format!("not in the catalog, and unreadable: {reason}"),
        None => "not in the catalog, and nothing proves that its rows are elsewhere; \
                 `sextant doctor --rebuild-catalog` takes it in"
            .to_owned(),
    }
}
