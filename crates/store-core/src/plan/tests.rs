use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{ShardRange, TenantId};

use super::*;
use crate::catalog::{CatalogSnapshot, JournalBounds, Tombstone};
use crate::journal::Offset;
use crate::part::{OffsetRange, PartMeta};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A part as the tables below write it: number, level, first and last minute, megabytes.
type Literal = (u64, u8, i64, i64, u64);

fn part((n, level, from_min, to_min, megabytes): Literal) -> PartMeta {
    PartMeta {
        id: PartId(u128::from(n)),
        family: "toy".to_owned(),
        schema_version: 1,
        tenant: TenantId::anonymous(),
        shards: ShardRange::ALL,
        level,
        incarnation: 1,
        offsets: OffsetRange { start: Offset(n), end: Offset(n + 1) },
        tombstones_applied: 0,
        time: TimeRange { min_ms: from_min * MINUTE, max_ms: to_min * MINUTE - 1 },
        rows: 1,
        series: 1,
        len_bytes: megabytes << 20,
    }
}

fn parts(literals: &[Literal]) -> Vec<Arc<PartMeta>> {
    literals.iter().map(|l| Arc::new(part(*l))).collect()
}

fn numbers(ids: &[PartId]) -> Vec<u64> {
    ids.iter().map(|id| u64::try_from(id.0).unwrap()).collect()
}

#[test]
fn compaction_follows_the_windows() {
    let policy = CompactionPolicy {
        part_bytes_max: 1000 << 20,
        inputs_max: 6,
        split_max: 3,
        ..CompactionPolicy::default()
    };
    let check = |literals: &[Literal], now_min: i64, expected: &[(u8, &[u64])]| {
        let tasks = compaction(&parts(literals), now_min * MINUTE, &policy, &BTreeSet::new());
        let found: Vec<_> = tasks.iter().map(|t| (t.level, numbers(&t.inputs))).collect();
        let expected: Vec<_> = expected.iter().map(|(level, inputs)| (*level, inputs.to_vec())).collect();
        assert_eq!(found, expected, "{literals:?} at minute {now_min}");
        assert!(tasks.iter().all(|t| t.outputs == [TimeRange::ALL]));
    };
    let two = [(1, 0, 0, 5, 1), (2, 0, 5, 10, 1)];
    check(&[], 10_000, &[]);
    // The window 0..2 h is open, then in its grace, then passed.
    check(&two, 60, &[]);
    check(&two, 129, &[]);
    check(&two, 131, &[(1, &[1, 2])]);
    // A single part has nothing to join.
    check(&two[..1], 131, &[]);
    // Parts of two windows are two merges; one across the boundary waits for the day.
    let across =
        [(1, 0, 0, 5, 1), (2, 0, 5, 9, 1), (3, 0, 118, 122, 1), (4, 0, 130, 135, 1), (5, 0, 135, 140, 1)];
    check(&across, 300, &[(1, &[1, 2]), (1, &[4, 5])]);
    check(&across, 24 * 60 + 11, &[(2, &[1, 2, 3, 4, 5])]);
    // A backlog goes to the largest window that has passed, once.
    check(&across, 32 * 24 * 60, &[(3, &[1, 2, 3, 4, 5])]);
    // Days become a month; what is at the level already stays.
    let days = [(1, 2, 0, 1440, 10), (2, 2, 1440, 2880, 10)];
    check(&days, 3000, &[]);
    check(&days, 31 * 1440 + 11, &[(3, &[1, 2])]);
    // A late sample does not rewrite a large part; enough of them do; meanwhile they join each other.
    check(&[(1, 1, 0, 120, 100), (2, 0, 3, 4, 1)], 300, &[]);
    check(&[(1, 1, 0, 120, 100), (2, 0, 3, 4, 1), (3, 0, 3, 4, 1)], 300, &[(1, &[2, 3])]);
    check(&[(1, 1, 0, 120, 100), (2, 1, 3, 4, 2), (3, 0, 3, 4, 1)], 300, &[(1, &[2, 3])]);
    check(&[(1, 1, 0, 120, 100), (2, 0, 3, 4, 13)], 300, &[(1, &[1, 2])]);
    // Limits on bytes and inputs.
    check(&[(1, 0, 0, 5, 600), (2, 0, 5, 9, 600)], 300, &[]);
    check(&[(1, 0, 0, 5, 600), (2, 0, 5, 9, 600), (3, 0, 9, 12, 300)], 300, &[(1, &[1, 3])]);
    let many: Vec<Literal> = (1..9).map(|n| (n, 0, 0, 5, 1)).collect();
    check(&many, 300, &[(1, &[1, 2, 3, 4, 5, 6])]);
}

