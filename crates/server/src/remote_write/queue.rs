//! The queue of one remote on disk: a journal of encoded batches and a savepoint that says up to
//! where they were acknowledged, so that sending resumes there after a restart.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codec::bytes::{ByteReader, put_uvarint};
use parking_lot::Mutex;
use store_core::journal::{Journal as _, JournalError, JournalOptions, LocalJournal, Offset, SyncMode};
use tokio::sync::Notify;
use vfs::{Publish, Vfs, VfsError};

use super::backlog::{Backlog, RecordSize};

/// A segment is what is read at once when the sender lags, and the least that trimming gives back.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;

/// Records that were appended last, kept so that a sender that keeps up reads no file.
const TAIL_BYTES_MAX: usize = 4 << 20;

/// Written bytes are fsynced at the latest after this many bytes, or after this time when more comes.
const UNSYNCED_BYTES_MAX: u64 = 1 << 20;
const SYNC_EVERY_MS: i64 = 5_000;

/// The savepoint is written this often at most, and when sending ends.
const SAVE_EVERY_MS: i64 = 1_000;

const SAVEPOINT: &str = "savepoint";
const SAVEPOINT_NEW: &str = "savepoint.new";
const SAVEPOINT_MAGIC: &[u8; 8] = b"SXRWSAV1";
const RECORD_VERSION: u8 = 1;

/// Why a queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    File(#[from] VfsError),
}

/// One encoded batch of the queue.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) offset: Offset,
    pub(super) n_samples: u64,
    payload: Arc<[u8]>,
    body_at: usize,
}

impl Record {
    /// The batch as it was encoded.
    pub(super) fn body(&self) -> &[u8] {
        &self.payload[self.body_at..]
    }

    pub(super) fn size(&self) -> RecordSize {
        RecordSize { offset: self.offset, n_samples: self.n_samples, bytes: self.payload.len() as u64 }
    }

    /// `None` for a record that another release wrote.
    fn parse(offset: Offset, payload: Arc<[u8]>) -> Option<Self> {
        let mut reader = ByteReader::new(payload.get(1..).filter(|_| payload[0] == RECORD_VERSION)?);
        let n_samples = reader.uvarint().ok()?;
        let body_at = payload.len() - reader.remaining();
        Some(Self { offset, n_samples, payload, body_at })
    }
}

/// A bounded queue that survives restarts. One sender reads; anybody appends.
#[derive(Debug)]
pub(super) struct Queue {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    journal: LocalJournal,
    bytes_max: u64,
    state: Mutex<State>,
    /// Records of the segment that is being read, when the tail does not reach back far enough.
    ahead: Mutex<VecDeque<Record>>,
    appended: Notify,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    /// Everything below is acknowledged or given up.
    start: Offset,
    tail: VecDeque<Record>,
    tail_bytes: usize,
    synced_ms: i64,
    saved: Offset,
    saved_ms: i64,
}

impl Queue {
    /// The segment that is read, by the number of its first record.
    pub(super) fn current_segment(&self) -> u64 {
        let start = self.state.lock().start;
        self.journal.segment_of(start).0
    }

