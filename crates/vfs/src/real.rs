//! The machine's own file system.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{VfsError, VfsErrorKind, VfsResult};
use crate::{DirEntry, Publish, Space, Vfs, VfsFile, VfsLock};

/// Files of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealVfs;

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

#[derive(Debug)]
struct RealLock {
    /// Closing the file releases the advisory lock.
    _file: File,
}

impl VfsLock for RealLock {}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> VfsError + 'a {
    move |error| VfsError::from_io(operation, path, &error)
}

impl RealFile {
    fn boxed(file: File, path: &Path) -> Box<dyn VfsFile> {
        Box::new(Self { file, path: path.to_owned() })
    }
}

impl VfsFile for RealFile {
    fn write_all(&mut self, bytes: &[u8]) -> VfsResult<()> {
        self.file.write_all(bytes).map_err(failed("append to", &self.path))
    }

    fn sync_data(&mut self) -> VfsResult<()> {
        self.file.sync_data().map_err(failed("sync", &self.path))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> VfsResult<()> {
        self.file.read_exact_at(buf, offset).map_err(failed("read", &self.path))
    }

    fn len_bytes(&self) -> VfsResult<u64> {
        Ok(self.file.metadata().map_err(failed("examine", &self.path))?.len())
    }

    fn truncate(&mut self, len_bytes: u64) -> VfsResult<()> {
        self.file.set_len(len_bytes).map_err(failed("truncate", &self.path))
    }
}

impl Vfs for RealVfs {
    fn create(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>> {
        let opened = OpenOptions::new().append(true).read(true).create_new(true).open(path);
        Ok(RealFile::boxed(opened.map_err(failed("create", path))?, path))
    }

    fn open_append(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>> {
        let opened = OpenOptions::new().append(true).read(true).open(path);
        Ok(RealFile::boxed(opened.map_err(failed("open", path))?, path))
    }

    fn open(&self, path: &Path) -> VfsResult<Box<dyn VfsFile>> {
        let opened = OpenOptions::new().read(true).open(path);
        Ok(RealFile::boxed(opened.map_err(failed("open", path))?, path))
    }

    fn read(&self, path: &Path) -> VfsResult<Vec<u8>> {
        std::fs::read(path).map_err(failed("read", path))
    }

    fn publish(&self, from: &Path, to: &Path, mode: Publish) -> VfsResult<()> {
        match mode {
            Publish::Replace => std::fs::rename(from, to).map_err(failed("publish", to))?,
            Publish::Exclusive => {
                // A link fails when the name exists, on every POSIX file system; where links are not
                // supported, the data directory's lock keeps other processes out and the check holds.
                match std::fs::hard_link(from, to) {
                    Ok(()) => std::fs::remove_file(from).map_err(failed("remove", from))?,
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                        return Err(VfsError::from_io("publish", to, &e));
                    }
                    Err(_) if to.exists() => {
                        return Err(VfsError::new(VfsErrorKind::AlreadyExists, "publish", to, "it exists"));
                    }
                    Err(_) => std::fs::rename(from, to).map_err(failed("publish", to))?,
                }
            }
        }
        match to.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> VfsResult<()> {
        std::fs::remove_file(path).map_err(failed("remove", path))
    }

    fn list_dir(&self, path: &Path) -> VfsResult<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed("list", path))? {
            let entry = entry.map_err(failed("list", path))?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // Removed between listing and examining.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(VfsError::from_io("examine", &entry.path(), &e)),
            };
            let Ok(name) = entry.file_name().into_string() else { continue };
            let len_bytes = if meta.is_dir() { 0 } else { meta.len() };
            entries.push(DirEntry { name, is_dir: meta.is_dir(), len_bytes });
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        let dir = OpenOptions::new().read(true).open(path).map_err(failed("open", path))?;
        dir.sync_all().map_err(failed("sync", path))
    }

    fn create_dir_all(&self, path: &Path) -> VfsResult<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.create_dir_all(parent)?;
        }
        match std::fs::create_dir(path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(VfsError::from_io("create", path, &e)),
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
            _ => self.sync_dir(Path::new(".")),
        }
    }

    fn file_len(&self, path: &Path) -> VfsResult<u64> {
        Ok(std::fs::metadata(path).map_err(failed("examine", path))?.len())
    }

    fn exists(&self, path: &Path) -> VfsResult<bool> {
        path.try_exists().map_err(failed("examine", path))
    }

    fn space(&self, path: &Path) -> VfsResult<Space> {
        let stat = rustix::fs::statvfs(path)
            .map_err(|errno| VfsError::from_io("examine", path, &std::io::Error::from(errno)))?;
        // f_bavail: what a process without root's reserve may still take.
        Ok(Space { free_bytes: stat.f_bavail * stat.f_frsize, total_bytes: stat.f_blocks * stat.f_frsize })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> VfsResult<()> {
        match std::fs::hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound) =>
            {
                Err(VfsError::from_io("link", to, &e))
            }
            Err(_) => {
                std::fs::copy(from, to).map_err(failed("copy to", to))?;
                let copy = OpenOptions::new().append(true).open(to).map_err(failed("open", to))?;
                copy.sync_data().map_err(failed("sync", to))
            }
        }
    }

    fn lock(&self, path: &Path) -> VfsResult<Box<dyn VfsLock>> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(failed("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => {
                Err(VfsError::new(VfsErrorKind::Locked, "lock", path, "it is in use by another process"))
            }
            Err(TryLockError::Error(e)) => Err(VfsError::from_io("lock", path, &e)),
        }
    }
}
