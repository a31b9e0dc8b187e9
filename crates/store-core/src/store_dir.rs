//! A store's directory: its lock, the version of its layout, its journal, its objects and its catalog.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{Publish, Vfs, VfsError, VfsErrorKind, VfsLock};

use crate::blob::{BlobError, LocalBlobStore};
use crate::catalog::{Catalog, CatalogError, LocalCatalog, Txn, rebuild};
use crate::journal::{JournalError, JournalOptions, LocalJournal};
use crate::plan::{Adoption, Orphan, OrphanPlan};
use crate::snapshot::{SNAPSHOTS_PREFIX, remove_unfinished};
use crate::sweep::{find_orphans, kept_reason, lost_reason, plan_sweep};

/// The version of the layout of a store's directory.
pub const LAYOUT_VERSION: u32 = 1;

pub(crate) const META_FILE: &str = "meta.json";
const LOCK_FILE: &str = "lock";
pub(crate) const JOURNAL_DIR: &str = "journal";

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreDirError {
    #[error("{} is not the directory of a store: it has no {META_FILE}", dir.display())]
    NotAStore { dir: PathBuf },
    #[error("{} is in use by another process", dir.display())]
    InUse { dir: PathBuf },
    #[error(
        "{} was written by a newer release: layout version {found}, this one reads up to {LAYOUT_VERSION}",
        dir.display()
    )]
    NewerVersion { dir: PathBuf, found: u32 },
    #[error("{} is a snapshot that was never finished", dir.display())]
    UnfinishedSnapshot { dir: PathBuf },
    #[error("{}: {reason}", path.display())]
    BadMeta { path: PathBuf, reason: String },
    #[error(transparent)]
    Vfs(#[from] VfsError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl StoreDirError {
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Vfs(e) => e.is_no_space(),
            Self::Blob(e) => e.is_no_space(),
            Self::Journal(e) => e.is_no_space(),
            Self::Catalog(e) => e.is_no_space(),
            Self::NotAStore { .. }
            | Self::InUse { .. }
            | Self::NewerVersion { .. }
            | Self::UnfinishedSnapshot { .. }
            | Self::BadMeta { .. } => false,
        }
    }
}

/// A directory that this process has locked.
#[derive(Debug)]
pub struct LockedDir {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    _lock: Box<dyn VfsLock>,
}

impl LockedDir {
    /// Creates the directory if need be, locks it, and checks that this release can read it.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Self, StoreDirError> {
        vfs.create_dir_all(dir)?;
        let lock = vfs.lock(&dir.join(LOCK_FILE)).map_err(|e| match e.kind {
            VfsErrorKind::Locked => StoreDirError::InUse { dir: dir.to_owned() },
            _ => e.into(),
        })?;
        let path = dir.join(META_FILE);
        match vfs.read(&path) {
            Ok(bytes) => check_meta(dir, &path, &bytes)?,
            Err(e) if e.is_not_found() => write_meta(&*vfs, dir, &path)?,
            Err(e) => return Err(e.into()),
        }
        Ok(Self { vfs, dir: dir.to_owned(), _lock: lock })
    }

    /// Locks a directory that is a store already; for tools that must not create one by mistake.
    pub fn open_existing(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Self, StoreDirError> {
        if !vfs.exists(&dir.join(META_FILE))? {
            return Err(StoreDirError::NotAStore { dir: dir.to_owned() });
        }
        Self::open(vfs, dir)
    }

    pub fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.vfs
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn journal_path(&self) -> PathBuf {
        self.dir.join(JOURNAL_DIR)
    }
}

fn check_meta(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreDirError> {
    let bad = |reason: &str| StoreDirError::BadMeta { path: path.to_owned(), reason: reason.to_owned() };
    let meta: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| bad(&e.to_string()))?;
    if meta.get("product").and_then(|v| v.as_str()) != Some("sextant") {
        return Err(bad("this is not the data of Sextant"));
    }
    let found = meta.get("layout_version").and_then(serde_json::Value::as_u64);
    let found = found.and_then(|v| u32::try_from(v).ok()).ok_or_else(|| bad("no layout_version"))?;
    if found > LAYOUT_VERSION {
        return Err(StoreDirError::NewerVersion { dir: dir.to_owned(), found });
    }
    if is_unfinished(bytes) {
        return Err(StoreDirError::UnfinishedSnapshot { dir: dir.to_owned() });
    }
    Ok(())
}

/// What the meta file of a store says.
pub(crate) fn meta_text() -> String {
    format!("{}\n", serde_json::json!({ "product": "sextant", "layout_version": LAYOUT_VERSION }))
}

/// What it says while a snapshot is being taken.
pub(crate) fn unfinished_meta_text() -> String {
    let meta =
        serde_json::json!({ "product": "sextant", "layout_version": LAYOUT_VERSION, "unfinished": true });
    format!("{meta}\n")
}

/// Whether a meta file is that of an unfinished snapshot.
pub(crate) fn is_unfinished(meta: &[u8]) -> bool {
    let meta: Option<serde_json::Value> = serde_json::from_slice(meta).ok();
    let field = |name: &str| meta.as_ref().and_then(|meta| meta.get(name));
    field("product").and_then(|v| v.as_str()) == Some("sextant")
        && field("unfinished").and_then(serde_json::Value::as_bool) == Some(true)
}

