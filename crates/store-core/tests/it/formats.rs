//! The files of every released format version, opened by the current code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::TenantId;
use store_core::catalog::NewTombstone;
use store_core::config_store::{ConfigStore, Expect, LocalConfigStore};
use store_core::toy::{ToyRow, cut_part, read_rows};
use store_core::{
    BlobStore, Catalog, Journal, JournalOptions, LocalBlobStore, LocalCatalog, LocalJournal, Offset,
    OffsetRange, PartReader, StoreDir, TimeRange, Txn,
};
use vfs::{MemVfs, RealVfs, Vfs};

fn corpus(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/formats").join(format).join("v1")
}

/// The files below a directory, with paths relative to it.
fn files_below(vfs: &dyn Vfs, root: &Path, dir: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in vfs.list_dir(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files_below(vfs, root, &path, out);
        } else {
            out.push((path.strip_prefix(root).unwrap().to_owned(), vfs.read(&path).unwrap()));
        }
    }
}

/// A fixture, copied to where it can be opened without being changed.
fn fixture(format: &str) -> MemVfs {
    let root = corpus(format);
    let mut files = Vec::new();
    files_below(&RealVfs, &root, &root, &mut files);
    assert!(!files.is_empty(), "no fixture in {}", root.display());
    let copy = MemVfs::default();
    for (path, bytes) in files {
        let path = Path::new("d").join(path);
        copy.create_dir_all(path.parent().unwrap()).unwrap();
        copy.create(&path).unwrap().write_all(&bytes).unwrap();
    }
    copy
}

fn blobs(vfs: &MemVfs) -> Arc<dyn BlobStore> {
    Arc::new(LocalBlobStore::open(Arc::new(vfs.clone()), Path::new("d")).unwrap())
}

/// While the current version is the fixture's, writing the same again gives the same bytes.
fn check_same_bytes(written: &MemVfs, format: &str) {
    let (mut now, mut then) = (Vec::new(), Vec::new());
    files_below(written, Path::new("d"), Path::new("d"), &mut now);
    // Copies of tombstones beside the catalog came later than the fixtures.
    // Written by later releases of the same version: readers of older directories do without.
    now.retain(|(path, _)| !path.starts_with("tombstones") && path != Path::new("snapshots/first/meta.json"));
    files_below(&fixture(format), Path::new("d"), Path::new("d"), &mut then);
    assert_eq!(now, then, "{format}: bytes differ from the released format");
}

const RECORDS: [&[u8]; 4] = [b"first", b"", b"\x00\xff", b"the last one is a little longer"];

fn open_journal(vfs: &MemVfs) -> LocalJournal {
    let options = JournalOptions {
        writer: 0x0123_4567_89ab_cdef,
        fresh_incarnation: 0xfedc_ba98_7654_3210,
        start_at: Offset(1000),
        ..JournalOptions::default()
    };
    LocalJournal::open(Arc::new(vfs.clone()), Path::new("d"), options).unwrap()
}

#[test]
fn journal_v1() {
    let written = MemVfs::default();
    let journal = open_journal(&written);
    journal.append_batch(&RECORDS[..3]).unwrap();
    journal.append(RECORDS[3]).unwrap();
    check_same_bytes(&written, "journal");

    let journal = open_journal(&fixture("journal"));
    let mut records = Vec::new();
    journal.read_from(Offset(0), &mut |offset, bytes| records.push((offset.0, bytes.to_vec()))).unwrap();
    let expected: Vec<_> = (1000..).zip(RECORDS.map(<[u8]>::to_vec)).collect();
    assert_eq!((records, journal.incarnation()), (expected, 0xfedc_ba98_7654_3210));
    assert!(journal.recovery().is_clean());
    assert_eq!(journal.append(b"goes on"), Ok(Offset(1004)));
}

fn rows() -> Vec<ToyRow> {
    (0..100).map(|n| ToyRow { t_ms: 1_700_000_000_000 + n * 15_000, value: n.unsigned_abs() * 7 }).collect()
}

fn write_part(blobs: &dyn BlobStore) -> store_core::PartMeta {
    let offsets = OffsetRange { start: Offset(1000), end: Offset(1004) };
    let tenant = TenantId::new("team-a").unwrap();
    cut_part(blobs, &tenant, 0xfedc_ba98_7654_3210, offsets, 3, rows()).unwrap().unwrap()
}

#[test]
fn part_v1() {
    let written = MemVfs::default();
    let meta = write_part(&*blobs(&written));
    check_same_bytes(&written, "part");

    let part = PartReader::open(&blobs(&fixture("part")), &meta.key()).unwrap();
    assert_eq!((part.meta(), read_rows(&part).unwrap()), (&meta, rows()));
}