#[test]
fn compaction_never_mixes_tenants_families_or_shards_and_leaves_skipped_parts_alone() {
    let policy = CompactionPolicy::default();
    let plain = parts(&[(1, 0, 0, 5, 1), (2, 0, 5, 10, 1)]);
    let plan = |other: PartMeta, skip: &[u64]| {
        let all = [Arc::clone(&plain[0]), Arc::new(other)];
        let skip = skip.iter().map(|n| PartId(u128::from(*n))).collect();
        compaction(&all, 300 * MINUTE, &policy, &skip).len()
    };
    let second = part((2, 0, 5, 10, 1));
    assert_eq!(plan(second.clone(), &[]), 1);
    assert_eq!(plan(second.clone(), &[2]), 0);
    assert_eq!(plan(PartMeta { tenant: TenantId::new("b").unwrap(), ..second.clone() }, &[]), 0);
    assert_eq!(plan(PartMeta { family: "b".to_owned(), ..second.clone() }, &[]), 0);
    assert_eq!(plan(PartMeta { shards: ShardRange { first: 0, last: 5 }, ..second }, &[]), 0);
}

#[test]
fn a_part_across_the_largest_boundary_is_split() {
    let policy = CompactionPolicy { split_max: 3, ..CompactionPolicy::default() };
    let split = |level, from_days: i64, to_days: i64| {
        let literal = (1, level, from_days * 24 * 60, to_days * 24 * 60, 1);
        compaction(&parts(&[literal]), 10_000 * DAY, &policy, &BTreeSet::new())
    };
    let month = |n: i64| TimeRange { min_ms: n * 31 * DAY, max_ms: (n + 1) * 31 * DAY - 1 };
    assert_eq!(split(0, 0, 31), []);
    let tasks = split(0, 30, 32);
    assert_eq!((tasks[0].level, tasks[0].outputs.clone()), (0, vec![month(0), month(1)]));
    assert_eq!(split(3, 30, 90)[0].outputs, [month(0), month(1), month(2)]);
    assert_eq!(split(0, 30, 94), [], "more windows than the limit");
    let absurd = PartMeta { time: TimeRange::ALL, ..part((1, 0, 0, 1, 1)) };
    assert_eq!(compaction(&[Arc::new(absurd)], DAY, &policy, &BTreeSet::new()), []);
}

#[test]
fn windows_are_aligned_on_both_sides_of_the_epoch() {
    for (t_ms, min_ms) in [(0, 0), (7_199_999, 0), (7_200_000, 7_200_000), (-1, -7_200_000)] {
        let window = window_of(t_ms, 2 * HOUR);
        assert_eq!(window, TimeRange { min_ms, max_ms: min_ms + 7_199_999 });
    }
    assert!(window_of(i64::MIN, 2 * HOUR).contains(i64::MIN));
    assert!(window_of(i64::MAX, 2 * HOUR).contains(i64::MAX));
}

