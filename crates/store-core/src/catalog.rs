//! Which parts exist: a commit log of small objects, folded into checkpoints. A part is visible when a
//! commit names it, and gone when a commit removes it. docs/formats/catalog.md has the bytes.

use std::fmt::Debug;
use std::sync::Arc;

use base::TenantId;

use crate::blob::BlobError;
use crate::journal::Offset;
use crate::part::{PartError, PartHeader, PartId, PartMeta, TimeRange};

mod local;
mod log;
mod rebuild;
mod state;

pub use local::{LocalCatalog, removed_in_log, unreadable_tombstones};
pub use log::CATALOG_FORMAT_VERSION;
pub use rebuild::{JournalBounds, RebuildReport, rebuild};

/// A request to forget rows: those of one tenant and family that lie in `time`, match `selector`, and
/// were journalled before `before`. Rows that arrive later are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Counts up from 1; given by the catalog at commit.
    pub seq: u64,
    pub tenant: TenantId,
    pub family: String,
    pub time: TimeRange,
    pub before: Offset,
    /// What the family understands as a selector.
    pub selector: Vec<u8>,
}

impl Tombstone {
    /// Whether rows of this part may have to be hidden.
    pub fn applies_to(&self, part: &PartMeta) -> bool {
        part.tombstones_applied < self.seq
            && part.offsets.start < self.before
            && part.tenant == self.tenant
            && part.family == self.family
            && part.time.overlaps(&self.time)
    }
}

/// A tombstone before the catalog has numbered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTombstone {
    pub tenant: TenantId,
    pub family: String,
    pub time: TimeRange,
    pub before: Offset,
    pub selector: Vec<u8>,
}

/// One consistent view. While a snapshot is held, its parts are not deleted.
#[derive(Debug, Clone)]
pub struct CatalogSnapshot {
    /// The number of the last commit in it; 0 for an empty catalog.
    pub version: u64,
    /// Sorted by family, tenant, first time, id.
    pub parts: Vec<Arc<PartMeta>>,
    /// Rows journalled below this offset are in parts; those at or above it are the live store's.
    pub committed: Offset,
    /// Sorted by [`Tombstone::seq`].
    pub tombstones: Vec<Arc<Tombstone>>,
    /// The newest tombstone number ever given.
    pub tombstone_seq: u64,
}

impl CatalogSnapshot {
    /// The parts of one family and tenant that overlap `time`.
    pub fn parts_for<'a>(
        &'a self,
        family: &str,
        tenant: &TenantId,
        time: TimeRange,
    ) -> impl Iterator<Item = &'a Arc<PartMeta>> {
        let group = |p: &PartMeta| (p.family.as_str(), &p.tenant).cmp(&(family, tenant));
        let first = self.parts.partition_point(|p| group(p).is_lt());
        let n = self.parts[first..].partition_point(|p| group(p).is_eq());
        self.parts[first..first + n].iter().filter(move |p| p.time.overlaps(&time))
    }

    /// The tombstones that may hide rows of `part`.
    pub fn tombstones_for(&self, part: &PartMeta) -> Vec<Arc<Tombstone>> {
        self.tombstones.iter().filter(|t| t.applies_to(part)).map(Arc::clone).collect()
    }
}

/// One atomic change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// Refuse with [`CatalogError::Conflict`] unless this is the current version. `None`: the checks on
    /// the parts themselves suffice (what is removed must be there, what is added must not).
    pub expected_version: Option<u64>,
    pub add: Vec<PartMeta>,
    pub remove: Vec<PartId>,
    /// Moves [`CatalogSnapshot::committed`] forward.
    pub committed: Option<Offset>,
    pub add_tombstones: Vec<NewTombstone>,
    /// Sequence numbers of tombstones that no part needs any more.
    pub drop_tombstones: Vec<u64>,
}

/// What [`Catalog::reclaim`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReclaimReport {
    pub deleted: u64,
    pub deleted_bytes: u64,
    /// Removed parts that a snapshot still holds, or that could not be deleted yet.
    pub waiting: u64,
}

/// Why the catalog refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalog is at version {actual}, not {expected}")]
    Conflict { expected: u64, actual: u64 },
    #[error("part {0} is in the catalog already")]
    DuplicatePart(PartId),
    #[error("part {0} is not in the catalog")]
    UnknownPart(PartId),
    #[error("the committed offset cannot go back from {from} to {to}")]
    OffsetGoesBack { from: Offset, to: Offset },
    #[error("catalog object {key} is unreadable: {reason}; `sextant doctor` rebuilds the catalog from parts")]
    Corrupt { key: String, reason: String },
    #[error(
        "catalog object {key} was written by a newer release: version {found}, this one reads up to {newest}"
    )]
    NewerVersion { key: String, found: u8, newest: u8 },
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Part(#[from] PartError),
}

impl CatalogError {
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Blob(e) => e.is_no_space(),
            Self::Part(e) => e.is_no_space(),
            _ => false,
        }
    }
}

/// A part by name, before there is a [`PartMeta`] of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartKey {
    pub id: PartId,
    /// [`PartMeta::key`]
    pub key: String,
}

impl PartKey {
    /// The part that a header names.
    pub fn of(header: &PartHeader) -> Self {
        Self { id: header.id, key: PartMeta::key_of(&header.family, &header.tenant, header.id) }
    }
}

/// The list of visible parts.
pub trait Catalog: Send + Sync + Debug {
    /// The current view. Cheap; holding it keeps its parts from being deleted.
    fn snapshot(&self) -> Arc<CatalogSnapshot>;
    /// Applies a change durably and returns the view after it.
    fn commit(&self, txn: Txn) -> Result<Arc<CatalogSnapshot>, CatalogError>;
    /// Takes back parts that were put, or whose put failed in the middle, and that will not be
    /// committed: their objects are deleted before the next commit succeeds. Otherwise a rebuild could
    /// take them for parts in their own right, beside those that hold the same rows. Parts of a commit
    /// that failed are taken back by themselves.
    fn discard(&self, parts: &[PartKey]);
    /// Deletes the objects of removed parts that no snapshot holds any more.
    fn reclaim(&self) -> Result<ReclaimReport, CatalogError>;
}

#[cfg(test)]
mod tests;
