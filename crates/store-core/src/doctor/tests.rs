use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::TenantId;
use vfs::{FaultPlan, FaultVfs, MemVfs, Vfs};

use super::*;
use crate::catalog::Txn;
use crate::journal::{Journal, Offset};
use crate::part::OffsetRange;
use crate::snapshot;
use crate::store_dir::StoreDir;
use crate::toy::{ToyFamily, ToyRow, cut_part, encode_rows, read_rows};

const DIR: &str = "data";

fn open(vfs: &MemVfs) -> StoreDir {
    StoreDir::open(Arc::new(vfs.clone()), Path::new(DIR), JournalOptions::default()).unwrap()
}

/// A store of two cuts and one record that is not cut yet.
fn filled() -> MemVfs {
    let vfs = MemVfs::default();
    fill(&vfs);
    vfs
}

fn fill(vfs: &MemVfs) {
    let store = open(vfs);
    for n in 0..3u64 {
        let rows = vec![ToyRow { t_ms: n as i64, value: n }];
        let offset = store.journal.append(&encode_rows(&rows)).unwrap();
        if n < 2 {
            let offsets = OffsetRange { start: offset, end: offset.next() };
            let incarnation = store.journal.incarnation();
            let part =
                cut_part(&*store.blobs, &TenantId::anonymous(), incarnation, offsets, 0, rows).unwrap();
            let add = part.into_iter().collect();
            store.catalog.commit(Txn { add, committed: Some(offsets.end), ..Txn::default() }).unwrap();
        }
    }
}

fn verify(vfs: &MemVfs) -> DoctorReport {
    super::verify(&shared(vfs), Path::new(DIR), &[Arc::new(ToyFamily)]).unwrap()
}

fn shared(vfs: &MemVfs) -> Arc<dyn Vfs> {
    Arc::new(vfs.clone())
}

fn part_path(vfs: &MemVfs) -> PathBuf {
    let is_part = |path: &PathBuf| path.extension().is_some_and(|e| e == "part");
    vfs.files().into_iter().map(|(path, _)| path).find(is_part).unwrap()
}

#[test]
fn a_healthy_store_is_counted() {
    let report = verify(&filled());
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!((report.n_parts, report.n_blocks, report.n_rows, report.journal.n_records), (2, 2, 2, 3));
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let vfs = MemVfs::default();
    let refused = super::verify(&shared(&vfs), Path::new("typo"), &[]).unwrap_err();
    assert_eq!(refused.to_string(), "typo is not the directory of a store: it has no meta.json");
    assert!(!vfs.exists(Path::new("typo")).unwrap());
}

#[test]
fn every_kind_of_damage_is_found_and_named() {
    let check = |damage: &dyn Fn(&MemVfs), object: &str, reason: &str| {
        let vfs = filled();
        damage(&vfs);
        let report = verify(&vfs);
        assert!(!report.is_healthy(), "{reason}");
        let found = report.defects.iter().any(|d| d.object.contains(object) && d.reason.contains(reason));
        assert!(found, "{object} {reason}: {report:?}");
    };
    check(&|vfs| vfs.flip_bit(&part_path(vfs), 9 * 8).unwrap(), ".part", "block 0 of kind 1");
    check(&|vfs| vfs.flip_bit(&part_path(vfs), 60 * 8).unwrap(), ".part", "footer");
    check(&|vfs| vfs.remove(&part_path(vfs)).unwrap(), ".part", "does not exist");
    let commit = || Path::new(DIR).join("catalog/commit/00000000000000000001");
    check(&|vfs| vfs.flip_bit(&commit(), 300).unwrap(), "catalog", "unreadable");
    let vfs = filled();
    let journal = vfs.files().into_iter().find(|(path, _)| path.starts_with("data/journal")).unwrap().0;
    vfs.flip_bit(&journal, 60 * 8).unwrap();
    let report = verify(&vfs);
    assert_eq!((report.journal.n_lost(), report.is_healthy()), (1, false), "{report:?}");
}

