//! What tombstones still have to do: parts to rewrite without the rows they hide, and tombstones that
//! have nothing left to hide.

use std::collections::BTreeSet;

use super::MergeTask;
use crate::catalog::CatalogSnapshot;
use crate::part::{PartId, TimeRange};

/// See [`deletion`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletionPlan {
    pub rewrites: Vec<MergeTask>,
    /// [`crate::catalog::Tombstone::seq`] of those that are done.
    pub done: Vec<u64>,
}

/// A tombstone is done when every row journalled before it is in a part and no such part needs it.
pub fn deletion(view: &CatalogSnapshot, skip: &BTreeSet<PartId>) -> DeletionPlan {
    let mut plan = DeletionPlan::default();
    for part in &view.parts {
        if !skip.contains(&part.id) && view.tombstones.iter().any(|t| t.applies_to(part)) {
            plan.rewrites.push(MergeTask {
                inputs: vec![part.id],
                level: part.level,
                outputs: vec![TimeRange::ALL],
                input_bytes: part.len_bytes,
            });
        }
    }
    for tombstone in &view.tombstones {
        let is_needed = view.parts.iter().any(|p| tombstone.applies_to(p));
        if !is_needed && view.committed >= tombstone.before {
            plan.done.push(tombstone.seq);
        }
    }
    plan
}
