use std::path::Path;
use std::sync::Arc;

use base::{CancelToken, TenantId};
use vfs::{FaultPlan, MemVfs, Vfs};

use super::*;
use crate::blob::LocalBlobStore;
use crate::catalog::{LocalCatalog, NewTombstone};
use crate::journal::Offset;
use crate::part::TimeRange;
use crate::toy::{ToyFamily, ToyRow, cut_part, read_rows};

struct Fixture {
    vfs: MemVfs,
    blobs: Arc<dyn BlobStore>,
    catalog: Arc<dyn Catalog>,
    maintenance: Maintenance,
    next: u64,
}

impl Fixture {
    fn new() -> Self {
        let vfs = MemVfs::default();
        let blobs: Arc<dyn BlobStore> =
            Arc::new(LocalBlobStore::open(Arc::new(vfs.clone()), Path::new("d")).unwrap());
        let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(Arc::clone(&blobs)).unwrap());
        let families: Vec<Arc<dyn PartFamily>> = vec![Arc::new(ToyFamily)];
        let maintenance = Maintenance::new(Arc::clone(&blobs), Arc::clone(&catalog), families);
        Self { vfs, blobs, catalog, maintenance, next: 0 }
    }

    /// Cuts a part with one row at each time; values count up over the fixture's life.
    fn cut(&mut self, times_ms: &[i64]) -> PartId {
        let start = Offset(self.next);
        let mut rows = Vec::new();
        for t_ms in times_ms {
            rows.push(ToyRow { t_ms: *t_ms, value: self.next });
            self.next += 1;
        }
        let offsets = OffsetRange { start, end: Offset(self.next) };
        let seq = self.catalog.snapshot().tombstone_seq;
        let part = cut_part(&*self.blobs, &TenantId::anonymous(), 1, offsets, seq, rows).unwrap().unwrap();
        let id = part.id;
        let committed = Some(offsets.end);
        self.catalog.commit(Txn { add: vec![part], committed, ..Txn::default() }).unwrap();
        id
    }

    fn round(&self, policy: &MaintenancePolicy, now_ms: i64) -> RoundReport {
        self.maintenance.round(policy, now_ms, 0, &CancelToken::unbounded()).unwrap()
    }

    /// The parts as level and values, and a check that exactly their objects exist.
    fn parts(&self) -> Vec<(u8, Vec<u64>)> {
        let view = self.catalog.snapshot();
        let read = |p: &Arc<PartMeta>| {
            let part = PartReader::open(&self.blobs, &p.key()).unwrap();
            assert_eq!(ToyFamily.verify(&part).unwrap(), Vec::<String>::new());
            (p.level, read_rows(&part).unwrap().into_iter().map(|row| row.value).collect())
        };
        assert_eq!(self.blobs.list("parts/").unwrap().len(), view.parts.len());
        let mut parts: Vec<_> = view.parts.iter().map(read).collect();
        parts.sort();
        parts
    }

    fn policy() -> MaintenancePolicy {
        let windows_ms = vec![100, 400, 1600];
        let compaction = CompactionPolicy { windows_ms, grace_ms: 10, ..CompactionPolicy::default() };
        MaintenancePolicy { compaction, ..MaintenancePolicy::default() }
    }
}

#[test]
fn rounds_compact_level_by_level_and_delete_what_was_merged() {
    let mut f = Fixture::new();
    for t_ms in [10, 60, 110, 160, 410] {
        f.cut(&[t_ms, t_ms + 1]);
    }
    let report = f.round(&Fixture::policy(), 250);
    assert_eq!((report.merges, report.reclaimed.deleted, report.failures.len()), (2, 4, 0));
    assert_eq!(f.parts(), [(0, vec![8, 9]), (1, vec![0, 1, 2, 3]), (1, vec![4, 5, 6, 7])]);
    f.round(&Fixture::policy(), 450);
    assert_eq!(f.parts(), [(0, vec![8, 9]), (2, (0..8).collect())]);
    f.round(&Fixture::policy(), 2000);
    assert_eq!(f.parts(), [(3, (0..10).collect())]);
    assert_eq!(f.round(&Fixture::policy(), 9000).merges, 0);
    let part = &f.catalog.snapshot().parts[0];
    assert_eq!((part.offsets.start, part.offsets.end), (Offset(0), Offset(10)));
}

#[test]
fn retention_drops_parts_and_merges_leave_expired_rows_out() {
    let mut f = Fixture::new();
    for times in [[10, 20], [30, 80], [85, 300], [310, 320]] {
        f.cut(&times);
    }
    let retention = RetentionPolicy { time_ms: Some(420), ..RetentionPolicy::default() };
    let policy = MaintenancePolicy { retention, ..Fixture::policy() };
    // 500 - 420 = 80: the first part is too old as a whole, the second in part.
    let report = f.round(&policy, 500);
    assert_eq!((report.drops.len(), report.merges), (1, 1));
    assert_eq!(f.parts(), [(2, vec![3, 4, 5, 6, 7])]);
    assert_eq!(f.round(&policy, 10_000).drops.len(), 1);
    assert_eq!(f.parts(), []);
}

