use std::path::Path;
use std::sync::Arc;

use base::{ShardRange, TenantId};
use vfs::{FaultPlan, FaultVfs, MemVfs};

use super::local::COMMITS_PER_CHECKPOINT;
use super::*;
use crate::blob::{BlobStore, LocalBlobStore, PutMode};
use crate::part::{OffsetRange, PartHeader};
use crate::toy::{ToyRow, cut_part};

fn blobs(vfs: &FaultVfs) -> Arc<dyn BlobStore> {
    Arc::new(LocalBlobStore::open(Arc::new(vfs.clone()), Path::new("d")).unwrap())
}

fn open(vfs: &FaultVfs) -> LocalCatalog {
    LocalCatalog::open(blobs(vfs)).unwrap()
}

/// A part that exists in the catalog only.
fn meta(n: u64) -> PartMeta {
    let tenant = TenantId::new(if n.is_multiple_of(2) { "even" } else { "odd" }).unwrap();
    let offsets = OffsetRange { start: Offset(n), end: Offset(n + 1) };
    PartMeta {
        id: PartId(u128::from(n)),
        family: "toy".to_owned(),
        schema_version: 1,
        tenant,
        shards: ShardRange::ALL,
        level: 0,
        incarnation: 1,
        offsets,
        tombstones_applied: 0,
        time: TimeRange { min_ms: n as i64 * 10, max_ms: n as i64 * 10 + 9 },
        rows: 1,
        series: 1,
        len_bytes: 100,
    }
}

fn add(n: u64) -> Txn {
    Txn { add: vec![meta(n)], committed: Some(Offset(n + 1)), ..Txn::default() }
}

fn remove(n: u64) -> Txn {
    Txn { remove: vec![PartId(u128::from(n))], ..Txn::default() }
}

fn tombstone() -> NewTombstone {
    let (tenant, family) = (TenantId::new("odd").unwrap(), "toy".to_owned());
    NewTombstone {
        tenant,
        family,
        time: TimeRange { min_ms: 0, max_ms: 35 },
        before: Offset(4),
        selector: vec![1],
    }
}

