//! What a store must know about the content of its parts so that maintenance can merge them without
//! knowing it.

use std::fmt::Debug;
use std::sync::Arc;

use base::{CancelToken, Cancelled};

use crate::catalog::Tombstone;
use crate::part::{PartError, PartReader, PartStats, PartWriter, TimeRange};

/// Everything a merge must honour besides its inputs.
#[derive(Debug, Clone)]
pub struct MergeContext {
    /// Rows with a time before this are beyond retention and left out.
    pub drop_before_ms: Option<i64>,
    /// Only rows inside belong to this output; a task with several outputs calls once for each.
    pub window: TimeRange,
    /// The level of the output: 1 and up. Higher levels are rarer and deserve stronger compression.
    pub level: u8,
    /// The catalog's tombstones of this tenant and family. One applies to an input when
    /// [`Tombstone::applies_to`] says so.
    pub tombstones: Vec<Arc<Tombstone>>,
    pub cancel: CancelToken,
}

/// Why a merge produced nothing.
#[derive(Debug, thiserror::Error)]
pub enum FamilyError {
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("merge stopped: {0}")]
    Cancelled(#[from] Cancelled),
    #[error("merge needs more memory: {0}")]
    Budget(#[from] base::BudgetExceeded),
    #[error("tombstone {seq} cannot be read: {reason}")]
    BadTombstone { seq: u64, reason: String },
}

/// A kind of content: metrics, events, or the toy of the tests.
pub trait PartFamily: Send + Sync + Debug {
    /// The family's name in keys and footers: lower-case letters.
    fn name(&self) -> &'static str;
    /// The version of the block content that [`PartFamily::merge`] writes.
    fn schema_version(&self) -> u16;
    /// Merges `inputs` (sorted by journal offset, oldest first, so that "the later write wins" has a
    /// meaning) into blocks on `out`, and returns what was written. `rows == 0` means that nothing is
    /// left and no part is made.
    fn merge(
        &self,
        inputs: &[PartReader],
        out: &mut PartWriter,
        ctx: &MergeContext,
    ) -> Result<PartStats, FamilyError>;
    /// Checks what block checksums cannot: the meaning of a part's blocks. Returns a sentence for
    /// each defect.
    fn verify(&self, part: &PartReader) -> Result<Vec<String>, PartError>;
}
