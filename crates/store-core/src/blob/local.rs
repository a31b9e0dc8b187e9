//! Objects as files below one directory. An object is written under a temporary name, synced, and then
//! published under its own, so that it is there whole or not at all.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use vfs::{DirEntry, Publish, Space, Vfs, VfsError, VfsErrorKind, VfsFile};

use crate::snapshot::SNAPSHOTS_PREFIX;

use super::{BlobError, BlobMeta, BlobStore, BlobUpload, PutMode, check_key};

/// Where unfinished uploads live; emptied when the store opens.
pub(super) const UPLOADS_DIR: &str = ".uploads";

/// A directory with object-store semantics.
#[derive(Debug)]
pub struct LocalBlobStore {
    vfs: Arc<dyn Vfs>,
    root: PathBuf,
    /// Where objects of snapshots are: users look for them beside the stores that they are of.
    snapshots: PathBuf,
    n_uploads: AtomicU64,
    /// Files that were read lately, so that reading a part's blocks does not open it for each.
    open_files: OpenFiles,
}

type OpenFiles = Arc<Mutex<HashMap<String, Arc<dyn VfsFile>>>>;

/// The most files that are kept open.
const OPEN_FILES_MAX: usize = 256;

#[derive(Debug)]
struct LocalUpload {
    vfs: Arc<dyn Vfs>,
    key: String,
    temporary: PathBuf,
    path: PathBuf,
    open_files: OpenFiles,
    /// `None` once published.
    file: Option<Box<dyn VfsFile>>,
}

fn blob_error(key: &str, source: VfsError) -> BlobError {
    let key = key.to_owned();
    match source.kind {
        VfsErrorKind::NotFound => BlobError::NotFound { key },
        VfsErrorKind::AlreadyExists => BlobError::AlreadyExists { key },
        VfsErrorKind::NoSpace => BlobError::NoSpace { key, source },
        _ => BlobError::Io { key, source },
    }
}

impl LocalBlobStore {
    /// Opens the store in `root`, which is created if need be, and clears what unfinished uploads left.
    pub fn open(vfs: Arc<dyn Vfs>, root: &Path) -> Result<Self, BlobError> {
        Self::open_with_snapshots(vfs, root, &root.join(SNAPSHOTS_PREFIX))
    }

    /// Like [`LocalBlobStore::open`], with the keys below `snapshots/` in a directory of their own, on
    /// the same file system.
    pub fn open_with_snapshots(vfs: Arc<dyn Vfs>, root: &Path, snapshots: &Path) -> Result<Self, BlobError> {
        let uploads = root.join(UPLOADS_DIR);
        let failed = |source| blob_error(UPLOADS_DIR, source);
        vfs.create_dir_all(&uploads).map_err(failed)?;
        for entry in vfs.list_dir(&uploads).map_err(failed)? {
            vfs.remove(&uploads.join(entry.name)).map_err(failed)?;
        }
        let open_files = OpenFiles::default();
        let (root, snapshots) = (root.to_owned(), snapshots.to_owned());
        Ok(Self { vfs, root, snapshots, n_uploads: AtomicU64::new(0), open_files })
    }

    fn path(&self, key: &str) -> Result<PathBuf, BlobError> {
        check_key(key)?;
        Ok(self.place(key))
    }

    /// Where a key, or a directory of keys, is.
    fn place(&self, key: &str) -> PathBuf {
        match key.strip_prefix(SNAPSHOTS_PREFIX) {
            Some(below) => self.snapshots.join(below),
            None if format!("{key}/") == SNAPSHOTS_PREFIX => self.snapshots.clone(),
            None => self.root.join(key),
        }
    }

    /// The path of a key, its directory made.
    fn new_path(&self, key: &str) -> Result<PathBuf, BlobError> {
        let path = self.path(key)?;
        let parent = path.parent().expect("a key lies below the root");
        self.vfs.create_dir_all(parent).map_err(|e| blob_error(key, e))?;
        Ok(path)
    }

    fn begin(&self, key: &str) -> Result<LocalUpload, BlobError> {
        let path = self.new_path(key)?;
        let n = self.n_uploads.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(UPLOADS_DIR).join(format!("{n}"));
        let file = self.vfs.create(&temporary).map_err(|e| blob_error(key, e))?;
        let vfs = Arc::clone(&self.vfs);
        let open_files = Arc::clone(&self.open_files);
        Ok(LocalUpload { vfs, key: key.to_owned(), temporary, path, open_files, file: Some(file) })
    }

    fn open_file(&self, key: &str) -> Result<Arc<dyn VfsFile>, BlobError> {
        if let Some(file) = self.open_files.lock().get(key) {
            return Ok(Arc::clone(file));
        }
        let file = self.vfs.open(&self.path(key)?).map_err(|e| blob_error(key, e))?;
        let file: Arc<dyn VfsFile> = Arc::from(file);
        // What is not a part is small and read whole.
        if key.starts_with("parts/") {
            let mut open_files = self.open_files.lock();
            if open_files.len() >= OPEN_FILES_MAX {
                open_files.clear();
            }
            open_files.insert(key.to_owned(), Arc::clone(&file));
        }
        Ok(file)
    }

