//! A file system in memory that keeps a POSIX disk's promises and no more: what was not synced may be
//! lost, torn or kept when the power fails, and operations fail when the plan says so. All of it is
//! decided by one seed, so that a run can be repeated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{VfsError, VfsErrorKind, VfsResult};
use crate::{DirEntry, Publish, Space, Vfs, VfsFile, VfsLock};

mod disk;

use disk::{Disk, Inode, InodeRef};

/// A file system in memory without faults: a [`FaultVfs`] whose plan is empty. It can lose power all
/// the same.
pub type MemVfs = FaultVfs;

/// What goes wrong. `one_in` fields are odds: 0 is never, 1 always, `n` once in `n` on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// A write stores only a part of its bytes and fails.
    pub short_write_one_in: u64,
    /// A sync fails, and some of the bytes it was for are lost although later syncs succeed.
    pub sync_error_one_in: u64,
    /// A read fails once.
    pub read_error_one_in: u64,
    /// The size of the disk.
    pub capacity_bytes: Option<u64>,
    /// The changing operation with this number (see [`FaultVfs::n_changes`]) fails with
    /// [`VfsErrorKind::Io`].
    pub fail_change: Option<u64>,
    /// The power fails in the middle of the changing operation with this number.
    pub power_off_at_change: Option<u64>,
}

/// Files in memory, with faults. Clones share the disk.
#[derive(Debug, Clone)]
pub struct FaultVfs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct FaultFile {
    disk: Arc<Mutex<Disk>>,
    inode: InodeRef,
    path: PathBuf,
}

#[derive(Debug)]
struct FaultLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

impl VfsLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}

impl Default for FaultVfs {
    fn default() -> Self {
        Self::new(0, FaultPlan::default())
    }
}

impl FaultVfs {
    pub fn new(seed: u64, plan: FaultPlan) -> Self {
        Self { disk: Arc::new(Mutex::new(Disk::new(seed, plan))) }
    }

    pub fn set_plan(&self, plan: FaultPlan) {
        self.disk.lock().plan = plan;
    }

    /// How many changing operations (creations, writes, syncs, publications, removals, links) were
    /// begun: the next has this number.
    pub fn n_changes(&self) -> u64 {
        self.disk.lock().n_changes
    }

    pub fn is_powered_off(&self) -> bool {
        self.disk.lock().powered_off
    }

    /// Cuts the power, if it is not cut yet, and returns the disk as the next start finds it, without
    /// faults. Every handle on the old one fails from now on.
    pub fn crash(&self) -> Self {
        Self { disk: Arc::new(Mutex::new(self.disk.lock().crash())) }
    }

    /// Flips one bit of a file, as ageing media do; for tests of checksums.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> VfsResult<()> {
        let inode = self.disk.lock().find("flip a bit of", path)?;
        let mut inode = inode.lock();
        let byte_idx = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let Some(byte) = inode.bytes.get_mut(byte_idx) else {
            return Err(VfsError::new(VfsErrorKind::UnexpectedEof, "flip a bit of", path, "too short"));
        };
        *byte ^= 1 << (bit % 8);
        Ok(())
    }

    /// Every file with its length, for tests.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let disk = self.disk.lock();
        let present = disk.names.iter().filter_map(|(path, name)| Some((path, name.current.as_ref()?)));
        present.map(|(path, inode)| (path.clone(), inode.lock().bytes.len() as u64)).collect()
    }

    fn file(&self, inode: InodeRef, path: &Path) -> Box<dyn VfsFile> {
        Box::new(FaultFile { disk: Arc::clone(&self.disk), inode, path: path.to_owned() })
    }
}

impl VfsFile for FaultFile {
    fn write_all(&mut self, bytes: &[u8]) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        let fault = disk.begin_change("append to", &self.path);
        let mut n = bytes.len();
        let mut failure = fault.err();
        if failure.is_none() && disk.odds(|plan| plan.short_write_one_in) {
            failure = Some(VfsError::new(VfsErrorKind::Io, "append to", &self.path, "short write"));
        }
        if failure.is_some() && n > 0 {
            n = usize::try_from(disk.rng.below(n as u64 + 1)).unwrap_or(0);
        }
        let room = usize::try_from(disk.room_bytes()).unwrap_or(usize::MAX);
        if n > room {
            n = room;
            failure.get_or_insert_with(|| {
                VfsError::new(VfsErrorKind::NoSpace, "append to", &self.path, "no space left on device")
            });
        }
        let mut inode = self.inode.lock();
        inode.bytes.extend_from_slice(&bytes[..n]);
        if inode.n_links > 0 {
            disk.used_bytes += n as u64;
        }
        failure.map_or(Ok(()), Err)
    }

    fn sync_data(&mut self) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.begin_change("sync", &self.path)?;
        let fails = disk.odds(|plan| plan.sync_error_one_in);
        let mut inode = self.inode.lock();
        if fails {
            // The kernel marks the pages clean although they were not written: a later sync "succeeds".
            let from = inode.durable_len;
            let lost = from..inode.bytes.len();
            inode.lost.push(lost);
            return Err(VfsError::new(VfsErrorKind::Io, "sync", &self.path, "injected I/O error"));
        }
        inode.durable_len = inode.bytes.len();
        inode.before_truncate = None;
        Ok(())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> VfsResult<()> {
        self.disk.lock().begin_read("read", &self.path)?;
        let inode = self.inode.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match start.checked_add(buf.len()).and_then(|end| inode.bytes.get(start..end)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(VfsError::new(VfsErrorKind::UnexpectedEof, "read", &self.path, "end of file")),
        }
    }

    fn len_bytes(&self) -> VfsResult<u64> {
        self.disk.lock().check_power("examine", &self.path)?;
        Ok(self.inode.lock().bytes.len() as u64)
    }

    fn truncate(&mut self, len_bytes: u64) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.begin_change("truncate", &self.path)?;
        let mut inode = self.inode.lock();
        let len = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(inode.bytes.len());
        if len < inode.durable_len && inode.before_truncate.is_none() {
            inode.before_truncate = Some(inode.bytes[..inode.durable_len].to_vec());
        }
        if inode.n_links > 0 {
            disk.used_bytes -= (inode.bytes.len() - len) as u64;
        }
        inode.bytes.truncate(len);
        inode.durable_len = inode.durable_len.min(len);
        Ok(())
    }
}

