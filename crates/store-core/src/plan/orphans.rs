//! Which objects below `parts/` nobody needs: left by a crash between a put and its commit, or between
//! a commit and its deletions.

use std::collections::BTreeSet;

use crate::catalog::CatalogSnapshot;
use crate::part::{PartId, PartMeta};

/// A part object as the sweep finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    pub key: String,
    /// From the footer; `None` when it cannot be read.
    pub id: Option<PartId>,
    pub replaces: Vec<PartId>,
}

/// The objects among `found` that the catalog does not name, in an order of deletion that is safe to
/// interrupt: a part goes only after those that it replaced, so that a rebuild never takes an ancestor
/// for a part in its own right. Only for a store that nobody writes to, such as one that is opening.
pub fn orphans(found: Vec<Orphan>, view: &CatalogSnapshot) -> Vec<Orphan> {
    let named: BTreeSet<String> = view.parts.iter().map(|p: &std::sync::Arc<PartMeta>| p.key()).collect();
    let mut left: Vec<Orphan> = found.into_iter().filter(|o| !named.contains(&o.key)).collect();
    left.sort_by(|a, b| a.key.cmp(&b.key));
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