fn ids(view: &CatalogSnapshot) -> Vec<u64> {
    let mut ids: Vec<u64> = view.parts.iter().map(|p| u64::try_from(p.id.0).unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// What every catalog promises; the clustered one will run it too.
fn check_contract(catalog: &dyn Catalog) {
    assert_eq!((catalog.snapshot().version, ids(&catalog.snapshot())), (0, vec![]));
    for n in 0..5 {
        assert_eq!(catalog.commit(add(n)).unwrap().version, n + 1);
    }
    let before = catalog.snapshot();
    assert_eq!((ids(&before), before.committed), (vec![0, 1, 2, 3, 4], Offset(5)));
    let odd = TenantId::new("odd").unwrap();
    let found = |from, to| {
        let time = TimeRange { min_ms: from, max_ms: to };
        before.parts_for("toy", &odd, time).map(|p| p.id.0).collect::<Vec<_>>()
    };
    assert_eq!((found(0, 100), found(20, 30), found(40, 100)), (vec![1, 3], vec![3], vec![]));
    assert_eq!(before.parts_for("none", &odd, TimeRange::ALL).count(), 0);
    assert!(matches!(catalog.commit(add(3)), Err(CatalogError::DuplicatePart(_))));
    assert!(matches!(catalog.commit(remove(9)), Err(CatalogError::UnknownPart(_))));
    let back = Txn { committed: Some(Offset(1)), ..Txn::default() };
    assert!(matches!(catalog.commit(back), Err(CatalogError::OffsetGoesBack { .. })));
    let stale = Txn { expected_version: Some(4), ..remove(1) };
    assert!(matches!(catalog.commit(stale), Err(CatalogError::Conflict { expected: 4, actual: 5 })));
    let merged = Txn { expected_version: Some(5), add: vec![meta(10)], ..remove(1) };
    assert_eq!(ids(&catalog.commit(merged).unwrap()), [0, 2, 3, 4, 10]);
    assert_eq!(ids(&before), [0, 1, 2, 3, 4], "a view does not change");
    let with = catalog.commit(Txn { add_tombstones: vec![tombstone()], ..Txn::default() }).unwrap();
    assert_eq!((with.tombstone_seq, with.tombstones.len()), (1, 1));
    let hidden: Vec<_> = with.parts.iter().filter(|p| !with.tombstones_for(p).is_empty()).collect();
    assert_eq!(hidden.iter().map(|p| p.id.0).collect::<Vec<_>>(), [3]);
    let without = catalog.commit(Txn { drop_tombstones: vec![1], ..Txn::default() }).unwrap();
    assert_eq!((without.tombstone_seq, without.tombstones.len()), (1, 0));
}

#[test]
fn the_local_catalog_keeps_the_contract_and_says_the_same_after_a_restart() {
    let vfs = MemVfs::default();
    check_contract(&open(&vfs));
    let (view, crashed) = (open(&vfs).snapshot(), open(&vfs.crash()).snapshot());
    assert_eq!(ids(&view), [0, 2, 3, 4, 10]);
    for again in [view, crashed] {
        assert_eq!((again.version, again.committed, again.tombstone_seq), (8, Offset(5), 1));
    }
}

#[test]
fn checkpoints_fold_the_log_and_one_unreadable_checkpoint_costs_nothing() {
    let vfs = MemVfs::default();
    let catalog = open(&vfs);
    let n_commits = COMMITS_PER_CHECKPOINT * 4 + 5;
    for n in 0..n_commits {
        catalog.commit(add(n)).unwrap();
    }
    let store = blobs(&vfs);
    let checkpoints = store.list("catalog/checkpoint/").unwrap();
    assert_eq!(checkpoints.len(), 2);
    let n_objects = store.list("catalog/commit/").unwrap().len() as u64;
    assert_eq!(n_objects, COMMITS_PER_CHECKPOINT + 5);
    assert_eq!(ids(&open(&vfs).snapshot()).len() as u64, n_commits);
    let newest = &checkpoints[1].key;
    vfs.flip_bit(&Path::new("d").join(newest), 200).unwrap();
    assert_eq!(ids(&open(&vfs).snapshot()).len() as u64, n_commits);
    vfs.flip_bit(&Path::new("d").join(&checkpoints[0].key), 200).unwrap();
    let refused = LocalCatalog::open(blobs(&vfs)).unwrap_err();
    assert!(matches!(refused, CatalogError::Corrupt { .. }), "{refused}");
}

#[test]
fn every_flipped_bit_of_a_commit_and_a_missing_commit_are_typed_errors() {
    let vfs = MemVfs::default();
    let catalog = open(&vfs);
    catalog.commit(add(0)).unwrap();
    catalog.commit(Txn { add_tombstones: vec![tombstone()], ..remove(0) }).unwrap();
    let store = blobs(&vfs);
    for object in store.list("catalog/commit/").unwrap() {
        let path = Path::new("d").join(&object.key);
        for bit in 0..object.len_bytes * 8 {
            vfs.flip_bit(&path, bit).unwrap();
            let refused = LocalCatalog::open(blobs(&vfs)).unwrap_err();
            let typed = matches!(refused, CatalogError::Corrupt { .. } | CatalogError::NewerVersion { .. });
            assert!(typed && refused.to_string().contains(&object.key), "bit {bit}: {refused}");
            vfs.flip_bit(&path, bit).unwrap();
        }
        for len in 0..object.len_bytes {
            let bytes = store.get(&object.key).unwrap();
            store.put(&object.key, &bytes[..usize::try_from(len).unwrap()], PutMode::Overwrite).unwrap();
            assert!(LocalCatalog::open(blobs(&vfs)).is_err(), "length {len}");
            store.put(&object.key, &bytes, PutMode::Overwrite).unwrap();
        }
    }
    let first = store.list("catalog/commit/").unwrap().remove(0);
    store.delete(&first.key).unwrap();
    assert!(matches!(LocalCatalog::open(blobs(&vfs)), Err(CatalogError::Corrupt { .. })));
}

/// Cuts one real part of one row.
fn cut(blobs: &dyn BlobStore, n: u64) -> PartMeta {
    let row = ToyRow { t_ms: n as i64, value: n };
    let offsets = OffsetRange { start: Offset(n), end: Offset(n + 1) };
    cut_part(blobs, &TenantId::anonymous(), 1, offsets, 0, vec![row]).unwrap().unwrap()
}

#[test]
fn removed_parts_are_deleted_when_the_last_view_that_holds_them_is_gone() {
    let vfs = MemVfs::default();
    let catalog = open(&vfs);
    let store = blobs(&vfs);
    let metas: Vec<PartMeta> = (0..3).map(|n| cut(&*store, n)).collect();
    catalog.commit(Txn { add: metas.clone(), ..Txn::default() }).unwrap();
    let held = catalog.snapshot();
    for meta in &metas {
        catalog.commit(Txn { remove: vec![meta.id], ..Txn::default() }).unwrap();
    }
    assert_eq!(catalog.reclaim().unwrap(), ReclaimReport { waiting: 3, ..ReclaimReport::default() });
    assert_eq!(store.list("parts/").unwrap().len(), 3);
    drop(held);
    let done = catalog.reclaim().unwrap();
    assert_eq!((done.deleted, done.waiting), (3, 0));
    assert_eq!(done.deleted_bytes, metas.iter().map(|m| m.len_bytes).sum::<u64>());
    assert!(store.list("parts/").unwrap().is_empty());
}

#[test]
fn a_commit_whose_outcome_was_unknown_is_settled_by_the_next() {
    for fail_at in 0..8 {
        let vfs = MemVfs::default();
        let catalog = open(&vfs);
        catalog.commit(add(0)).unwrap();
        vfs.set_plan(FaultPlan { fail_change: Some(vfs.n_changes() + fail_at), ..FaultPlan::default() });
        let first = catalog.commit(add(1));
        let second = catalog.commit(add(1));
        let expected_ok =
            matches!((&first, &second), (Ok(_), Err(CatalogError::DuplicatePart(_))) | (Err(_), Ok(_)));
        assert!(expected_ok, "change {fail_at}: {first:?} {second:?}");
        assert_eq!(ids(&catalog.snapshot()), [0, 1]);
        assert_eq!(ids(&open(&vfs).snapshot()), [0, 1]);
    }
}

#[test]
fn parts_of_attempts_that_failed_are_deleted_before_the_next_commit() {
    let vfs = MemVfs::default();
    let catalog = open(&vfs);
    let store = blobs(&vfs);
    let keys = || store.list("parts/").unwrap().into_iter().map(|o| o.key).collect::<Vec<_>>();
    let key_of = |meta: &PartMeta| PartKey { id: meta.id, key: meta.key() };
    let fail_next = |nth: u64| {
        vfs.set_plan(FaultPlan { fail_change: Some(vfs.n_changes() + nth), ..FaultPlan::default() });
    };
    let (given_up, used) = (cut(&*store, 1), cut(&*store, 2));
    catalog.discard(&[key_of(&used), key_of(&given_up)]);
    // While it cannot be deleted, nothing is committed.
    fail_next(0);
    assert!(catalog.commit(Txn { add: vec![used.clone()], ..Txn::default() }).is_err());
    assert_eq!(keys().len(), 2);
    catalog.commit(Txn { add: vec![used.clone()], ..Txn::default() }).unwrap();
    assert_eq!(keys(), [used.key()]);
    // A commit that failed takes its parts back by itself.
    let failed = cut(&*store, 3);
    fail_next(0);
    assert!(catalog.commit(Txn { add: vec![failed], ..Txn::default() }).is_err());
    assert_eq!(keys().len(), 2);
    catalog.commit(Txn::default()).unwrap();
    assert_eq!(keys(), [used.key()]);
    // What is visible is never deleted.
    catalog.discard(&[key_of(&used)]);
    catalog.commit(Txn::default()).unwrap();
    assert_eq!(keys(), [used.key()]);
}

fn header_of(meta: &PartMeta, replaces: Vec<PartId>, completes: bool) -> PartHeader {
    PartHeader {
        id: meta.id,
        family: meta.family.clone(),
        schema_version: 1,
        tenant: meta.tenant.clone(),
        shards: meta.shards,
        level: meta.level,
        incarnation: meta.incarnation,
        offsets: meta.offsets,
        tombstones_applied: 0,
        replaces,
        completes,
    }
}

/// One part of a rebuild case: its number, level, offsets, what it replaces, whether it completes that.
type Found<'a> = (u64, u8, std::ops::Range<u64>, &'a [u64], bool);

#[test]
fn a_rebuilt_catalog_has_each_row_once() {
    let check = |parts: &[Found<'_>], journal: Option<(u64, u64)>, expected: &[u64], committed: u64| {
        let vfs = MemVfs::default();
        let store = blobs(&vfs);
        for (n, level, offsets, replaces, completes) in parts {
            let offsets = OffsetRange { start: Offset(offsets.start), end: Offset(offsets.end) };
            let meta = PartMeta { level: *level, offsets, ..meta(*n) };
            let replaces = replaces.iter().map(|n| PartId(u128::from(*n))).collect();
            let out = crate::PartWriter::new(&*store, header_of(&meta, replaces, *completes)).unwrap();
            let time = Some(meta.time);
            out.finish(crate::PartStats { rows: 1, series: 1, time, extra: vec![] }).unwrap();
        }
        store.put("catalog/commit/00000000000000000041", b"rubbish", PutMode::Create).unwrap();
        store.put("parts/toy/odd/x.part", b"rubbish", PutMode::Create).unwrap();
        let bounds = |(start, end)| JournalBounds { incarnation: 1, start: Offset(start), end: Offset(end) };
        let (view, report) = rebuild(&store, journal.map(bounds)).unwrap();
        assert_eq!((ids(&view), view.committed.0), (expected.to_vec(), committed), "{parts:?} {journal:?}");
        assert_eq!(report.unreadable.len(), 1);
        let reopened = open(&vfs).snapshot();
        assert_eq!((ids(&reopened), reopened.version), (expected.to_vec(), 42));
        assert_eq!(open(&vfs).commit(Txn::default()).unwrap().version, 43);
    };
    // Without a journal everything counts.
    check(&[(1, 0, 0..5, &[], true), (2, 0, 5..9, &[], true)], None, &[1, 2], 9);
    // The second cut was not surely committed, and the journal still has its rows.
    check(&[(1, 0, 0..5, &[], true), (2, 0, 5..9, &[], true)], Some((5, 9)), &[1], 5);
    // The journal begins inside the first cut: its segments are larger than a cut.
    check(&[(1, 0, 0..5, &[], true), (2, 0, 5..9, &[], true)], Some((3, 9)), &[1], 5);
    // A merge and its inputs, of which one is deleted already.
    check(&[(2, 0, 5..9, &[], true), (3, 1, 0..9, &[1, 2], true)], Some((9, 9)), &[3], 9);
    // A split whose second half is missing, and one that is complete.
    check(&[(1, 1, 0..5, &[], true), (2, 1, 0..5, &[1], false)], Some((5, 5)), &[1], 5);
    check(
        &[(1, 1, 0..5, &[], true), (2, 1, 0..5, &[1], false), (3, 1, 0..5, &[1], true)],
        Some((5, 5)),
        &[2, 3],
        5,
    );
    check(&[(2, 1, 0..5, &[1], false), (3, 1, 0..5, &[1], true)], Some((5, 5)), &[2, 3], 5);
}
