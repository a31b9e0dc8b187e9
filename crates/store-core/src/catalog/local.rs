//! The catalog as objects: `catalog/commit/<n>`, put with "create only", and every so often
//! `catalog/checkpoint/<n>`, the whole view.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::log::{
    CHECKPOINT_PREFIX, COMMIT_PREFIX, TOMBSTONE_PREFIX, checkpoint_key, commit_key, decode_checkpoint,
    decode_commit, decode_stored_tombstone, encode_checkpoint, encode_commit, encode_stored_tombstone,
    tombstone_key, version_of,
};
use super::state::apply;
use super::{Catalog, CatalogError, CatalogSnapshot, PartKey, ReclaimReport, Tombstone, Txn};
use crate::blob::{BlobError, BlobStore, PutMode};
use crate::journal::Offset;
use crate::part::{PartId, PartMeta};

/// A checkpoint is written after this many commits.
pub(super) const COMMITS_PER_CHECKPOINT: u64 = 64;

/// How many checkpoints are kept, the commits after the oldest of them too, so that one unreadable
/// checkpoint costs nothing.
const CHECKPOINTS_KEPT: usize = 2;

/// An object that is there to be deleted: room for the commit that makes room.
const RESERVE_KEY: &str = "reserve";
const RESERVE_BYTES: usize = 64 << 10;

/// A [`Catalog`] whose only writer is this process.
#[derive(Debug)]
pub struct LocalCatalog {
    blobs: Arc<dyn BlobStore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    view: Arc<CatalogSnapshot>,
    /// Removed parts whose objects still exist, in the order of their removal. They are deleted in that
    /// order, so that a part never outlives one that replaced it.
    removed: Vec<Arc<PartMeta>>,
    /// Parts that must be deleted before the next commit, unless that one names them.
    discarded: Vec<PartKey>,
    /// The version of the newest checkpoint.
    checkpoint: u64,
}

impl CatalogSnapshot {
    /// The view before the first commit.
    pub fn empty() -> Self {
        let (parts, tombstones) = (Vec::new(), Vec::new());
        Self { version: 0, parts, committed: Offset::ZERO, tombstones, tombstone_seq: 0 }
    }
}

impl LocalCatalog {
    /// Reads the newest readable checkpoint and the commits after it. Objects of parts that no commit
    /// names are left alone: see [`crate::plan::orphans`].
    pub fn open(blobs: Arc<dyn BlobStore>) -> Result<Self, CatalogError> {
        let (view, checkpoint) = load(&*blobs)?;
        let state = State { view: Arc::new(view), removed: Vec::new(), discarded: Vec::new(), checkpoint };
        let catalog = Self { blobs, state: Mutex::new(state) };
        catalog.keep_reserve();
        Ok(catalog)
    }

    /// Sees to it that the reserve exists, if there is room for it.
    fn keep_reserve(&self) {
        if self.blobs.head(RESERVE_KEY).is_err_and(|e| e.is_not_found()) {
            // A full disk has no room for it; the next reclaim tries again.
            let _ = self.blobs.put(RESERVE_KEY, &[0; RESERVE_BYTES], PutMode::Overwrite);
        }
    }

    /// Puts a commit. One that only removes may use the reserve: on a full disk it is what makes room.
    fn put_commit(&self, key: &str, bytes: &[u8], txn: &Txn) -> Result<(), BlobError> {
        let put = || self.blobs.put(key, bytes, PutMode::Create);
        let result = put();
        let makes_room = txn.add.is_empty() && !txn.remove.is_empty();
        match result {
            Err(e) if e.is_no_space() && makes_room => {
                self.blobs.delete(RESERVE_KEY)?;
                put()
            }
            result => result,
        }
    }

    /// Writes a catalog that consists of one checkpoint into an empty place: a rebuilt one, or that of
    /// a snapshot.
    pub(crate) fn write_checkpoint(
        blobs: &dyn BlobStore,
        prefix: &str,
        view: &CatalogSnapshot,
    ) -> Result<(), BlobError> {
        put_tombstones(blobs, prefix, view.tombstones.iter())?;
        let key = format!("{prefix}{}", checkpoint_key(view.version));
        blobs.put(&key, &encode_checkpoint(view), PutMode::Overwrite)
    }

