//! The journal as segment files in one directory, with group commit.
//!
//! Appenders encode into a shared buffer under a short lock. One of them becomes the leader, takes the
//! buffer, writes and syncs it without the lock, and wakes all whose records were in it; meanwhile the
//! others fill the next buffer. A failed write or sync fails its whole group and gives the segment up:
//! after a failed fsync the kernel's view of a file cannot be trusted, so the next group begins a new
//! segment whose header says up to where the old one counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use vfs::{Vfs, VfsFile};

use super::record::{self, RecordHeader};
use super::recovery::{self, RecoveryReport};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, file_name, scan};
use super::{Journal, JournalError, JournalOptions, Offset, SyncMode};

/// A [`Journal`] in a local directory.
#[derive(Debug)]
pub struct LocalJournal {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    options: JournalOptions,
    incarnation: u64,
    epoch: u32,
    recovery: RecoveryReport,
    state: Mutex<State>,
    changed: Condvar,
    /// Only the leader locks this, so that writing does not hold up appenders.
    active: Mutex<Option<Active>>,
    segments: Mutex<Vec<Segment>>,
}

/// `None` until the group is written or has failed. Read and written under the lock of [`State`] only.
type Outcome = Arc<Mutex<Option<Result<(), JournalError>>>>;

#[derive(Debug)]
struct State {
    /// Encoded records that wait for a leader, the first of them at `pending_start`.
    pending: Vec<u8>,
    pending_start: u64,
    next: u64,
    /// What the appenders of the pending records wait for.
    outcome: Outcome,
    has_leader: bool,
    /// Everything below is fsynced.
    durable_end: u64,
    /// Everything below may be acknowledged and read; differs from `durable_end` only when acks do not
    /// wait for fsync.
    visible_end: u64,
}

/// The segment that is written.
#[derive(Debug)]
struct Active {
    file: Box<dyn VfsFile>,
    len_bytes: u64,
    unsynced_bytes: u64,
}

#[derive(Debug, Clone)]
struct Segment {
    name: String,
    base: Offset,
    len_bytes: u64,
}