#[test]
fn retention_drops_the_oldest_by_time_and_size() {
    let literals = [(1, 0, 0, 10, 10), (2, 0, 10, 20, 10), (3, 0, 20, 30, 10), (4, 0, 0, 30, 10)];
    let check = |policy: &RetentionPolicy, size: StoreSize, expected: &[(u64, DropReason)]| {
        let drops = retention(&parts(&literals), 100 * MINUTE, policy, size);
        let found: Vec<_> = drops.iter().map(|d| (numbers(&[d.id])[0], d.reason)).collect();
        assert_eq!(found, expected, "{policy:?} {size:?}");
    };
    use DropReason::{Size, Time};
    let none = StoreSize::default();
    let time =
        |minutes: i64| RetentionPolicy { time_ms: Some(minutes * MINUTE), ..RetentionPolicy::default() };
    let size =
        |megabytes: u64| RetentionPolicy { size_bytes: Some(megabytes << 20), ..RetentionPolicy::default() };
    check(&RetentionPolicy::default(), none, &[]);
    check(&time(100), none, &[]);
    check(&time(85), none, &[(1, Time)]);
    check(&time(10), none, &[(1, Time), (2, Time), (3, Time), (4, Time)]);
    check(&size(40), none, &[]);
    check(&size(39), none, &[(1, Size)]);
    check(&size(0), none, &[(1, Size), (2, Size), (3, Size), (4, Size)]);
    check(&size(40), StoreSize { journal_bytes: 11 << 20, disk_bytes: None }, &[(1, Size), (2, Size)]);
    let share = RetentionPolicy { disk_share: Some(0.5), ..RetentionPolicy::default() };
    check(&share, none, &[]);
    check(&share, StoreSize { journal_bytes: 0, disk_bytes: Some(60 << 20) }, &[(1, Size)]);
    check(&RetentionPolicy { size_bytes: Some(30 << 20), ..time(85) }, none, &[(1, Time)]);
    let own = BTreeMap::from([(TenantId::anonymous(), 1000 * MINUTE)]);
    check(&RetentionPolicy { tenant_time_ms: own, ..time(10) }, none, &[]);
}

fn tombstone(seq: u64, before: u64, from_min: i64, to_min: i64) -> Arc<Tombstone> {
    Arc::new(Tombstone {
        seq,
        tenant: TenantId::anonymous(),
        family: "toy".to_owned(),
        time: TimeRange { min_ms: from_min * MINUTE, max_ms: to_min * MINUTE },
        before: Offset(before),
        selector: vec![],
    })
}

#[test]
fn deletions_rewrite_what_they_may_touch_and_end() {
    let check = |tombstones: Vec<Arc<Tombstone>>,
                 applied: u64,
                 committed: u64,
                 rewrites: &[u64],
                 done: &[u64]| {
        let literals = [(1, 0, 0, 10, 1), (2, 1, 10, 20, 1), (3, 0, 20, 30, 1)];
        let with = |l: &Literal| Arc::new(PartMeta { tombstones_applied: applied, ..part(*l) });
        let parts = literals.iter().map(with).collect();
        let view =
            CatalogSnapshot { parts, tombstones, committed: Offset(committed), ..CatalogSnapshot::empty() };
        let plan = deletion(&view, &BTreeSet::new());
        let found: Vec<_> = plan.rewrites.iter().flat_map(|t| numbers(&t.inputs)).collect();
        assert_eq!((found, plan.done), (rewrites.to_vec(), done.to_vec()));
        let level_of = |id: u64| u8::from(id == 2);
        assert!(plan.rewrites.iter().all(|t| t.level == level_of(numbers(&t.inputs)[0])));
    };
    check(vec![], 0, 9, &[], &[]);
    check(vec![tombstone(1, 9, 0, 100)], 0, 9, &[1, 2, 3], &[]);
    check(vec![tombstone(1, 9, 12, 25)], 0, 9, &[2, 3], &[]);
    // Only rows journalled before it.
    check(vec![tombstone(1, 3, 0, 100)], 0, 9, &[1, 2], &[]);
    // All parts obey it already; it ends once what was live then is in parts.
    check(vec![tombstone(1, 9, 0, 100)], 1, 9, &[], &[1]);
    check(vec![tombstone(1, 9, 0, 100)], 1, 8, &[], &[]);
    check(vec![tombstone(1, 9, 0, 5), tombstone(2, 9, 100, 200)], 0, 9, &[1], &[2]);
}