    /// Opens or creates the queue in `dir`. `bytes_max` is what may wait, roughly, on disk.
    pub(super) fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        bytes_max: u64,
        fresh_incarnation: u64,
    ) -> Result<Self, QueueError> {
        let segment_bytes_max = SEGMENT_BYTES_MAX.min(bytes_max / 4);
        let options = JournalOptions {
            segment_bytes_max,
            sync: SyncMode::AckBeforeFsyncMayLose { bytes: UNSYNCED_BYTES_MAX },
            fresh_incarnation,
            ..JournalOptions::default()
        };
        let journal = LocalJournal::open(Arc::clone(&vfs), dir, options)?;
        let saved =
            read_savepoint(&*vfs, dir)?.filter(|(incarnation, _)| *incarnation == journal.incarnation());
        let oldest = journal.start_offset();
        let start = saved.map_or(oldest, |(_, offset)| offset.clamp(oldest, journal.end_offset()));
        let mut backlog = Backlog::new(segment_bytes_max / 4);
        journal.read_from(start, &mut |offset, payload| {
            if let Some(record) = Record::parse(offset, Arc::from(payload)) {
                backlog.push(record.size());
            }
        })?;
        let state = State {
            backlog,
            start,
            tail: VecDeque::new(),
            tail_bytes: 0,
            synced_ms: 0,
            saved: start,
            saved_ms: 0,
        };
        Ok(Self {
            vfs,
            dir: dir.to_owned(),
            journal,
            bytes_max,
            state: Mutex::new(state),
            ahead: Mutex::default(),
            appended: Notify::new(),
        })
    }

    /// Appends an encoded batch; returns how many samples had to be given up for it. Blocks while the
    /// disk does.
    pub(super) fn append(&self, n_samples: u64, body: &[u8], now_ms: i64) -> Result<u64, JournalError> {
        let mut payload = Vec::with_capacity(body.len() + 8);
        payload.push(RECORD_VERSION);
        put_uvarint(&mut payload, n_samples);
        let body_at = payload.len();
        payload.extend_from_slice(body);
        let payload: Arc<[u8]> = payload.into();
        // Held over the write, so that the tail has the records in their order.
        let mut state = self.state.lock();
        let offset = self.journal.append(&payload)?;
        let record = Record { offset, n_samples, payload, body_at };
        state.backlog.push(record.size());
        state.tail_bytes += record.payload.len();
        state.tail.push_back(record);
        while state.tail_bytes > TAIL_BYTES_MAX
            && let Some(oldest) = state.tail.pop_front()
        {
            state.tail_bytes -= oldest.payload.len();
        }
        let sync_due = now_ms.saturating_sub(state.synced_ms) >= SYNC_EVERY_MS;
        if sync_due {
            state.synced_ms = now_ms;
        }
        let given_up = state.backlog.shrink_to(self.bytes_max);
        if let Some((start, _)) = given_up {
            state.start = state.start.max(start);
        }
        drop(state);
        self.appended.notify_one();
        if sync_due {
            self.journal.sync()?;
        }
        if let Some((start, _)) = given_up {
            self.journal.trim(start)?;
        }
        Ok(given_up.map_or(0, |(_, lost)| lost))
    }

    /// Samples that wait.
    pub(super) fn n_samples(&self) -> u64 {
        self.state.lock().backlog.n_samples()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().backlog.is_empty()
    }

    /// Returns after something was appended since the last call.
    pub(super) async fn appended(&self) {
        self.appended.notified().await;
    }

    /// The oldest records, until they have `n_samples_wanted` samples or no more can be had at once;
    /// empty if none wait. Reads files; for blocking threads.
    pub(super) fn read(&self, n_samples_wanted: u64) -> Result<Vec<Record>, JournalError> {
        let mut ahead = self.ahead.lock();
        let start = {
            let state = self.state.lock();
            if state.backlog.is_empty() {
                return Ok(Vec::new());
            }
            if state.tail.front().is_some_and(|record| record.offset <= state.start) {
                ahead.clear();
                let waiting = state.tail.iter().filter(|record| record.offset >= state.start);
                return Ok(take_until(waiting, n_samples_wanted));
            }
            state.start
        };
        while ahead.front().is_some_and(|record| record.offset < start) {
            ahead.pop_front();
        }
        if ahead.is_empty() {
            self.journal.read_segment_from(start, &mut |offset, payload| {
                ahead.extend(Record::parse(offset, Arc::from(payload)));
            })?;
        }
        if ahead.is_empty() {
            self.state.lock().skip_what_is_missing(self.journal.end_offset());
        }
        Ok(take_until(ahead.iter(), n_samples_wanted))
    }

    /// Forgets records that were sent or never can be. `finally` writes the savepoint in any case.
    pub(super) fn acknowledge(
        &self,
        records: &[Record],
        now_ms: i64,
        finally: bool,
    ) -> Result<(), QueueError> {
        let mut state = self.state.lock();
        for record in records {
            state.backlog.acknowledge(record.size());
            state.start = state.start.max(record.offset.next());
        }
        let is_due = finally || now_ms.saturating_sub(state.saved_ms) >= SAVE_EVERY_MS;
        if !is_due || state.saved == state.start {
            return Ok(());
        }
        let start = state.start;
        (state.saved, state.saved_ms) = (start, now_ms);
        drop(state);
        write_savepoint(&*self.vfs, &self.dir, self.journal.incarnation(), start)?;
        Ok(self.journal.trim(start)?)
    }

    /// Makes everything that was appended durable.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.journal.sync()
    }
}

impl State {
    /// Files that were damaged or deleted under us hold nothing to wait for; what is in memory stays.
    fn skip_what_is_missing(&mut self, end: Offset) {
        let waiting = self.tail.iter().filter(|record| record.offset >= self.start);
        let first = waiting.clone().next().map_or(end, |record| record.offset);
        self.backlog = self.backlog.emptied();
        waiting.for_each(|record| self.backlog.push(record.size()));
        self.start = first;
    }
}

fn take_until<'r>(records: impl Iterator<Item = &'r Record>, n_samples_wanted: u64) -> Vec<Record> {
    let mut n_samples = 0;
    let mut taken = Vec::new();
    for record in records {
        if n_samples >= n_samples_wanted {
            break;
        }
        n_samples += record.n_samples;
        taken.push(record.clone());
    }
    taken
}

/// Deletes the files of a queue that nobody sends from any more.
pub(super) fn delete_files(vfs: &dyn Vfs, dir: &Path) -> Result<(), VfsError> {
    for entry in vfs.list_dir(dir)? {
        if !entry.is_dir {
            vfs.remove(&dir.join(&entry.name))?;
        }
    }
    vfs.sync_dir(dir)
}