fn write_meta(vfs: &dyn Vfs, dir: &Path, path: &Path) -> Result<(), StoreDirError> {
    let temporary = dir.join("meta.json.new");
    if vfs.exists(&temporary)? {
        vfs.remove(&temporary)?;
    }
    let mut file = vfs.create(&temporary)?;
    file.write_all(meta_text().as_bytes())?;
    file.sync_data()?;
    Ok(vfs.publish(&temporary, path, Publish::Replace)?)
}

/// An open store: what a family's store is built on.
#[derive(Debug)]
pub struct StoreDir {
    pub journal: Arc<LocalJournal>,
    pub blobs: Arc<LocalBlobStore>,
    pub catalog: Arc<LocalCatalog>,
    /// Objects that a crash had left without a commit, deleted on opening.
    pub n_orphans: u64,
    /// Snapshots that a crash had interrupted, deleted on opening.
    pub n_unfinished_snapshots: u64,
    /// What opening found wrong with the catalog and the parts beside it, one sentence each.
    pub problems: Vec<String>,
    dir: LockedDir,
}

/// Takes parts back that the catalog has lost; returns what was found and done. Without room for the
/// commit they stay out until the next start.
fn take_back(catalog: &LocalCatalog, adopt: &Adoption) -> Result<Vec<String>, CatalogError> {
    if adopt.parts.is_empty() {
        return Ok(Vec::new());
    }
    let add = adopt.parts.iter().filter_map(|orphan| orphan.footer.clone()).map(|(meta, _)| meta).collect();
    let (remove, committed) = (adopt.remove.clone(), Some(adopt.committed));
    let done = match catalog.commit(Txn { add, remove, committed, ..Txn::default() }) {
        Ok(_) => "it was taken back in".to_owned(),
        Err(e) if e.is_no_space() => format!("it stays out for now: {e}"),
        Err(e) => return Err(e),
    };
    Ok(adopt.parts.iter().map(|orphan| format!("{}; {done}", lost_reason(orphan))).collect())
}

/// Decides about the objects that the catalog does not name. Parts without any catalog mean that it was
/// lost: it is made again from them.
fn settle_orphans(
    locked: &LockedDir,
    blobs: &Arc<dyn crate::BlobStore>,
    mut catalog: Arc<LocalCatalog>,
    options: &JournalOptions,
) -> Result<(Arc<LocalCatalog>, OrphanPlan, Vec<String>), StoreDirError> {
    let mut problems = Vec::new();
    let mut view = catalog.snapshot();
    let mut found = find_orphans(blobs, &view)?;
    if found.is_empty() {
        return Ok((catalog, OrphanPlan::default(), problems));
    }
    let bounds = crate::journal::bounds(&**locked.vfs(), &locked.journal_path(), options.record_bytes_max)?;
    let mut plan = plan_sweep(blobs, &view, found, bounds)?;
    if view.version == 0 && !plan.keep.is_empty() {
        let (_, report) = rebuild(blobs, bounds)?;
        problems.push(format!(
            "the catalog was lost: it was rebuilt from {} parts with {} rows and {} deletions; deletions \
             whose tombstones are lost too may have come back",
            report.n_parts, report.n_rows, report.n_tombstones
        ));
        catalog = Arc::new(LocalCatalog::open(Arc::clone(blobs))?);
        view = catalog.snapshot();
        found = find_orphans(blobs, &view)?;
        plan = plan_sweep(blobs, &view, found, bounds)?;
    }
    problems.extend(take_back(&catalog, &plan.adopt)?);
    problems.extend(plan.keep.iter().map(|o| format!("{} is kept: {}", o.key, kept_reason(o))));
    Ok((catalog, plan, problems))
}

impl StoreDir {
    /// Locks and opens a store: its catalog, then its journal from what the catalog has committed, and
    /// deletes the objects that no commit names and whose rows are elsewhere; others are kept and
    /// reported. `options.start_at` is replaced.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: JournalOptions) -> Result<Self, StoreDirError> {
        Self::open_with_snapshots(vfs, dir, &dir.join(SNAPSHOTS_PREFIX), options)
    }

    /// Like [`StoreDir::open`], with snapshots in a directory of their own on the same file system.
    pub fn open_with_snapshots(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        snapshots_dir: &Path,
        mut options: JournalOptions,
    ) -> Result<Self, StoreDirError> {
        let locked = LockedDir::open(Arc::clone(&vfs), dir)?;
        let blobs = Arc::new(LocalBlobStore::open_with_snapshots(Arc::clone(&vfs), dir, snapshots_dir)?);
        let objects: Arc<dyn crate::BlobStore> = Arc::clone(&blobs) as _;
        let catalog = Arc::new(LocalCatalog::open(Arc::clone(&objects))?);
        let (catalog, plan, problems) = settle_orphans(&locked, &objects, catalog, &options)?;
        options.start_at = catalog.snapshot().committed;
        // A cut that is kept had these offsets: they are not given again.
        let kept_ends = plan.keep.iter().filter_map(Orphan::cut).map(|(_, offsets)| offsets.end);
        options.start_at = kept_ends.fold(options.start_at, Ord::max);
        let journal = Arc::new(LocalJournal::open(vfs, &locked.journal_path(), options)?);
        for orphan in &plan.delete {
            objects.delete(&orphan.key)?;
        }
        let n_orphans = plan.delete.len() as u64;
        let n_unfinished_snapshots = remove_unfinished(&*objects)?;
        Ok(Self { journal, blobs, catalog, n_orphans, n_unfinished_snapshots, problems, dir: locked })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

#[cfg(test)]
mod tests;