    fn try_commit(&self, state: &mut State, txn: &Txn) -> Result<Arc<CatalogSnapshot>, CatalogError> {
        if !state.discarded.is_empty() {
            // The outcome of a commit that failed is unknown until its object is looked for.
            let key = commit_key(state.view.version + 1);
            match self.blobs.head(&key) {
                Ok(_) => return self.settle(state, &key, txn),
                Err(e) if e.is_not_found() => self.delete_discarded(state, txn)?,
                Err(e) => return Err(e.into()),
            }
        }
        let (view, removed) = apply(&state.view, txn)?;
        let bytes = encode_commit(view.version, txn);
        // Beside the log, so that a rebuild without it knows what was deleted.
        let is_new = |t: &&Arc<Tombstone>| t.seq > state.view.tombstone_seq;
        put_tombstones(&*self.blobs, "", view.tombstones.iter().filter(is_new))?;
        match self.put_commit(&commit_key(view.version), &bytes, txn) {
            Ok(()) => {}
            Err(BlobError::AlreadyExists { key }) => return self.settle(state, &key, txn),
            Err(e) => return Err(e.into()),
        }
        let view = Arc::new(view);
        state.view = Arc::clone(&view);
        state.removed.extend(removed);
        for seq in &txn.drop_tombstones {
            // One that stays does no harm: its work is done in every part that it is about.
            let _ = self.blobs.delete(&tombstone_key(*seq));
        }
        if view.version - state.checkpoint >= COMMITS_PER_CHECKPOINT {
            // The commit stands without it; the next commit tries again.
            let _ = self.checkpoint(state);
        }
        Ok(view)
    }

    /// An earlier attempt failed after its object was made: it decides, being durable.
    fn settle(&self, state: &mut State, key: &str, txn: &Txn) -> Result<Arc<CatalogSnapshot>, CatalogError> {
        let (_, earlier) = decode_commit(key, &self.blobs.get(key)?)?;
        let (view, removed) = apply(&state.view, &earlier)?;
        let (expected, actual) = (state.view.version, view.version);
        state.view = Arc::new(view);
        state.removed.extend(removed);
        if (Txn { expected_version: None, ..txn.clone() }) == earlier {
            return Ok(Arc::clone(&state.view));
        }
        Err(CatalogError::Conflict { expected, actual })
    }

    /// Deletes what was taken back, except what is visible after all or about to be.
    fn delete_discarded(&self, state: &mut State, txn: &Txn) -> Result<(), CatalogError> {
        while let Some(last) = state.discarded.last() {
            let is_added = txn.add.iter().any(|p| p.id == last.id);
            if !is_added && !state.view.parts.iter().any(|p| p.id == last.id) {
                self.blobs.delete(&last.key)?;
            }
            state.discarded.pop();
        }
        Ok(())
    }

    fn checkpoint(&self, state: &mut State) -> Result<(), CatalogError> {
        Self::write_checkpoint(&*self.blobs, "", &state.view)?;
        state.checkpoint = state.view.version;
        let checkpoints = self.blobs.list(CHECKPOINT_PREFIX)?;
        let Some(n_old) = checkpoints.len().checked_sub(CHECKPOINTS_KEPT) else { return Ok(()) };
        let oldest_kept = version_of(&checkpoints[n_old].key).unwrap_or(0);
        for old in &checkpoints[..n_old] {
            self.blobs.delete(&old.key)?;
        }
        for commit in self.blobs.list(COMMIT_PREFIX)? {
            if version_of(&commit.key).is_some_and(|version| version <= oldest_kept) {
                self.blobs.delete(&commit.key)?;
            }
        }
        Ok(())
    }
}

/// The parts that the commits which still exist have removed. What cannot be read proves nothing.
pub fn removed_in_log(blobs: &dyn BlobStore) -> Result<BTreeSet<PartId>, BlobError> {
    let mut removed = BTreeSet::new();
    for object in blobs.list(COMMIT_PREFIX)? {
        if let Ok((_, txn)) = decode_commit(&object.key, &blobs.get(&object.key)?) {
            removed.extend(txn.remove);
        }
    }
    Ok(removed)
}

/// Every tombstone that has an object of its own and is readable.
pub(super) fn stored_tombstones(blobs: &dyn BlobStore) -> Result<Vec<Tombstone>, BlobError> {
    let mut found = Vec::new();
    for object in blobs.list(TOMBSTONE_PREFIX)? {
        found.extend(decode_stored_tombstone(&object.key, &blobs.get(&object.key)?));
    }
    Ok(found)
}

