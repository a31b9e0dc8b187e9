//! Applies changes to a view, checking everything before anything is written.

use std::sync::Arc;

use super::{CatalogError, CatalogSnapshot, Tombstone, Txn};
use crate::part::PartMeta;

/// The order of [`CatalogSnapshot::parts`].
pub(super) fn sort_parts(parts: &mut [Arc<PartMeta>]) {
    parts.sort_by(|a, b| {
        let key = |p: &PartMeta| (p.time.min_ms, p.id);
        (&a.family, &a.tenant).cmp(&(&b.family, &b.tenant)).then_with(|| key(a).cmp(&key(b)))
    });
}

/// The view after `txn`, and the parts that it removed.
pub(super) fn apply(
    before: &CatalogSnapshot,
    txn: &Txn,
) -> Result<(CatalogSnapshot, Vec<Arc<PartMeta>>), CatalogError> {
    if let Some(expected) = txn.expected_version.filter(|v| *v != before.version) {
        return Err(CatalogError::Conflict { expected, actual: before.version });
    }
    let mut removed_ids = txn.remove.clone();
    removed_ids.sort_unstable();
    let is_removed = |p: &Arc<PartMeta>| removed_ids.binary_search(&p.id).is_ok();
    let (removed, mut parts): (Vec<_>, Vec<_>) =
        before.parts.iter().map(Arc::clone).partition(|p| is_removed(p));
    if let Some(unknown) = removed_ids.iter().find(|id| !removed.iter().any(|p| p.id == **id)) {
        return Err(CatalogError::UnknownPart(*unknown));
    }
    for (added_idx, added) in txn.add.iter().enumerate() {
        let twice = txn.add[..added_idx].iter().any(|p| p.id == added.id);
        if twice || before.parts.iter().any(|p| p.id == added.id) {
            return Err(CatalogError::DuplicatePart(added.id));
        }
    }
    parts.extend(txn.add.iter().cloned().map(Arc::new));
    sort_parts(&mut parts);
    let committed = txn.committed.unwrap_or(before.committed);
    if committed < before.committed {
        return Err(CatalogError::OffsetGoesBack { from: before.committed, to: committed });
    }
    let kept = |t: &&Arc<Tombstone>| !txn.drop_tombstones.contains(&t.seq);
    let mut tombstones: Vec<_> = before.tombstones.iter().filter(kept).map(Arc::clone).collect();
    let mut tombstone_seq = before.tombstone_seq;
    for new in &txn.add_tombstones {
        tombstone_seq += 1;
        tombstones.push(Arc::new(Tombstone {
            seq: tombstone_seq,
            tenant: new.tenant.clone(),
            family: new.family.clone(),
            time: new.time,
            before: new.before,
            selector: new.selector.clone(),
        }));
    }
    let version = before.version + 1;
    Ok((CatalogSnapshot { version, parts, committed, tombstones, tombstone_seq }, removed))
}
