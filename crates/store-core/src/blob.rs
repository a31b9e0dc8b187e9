//! Object-store semantics over any place that keeps bytes: whole-object puts, ranged reads, listing by
//! prefix. No append, no rename, no map into memory, so that a bucket can take a directory's place.

use std::fmt::Debug;
use std::ops::Range;

use vfs::{Space, VfsError};

mod key;
mod local;

pub use key::{BLOB_KEY_LENGTH_MAX, check_key};
pub use local::LocalBlobStore;

/// What a put does when the key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Fail with [`BlobError::AlreadyExists`]: the conditional put that commit logs rest on.
    Create,
    /// Replace the object.
    Overwrite,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobMeta {
    pub key: String,
    pub len_bytes: u64,
}

/// Why an operation on an object failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("object {key:?} does not exist")]
    NotFound { key: String },
    #[error("object {key:?} exists already")]
    AlreadyExists { key: String },
    /// Passes by itself when room is made; the store above turns read-only until then.
    #[error("no space left for object {key:?}: {source}")]
    NoSpace { key: String, source: VfsError },
    #[error("object {key:?} ends before byte {end}")]
    OutOfRange { key: String, end: u64 },
    #[error("invalid object key {key:?}: {reason}")]
    InvalidKey { key: String, reason: &'static str },
    #[error("object {key:?}: {source}")]
    Io { key: String, source: VfsError },
}

impl BlobError {
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// An object that is being written piece by piece (a multipart upload). It exists only after
/// [`BlobUpload::finish`]; dropping it before leaves nothing behind.
pub trait BlobUpload: Send + Debug {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError>;
    /// Makes the object durable and visible.
    fn finish(self: Box<Self>, mode: PutMode) -> Result<(), BlobError>;
}

/// A flat space of keys such as `parts/metrics/anonymous/6f….part`.
pub trait BlobStore: Send + Sync + Debug {
    /// Stores an object; on return it is durable and visible whole.
    fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Result<(), BlobError>;
    /// Begins an object whose size is not known yet.
    fn upload(&self, key: &str) -> Result<Box<dyn BlobUpload>, BlobError>;
    fn get(&self, key: &str) -> Result<Vec<u8>, BlobError>;
    /// Reads exactly the bytes of `range`.
    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, BlobError>;
    fn head(&self, key: &str) -> Result<BlobMeta, BlobError>;
    /// Every object whose key starts with `prefix`, sorted by key.
    fn list(&self, prefix: &str) -> Result<Vec<BlobMeta>, BlobError>;
    /// Removes an object durably; a missing one is fine.
    fn delete(&self, key: &str) -> Result<(), BlobError>;
    /// Gives an object a second, independent key without moving its bytes where the place allows it
    /// (hard link, server-side copy).
    fn copy(&self, from: &str, to: &str) -> Result<(), BlobError>;
    /// Room that is left, where that is known.
    fn space(&self) -> Result<Option<Space>, BlobError>;
}

#[cfg(test)]
mod tests;