/// The keys of tombstones whose own objects cannot be read: a rebuild without the log would not know them.
pub fn unreadable_tombstones(blobs: &dyn BlobStore) -> Result<Vec<String>, BlobError> {
    let mut found = Vec::new();
    for object in blobs.list(TOMBSTONE_PREFIX)? {
        if decode_stored_tombstone(&object.key, &blobs.get(&object.key)?).is_none() {
            found.push(object.key);
        }
    }
    Ok(found)
}

fn put_tombstones<'a>(
    blobs: &dyn BlobStore,
    prefix: &str,
    tombstones: impl Iterator<Item = &'a Arc<Tombstone>>,
) -> Result<(), BlobError> {
    for t in tombstones {
        let key = format!("{prefix}{}", tombstone_key(t.seq));
        blobs.put(&key, &encode_stored_tombstone(t), PutMode::Overwrite)?;
    }
    Ok(())
}

/// The view that the objects describe, and the version of its checkpoint.
pub(super) fn load(blobs: &dyn BlobStore) -> Result<(CatalogSnapshot, u64), CatalogError> {
    let mut view = CatalogSnapshot::empty();
    let mut unreadable = None;
    for object in blobs.list(CHECKPOINT_PREFIX)?.iter().rev() {
        match decode_checkpoint(&object.key, &blobs.get(&object.key)?) {
            Ok(found) => {
                view = found;
                break;
            }
            Err(e @ CatalogError::NewerVersion { .. }) => return Err(e),
            Err(e) => unreadable = Some(unreadable.unwrap_or(e)),
        }
    }
    let checkpoint = view.version;
    for object in blobs.list(COMMIT_PREFIX)? {
        let Some(version) = version_of(&object.key) else { continue };
        if version <= view.version {
            continue;
        }
        let (found, txn) = decode_commit(&object.key, &blobs.get(&object.key)?)?;
        let gap = |reason: String| CatalogError::Corrupt { key: object.key.clone(), reason };
        if version != view.version + 1 || found != version {
            let error = gap(format!("it says {found}, and follows commit {}", view.version));
            return Err(unreadable.unwrap_or(error));
        }
        view = apply(&view, &txn).map_err(|e| gap(e.to_string()))?.0;
    }
    // An unreadable checkpoint is harmless only when older objects led all the way past it.
    match unreadable {
        Some(CatalogError::Corrupt { key, reason }) if version_of(&key).is_none_or(|v| v > view.version) => {
            Err(CatalogError::Corrupt { key, reason })
        }
        _ => Ok((view, checkpoint)),
    }
}

impl Catalog for LocalCatalog {
    fn snapshot(&self) -> Arc<CatalogSnapshot> {
        Arc::clone(&self.state.lock().view)
    }

    fn commit(&self, txn: Txn) -> Result<Arc<CatalogSnapshot>, CatalogError> {
        let mut state = self.state.lock();
        let result = self.try_commit(&mut state, &txn);
        if result.is_err() {
            state.discarded.extend(txn.add.iter().map(|p| PartKey { id: p.id, key: p.key() }));
        }
        result
    }

    fn discard(&self, parts: &[PartKey]) {
        self.state.lock().discarded.extend_from_slice(parts);
    }

    fn reclaim(&self) -> Result<ReclaimReport, CatalogError> {
        let mut state = self.state.lock();
        let mut report = ReclaimReport::default();
        // In order, up to the first that a snapshot still holds.
        let held = |p: &Arc<PartMeta>| Arc::strong_count(p) > 1;
        let n_free = state.removed.iter().position(held).unwrap_or(state.removed.len());
        let mut n_done = 0;
        let mut failure = None;
        for part in &state.removed[..n_free] {
            if let Err(e) = self.blobs.delete(&part.key()) {
                failure = Some(e);
                break;
            }
            n_done += 1;
            report.deleted += 1;
            report.deleted_bytes += part.len_bytes;
        }
        state.removed.drain(..n_done);
        if n_done > 0 {
            self.keep_reserve();
        }
        report.waiting = state.removed.len() as u64;
        failure.map_or(Ok(report), |e| Err(e.into()))
    }
}
