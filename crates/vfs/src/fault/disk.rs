//! The simulated disk: two states of every name and every byte, the one that programs see and the one
//! that survives.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Rng;
use parking_lot::Mutex;

use super::FaultPlan;
use crate::DirEntry;
use crate::error::{VfsError, VfsErrorKind, VfsResult};

/// What a power failure tears: a sector is written whole or not at all.
const SECTOR_BYTES: usize = 512;

pub(super) type InodeRef = Arc<Mutex<Inode>>;

/// The bytes of one file.
#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) bytes: Vec<u8>,
    /// How many of them are durable.
    pub(super) durable_len: usize,
    /// The durable bytes as they were before a truncation that is not durable yet.
    pub(super) before_truncate: Option<Vec<u8>>,
    /// Ranges that a failed sync lost: readable until the power fails, zero afterwards.
    pub(super) lost: Vec<Range<usize>>,
    pub(super) n_links: u32,
}

/// What a name refers to, now and after a power failure.
#[derive(Debug, Default)]
pub(super) struct Name {
    pub(super) current: Option<InodeRef>,
    pub(super) durable: Option<InodeRef>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) names: BTreeMap<PathBuf, Name>,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) plan: FaultPlan,
    pub(super) rng: Rng,
    pub(super) n_changes: u64,
    pub(super) used_bytes: u64,
    pub(super) powered_off: bool,
}

impl Disk {
    pub(super) fn new(seed: u64, plan: FaultPlan) -> Self {
        let dirs = [PathBuf::from(""), PathBuf::from("/")].into();
        Self {
            names: BTreeMap::new(),
            dirs,
            locks: BTreeSet::new(),
            plan,
            rng: Rng::new(seed),
            n_changes: 0,
            used_bytes: 0,
            powered_off: false,
        }
    }

    pub(super) fn odds(&mut self, one_in: impl Fn(&FaultPlan) -> u64) -> bool {
        let n = one_in(&self.plan);
        n > 0 && self.rng.one_in(n)
    }

    pub(super) fn check_power(&self, operation: &'static str, path: &Path) -> VfsResult<()> {
        if self.powered_off {
            return Err(VfsError::new(VfsErrorKind::PoweredOff, operation, path, "the power is off"));
        }
        Ok(())
    }

    /// Counts a changing operation and fails it when the plan says so.
    pub(super) fn begin_change(&mut self, operation: &'static str, path: &Path) -> VfsResult<()> {
        self.check_power(operation, path)?;
        let number = self.n_changes;
        self.n_changes += 1;
        if self.plan.power_off_at_change.is_some_and(|at| number >= at) {
            self.powered_off = true;
            return self.check_power(operation, path);
        }
        if self.plan.fail_change == Some(number) {
            return Err(VfsError::new(VfsErrorKind::Io, operation, path, "injected I/O error"));
        }
        Ok(())
    }

    pub(super) fn begin_read(&mut self, operation: &'static str, path: &Path) -> VfsResult<()> {
        self.check_power(operation, path)?;
        if self.odds(|plan| plan.read_error_one_in) {
            return Err(VfsError::new(VfsErrorKind::Io, operation, path, "injected I/O error"));
        }
        Ok(())
    }

