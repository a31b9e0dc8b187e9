//! Which objects below `parts/` nobody needs: left by a crash between a put and its commit, or between
//! a commit and its deletions. An object is given up only when its rows are proven to be elsewhere, or
//! to have been removed: a catalog that lost commits must not cost the parts that they named. One whose
//! rows are provably nowhere else is taken back.

use std::collections::BTreeSet;

use crate::catalog::{CatalogSnapshot, JournalBounds};
use crate::journal::Offset;
use crate::part::{OffsetRange, PartId, PartMeta};

/// A part object as the sweep finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    pub key: String,
    /// From the key; `None` when it names none.
    pub id: Option<PartId>,
    pub replaces: Vec<PartId>,
    /// What its footer says of it, and whether it completes what it replaces; `None` when unreadable.
    pub footer: Option<(PartMeta, bool)>,
    /// Why it cannot be read, if so.
    pub unreadable: Option<String>,
}

impl Orphan {
    /// The incarnation and the offsets of a cut; `None` for merged and unreadable parts.
    pub fn cut(&self) -> Option<(u64, OffsetRange)> {
        let (meta, _) = self.footer.as_ref()?;
        (meta.level == 0 && self.replaces.is_empty()).then_some((meta.incarnation, meta.offsets))
    }
}

/// What is known about rows outside of the orphans.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub view: &'a CatalogSnapshot,
    /// Parts that a commit removed, or that a visible part replaces.
    pub removed: &'a BTreeSet<PartId>,
    /// Visible parts whose objects open.
    pub present: &'a BTreeSet<PartId>,
    /// What an undamaged journal holds.
    pub journal: Option<JournalBounds>,
}

/// See [`orphans`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrphanPlan {
    /// In an order of deletion that is safe to interrupt: a part goes only after those that it
    /// replaced, so that a rebuild never takes an ancestor for a part in its own right.
    pub delete: Vec<Orphan>,
    /// Nothing proves that the rows of these are elsewhere, and much that they are nowhere else: the
    /// catalog lost them.
    pub adopt: Adoption,
    /// Nothing proves that the rows of these are elsewhere, nor that they are not.
    pub keep: Vec<Orphan>,
}

/// Orphans to take into the catalog, in one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adoption {
    pub parts: Vec<Orphan>,
    /// Parts that the catalog names and the adopted ones replace.
    pub remove: Vec<PartId>,
    /// Rows below are in parts, adopted ones included.
    pub committed: Offset,
}

/// Decides about the objects among `found` that the catalog does not name. Only for a store that nobody
/// writes to, such as one that is opening.
pub fn orphans(found: Vec<Orphan>, evidence: Evidence<'_>) -> OrphanPlan {
    let named: BTreeSet<String> = evidence.view.parts.iter().map(|p| p.key()).collect();
    let mut left: Vec<Orphan> = found.into_iter().filter(|o| !named.contains(&o.key)).collect();
    left.sort_by(|a, b| a.key.cmp(&b.key));
    let removed = with_ancestors(&left, evidence.removed);
    let is_spare = |o: &Orphan| is_spare(o, &removed, evidence);
    let (delete, unproven): (Vec<_>, Vec<_>) = left.into_iter().partition(is_spare);
    let mut adopt = Adoption { committed: evidence.view.committed, ..Adoption::default() };
    let mut keep = Vec::new();
    for (at, orphan) in unproven.iter().enumerate() {
        let others = unproven.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, o)| o);
        if is_lost(orphan, others, evidence) {
            adopt.take(orphan, evidence.view);
        } else {
            keep.push(orphan.clone());
        }
    }
    OrphanPlan { delete: in_order(delete), adopt, keep }
}

impl Adoption {
    fn take(&mut self, orphan: &Orphan, view: &CatalogSnapshot) {
        let named = view.parts.iter().map(|p| p.id).filter(|id| orphan.replaces.contains(id));
        self.remove.extend(named);
        self.remove.sort_unstable();
        self.remove.dedup();
        if let Some((_, offsets)) = orphan.cut() {
            self.committed = self.committed.max(offsets.end);
        }
        self.parts.push(orphan.clone());
    }
}

/// Whether the catalog lost this part: it reads, its rows are in no other part and will not be replayed,
/// and every deletion that it has not seen can still be carried out on it.
fn is_lost<'a>(
    orphan: &Orphan,
    mut others: impl Iterator<Item = &'a Orphan>,
    evidence: Evidence<'_>,
) -> bool {
    let Some((meta, completes)) = &orphan.footer else { return false };
    let related = |other: &Orphan| {
        orphan.id.is_some_and(|id| other.replaces.contains(&id))
            || other.id.is_some_and(|id| orphan.replaces.contains(&id))
    };
    let mut unseen = meta.tombstones_applied + 1..=evidence.view.tombstone_seq;
    let sees_all = unseen.all(|seq| evidence.view.tombstones.iter().any(|t| t.seq == seq));
    let rows_are_its_own = match orphan.cut() {
        Some((incarnation, offsets)) => evidence.journal.is_some_and(|journal| {
            incarnation != journal.incarnation || offsets.end <= journal.start.max(evidence.view.committed)
        }),
        // A later output would tell how far a split came.
        None => *completes && !orphan.replaces.is_empty(),
    };
    rows_are_its_own && sees_all && !others.any(related)
}

/// What a removed part replaced was removed before it.
fn with_ancestors(orphans: &[Orphan], removed: &BTreeSet<PartId>) -> BTreeSet<PartId> {
    let mut all = removed.clone();
    loop {
        let n_before = all.len();
        for orphan in orphans {
            if orphan.id.is_some_and(|id| all.contains(&id)) {
                all.extend(&orphan.replaces);
            }
        }
        if all.len() == n_before {
            return all;
        }
    }
}

fn is_spare(orphan: &Orphan, removed: &BTreeSet<PartId>, evidence: Evidence<'_>) -> bool {
    if orphan.id.is_some_and(|id| removed.contains(&id)) {
        return true;
    }
    // A merge that was not committed: its inputs have the rows.
    if !orphan.replaces.is_empty() {
        return orphan.replaces.iter().all(|id| evidence.present.contains(id) || removed.contains(id));
    }
    // A cut that was not committed: the journal has the rows, and they will be replayed.
    let (Some((incarnation, offsets)), Some(journal)) = (orphan.cut(), evidence.journal) else {
        return false;
    };
    incarnation == journal.incarnation
        && offsets.start >= journal.start.max(evidence.view.committed)
        && offsets.end <= journal.end
}

fn in_order(mut left: Vec<Orphan>) -> Vec<Orphan> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let ids: BTreeSet<PartId> = left.iter().filter_map(|o| o.id).collect();
        let waits = |o: &Orphan| o.replaces.iter().any(|id| ids.contains(id));
        let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(waits);
        if now.is_empty() {
            // Parts that replace each other do not exist; should they, any order is as good.
            ordered.extend(later);
            break;
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}
