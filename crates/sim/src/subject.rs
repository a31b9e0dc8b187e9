//! What the simulator asks of a store.

use std::sync::Arc;

use base::ManualClock;
use store_core::TimeRange;
use vfs::FaultVfs;

/// One row: a time that no other row has, and a value that names it.
pub use store_core::toy::ToyRow as Row;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub clock: Arc<ManualClock>,
    /// The retention time.
    pub keep_ms: i64,
    /// The windows of compaction, and how long after its end one has passed.
    pub windows_ms: Vec<i64>,
    pub grace_ms: i64,
    /// Small, so that a run fills many segments.
    pub segment_bytes_max: u64,
}

/// A store under test. Errors are texts, since all the simulator does with them is to remember that the
/// outcome is unknown.
pub trait Subject: Sized {
    /// The name in failure reports.
    const NAME: &'static str;
    /// Opens the store on a disk, which holds whatever the last crash left.
    fn open(vfs: &FaultVfs, settings: &Settings) -> Result<Self, String>;
    /// Stores rows; `Ok` promises that they will be there after any crash.
    fn append(&mut self, rows: &[Row]) -> Result<(), String>;
    /// Moves what is live into parts.
    fn cut(&mut self) -> Result<(), String>;
    /// Forgets the rows so far whose value ends in the byte `last_byte` and whose time is in `time`;
    /// `Ok` promises that they never come back.
    fn delete(&mut self, last_byte: u8, time: TimeRange) -> Result<(), String>;
    /// Compacts, and drops what is older than [`Settings::keep_ms`].
    fn maintain(&mut self) -> Result<(), String>;
    /// Every row there is, in any order.
    fn rows(&self) -> Result<Vec<Row>, String>;
    /// Closes the store, verifies everything on the disk, and says what is wrong.
    fn verify(vfs: &FaultVfs) -> Result<Vec<String>, String>;
    /// Rebuilds the catalog of a closed store from its parts.
    fn rebuild(vfs: &FaultVfs) -> Result<(), String>;
}