#[test]
fn orphans_are_told_apart_from_damage() {
    let vfs = filled();
    let store = open(&vfs);
    let offsets = OffsetRange { start: Offset(2), end: Offset(3) };
    let rows = vec![ToyRow { t_ms: 2, value: 2 }];
    cut_part(&*store.blobs, &TenantId::anonymous(), 1, offsets, 0, rows).unwrap();
    drop(store);
    let report = verify(&vfs);
    assert_eq!((report.orphans.len(), report.is_healthy()), (1, true));
    assert_eq!(open(&vfs).n_orphans, 1);
    assert_eq!(verify(&vfs).orphans.len(), 0);
}

#[test]
fn a_catalog_is_rebuilt_from_the_parts_alone() {
    let vfs = filled();
    let before = open(&vfs).catalog.snapshot();
    for (path, _) in vfs.files() {
        if path.starts_with("data/catalog") {
            vfs.remove(&path).unwrap();
        }
    }
    let report = rebuild_catalog(&shared(&vfs), Path::new(DIR)).unwrap();
    // The journal still has all three records, so the cuts are taken again from there.
    assert_eq!((report.committed, report.in_journal.len()), (Offset(0), 2));
    drop(before);
    let without_journal = filled();
    for (path, _) in without_journal.files() {
        if path.starts_with("data/journal") || path.starts_with("data/catalog") {
            without_journal.remove(&path).unwrap();
        }
    }
    let report = rebuild_catalog(&shared(&without_journal), Path::new(DIR)).unwrap();
    assert_eq!((report.committed, report.n_parts, report.n_rows), (Offset(2), 2, 2));
    let store = open(&without_journal);
    assert_eq!(store.catalog.snapshot().parts.len(), 2);
    assert_eq!(store.journal.append(b"x"), Ok(Offset(2)));
}

fn remove_all(vfs: &MemVfs, prefix: &str) {
    for (path, _) in vfs.files() {
        if path.starts_with(prefix) {
            vfs.remove(&path).unwrap();
        }
    }
}

/// The journal's segments are gone too, so that only the parts have the rows.
fn without_journal() -> MemVfs {
    let vfs = filled();
    remove_all(&vfs, "data/journal");
    vfs
}

#[test]
fn a_lost_catalog_costs_no_part() {
    let vfs = without_journal();
    remove_all(&vfs, "data/catalog");
    let report = verify(&vfs);
    assert_eq!((report.is_healthy(), report.defects.len(), report.orphans.len()), (false, 2, 0));
    let store = open(&vfs);
    assert_eq!((store.catalog.snapshot().parts.len(), store.n_orphans), (2, 0));
    assert!(store.problems[0].contains("catalog was lost"), "{:?}", store.problems);
    drop(store);
    assert!(verify(&vfs).is_healthy());
    assert_eq!(open(&vfs).problems, Vec::<String>::new());
}

#[test]
fn a_lost_newest_commit_is_noticed_and_its_part_kept() {
    let vfs = without_journal();
    vfs.remove(&Path::new(DIR).join("catalog/commit/00000000000000000002")).unwrap();
    let report = verify(&vfs);
    assert_eq!((report.is_healthy(), report.defects.len()), (false, 1), "{report:?}");
    let store = open(&vfs);
    assert!(store.problems[0].contains("--rebuild-catalog"), "{:?}", store.problems);
    drop(store);
    rebuild_catalog(&shared(&vfs), Path::new(DIR)).unwrap();
    assert_eq!(open(&vfs).catalog.snapshot().parts.len(), 2);
}

#[test]
fn an_unreadable_part_survives_a_rebuild() {
    let check = |with_catalog: bool, n_parts: usize| {
        let vfs = without_journal();
        let path = part_path(&vfs);
        vfs.flip_bit(&path, 60 * 8).unwrap();
        if !with_catalog {
            remove_all(&vfs, "data/catalog");
        }
        let report = rebuild_catalog(&shared(&vfs), Path::new(DIR)).unwrap();
        assert_eq!(report.unreadable.len(), 1);
        assert!(!verify(&vfs).is_healthy());
        assert_eq!(open(&vfs).catalog.snapshot().parts.len(), n_parts);
        assert!(vfs.exists(&path).unwrap());
    };
    check(true, 2);
    check(false, 1);
}