fn commits() -> Vec<Txn> {
    let scratch = MemVfs::default();
    let part = write_part(&*blobs(&scratch));
    let id = part.id;
    let tombstone = NewTombstone {
        tenant: part.tenant.clone(),
        family: part.family.clone(),
        time: TimeRange { min_ms: -1, max_ms: 1 },
        before: Offset(1004),
        selector: b"selector".to_vec(),
    };
    let mut commits = vec![
        Txn { add: vec![part.clone()], committed: Some(Offset(1004)), ..Txn::default() },
        Txn { add_tombstones: vec![tombstone.clone(), tombstone], ..Txn::default() },
        Txn { remove: vec![id], drop_tombstones: vec![1], ..Txn::default() },
        Txn { add: vec![part], ..Txn::default() },
    ];
    // Enough for a checkpoint, and some after it.
    commits.resize(66, Txn::default());
    commits
}

#[test]
fn catalog_v1() {
    let written = MemVfs::default();
    let catalog = LocalCatalog::open(blobs(&written)).unwrap();
    for txn in commits() {
        catalog.commit(txn).unwrap();
    }
    // Between them the oldest, the newest and the checkpoint hold every field.
    for (path, _) in written.files() {
        let name = path.to_string_lossy().into_owned();
        let keep = ["00001", "00002", "00003", "00064", "00065", "00066"];
        if !keep.iter().any(|version| name.ends_with(version)) {
            written.remove(&path).unwrap();
        }
    }
    check_same_bytes(&written, "catalog");

    let view = LocalCatalog::open(blobs(&fixture("catalog"))).unwrap().snapshot();
    assert_eq!((view.version, view.committed, view.parts.len()), (66, Offset(1004), 1));
    assert_eq!(view.tombstones.iter().map(|t| t.seq).collect::<Vec<_>>(), [2]);
    assert_eq!(view.tombstones[0].selector, b"selector");
    assert_eq!(*view.parts[0], write_part(&*blobs(&MemVfs::default())));
    // Without the checkpoint the log alone says the same, as far as it goes.
    let log = fixture("catalog");
    for (path, _) in log.files() {
        if !["00001", "00002"]
            .iter()
            .any(|v| path.to_string_lossy().ends_with(&format!("commit/000000000000000{v}")))
        {
            log.remove(&path).unwrap();
        }
    }
    let view = LocalCatalog::open(blobs(&log)).unwrap().snapshot();
    assert_eq!((view.version, view.parts.len(), view.tombstones.len()), (2, 1, 2));
}

fn open_store(vfs: &MemVfs) -> StoreDir {
    let options = JournalOptions { fresh_incarnation: 0xfedc_ba98_7654_3210, ..JournalOptions::default() };
    StoreDir::open(Arc::new(vfs.clone()), Path::new("d"), options).unwrap()
}

#[test]
fn store_directory_v1() {
    let written = MemVfs::default();
    let store = open_store(&written);
    store.journal.append_batch(&[b"0", b"1", b"2", b"3"]).unwrap();
    let tenant = TenantId::anonymous();
    let offsets = OffsetRange { start: Offset(0), end: Offset(3) };
    let part = cut_part(&*store.blobs, &tenant, store.journal.incarnation(), offsets, 0, rows()).unwrap();
    let add = part.into_iter().collect();
    store.catalog.commit(Txn { add, committed: Some(offsets.end), ..Txn::default() }).unwrap();
    store_core::snapshot::take(&*store.blobs, &*store.catalog, "first", "").unwrap();
    drop(store);
    written.remove(Path::new("d/reserve")).unwrap();
    check_same_bytes(&written, "store-directory");

    let vfs = fixture("store-directory");
    for dir in ["d", "d/snapshots/first"] {
        let store = StoreDir::open(Arc::new(vfs.clone()), Path::new(dir), JournalOptions::default()).unwrap();
        let view = store.catalog.snapshot();
        let part = PartReader::open(&(Arc::clone(&store.blobs) as _), &view.parts[0].key()).unwrap();
        assert_eq!((read_rows(&part).unwrap(), view.committed, store.n_orphans), (rows(), Offset(3), 0));
        let mut live = Vec::new();
        store.journal.read_from(view.committed, &mut |_, bytes| live.push(bytes.to_vec())).unwrap();
        assert_eq!(live.len(), usize::from(dir == "d"));
    }
}

#[test]
fn config_v1() {
    let written = MemVfs::default();
    let store = LocalConfigStore::new(blobs(&written));
    store.put("users/admin", b"secret", Expect::Absent).unwrap();
    store.put("users/gone", b"", Expect::Absent).unwrap();
    store.delete("users/gone", Expect::Anything).unwrap();
    check_same_bytes(&written, "config");

    let store = LocalConfigStore::new(blobs(&fixture("config")));
    let record = store.get("users/admin").unwrap().unwrap();
    assert_eq!((record.version, record.value), (1, b"secret".to_vec()));
    assert_eq!(store.get("users/gone").unwrap(), None);
    assert_eq!(store.put("users/gone", b"back", Expect::Absent).unwrap(), 3);
}
