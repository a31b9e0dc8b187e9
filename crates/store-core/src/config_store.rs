//! Small versioned records with compare-and-swap: configuration, users, alert state.

use std::fmt::Debug;

use crate::blob::BlobError;

mod local;

pub use local::LocalConfigStore;

/// The largest value.
pub const CONFIG_VALUE_BYTES_MAX: usize = 16 << 20;

/// One record. Versions of a key count up and are not reused, not even after a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRecord {
    pub key: String,
    pub version: u64,
    pub value: Vec<u8>,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Anything,
    Absent,
    Version(u64),
}

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigStoreError {
    /// `actual` is `None` when there is no such record.
    #[error("record {key:?} is at version {actual:?}, not as expected ({expected:?})")]
    Conflict { key: String, expected: Expect, actual: Option<u64> },
    #[error("record {key:?} of {len_bytes} bytes is larger than {CONFIG_VALUE_BYTES_MAX}")]
    TooLarge { key: String, len_bytes: usize },
    #[error("record {key:?} is unreadable: {reason}")]
    Corrupt { key: String, reason: String },
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Versioned records under path-like keys.
pub trait ConfigStore: Send + Sync + Debug {
    fn get(&self, key: &str) -> Result<Option<ConfigRecord>, ConfigStoreError>;
    /// Records whose key starts with `prefix`, sorted by key.
    fn list(&self, prefix: &str) -> Result<Vec<ConfigRecord>, ConfigStoreError>;
    /// Writes a value durably and returns its version.
    fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, ConfigStoreError>;
    /// Removes a record; with [`Expect::Anything`], a missing one is fine.
    fn delete(&self, key: &str, expect: Expect) -> Result<(), ConfigStoreError>;
}