#[test]
fn deletions_survive_the_loss_of_the_catalog() {
    let vfs = without_journal();
    let store = open(&vfs);
    let tombstone = crate::catalog::NewTombstone {
        tenant: TenantId::anonymous(),
        family: "toy".to_owned(),
        time: crate::part::TimeRange::ALL,
        before: Offset(2),
        selector: vec![0],
    };
    let txn = Txn { add_tombstones: vec![tombstone], ..Txn::default() };
    let before = store.catalog.commit(txn).unwrap();
    drop(store);
    remove_all(&vfs, "data/catalog");
    let report = rebuild_catalog(&shared(&vfs), Path::new(DIR)).unwrap();
    assert_eq!((report.n_tombstones, report.had_catalog), (1, false));
    let store = open(&vfs);
    assert_eq!(store.catalog.snapshot().tombstones, before.tombstones);
    store.catalog.commit(Txn { drop_tombstones: vec![1], ..Txn::default() }).unwrap();
    assert!(store.blobs.list("tombstones/").unwrap().is_empty());
}

#[test]
fn an_emptied_segment_is_noticed() {
    let vfs = filled();
    let journal = vfs.files().into_iter().find(|(path, _)| path.starts_with("data/journal")).unwrap().0;
    vfs.open_append(&journal).unwrap().truncate(0).unwrap();
    let report = verify(&vfs);
    assert!(report.journal.emptied.is_some() && !report.is_healthy(), "{report:?}");
    assert!(open(&vfs).journal.recovery().emptied.is_some());
}

#[test]
fn a_snapshot_opens_as_a_store_and_outlives_the_original() {
    let vfs = filled();
    let store = open(&vfs);
    let taken = snapshot::take(&*store.blobs, &*store.catalog, "20260101-a", "").unwrap();
    assert_eq!((taken.n_parts, taken.prefix.as_str()), (2, "snapshots/20260101-a/"));
    assert!(snapshot::take(&*store.blobs, &*store.catalog, "20260101-a", "").is_err());
    for bad in ["", ".x", "a/b", "a b"] {
        assert!(snapshot::take(&*store.blobs, &*store.catalog, bad, "").is_err(), "{bad:?}");
    }
    let remove = store.catalog.snapshot().parts.iter().map(|p| p.id).collect();
    store.catalog.commit(Txn { remove, ..Txn::default() }).unwrap();
    assert_eq!(store.catalog.reclaim().unwrap().deleted, 2);
    drop(store);
    let path = Path::new(DIR).join(&taken.prefix);
    let copy = StoreDir::open(Arc::new(vfs.clone()), &path, JournalOptions::default()).unwrap();
    let blobs: Arc<dyn BlobStore> = Arc::clone(&copy.blobs) as _;
    let view = copy.catalog.snapshot();
    let open_part = |p: &Arc<crate::PartMeta>| PartReader::open(&blobs, &p.key()).unwrap();
    let rows: Vec<_> = view.parts.iter().flat_map(|p| read_rows(&open_part(p)).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row.value).collect::<Vec<_>>(), [0, 1]);
    drop(copy);
    let store = open(&vfs);
    snapshot::remove(&*store.blobs, "20260101-a", "").unwrap();
    assert!(store.blobs.list("snapshots/20260101-a/").unwrap().is_empty());
}

