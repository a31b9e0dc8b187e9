//! What should be done to the parts, decided from the catalog alone: types in, actions out, no effects.
//! [`crate::maintain`] does it.

use crate::part::{PartId, TimeRange};

mod compaction;
mod deletion;
mod orphans;
mod retention;

pub use compaction::{CompactionPolicy, compaction, window_of};
pub use deletion::{DeletionPlan, deletion};
pub use orphans::{Adoption, Evidence, Orphan, OrphanPlan, orphans};
pub use retention::{DropReason, PartDrop, RetentionPolicy, StoreSize, drop_before_ms, retention};

/// Merge these parts, all of one family, tenant and shard range, and put the outputs in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeTask {
    /// Sorted by journal offset.
    pub inputs: Vec<PartId>,
    /// The level of the outputs.
    pub level: u8,
    /// One output for each of these, where rows fall into it.
    pub outputs: Vec<TimeRange>,
    /// What the inputs weigh, which bounds what the outputs can.
    pub input_bytes: u64,
}

#[cfg(test)]
mod tests;