#[test]
fn deletions_reclaim_space_and_end() {
    let mut f = Fixture::new();
    f.cut(&[10, 20, 30]);
    f.cut(&[1000]);
    let before = Offset(4);
    let tombstone = |value: u8| NewTombstone {
        tenant: TenantId::anonymous(),
        family: "toy".to_owned(),
        time: TimeRange { min_ms: 0, max_ms: 500 },
        before,
        selector: vec![value],
    };
    f.catalog.commit(Txn { add_tombstones: vec![tombstone(1), tombstone(7)], ..Txn::default() }).unwrap();
    assert_eq!(f.round(&Fixture::policy(), 0).rewrites, 1);
    assert_eq!(f.parts(), [(0, vec![0, 2]), (0, vec![3])]);
    assert_eq!(f.round(&Fixture::policy(), 0).tombstones_done, 2);
    assert_eq!(f.catalog.snapshot().tombstones.len(), 0);
    // A part of which nothing is left goes.
    let all = [0, 2].map(tombstone).to_vec();
    f.catalog.commit(Txn { add_tombstones: all, ..Txn::default() }).unwrap();
    f.round(&Fixture::policy(), 0);
    assert_eq!(f.parts(), [(0, vec![3])]);
}

#[test]
fn a_part_across_the_largest_boundary_becomes_one_per_window() {
    let mut f = Fixture::new();
    f.cut(&[10, 1599, 1600, 3300]);
    f.cut(&[1700]);
    f.round(&Fixture::policy(), 100);
    assert_eq!(f.parts(), [(0, vec![0, 1]), (0, vec![2]), (0, vec![3]), (0, vec![4])]);
    f.round(&Fixture::policy(), 5000);
    assert_eq!(f.parts(), [(0, vec![0, 1]), (0, vec![3]), (3, vec![2, 4])]);
}

#[test]
fn a_corrupt_part_is_reported_once_and_holds_up_nothing_else() {
    let mut f = Fixture::new();
    let bad = f.cut(&[10]);
    f.cut(&[20]);
    f.cut(&[110]);
    f.cut(&[120]);
    let key = PartMeta::key_of("toy", &TenantId::anonymous(), bad);
    let path = Path::new("d").join(key);
    f.vfs.flip_bit(&path, 9 * 8).unwrap();
    let report = f.round(&Fixture::policy(), 250);
    assert_eq!((report.merges, report.failures.len()), (1, 1));
    assert!(report.failures[0].to_string().contains("is corrupt at byte 8 (block 0 of kind 1)"));
    assert_eq!(f.maintenance.quarantined(250), [bad].into());
    assert_eq!(f.round(&Fixture::policy(), 250).failures.len(), 0);
    assert_eq!(f.catalog.snapshot().parts.len(), 3);
    // It is tried again, and merged once its bytes are what was written.
    let later_ms = 250 + QUARANTINE_MS;
    assert_eq!(f.round(&Fixture::policy(), later_ms).failures.len(), 1);
    f.vfs.flip_bit(&path, 9 * 8).unwrap();
    assert_eq!(f.round(&Fixture::policy(), later_ms).merges, 1, "the others go on without it");
    assert_eq!(f.catalog.snapshot().parts.len(), 2);
    assert_eq!(f.round(&Fixture::policy(), later_ms + QUARANTINE_MS).merges, 1);
    assert_eq!(f.parts(), [(3, vec![0, 1, 2, 3])]);
}

#[test]
fn compaction_waits_for_room_and_never_fills_the_disk() {
    let mut f = Fixture::new();
    f.cut(&[10]);
    f.cut(&[20]);
    let used: u64 = f.vfs.files().iter().map(|(_, len)| len).sum();
    f.vfs.set_plan(FaultPlan { capacity_bytes: Some(used + 2000), ..FaultPlan::default() });
    let policy = MaintenancePolicy { reserve_bytes: 2000, ..Fixture::policy() };
    let report = f.round(&policy, 250);
    assert_eq!((report.merges, report.put_off), (0, 1));
    f.vfs.set_plan(FaultPlan { capacity_bytes: Some(used + 1), ..FaultPlan::default() });
    let starved = f.maintenance.merge(
        &MergeTask {
            inputs: f.catalog.snapshot().parts.iter().map(|p| p.id).collect(),
            level: 1,
            outputs: vec![TimeRange::ALL],
            input_bytes: 1,
        },
        &|_| None,
        &CancelToken::unbounded(),
    );
    assert!(starved.unwrap_err().is_no_space());
    assert_eq!(f.vfs.list_dir(Path::new("d/.uploads")).unwrap(), []);
    f.vfs.set_plan(FaultPlan::default());
    assert_eq!(f.round(&policy, 250).merges, 1);
    assert_eq!(f.parts(), [(1, vec![0, 1])]);
}