/// Whatever operation the power fails in: the snapshot opens whole or is refused, and what is left of it
/// goes with the next start of the store.
#[test]
fn an_interrupted_snapshot_is_refused_and_cleared() {
    let (mut n_whole, mut n_refused, mut n_cleared) = (0, 0, 0);
    for at in 0..24 {
        for seed in 0..4 {
            let vfs = FaultVfs::new(seed, FaultPlan::default());
            fill(&vfs);
            let store = open(&vfs);
            let power_off_at_change = Some(vfs.n_changes() + at);
            vfs.set_plan(FaultPlan { power_off_at_change, ..FaultPlan::default() });
            let taken = snapshot::take(&*store.blobs, &*store.catalog, "s", "folder/");
            drop(store);
            let vfs = vfs.crash();
            let dir = Path::new(DIR).join("snapshots/s/folder");
            let what = format!("change {at}, seed {seed}, {taken:?}");
            match super::verify(&shared(&vfs), &dir, &[Arc::new(ToyFamily)]) {
                Ok(report) => {
                    assert!(report.is_healthy() && report.n_parts == 2, "{what}: {report:?}");
                    n_whole += 1;
                }
                Err(refused) => {
                    assert!(taken.is_err(), "{what}: {refused}");
                    n_refused += u64::from(matches!(refused, StoreDirError::UnfinishedSnapshot { .. }));
                }
            }
            n_cleared += open(&vfs).n_unfinished_snapshots;
            let is_left = vfs.files().iter().any(|(path, _)| path.starts_with(&dir));
            let is_whole = super::verify(&shared(&vfs), &dir, &[]).is_ok();
            assert_eq!(is_left, is_whole, "{what}");
        }
    }
    assert!(n_whole > 3 && n_refused > 10 && n_cleared == n_refused, "{n_whole} {n_refused} {n_cleared}");
}

#[test]
fn snapshots_may_lie_beside_the_store() {
    let vfs = filled();
    let beside = Path::new("elsewhere");
    let options = JournalOptions::default;
    let open = || StoreDir::open_with_snapshots(shared(&vfs), Path::new(DIR), beside, options()).unwrap();
    let store = open();
    let taken = snapshot::take(&*store.blobs, &*store.catalog, "s", "").unwrap();
    assert_eq!((taken.prefix.as_str(), taken.n_parts), ("snapshots/s/", 2));
    let keys =
        |prefix: &str| store.blobs.list(prefix).unwrap().into_iter().map(|o| o.key).collect::<Vec<_>>();
    let all = keys("snapshots/");
    assert!(all.len() > 3 && keys("").ends_with(&all[all.len() - 1..]), "{all:?}");
    assert!(!vfs.files().iter().any(|(path, _)| path.starts_with("data/snapshots")));
    assert!(snapshot::take(&*store.blobs, &*store.catalog, "s", "").is_err(), "the name is taken");
    let report = super::verify(&shared(&vfs), &beside.join("s"), &[]).unwrap();
    assert!(report.is_healthy() && report.n_parts == 2, "{report:?}");
    snapshot::remove(&*store.blobs, "s", "").unwrap();
    assert!(keys("snapshots/").is_empty());
}

/// A part whose footer could not be read while the catalog was made again is in no catalog; once its
/// file is what it was, the next start takes it back.
#[test]
fn a_part_that_was_left_out_comes_back_when_it_reads_again() {
    let vfs = filled();
    let rows = vec![ToyRow { t_ms: 9, value: 9 }];
    // Nothing of the old journal can be replayed.
    remove_all(&vfs, "data/journal");
    let path = part_path(&vfs);
    vfs.flip_bit(&path, 60 * 8).unwrap();
    remove_all(&vfs, "data/catalog");
    let options = JournalOptions { fresh_incarnation: 2, ..JournalOptions::default() };
    let store = StoreDir::open(shared(&vfs), Path::new(DIR), options).unwrap();
    assert_eq!(store.catalog.snapshot().parts.len(), 1);
    store.journal.append(&encode_rows(&rows)).unwrap();
    drop(store);
    assert!(open(&vfs).problems.iter().any(|p| p.contains("unreadable")));
    vfs.flip_bit(&path, 60 * 8).unwrap();
    let report = verify(&vfs);
    assert!(report.defects.iter().any(|d| d.reason.contains("the next start takes it in")), "{report:?}");
    let store = open(&vfs);
    assert!(store.problems.iter().any(|p| p.contains("taken back in")), "{:?}", store.problems);
    assert_eq!(store.catalog.snapshot().parts.len(), 2);
    drop(store);
    assert!(verify(&vfs).is_healthy());
    assert_eq!(open(&vfs).problems, Vec::<String>::new());
}