    pub(super) fn room_bytes(&self) -> u64 {
        self.plan.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes))
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.names.get(path).is_some_and(|name| name.current.is_some())
    }

    pub(super) fn find(&self, operation: &'static str, path: &Path) -> VfsResult<InodeRef> {
        match self.names.get(path).and_then(|name| name.current.as_ref()) {
            Some(inode) => Ok(Arc::clone(inode)),
            None => Err(VfsError::new(VfsErrorKind::NotFound, operation, path, "no such file")),
        }
    }

    pub(super) fn check_parent(&self, operation: &'static str, path: &Path) -> VfsResult<()> {
        match path.parent() {
            Some(parent) if !self.dirs.contains(parent) => {
                Err(VfsError::new(VfsErrorKind::NotFound, operation, path, "no such directory"))
            }
            _ => Ok(()),
        }
    }

    /// Points a name at an inode; what it pointed at before loses a link.
    pub(super) fn link(&mut self, path: &Path, inode: InodeRef) {
        self.unlink(path);
        {
            let mut inode = inode.lock();
            inode.n_links += 1;
            if inode.n_links == 1 {
                self.used_bytes += inode.bytes.len() as u64;
            }
        }
        self.names.entry(path.to_owned()).or_default().current = Some(inode);
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        let Some(name) = self.names.get_mut(path) else { return };
        if let Some(inode) = name.current.take() {
            let mut inode = inode.lock();
            inode.n_links -= 1;
            if inode.n_links == 0 {
                self.used_bytes -= inode.bytes.len() as u64;
            }
        }
        if name.durable.is_none() {
            self.names.remove(path);
        }
    }

    pub(super) fn list(&self, dir: &Path) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        let child = |path: &Path| {
            (path.parent() == Some(dir))
                .then(|| path.file_name().map(|n| n.to_string_lossy().into_owned()))?
        };
        for (path, name) in &self.names {
            if let (Some(inode), Some(name)) = (&name.current, child(path)) {
                entries.push(DirEntry { name, is_dir: false, len_bytes: inode.lock().bytes.len() as u64 });
            }
        }
        for path in &self.dirs {
            if let Some(name) = child(path) {
                entries.push(DirEntry { name, is_dir: true, len_bytes: 0 });
            }
        }
        entries.sort();
        entries
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        self.names.retain(|path, name| {
            if path.parent() == Some(dir) {
                name.durable = name.current.as_ref().map(Arc::clone);
            }
            name.current.is_some() || name.durable.is_some()
        });
    }

    /// The disk as it is when the power comes back.
    pub(super) fn crash(&mut self) -> Self {
        self.powered_off = true;
        let mut after = Self::new(self.rng.next_u64(), FaultPlan::default());
        after.plan.capacity_bytes = self.plan.capacity_bytes;
        after.dirs = self.dirs.clone();
        let mut survivors: Vec<(InodeRef, InodeRef)> = Vec::new();
        for (path, name) in &self.names {
            let same = match (&name.current, &name.durable) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            };
            // A change of a name that was not synced may have reached the disk all the same.
            let kept = if same || self.rng.one_in(2) { &name.current } else { &name.durable };
            let Some(inode) = kept else { continue };
            let known = survivors.iter().find(|(old, _)| Arc::ptr_eq(old, inode));
            let survivor = match known {
                Some((_, new)) => Arc::clone(new),
                None => {
                    let new = Arc::new(Mutex::new(inode.lock().survive(&mut self.rng)));
                    survivors.push((Arc::clone(inode), Arc::clone(&new)));
                    new
                }
            };
            after.link(path, Arc::clone(&survivor));
        }
        let dirs: Vec<PathBuf> = after.dirs.iter().cloned().collect();
        for dir in dirs {
            after.sync_dir(&dir);
        }
        after
    }
}

impl Inode {
    /// What is left of a file: the durable bytes, and of the rest nothing, a prefix, or a prefix with
    /// torn sectors.
    fn survive(&self, rng: &mut Rng) -> Self {
        let mut bytes = match &self.before_truncate {
            Some(before) if rng.one_in(2) => before.clone(),
            _ => {
                let unsynced = self.bytes.len() - self.durable_len;
                let kept = match rng.below(4) {
                    0 => 0,
                    1 => unsynced,
                    _ => usize::try_from(rng.below(unsynced as u64 + 1)).unwrap_or(0),
                };
                let mut bytes = self.bytes[..self.durable_len + kept].to_vec();
                if rng.one_in(2) {
                    tear(&mut bytes[self.durable_len..], self.durable_len, rng);
                }
                bytes
            }
        };
        for lost in &self.lost {
            let end = lost.end.min(bytes.len());
            if lost.start < end {
                bytes[lost.start..end].fill(0);
            }
        }
        let durable_len = bytes.len();
        Self { bytes, durable_len, ..Self::default() }
    }
}

/// Replaces some sectors by what was on the disk before: zeros or old rubbish. `at` is the position of
/// `bytes` in the file, so that sectors are aligned.
fn tear(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min(start + SECTOR_BYTES - (at + start) % SECTOR_BYTES);
        match rng.below(6) {
            0 => bytes[start..end].fill(0),
            1 => bytes[start..end].iter_mut().for_each(|b| *b = rng.next_u64() as u8),
            _ => {}
        }
        start = end;
    }
}