impl Vfs for FaultVfs {
    fn create(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>> {
        let mut disk = self.disk.lock();
        disk.begin_change("create", path)?;
        disk.check_parent("create", path)?;
        if disk.exists(path) {
            return Err(VfsError::new(VfsErrorKind::AlreadyExists, "create", path, "file exists"));
        }
        if disk.room_bytes() == 0 {
            return Err(VfsError::new(VfsErrorKind::NoSpace, "create", path, "no space left on device"));
        }
        let inode = Arc::new(Mutex::new(Inode::default()));
        disk.link(path, Arc::clone(&inode));
        Ok(self.file(inode, path))
    }

    fn open_append(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>> {
        self.open(path)
    }

    fn open(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>> {
        let mut disk = self.disk.lock();
        disk.begin_read("open", path)?;
        Ok(self.file(disk.find("open", path)?, path))
    }

    fn read(&self, path: &Path) -> VfsResult<Vec<u8>> {
        let mut disk = self.disk.lock();
        disk.begin_read("read", path)?;
        let inode = disk.find("read", path)?;
        let bytes = inode.lock().bytes.clone();
        Ok(bytes)
    }

    fn publish(&self, from: &Path, to: &Path, mode: Publish) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.begin_change("publish", to)?;
        disk.check_parent("publish", to)?;
        let inode = disk.find("publish", from)?;
        if mode == Publish::Exclusive && disk.exists(to) {
            return Err(VfsError::new(VfsErrorKind::AlreadyExists, "publish", to, "file exists"));
        }
        disk.link(to, inode);
        disk.unlink(from);
        drop(disk);
        match to.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.begin_change("remove", path)?;
        disk.find("remove", path)?;
        disk.unlink(path);
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> VfsResult<Vec<DirEntry>> {
        let mut disk = self.disk.lock();
        disk.begin_read("list", path)?;
        if !disk.dirs.contains(path) {
            return Err(VfsError::new(VfsErrorKind::NotFound, "list", path, "no such directory"));
        }
        Ok(disk.list(path))
    }

    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.begin_change("sync", path)?;
        disk.sync_dir(path);
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.check_power("create", path)?;
        if disk.dirs.contains(path) {
            return Ok(());
        }
        disk.begin_change("create", path)?;
        let ancestors: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
        disk.dirs.extend(ancestors);
        Ok(())
    }

    fn file_len(&self, path: &Path) -> VfsResult<u64> {
        let mut disk = self.disk.lock();
        disk.begin_read("examine", path)?;
        let inode = disk.find("examine", path)?;
        let len_bytes = inode.lock().bytes.len() as u64;
        Ok(len_bytes)
    }

    fn exists(&self, path: &Path) -> VfsResult<bool> {
        let disk = self.disk.lock();
        disk.check_power("examine", path)?;
        Ok(disk.exists(path) || disk.dirs.contains(path))
    }

    fn space(&self, path: &Path) -> VfsResult<Space> {
        let disk = self.disk.lock();
        disk.check_power("examine", path)?;
        let total_bytes = disk.plan.capacity_bytes.unwrap_or(1 << 40);
        Ok(Space { free_bytes: total_bytes.saturating_sub(disk.used_bytes), total_bytes })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> VfsResult<()> {
        let mut disk = self.disk.lock();
        disk.begin_change("link", to)?;
        disk.check_parent("link", to)?;
        let inode = disk.find("link", from)?;
        if disk.exists(to) {
            return Err(VfsError::new(VfsErrorKind::AlreadyExists, "link", to, "file exists"));
        }
        disk.link(to, inode);
        Ok(())
    }

    fn lock(&self, path: &Path) -> VfsResult<Box<dyn VfsLock>> {
        let mut disk = self.disk.lock();
        disk.check_power("lock", path)?;
        disk.check_parent("lock", path)?;
        if !disk.locks.insert(path.to_owned()) {
            return Err(VfsError::new(VfsErrorKind::Locked, "lock", path, "it is in use by another process"));
        }
        Ok(Box::new(FaultLock { disk: Arc::clone(&self.disk), path: path.to_owned() }))
    }
}

#[cfg(test)]
mod tests;