impl LocalJournal {
    /// Opens or creates the journal in `dir`: reads every segment, cuts a torn tail, and reports what is
    /// missing. Needs no space on the disk.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: JournalOptions) -> Result<Self, JournalError> {
        vfs.create_dir_all(dir)?;
        let mut found = recovery::find(&*vfs, dir, options.record_bytes_max)?;
        if let Some(torn) = &found.report.torn {
            let mut file = vfs.open_append(&dir.join(&torn.segment))?;
            file.truncate(torn.at_byte)?;
        }
        if let Some(last) = found.segments.last() {
            let path = dir.join(&last.name);
            if found.ends_unfinished {
                vfs.remove(&path)?;
                vfs.sync_dir(dir)?;
                found.segments.pop();
            } else {
                // What was read is served from now on, so it must not vanish at the next power failure.
                vfs.open_append(&path)?.sync_data()?;
            }
        }
        let end = found.end.max(options.start_at).0;
        // Offsets between what the segments hold and `end` were given to nobody who got an answer.
        let durable_end = found.segments.last().map_or(end, |last| last.end.0);
        let segments = found.segments.into_iter();
        let segments = segments.map(|s| Segment { name: s.name, base: s.base, len_bytes: s.len_bytes });
        let state = State {
            pending: Vec::new(),
            pending_start: end,
            next: end,
            outcome: Outcome::default(),
            has_leader: false,
            durable_end,
            visible_end: end,
        };
        Ok(Self {
            dir: dir.to_owned(),
            incarnation: found.incarnation.unwrap_or(options.fresh_incarnation),
            epoch: found.epoch_max + 1,
            recovery: found.report,
            state: Mutex::new(state),
            changed: Condvar::new(),
            active: Mutex::new(None),
            segments: Mutex::new(segments.collect()),
            vfs,
            options,
        })
    }

    /// Fsyncs what was acknowledged without; for owners of a weakened journal.
    pub fn sync(&self) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        while state.has_leader {
            self.changed.wait(&mut state);
        }
        state.has_leader = true;
        let end = state.visible_end;
        drop(state);
        let mut active = self.active.lock();
        let result = active.as_mut().map_or(Ok(()), Active::sync);
        if result.is_err() {
            *active = None;
        }
        drop(active);
        let mut state = self.state.lock();
        state.has_leader = false;
        if result.is_ok() {
            state.durable_end = state.durable_end.max(end);
        }
        self.changed.notify_all();
        result
    }

    /// Like [`Journal::read_from`], but stops after the first segment that had such a record: for
    /// readers that may lag far behind and must not hold everything at once.
    pub fn read_segment_from(
        &self,
        from: Offset,
        each: &mut dyn FnMut(Offset, &[u8]),
    ) -> Result<Offset, JournalError> {
        self.read_segments(from, |n_records| n_records > 0, each)
    }

    /// Reads segment by segment until `enough` says so of the records read so far; returns the offset
    /// to go on from.
    fn read_segments(
        &self,
        from: Offset,
        enough: impl Fn(u64) -> bool,
        each: &mut dyn FnMut(Offset, &[u8]),
    ) -> Result<Offset, JournalError> {
        let end = self.end_offset();
        let segments = self.segments.lock().clone();
        let mut n_records = 0;
        for (segment_idx, segment) in segments.iter().enumerate() {
            let next_base = segments.get(segment_idx + 1).map_or(end, |next| next.base);
            if next_base <= from {
                continue;
            }
            let bytes = match self.vfs.read(&self.dir.join(&segment.name)) {
                Ok(bytes) => bytes,
                // Trimmed since the list was taken.
                Err(e) if e.is_not_found() => continue,
                Err(e) => return Err(e.into()),
            };
            let header = SegmentHeader::decode(&bytes, &segment.name)?;
            let limit = self.options.record_bytes_max;
            scan(&bytes, header.as_ref(), segment.base, limit, &mut |_, record, payload| {
                if record.seq >= from.0 && record.seq < end.0.min(next_base.0) {
                    n_records += 1;
                    each(Offset(record.seq), payload);
                }
            });
            if enough(n_records) {
                return Ok(end.min(next_base));
            }
        }
        Ok(end)
    }

    /// Puts records into the pending group: the first offset, and where the outcome will be.
    fn enqueue(&self, records: &[&[u8]]) -> (Offset, Outcome) {
        let mut state = self.state.lock();
        while state.pending.len() > self.options.pending_bytes_max {
            self.changed.wait(&mut state);
        }
        let first = state.next;
        for payload in records {
            let seq = state.next;
            let unsynced = u32::try_from(seq - state.durable_end).unwrap_or(u32::MAX);
            let header = RecordHeader { writer: self.options.writer, epoch: self.epoch, unsynced, seq };
            record::encode(&header, payload, &mut state.pending);
            state.next += 1;
        }
        (Offset(first), Arc::clone(&state.outcome))
    }

    /// Waits for the outcome of a group, leading it when nobody else does.
    fn wait_for(&self, outcome: &Outcome) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = &*outcome.lock() {
                return result.clone();
            }
            if state.has_leader {
                self.changed.wait(&mut state);
                continue;
            }
            state.has_leader = true;
            let bytes = std::mem::take(&mut state.pending);
            let group = std::mem::take(&mut state.outcome);
            let (start, end, durable_end) = (state.pending_start, state.next, state.durable_end);
            state.pending_start = end;
            drop(state);
            let result = self.write_group(&bytes, Offset(start), Offset(durable_end));
            state = self.state.lock();
            state.has_leader = false;
            if let Ok(synced) = result {
                state.visible_end = end;
                if synced {
                    state.durable_end = end;
                }
            }
            *group.lock() = Some(result.map(|_| ()));
            self.changed.notify_all();
        }
    }

    /// Writes one group and syncs it if the mode says so; returns whether it did.
    fn write_group(&self, bytes: &[u8], start: Offset, durable_end: Offset) -> Result<bool, JournalError> {
        let mut active = self.active.lock();
        let is_full = |a: &Active| {
            a.len_bytes > SEGMENT_HEADER_BYTES as u64
                && a.len_bytes + bytes.len() as u64 > self.options.segment_bytes_max
        };
        if active.as_ref().is_some_and(is_full)
            && let Some(mut full) = active.take()
        {
            full.sync()?;
        }
        let mut segment = match active.take() {
            Some(segment) => segment,
            None => self.begin_segment(start, durable_end)?,
        };
        let good_len = segment.len_bytes;
        let synced = segment.write(bytes).and_then(|()| match self.options.sync {
            SyncMode::AckBeforeFsyncMayLose { bytes } if segment.unsynced_bytes < bytes => Ok(false),
            _ => segment.sync().map(|()| true),
        });
        if synced.is_err() {
            self.give_up(segment, good_len);
            return synced;
        }
        if let Some(last) = self.segments.lock().last_mut() {
            last.len_bytes = segment.len_bytes;
        }
        *active = Some(segment);
        synced
    }

    /// Gives back the room that a refused group takes; a segment without a record goes altogether, so
    /// that a full disk does not fill with them. What cannot be undone here, recovery cuts.
    fn give_up(&self, mut segment: Active, good_len: u64) {
        let _ = segment.file.truncate(good_len);
        if good_len > SEGMENT_HEADER_BYTES as u64 {
            return;
        }
        let mut segments = self.segments.lock();
        if let Some(last) = segments.pop()
            && self.vfs.remove(&self.dir.join(&last.name)).is_err()
        {
            segments.push(last);
        }
    }

    /// Creates the segment whose first record is `base`; it is durable, name and header, on return.
    fn begin_segment(&self, base: Offset, durable_end: Offset) -> Result<Active, JournalError> {
        let name = file_name(base, self.epoch);
        let path = self.dir.join(&name);
        let header = SegmentHeader {
            incarnation: self.incarnation,
            writer: self.options.writer,
            epoch: self.epoch,
            base,
            durable_end,
        };
        let mut file = self.vfs.create(&path)?;
        let bytes = header.encode();
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(error) = written.and_then(|()| self.vfs.sync_dir(&self.dir)) {
            let _ = self.vfs.remove(&path);
            return Err(error.into());
        }
        let len_bytes = bytes.len() as u64;
        self.segments.lock().push(Segment { name, base, len_bytes });
        Ok(Active { file, len_bytes, unsynced_bytes: 0 })
    }
}

