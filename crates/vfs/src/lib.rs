//! The few file operations the stores need: real, in-memory and fault-injecting. Knows no formats.
//!
//! Everything below `server` reaches files through [`Vfs`], so that the simulator can replace the
//! disk. The promises are those of a POSIX file system and no more: written bytes survive a crash
//! only after [`VfsFile::sync_data`], names only after [`Vfs::sync_dir`].

pub mod error;
pub mod fault;
pub mod real;

use std::fmt::Debug;
use std::path::Path;

pub use error::{VfsError, VfsErrorKind, VfsResult};
pub use fault::{FaultPlan, FaultVfs, MemVfs};
pub use real::RealVfs;

/// What happens when the name that is published exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Fail with [`VfsErrorKind::AlreadyExists`].
    Exclusive,
    /// Replace it: readers see the old or the new content, never a mixture.
    Replace,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
    /// 0 for directories.
    pub len_bytes: u64,
}

/// Room on the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// A held lock file; dropping it releases the lock.
pub trait VfsLock: Send + Sync + Debug {}

/// An open file.
pub trait VfsFile: Send + Sync + Debug {
    /// Appends all of `bytes`. After an error, any prefix may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> VfsResult<()>;
    /// Makes written bytes durable. After an error the unsynced bytes are in an unknown state, and
    /// a second call may claim success for bytes that were lost: give the file up instead.
    fn sync_data(&mut self) -> VfsResult<()>;
    /// Fills `buf` from `offset`; an end of file before that is [`VfsErrorKind::UnexpectedEof`].
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> VfsResult<()>;
    fn len_bytes(&self) -> VfsResult<u64>;
    /// Cuts the file to `len_bytes`; later writes append there.
    fn truncate(&mut self, len_bytes: u64) -> VfsResult<()>;
}

/// A file system. Paths are used as given; directories must exist before files in them.
pub trait Vfs: Send + Sync + Debug {
    /// Creates a file for appending; an existing file is an error.
    fn create(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>>;
    /// Opens an existing file for appending and reading.
    fn open_append(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> VfsResult<Vec<u8>>;
    /// Gives the synced file `from` the name `to`, atomically, and makes the name durable. Both must
    /// be on one file system. The only renaming there is.
    fn publish(&self, from: &Path, to: &Path, mode: Publish) -> VfsResult<()>;
    /// Removes a file. The removal is durable after [`Vfs::sync_dir`].
    fn remove(&self, path: &Path) -> VfsResult<()>;
    /// The entries of a directory, sorted by name.
    fn list_dir(&self, path: &Path) -> VfsResult<Vec<DirEntry>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> VfsResult<()>;
    /// Creates a directory and its parents, durably. An existing directory is fine.
    fn create_dir_all(&self, path: &Path) -> VfsResult<()>;
    fn file_len(&self, path: &Path) -> VfsResult<u64>;
    fn exists(&self, path: &Path) -> VfsResult<bool>;
    fn space(&self, path: &Path) -> VfsResult<Space>;
    /// Gives a file a second name; where the file system cannot, copies and syncs it. The name is
    /// durable after [`Vfs::sync_dir`]. An existing `to` is an error.
    fn hard_link(&self, from: &Path, to: &Path) -> VfsResult<()>;
    /// Takes the exclusive lock on a file, creating it if need be. Held by another process or handle:
    /// [`VfsErrorKind::Locked`].
    fn lock(&self, path: &Path) -> VfsResult<Box<dyn VfsLock>>;
}