    fn list_into(&self, key: &str, prefix: &str, out: &mut Vec<BlobMeta>) -> Result<(), BlobError> {
        let mut entries = match self.vfs.list_dir(&self.place(key)) {
            Ok(entries) => entries,
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(blob_error(key, e)),
        };
        if key.is_empty() {
            let name = SNAPSHOTS_PREFIX.trim_end_matches('/').to_owned();
            entries.retain(|entry| entry.name != name);
            entries.push(DirEntry { name, is_dir: true, len_bytes: 0 });
        }
        for entry in entries {
            let name = if key.is_empty() { entry.name } else { format!("{key}/{}", entry.name) };
            if name == UPLOADS_DIR {
                continue;
            }
            if entry.is_dir {
                let below = format!("{name}/");
                if below.starts_with(prefix) || prefix.starts_with(&below) {
                    self.list_into(&name, prefix, out)?;
                }
            } else if name.starts_with(prefix) {
                out.push(BlobMeta { key: name, len_bytes: entry.len_bytes });
            }
        }
        Ok(())
    }
}

impl BlobUpload for LocalUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let file = self.file.as_mut().expect("an upload is written before it is finished");
        file.write_all(bytes).map_err(|e| blob_error(&self.key, e))
    }

    fn finish(mut self: Box<Self>, mode: PutMode) -> Result<(), BlobError> {
        let failed = |e| blob_error(&self.key, e);
        let file = self.file.as_mut().expect("an upload is finished once");
        file.sync_data().map_err(failed)?;
        let mode = match mode {
            PutMode::Create => Publish::Exclusive,
            PutMode::Overwrite => Publish::Replace,
        };
        self.vfs.publish(&self.temporary, &self.path, mode).map_err(failed)?;
        self.file = None;
        self.open_files.lock().remove(&self.key);
        Ok(())
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What stays behind when this fails is cleared at the next start.
            let _ = self.vfs.remove(&self.temporary);
        }
    }
}

impl BlobStore for LocalBlobStore {
    fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Result<(), BlobError> {
        let mut upload = Box::new(self.begin(key)?);
        upload.write(bytes)?;
        upload.finish(mode)
    }

    fn upload(&self, key: &str) -> Result<Box<dyn BlobUpload>, BlobError> {
        Ok(Box::new(self.begin(key)?))
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, BlobError> {
        self.vfs.read(&self.path(key)?).map_err(|e| blob_error(key, e))
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let file = self.open_file(key)?;
        let out_of_range = || BlobError::OutOfRange { key: key.to_owned(), end: range.end };
        // The length is checked before memory is taken for it.
        if range.end > file.len_bytes().map_err(|e| blob_error(key, e))? || range.start > range.end {
            return Err(out_of_range());
        }
        let n = usize::try_from(range.end - range.start).map_err(|_| out_of_range())?;
        let mut bytes = vec![0; n];
        file.read_at(range.start, &mut bytes).map_err(|e| blob_error(key, e))?;
        Ok(bytes)
    }

    fn head(&self, key: &str) -> Result<BlobMeta, BlobError> {
        // Whoever asks for the size is about to read from the start: a file that was put in the place of
        // a damaged one is seen.
        self.open_files.lock().remove(key);
        let len_bytes = self.vfs.file_len(&self.path(key)?).map_err(|e| blob_error(key, e))?;
        Ok(BlobMeta { key: key.to_owned(), len_bytes })
    }

    fn list(&self, prefix: &str) -> Result<Vec<BlobMeta>, BlobError> {
        let mut out = Vec::new();
        // Begin at the deepest directory that the prefix names whole.
        let whole = prefix.rfind('/').map_or("", |slash| &prefix[..slash]);
        if !whole.is_empty() {
            check_key(whole)?;
        }
        self.list_into(whole, prefix, &mut out)?;
        out.sort();
        Ok(out)
    }

    fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        // An open file would keep its space.
        self.open_files.lock().remove(key);
        match self.vfs.remove(&path) {
            Ok(()) => {}
            Err(e) if e.is_not_found() => return Ok(()),
            Err(e) => return Err(blob_error(key, e)),
        }
        let parent = path.parent().expect("a key lies below the root");
        self.vfs.sync_dir(parent).map_err(|e| blob_error(key, e))
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), BlobError> {
        let source = self.path(from)?;
        let target = self.new_path(to)?;
        match self.vfs.hard_link(&source, &target) {
            Ok(()) => {}
            Err(e) if e.is_not_found() => return Err(blob_error(from, e)),
            Err(e) => return Err(blob_error(to, e)),
        }
        let parent = target.parent().expect("a key lies below the root");
        self.vfs.sync_dir(parent).map_err(|e| blob_error(to, e))
    }

    fn space(&self) -> Result<Option<Space>, BlobError> {
        self.vfs.space(&self.root).map(Some).map_err(|e| blob_error("", e))
    }
}