#[test]
fn orphans_go_in_an_order_that_may_be_interrupted() {
    let orphan = |n: u64, replaces: &[u64]| Orphan {
        key: PartMeta::key_of("toy", &TenantId::anonymous(), PartId(u128::from(n))),
        id: Some(PartId(u128::from(n))),
        replaces: replaces.iter().map(|n| PartId(u128::from(*n))).collect(),
        footer: None,
        unreadable: None,
    };
    let check_both = |found: &[Orphan], expected: &[u64], kept: &[u64]| {
        let parts = parts(&[(9, 0, 0, 1, 1)]);
        let view = CatalogSnapshot { parts, ..CatalogSnapshot::empty() };
        let (removed, present) = (BTreeSet::from([PartId(1)]), BTreeSet::from([PartId(9)]));
        let evidence = Evidence { view: &view, removed: &removed, present: &present, journal: None };
        let plan = orphans(found.to_vec(), evidence);
        let ids = |orphans: &[Orphan]| {
            orphans.iter().filter_map(|o| o.id).map(|id| numbers(&[id])[0]).collect::<Vec<_>>()
        };
        assert_eq!((ids(&plan.delete), ids(&plan.keep)), (expected.to_vec(), kept.to_vec()));
    };
    let check = |found: &[Orphan], expected: &[u64]| check_both(found, expected, &[]);
    // Nothing says where the rows of 5 are; those of 6 are in 9; one input of 7 is gone.
    check_both(&[orphan(5, &[]), orphan(6, &[9]), orphan(7, &[8, 9])], &[6], &[5, 7]);
    check(&[], &[]);
    check(&[orphan(9, &[])], &[]);
    check(&[orphan(1, &[2]), orphan(2, &[3]), orphan(3, &[]), orphan(9, &[])], &[3, 2, 1]);
    // What it replaces is in the catalog: a merge that was not committed.
    check(&[orphan(1, &[9])], &[1]);
    check(&[orphan(1, &[2]), orphan(2, &[1])], &[1, 2]);
}

#[test]
fn a_part_that_the_catalog_lost_is_taken_back_only_when_its_rows_are_nowhere_else() {
    // Cuts by their offsets (replacing nothing), merges by what they replace; the catalog has 9, whose
    // object is gone, and 8.
    let lost = |n: u64, replaces: &[u64], offsets: (u64, u64), applied: u64, completes: bool| {
        let level = u8::from(!replaces.is_empty());
        let meta = PartMeta {
            tombstones_applied: applied,
            level,
            offsets: OffsetRange { start: Offset(offsets.0), end: Offset(offsets.1) },
            ..part((n, 0, 0, 1, 1))
        };
        Orphan {
            key: meta.key(),
            id: Some(meta.id),
            replaces: replaces.iter().map(|n| PartId(u128::from(*n))).collect(),
            footer: Some((meta, completes)),
            unreadable: None,
        }
    };
    let journal = |start: u64| {
        let incarnation = part((1, 0, 0, 1, 1)).incarnation;
        Some(JournalBounds { incarnation, start: Offset(start), end: Offset(start + 5) })
    };
    let check =
        |found: &[Orphan], journal: Option<JournalBounds>, adopted: &[u64], remove: &[u64], committed| {
            let view = CatalogSnapshot {
                parts: parts(&[(8, 0, 0, 1, 1), (9, 0, 0, 1, 1)]),
                committed: Offset(10),
                tombstones: vec![tombstone(2, 9, 0, 100)],
                tombstone_seq: 2,
                ..CatalogSnapshot::empty()
            };
            let (removed, present) = (BTreeSet::new(), BTreeSet::from([PartId(8)]));
            let evidence = Evidence { view: &view, removed: &removed, present: &present, journal };
            let plan = orphans(found.to_vec(), evidence);
            let ids: Vec<u64> = plan.adopt.parts.iter().map(|o| numbers(&[o.id.unwrap()])[0]).collect();
            assert_eq!((ids, numbers(&plan.adopt.remove)), (adopted.to_vec(), remove.to_vec()), "{found:?}");
            assert_eq!(plan.adopt.committed, Offset(committed));
            assert_eq!(plan.keep.len() + plan.adopt.parts.len(), found.len());
        };
    // Committed, and the journal has nothing of it any more.
    check(&[lost(1, &[], (4, 10), 1, false)], journal(10), &[1], &[], 10);
    check(&[lost(1, &[], (10, 12), 2, false)], journal(12), &[1], &[], 12);
    // Damaged, the journal proves nothing; or it has some of the rows.
    check(&[lost(1, &[], (4, 10), 2, false)], None, &[], &[], 10);
    check(&[lost(1, &[], (10, 13), 2, false)], journal(12), &[], &[], 10);
    // A merge whose inputs are gone, in the catalog or out of it.
    check(&[lost(1, &[8, 9], (0, 4), 2, true)], None, &[1], &[8, 9], 10);
    check(&[lost(1, &[6, 7], (0, 4), 2, true)], None, &[1], &[], 10);
    check(&[lost(1, &[8, 9], (0, 4), 2, false)], None, &[], &[], 10);
    // The first deletion was carried out while it was away: its rows would come back.
    check(&[lost(1, &[8, 9], (0, 4), 0, true)], None, &[], &[], 10);
    // Two that may have the same rows.
    check(&[lost(1, &[7, 9], (0, 4), 2, true), lost(7, &[6], (0, 4), 2, true)], None, &[], &[], 10);
}

