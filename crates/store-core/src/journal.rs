//! The journal: what is in it and fsynced may be acknowledged. Appenders that wait at the same time
//! share one fsync. docs/formats/journal.md has the bytes.

use std::fmt;
use std::fmt::Debug;

use vfs::VfsError;

mod local;
mod record;
mod recovery;
mod segment;

pub use local::LocalJournal;
pub use recovery::{LostRecords, RecoveryReport, TornTail, bounds, inspect};

/// The version of segment headers and records.
pub const JOURNAL_FORMAT_VERSION: u8 = 1;

/// The position of a record: counts records, never goes back, is never given twice, also across
/// restarts. There may be gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    pub const ZERO: Self = Self(0);

    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// When an append returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// After the record is fsynced: nothing that was acknowledged is lost.
    FsyncBeforeAck,
    /// After the record is written; a crash of the machine (not of the process) loses what was
    /// acknowledged since the last fsync, which happens at the latest after this many bytes.
    AckBeforeFsyncMayLose { bytes: u64 },
}

/// Settings of a [`LocalJournal`].
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// A segment is closed when it has this many bytes.
    pub segment_bytes_max: u64,
    /// A larger record is refused with [`JournalError::RecordTooLarge`].
    pub record_bytes_max: usize,
    /// Appenders wait while more than this waits to be written.
    pub pending_bytes_max: usize,
    pub sync: SyncMode,
    /// Names this node in records.
    pub writer: u64,
    /// Names the journal when there is none yet: drawn at random by the caller, so that offsets of a
    /// journal that was lost are never mistaken for those of its successor.
    pub fresh_incarnation: u64,
    /// The first offset to give when no segment says otherwise: what the catalog has committed.
    pub start_at: Offset,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: 32 << 20,
            record_bytes_max: 16 << 20,
            pending_bytes_max: 32 << 20,
            sync: SyncMode::FsyncBeforeAck,
            writer: 0,
            fresh_incarnation: 1,
            start_at: Offset::ZERO,
        }
    }
}

/// Why the journal refused or failed. An append that failed may or may not be found after a restart;
/// it was not acknowledged, and repeating it is safe for readers that apply batches idempotently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("a record of {len_bytes} bytes is larger than the limit of {limit_bytes}")]
    RecordTooLarge { len_bytes: usize, limit_bytes: usize },
    /// Passes by itself: the next append tries again.
    #[error("no space left for the journal: {0}")]
    NoSpace(VfsError),
    #[error(
        "journal segment {segment} was written by a newer release: version {found}, this one reads up to {newest}"
    )]
    NewerVersion { segment: String, found: u8, newest: u8 },
    #[error("the journal failed: {0}")]
    Io(VfsError),
}

impl JournalError {
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace(_))
    }
}

impl From<VfsError> for JournalError {
    fn from(error: VfsError) -> Self {
        if error.is_no_space() { Self::NoSpace(error) } else { Self::Io(error) }
    }
}

/// A durable, ordered, trimmable sequence of records.
pub trait Journal: Send + Sync + Debug {
    /// Names the journal for part ids and footers.
    fn incarnation(&self) -> u64;
    /// Appends one record and returns its offset after the fsync that covers it.
    fn append(&self, record: &[u8]) -> Result<Offset, JournalError>;
    /// Appends several records that get consecutive offsets and share the fsync; returns the first.
    fn append_batch(&self, records: &[&[u8]]) -> Result<Offset, JournalError>;
    /// Calls `each` with every intact durable record at or above `from`, in order, and returns the
    /// offset after the last. What recovery found missing is skipped; see [`Journal::recovery`].
    fn read_from(&self, from: Offset, each: &mut dyn FnMut(Offset, &[u8])) -> Result<Offset, JournalError>;
    /// Allows everything below `up_to` to be forgotten. Some of it may stay for a while.
    fn trim(&self, up_to: Offset) -> Result<(), JournalError>;
    /// The oldest offset that may still be read.
    fn start_offset(&self) -> Offset;
    /// The offset after the last durable record.
    fn end_offset(&self) -> Offset;
    /// The first offset of the segment that holds the record at `at`, or would hold it: how far a
    /// reader or writer has come, in the steps in which space is given back.
    fn segment_of(&self, at: Offset) -> Offset;
    /// Bytes on disk.
    fn len_bytes(&self) -> u64;
    /// What opening the journal found wrong, if anything.
    fn recovery(&self) -> &RecoveryReport;
}

#[cfg(test)]
mod tests;
