//! The content-agnostic storage substrate: journal, blobs, parts, catalog, planning, maintenance.
//! Knows no metrics, logs or spans: what is in a part is the business of a
//! [`part_family::PartFamily`].
//!
//! One [`store_dir::StoreDir`] holds one signal: `journal/`, and under object-store keys `parts/`,
//! `catalog/`, `config/` and `snapshots/`. The pipeline is append → live store → cut into parts →
//! put → commit → trim, and a query reads one catalog snapshot plus the live records at or above
//! [`catalog::CatalogSnapshot::committed`].

pub mod blob;
pub mod bus;
pub mod catalog;
pub mod config_store;
pub mod doctor;
pub mod encoding;
pub mod journal;
pub mod maintain;
pub mod part;
pub mod part_family;
pub mod plan;
pub mod shard_map;
pub mod snapshot;
pub mod store_dir;
pub mod sweep;
pub mod toy;

pub use blob::{BlobError, BlobMeta, BlobStore, BlobUpload, LocalBlobStore, PutMode};
pub use catalog::{Catalog, CatalogError, CatalogSnapshot, LocalCatalog, Tombstone, Txn};
pub use journal::{Journal, JournalError, JournalOptions, LocalJournal, Offset, RecoveryReport, SyncMode};
pub use part::{
    BlockRef, CorruptPart, OffsetRange, PartError, PartHeader, PartId, PartMeta, PartReader, PartStats,
    PartWriter, TimeRange,
};
pub use part_family::{FamilyError, MergeContext, PartFamily};
pub use shard_map::{ShardMap, ShardMapError};
pub use store_dir::{StoreDir, StoreDirError};