/// A disk that is full to the last byte, as a journal or another program leaves it.
#[test]
fn retention_makes_room_on_a_full_disk() {
    let mut f = Fixture::new();
    f.cut(&[10]);
    f.cut(&[20]);
    let used: u64 = f.vfs.files().iter().map(|(_, len)| len).sum();
    f.vfs.set_plan(FaultPlan { capacity_bytes: Some(used), ..FaultPlan::default() });
    assert!(f.blobs.put("x", b"x", crate::PutMode::Create).unwrap_err().is_no_space());
    let retention = RetentionPolicy { time_ms: Some(85), ..RetentionPolicy::default() };
    let policy = MaintenancePolicy { retention, ..Fixture::policy() };
    assert_eq!(f.round(&policy, 100).reclaimed.deleted, 1);
    assert_eq!(f.parts(), [(0, vec![1])]);
    f.blobs.put("x", b"x", crate::PutMode::Create).unwrap();
}

#[test]
fn a_cancelled_round_changes_nothing_and_bad_tasks_are_refused() {
    let mut f = Fixture::new();
    let first = f.cut(&[10]);
    f.cut(&[20]);
    let cancel = CancelToken::unbounded();
    cancel.cancel();
    assert_eq!(f.maintenance.round(&Fixture::policy(), 250, 0, &cancel).unwrap().merges, 0);
    let task = |inputs: &[PartId]| MergeTask {
        inputs: inputs.to_vec(),
        level: 1,
        outputs: vec![TimeRange::ALL],
        input_bytes: 1,
    };
    let cancelled = f.maintenance.merge(&task(&[first]), &|_| None, &cancel);
    assert!(matches!(cancelled, Err(MaintainError::Family(FamilyError::Cancelled(_)))));
    let go = CancelToken::unbounded();
    let refused = |inputs: &[PartId]| f.maintenance.merge(&task(inputs), &|_| None, &go).unwrap_err();
    assert!(matches!(refused(&[]), MaintainError::BadTask));
    assert!(matches!(refused(&[PartId(9)]), MaintainError::Catalog(CatalogError::UnknownPart(_))));
    assert_eq!(f.parts(), [(0, vec![0]), (0, vec![1])]);
}

/// Power failures in the middle of a round, at every operation: after a restart and a sweep, each row is
/// there once and no object is left over.
#[test]
fn a_round_may_be_interrupted_anywhere() {
    for at in 0..60 {
        for seed in 0..4 {
            let mut f = Fixture::new();
            for t_ms in [10, 60, 110, 160, 1590, 1700] {
                f.cut(&[t_ms, t_ms + 1]);
            }
            f.cut(&[1599, 1600]);
            let vfs = vfs::FaultVfs::new(seed, FaultPlan::default());
            copy_into(&f.vfs, &vfs);
            let open = |vfs: &vfs::FaultVfs| {
                let blobs: Arc<dyn BlobStore> =
                    Arc::new(LocalBlobStore::open(Arc::new(vfs.clone()), Path::new("d")).unwrap());
                let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(Arc::clone(&blobs)).unwrap());
                let families: Vec<Arc<dyn PartFamily>> = vec![Arc::new(ToyFamily)];
                let maintenance = Maintenance::new(Arc::clone(&blobs), Arc::clone(&catalog), families);
                Fixture { vfs: vfs.clone(), blobs, catalog, maintenance, next: 0 }
            };
            let before = open(&vfs);
            let power_off_at_change = Some(vfs.n_changes() + at);
            vfs.set_plan(FaultPlan { power_off_at_change, ..FaultPlan::default() });
            let _ = before.maintenance.round(&Fixture::policy(), 250, 0, &CancelToken::unbounded());
            let after = open(&vfs.crash());
            let view = after.catalog.snapshot();
            let found = crate::sweep::find_orphans(&after.blobs, &view).unwrap();
            let plan = crate::sweep::plan_sweep(&after.blobs, &view, found, None).unwrap();
            assert_eq!(plan.keep, []);
            for orphan in &plan.delete {
                after.blobs.delete(&orphan.key).unwrap();
            }
            let mut values: Vec<u64> = after.parts().into_iter().flat_map(|(_, values)| values).collect();
            values.sort_unstable();
            assert_eq!(values, (0..14).collect::<Vec<_>>(), "change {at}, seed {seed}");
        }
    }
}

fn copy_into(from: &MemVfs, to: &vfs::FaultVfs) {
    for (path, _) in from.files() {
        let parent = path.parent().unwrap();
        to.create_dir_all(parent).unwrap();
        let mut file = to.create(&path).unwrap();
        file.write_all(&from.read(&path).unwrap()).unwrap();
        file.sync_data().unwrap();
        to.sync_dir(parent).unwrap();
    }
}