/// The journal's incarnation and the first offset that was not acknowledged; a file that is damaged
/// counts as none, and everything that is kept is sent again.
fn read_savepoint(vfs: &dyn Vfs, dir: &Path) -> Result<Option<(u64, Offset)>, VfsError> {
    match vfs.read(&dir.join(SAVEPOINT)) {
        Ok(bytes) => Ok(decode_savepoint(&bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_savepoint(vfs: &dyn Vfs, dir: &Path, incarnation: u64, start: Offset) -> Result<(), VfsError> {
    let new = dir.join(SAVEPOINT_NEW);
    match vfs.remove(&new) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    let mut file = vfs.create(&new)?;
    file.write_all(&encode_savepoint(incarnation, start))?;
    file.sync_data()?;
    drop(file);
    vfs.publish(&new, &dir.join(SAVEPOINT), Publish::Replace)
}

fn encode_savepoint(incarnation: u64, start: Offset) -> Vec<u8> {
    let mut bytes = SAVEPOINT_MAGIC.to_vec();
    bytes.extend_from_slice(&incarnation.to_le_bytes());
    bytes.extend_from_slice(&start.0.to_le_bytes());
    let check = ring::digest::digest(&ring::digest::SHA256, &bytes);
    bytes.extend_from_slice(&check.as_ref()[..8]);
    bytes
}

fn decode_savepoint(bytes: &[u8]) -> Option<(u64, Offset)> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let found = (word(8)?, Offset(word(16)?));
    (encode_savepoint(found.0, found.1) == bytes).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfs::RealVfs;

    fn open(dir: &Path, bytes_max: u64) -> Queue {
        Queue::open(Arc::new(RealVfs), dir, bytes_max, 7).unwrap()
    }

    fn bodies(records: &[Record]) -> Vec<String> {
        records.iter().map(|r| String::from_utf8(r.body().to_vec()).unwrap()).collect()
    }

    #[test]
    fn what_was_not_acknowledged_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let queue = open(dir.path(), 1 << 20);
        for idx in 0..5 {
            assert_eq!(queue.append(2, format!("batch {idx}").as_bytes(), 0).unwrap(), 0);
        }
        let first = queue.read(3).unwrap();
        assert_eq!(bodies(&first), ["batch 0", "batch 1"]);
        queue.acknowledge(&first, 10_000, false).unwrap();
        assert_eq!(queue.n_samples(), 6);
        drop(queue);

        let queue = open(dir.path(), 1 << 20);
        assert_eq!(queue.n_samples(), 6);
        let rest = queue.read(100).unwrap();
        assert_eq!(bodies(&rest), ["batch 2", "batch 3", "batch 4"]);
        queue.append(1, b"batch 5", 0).unwrap();
        queue.acknowledge(&rest, 10_000, true).unwrap();
        assert_eq!(bodies(&queue.read(100).unwrap()), ["batch 5"]);
        drop(queue);

        let queue = open(dir.path(), 1 << 20);
        assert_eq!(bodies(&queue.read(100).unwrap()), ["batch 5"]);
    }

    /// A queue as version 1 wrote it. The journal's own fixture covers its bytes; this one covers the
    /// record, the savepoint and their agreement.
    #[test]
    fn the_queue_of_version_1_opens() {
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/formats/remote-write-queue/v1");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            let queue = open(&fixture, 1 << 20);
            queue.append(2, b"first", 0).unwrap();
            let first = queue.read(2).unwrap();
            queue.append(3, b"second", 0).unwrap();
            queue.acknowledge(&first, 10_000, true).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        copy_files(&fixture, dir.path());
        let queue = open(dir.path(), 1 << 20);
        assert_eq!((queue.n_samples(), bodies(&queue.read(100).unwrap())), (3, vec!["second".to_owned()]));
    }

    fn copy_files(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_files(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    #[test]
    fn a_full_queue_gives_up_its_oldest_and_stays_readable_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let queue = open(dir.path(), 16 << 10);
        let mut lost = 0;
        for idx in 0..200u64 {
            let body = format!("{idx:0>500}");
            lost += queue.append(1, body.as_bytes(), 0).unwrap();
        }
        assert_eq!(queue.n_samples() + lost, 200);
        assert!(lost > 150, "{lost}");
        assert!(queue.journal.len_bytes() < 32 << 10, "{}", queue.journal.len_bytes());
        let mut seen = lost;
        while !queue.is_empty() {
            let records = queue.read(3).unwrap();
            for body in bodies(&records) {
                assert_eq!(body.parse::<u64>().unwrap(), seen);
                seen += 1;
            }
            queue.acknowledge(&records, 0, false).unwrap();
        }
        assert_eq!(seen, 200);
    }

    #[test]
    fn a_savepoint_that_is_damaged_counts_as_none() {
        let bytes = encode_savepoint(3, Offset(9));
        assert_eq!(decode_savepoint(&bytes), Some((3, Offset(9))));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode_savepoint(&damaged), None, "byte {at}");
            assert_eq!(decode_savepoint(&bytes[..at]), None, "{at} bytes");
        }
    }
}