/// What two months of planning cost, hour by hour, with tasks applied to literal parts.
struct Months {
    parts: Vec<Arc<PartMeta>>,
    next: u64,
    cut_bytes: u64,
    merged_bytes: u64,
    n_parts_max: usize,
}

impl Months {
    fn add(&mut self, level: u8, time: TimeRange, len_bytes: u64) {
        let literal = part((self.next, level, 0, 1, 0));
        self.next += 1;
        self.parts.push(Arc::new(PartMeta { time, len_bytes, ..literal }));
    }

    fn apply(&mut self, tasks: &[MergeTask], policy: &CompactionPolicy) {
        let mut taken = BTreeSet::new();
        for task in tasks {
            assert!(task.input_bytes <= policy.part_bytes_max && task.inputs.len() <= policy.inputs_max);
            assert!(task.inputs.iter().all(|id| taken.insert(*id)), "a part is in two tasks");
            let is_input = |p: &Arc<PartMeta>| task.inputs.contains(&p.id);
            let (inputs, left): (Vec<_>, Vec<_>) = self.parts.drain(..).partition(is_input);
            self.parts = left;
            assert_eq!(inputs.len(), task.inputs.len());
            let mut time = inputs[0].time;
            for input in &inputs {
                time.extend(input.time.min_ms);
                time.extend(input.time.max_ms);
                assert!(input.level <= task.level);
            }
            if task.outputs.len() == 1 {
                let window = window_of(time.min_ms, policy.windows_ms[usize::from(task.level) - 1]);
                assert!(window.contains(time.max_ms), "a merge crosses its window");
                self.add(task.level, time, task.input_bytes);
            } else {
                for window in &task.outputs {
                    let min_ms = time.min_ms.max(window.min_ms);
                    let inside = TimeRange { min_ms, max_ms: time.max_ms.min(window.max_ms) };
                    self.add(task.level, inside, task.input_bytes / task.outputs.len() as u64);
                }
            }
            self.merged_bytes += task.input_bytes;
        }
    }

    fn run(late_one_in: u64) -> Self {
        let policy = CompactionPolicy::default();
        let mut months = Self { parts: Vec::new(), next: 0, cut_bytes: 0, merged_bytes: 0, n_parts_max: 0 };
        let mut rng = base::Rng::new(1);
        for cut in 0..62 * 24 * 12i64 {
            let end_ms = (cut + 1) * 5 * MINUTE;
            let mut time = TimeRange { min_ms: end_ms - 5 * MINUTE, max_ms: end_ms - 1 };
            if late_one_in > 0 && rng.one_in(late_one_in) {
                let late_ms = i64::try_from(rng.below(10)).unwrap() * DAY;
                time.extend((time.min_ms - late_ms).max(0));
            }
            months.add(0, time, 1 << 20);
            months.cut_bytes += 1 << 20;
            if cut % 12 == 0 {
                let tasks = compaction(&months.parts, end_ms, &policy, &BTreeSet::new());
                months.apply(&tasks, &policy);
                months.n_parts_max = months.n_parts_max.max(months.parts.len());
            }
        }
        months
    }
}

#[test]
fn two_months_of_cuts_stay_few_parts_and_are_rewritten_once_per_level() {
    for (late_one_in, n_parts_max, rewrites_max) in [(0, 90, 3.0), (50, 250, 3.2)] {
        let months = Months::run(late_one_in);
        let rewrites = months.merged_bytes as f64 / months.cut_bytes as f64;
        let what = format!(
            "late one in {late_one_in}: {} parts at most, {rewrites:.2} rewrites",
            months.n_parts_max
        );
        assert!(months.n_parts_max <= n_parts_max && rewrites <= rewrites_max, "{what}");
    }
}