impl Active {
    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_all(bytes)?;
        self.len_bytes += bytes.len() as u64;
        self.unsynced_bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data()?;
        self.unsynced_bytes = 0;
        Ok(())
    }
}

impl Journal for LocalJournal {
    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn append(&self, record: &[u8]) -> Result<Offset, JournalError> {
        self.append_batch(&[record])
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<Offset, JournalError> {
        let limit_bytes = self.options.record_bytes_max;
        if let Some(len_bytes) = records.iter().map(|r| r.len()).find(|len| *len > limit_bytes) {
            return Err(JournalError::RecordTooLarge { len_bytes, limit_bytes });
        }
        if records.is_empty() {
            return Ok(self.end_offset());
        }
        let (first, outcome) = self.enqueue(records);
        self.wait_for(&outcome)?;
        Ok(first)
    }

    fn read_from(&self, from: Offset, each: &mut dyn FnMut(Offset, &[u8])) -> Result<Offset, JournalError> {
        self.read_segments(from, |_| false, each)
    }

    fn trim(&self, up_to: Offset) -> Result<(), JournalError> {
        loop {
            let mut segments = self.segments.lock();
            let name = match &segments[..] {
                [first, second, ..] if second.base <= up_to => first.name.clone(),
                _ => return Ok(()),
            };
            match self.vfs.remove(&self.dir.join(&name)) {
                Err(e) if !e.is_not_found() => return Err(e.into()),
                _ => {}
            }
            segments.remove(0);
            // One at a time and durably, oldest first: a hole in the middle would look like a loss.
            self.vfs.sync_dir(&self.dir)?;
        }
    }

    fn start_offset(&self) -> Offset {
        let first = self.segments.lock().first().map(|s| s.base);
        first.unwrap_or_else(|| self.end_offset())
    }

    fn end_offset(&self) -> Offset {
        Offset(self.state.lock().visible_end)
    }

    fn segment_of(&self, at: Offset) -> Offset {
        let segments = self.segments.lock();
        segments.iter().map(|s| s.base).take_while(|base| *base <= at).last().unwrap_or(at)
    }

    fn len_bytes(&self) -> u64 {
        self.segments.lock().iter().map(|s| s.len_bytes).sum()
    }

    fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }
}
