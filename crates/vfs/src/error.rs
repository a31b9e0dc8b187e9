//! What a file operation can fail with, reduced to the kinds that callers decide on.

use std::fmt;
use std::path::{Path, PathBuf};

pub type VfsResult<T> = Result<T, VfsError>;

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VfsErrorKind {
    NotFound,
    AlreadyExists,
    /// The disk or the quota is full. Passes by itself when room is made.
    NoSpace,
    /// Another process or handle holds the lock.
    Locked,
    /// The file ends before the range that was asked for.
    UnexpectedEof,
    PermissionDenied,
    /// The simulated machine has lost power; nothing works until it restarts.
    PoweredOff,
    /// Anything else the device or the kernel reports.
    Io,
}

/// A failed file operation: what was tried, on what, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VfsError {
    pub kind: VfsErrorKind,
    /// The operation as a verb, such as `append to`.
    pub operation: &'static str,
    pub path: PathBuf,
    /// The operating system's text.
    pub reason: String,
}

impl VfsError {
    pub fn new(kind: VfsErrorKind, operation: &'static str, path: &Path, reason: impl Into<String>) -> Self {
        Self { kind, operation, path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn from_io(operation: &'static str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::NotFound => VfsErrorKind::NotFound,
            ErrorKind::AlreadyExists => VfsErrorKind::AlreadyExists,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => VfsErrorKind::NoSpace,
            ErrorKind::UnexpectedEof => VfsErrorKind::UnexpectedEof,
            ErrorKind::PermissionDenied => VfsErrorKind::PermissionDenied,
            _ => VfsErrorKind::Io,
        };
        Self::new(kind, operation, path, error.to_string())
    }

    pub fn is_not_found(&self) -> bool {
        self.kind == VfsErrorKind::NotFound
    }

    pub fn is_no_space(&self) -> bool {
        self.kind == VfsErrorKind::NoSpace
    }
}

impl fmt::Display for VfsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.path.display(), self.reason)
    }
}

impl std::error::Error for VfsError {}
