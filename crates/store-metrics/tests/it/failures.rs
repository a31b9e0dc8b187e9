//! Damage, full disks and exhausted memory: a clear answer, and nothing else lost.

use base::{Budget, CancelToken};
use model::{Labels, Matcher};
use store_metrics::{AppendError, AppendOptions, LiveSamples, StoreError, StoreOptions};
use vfs::{FaultPlan, Vfs};

use crate::bench::{Bench, NOW_MS, labels};

fn rows(labels: &[Labels], t: i64) -> Vec<(&Labels, i64, f64)> {
    labels.iter().enumerate().map(|(i, l)| (l, t, i as f64 / 3.0)).collect()
}

#[test]
fn a_flipped_bit_in_a_part_is_named_and_costs_only_that_part() {
    let fleet: Vec<Labels> = (0..50).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect();
    let mut bench = Bench::new();
    bench.append(&rows(&fleet, NOW_MS - 2 * 24 * 3_600_000));
    bench.store().cut().unwrap();
    bench.append(&rows(&fleet, NOW_MS));
    bench.store().cut().unwrap();
    let files = bench.disk.files();
    let parts: Vec<_> =
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "part")).collect();
    assert_eq!(parts.len(), 2);
    let (path, len) = parts[0];
    let mut n_refused = 0;
    for byte in (8..*len).step_by(37) {
        bench.disk.flip_bit(path, byte * 8 + 3).unwrap();
        bench.open();
        let view = bench.store().view();
        let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
        let mut n_read = 0;
        let selected = view.select(&bench.tenant, &[], i64::MIN, i64::MAX, &budget, &cancel).unwrap();
        let mut columns = store_metrics::SampleColumns::default();
        for i in 0..selected.len() {
            selected.read(i, &mut columns).unwrap();
            n_read += columns.n_samples();
        }
        let failed = !view.warnings().is_empty();
        let stats = bench.store().stats();
        assert_eq!(failed, stats.corrupt_parts + stats.corrupt_blocks > 0, "byte {byte}");
        assert_eq!(failed, !stats.corruption.is_empty());
        assert!(n_read >= 50 && failed == (n_read < 100), "byte {byte}: {n_read} samples, warned: {failed}");
        n_refused += usize::from(failed);
        // The other part answers for its time as if nothing had happened.
        let (one, other) = (NOW_MS - 2 * 24 * 3_600_000, NOW_MS);
        let good = [one, other].into_iter().filter(|t| {
            let selected = view.select(&bench.tenant, &[], *t, *t, &budget, &cancel);
            selected.is_ok_and(|selected| {
                let mut columns = store_metrics::SampleColumns::default();
                let mut is_read = |i| selected.read(i, &mut columns).is_ok() && columns.n_samples() == 1;
                selected.len() == 50 && (0..50).all(&mut is_read)
            })
        });
        assert!(good.count() >= 1, "byte {byte}");
        bench.disk.flip_bit(path, byte * 8 + 3).unwrap();
    }
    assert!(n_refused > 10, "{n_refused}");
}

#[test]
fn a_damaged_part_holds_up_no_query_no_deletion_and_no_snapshot() {
    let (old, new) = (labels(&[("__name__", "old")]), labels(&[("__name__", "new")]));
    let check = |damage: &dyn Fn(&vfs::FaultVfs, &std::path::Path, u64)| {
        let mut bench = Bench::new();
        for (series, t) in [(&old, NOW_MS - 60_000), (&new, NOW_MS)] {
            bench.append(&[(series, t, 1.0)]);
            bench.store().cut().unwrap();
        }
        bench.store = None;
        let files = bench.disk.files();
        let is_part = |path: &std::path::Path| path.extension().is_some_and(|e| e == "part");
        let (path, len) = files.iter().find(|(path, _)| is_part(path)).expect("a cut writes a part");
        damage(&bench.disk, path, *len);
        bench.open();
        let view = bench.store().view();
        let scope = store_metrics::LabelScope { selectors: &[], start_ms: 0, end_ms: i64::MAX, limit: 0 };
        let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
        let names = view.label_values(&bench.tenant, "__name__", &scope, &budget, &cancel).unwrap().values;
        assert_eq!((names.len(), view.warnings().len()), (1, 1), "{names:?}");
        assert_eq!(bench.store().stats().corrupt_parts, 1);
        let view = bench.store().view();
        assert_eq!(bench.read_all().len(), 1);
        drop(view);
        let matcher = Matcher::equal("__name__", names[0].as_str());
        let deleted = bench.store().delete_series(&bench.tenant, &[matcher], 0, i64::MAX).unwrap();
        assert_eq!(deleted.series, 1);
        assert!(bench.read_all().is_empty());
        bench.store().maintain(&CancelToken::unbounded()).unwrap();
        bench.append(&[(&new, NOW_MS + 1, 1.0)]);
        assert_eq!(bench.read_all().len(), 1);
        bench.open();
        assert_eq!(bench.read_all().len(), 1);
    };
    check(&|disk, path, len| disk.flip_bit(path, (len - 3) * 8).unwrap());
    check(&|disk, path, len| disk.open_append(path).unwrap().truncate(len / 2).unwrap());
    check(&|disk, path, _| disk.open_append(path).unwrap().truncate(0).unwrap());
    check(&|disk, path, _| disk.remove(path).unwrap());
}

#[test]
fn a_torn_journal_end_is_a_problem_of_the_start() {
    let series = labels(&[("__name__", "m")]);
    let mut bench = Bench::new();
    bench.append(&[(&series, NOW_MS, 1.0)]);
    bench.append(&[(&series, NOW_MS + 1, 1.0)]);
    bench.store = None;
    let journal = bench.disk.files().into_iter().find(|(p, _)| p.extension().is_some_and(|e| e == "journal"));
    let (path, len) = journal.unwrap();
    bench.disk.open_append(&path).unwrap().truncate(len - 7).unwrap();
    let report = bench.open();
    assert_eq!((report.torn_tails, report.problems.len()), (1, 1), "{report:?}");
    bench.store = None;
    bench.disk.open_append(&path).unwrap().truncate(0).unwrap();
    let report = bench.open();
    assert_eq!((report.torn_tails, report.problems.len()), (1, 1), "{report:?}");
    assert!(report.problems[0].contains("holds nothing"));
}

#[test]
fn a_snapshot_is_a_store_and_a_store_without_a_catalog_keeps_its_parts() {
    let series = labels(&[("__name__", "m")]);
    let mut bench = Bench::new();
    bench.append(&[(&series, NOW_MS, 1.0)]);
    bench.store().snapshot("kept", LiveSamples::CutFirst).unwrap();
    let before = bench.read_all();
    let dir = Bench::dir().join("snapshots/kept/metrics");
    let open_copy = |bench: &Bench| {
        store_metrics::MetricStore::open_dir(
            std::sync::Arc::clone(&bench.disk) as _,
            &dir,
            std::sync::Arc::clone(&bench.clock) as _,
            store_core::JournalOptions::default(),
            StoreOptions::default(),
        )
    };
    let report = store_core::doctor::verify(&(std::sync::Arc::clone(&bench.disk) as _), &dir, &[]).unwrap();
    assert!(report.is_healthy() && report.n_parts == 1, "{report:?}");
    let (copy, report) = open_copy(&bench).unwrap();
    assert_eq!((copy.stats().part_samples, report.problems), (1, Vec::new()));
    drop(copy);
    bench.store = None;
    for (path, _) in bench.disk.files() {
        if path.starts_with(Bench::dir().join("catalog")) {
            bench.disk.remove(&path).unwrap();
        }
    }
    bench.open();
    assert_eq!(bench.read_all(), before);
}

#[test]
fn a_full_disk_makes_the_store_read_only_until_there_is_room() {
    let fleet: Vec<Labels> = (0..200).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect();
    let mut bench = Bench::new();
    bench.append(&rows(&fleet, NOW_MS - 1_000_000));
    let before = bench.read_all();
    let used: u64 = bench.disk.files().iter().map(|(_, len)| len).sum();
    bench.disk.set_plan(FaultPlan { capacity_bytes: Some(used + 64), ..FaultPlan::default() });
    let batch = bench.batch(&rows(&fleet, NOW_MS));
    let refused = bench.store().append(&batch, AppendOptions::default()).unwrap_err();
    assert!(matches!(refused, AppendError::ReadOnly(_)), "{refused}");
    assert!(bench.store().read_only_reason().is_some() && bench.store().stats().read_only);
    assert!(bench.store().cut().is_err(), "no room for a part either");
    assert_eq!(bench.read_all(), before, "queries go on");
    bench.disk.set_plan(FaultPlan::default());
    assert_eq!(bench.store().append(&batch, AppendOptions::default()).unwrap().accepted, 200);
    assert_eq!(bench.store().read_only_reason(), None, "and it recovers by itself");
    bench.store().cut().unwrap();
    let after = bench.read_all();
    assert!(after.values().all(|rows| rows.len() == 2));
    bench.crash();
    assert_eq!(bench.read_all(), after);
}

#[test]
fn memory_refuses_new_series_first_and_then_samples() {
    let options = StoreOptions { budget: Budget::new("store", 300_000), ..StoreOptions::default() };
    let bench = Bench::with(options);
    let old = labels(&[("__name__", "old")]);
    bench.append(&[(&old, NOW_MS - 1_000_000, 0.0)]);
    let mut n_refused = 0;
    for i in 0..2_000 {
        let fresh = labels(&[("__name__", "fresh"), ("i", &i.to_string())]);
        n_refused += bench.append(&[(&fresh, NOW_MS, 1.0)]).rejected.series_memory;
    }
    assert!(n_refused > 500, "{n_refused}");
    assert_eq!(bench.append(&[(&old, NOW_MS - 999_999, 1.0)]).accepted, 1, "existing series go on");
    let mut refused = None;
    for i in 0..100_000 {
        let rows: Vec<_> =
            (0..50).map(|j| (&old, NOW_MS - 900_000 + i * 50 + j, (j as f64).sqrt())).collect();
        if let Err(error) = bench.store().append(&bench.batch(&rows), AppendOptions::default()) {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(AppendError::Budget(_))), "{refused:?}");
    bench.store().cut().unwrap();
    assert_eq!(bench.append(&[(&old, NOW_MS, 1.0)]).accepted, 1, "a cut makes room");
    let error = bench.store().view().select(
        &bench.tenant,
        &[],
        0,
        NOW_MS,
        &Budget::new("query", 1_000),
        &CancelToken::unbounded(),
    );
    assert!(matches!(error, Err(StoreError::Budget(_))));
    let cancelled = CancelToken::unbounded();
    cancelled.cancel();
    let error = bench.store().view().select(
        &bench.tenant,
        &[Matcher::equal("a", "b")],
        0,
        NOW_MS,
        &Budget::unlimited(),
        &cancelled,
    );
    assert!(matches!(error, Err(StoreError::Cancelled(_))));
}

#[test]
fn a_flipped_bit_in_the_journal_is_reported_and_costs_one_record() {
    let fleet: Vec<Labels> = (0..4).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect();
    let filled = || {
        let bench = Bench::new();
        for one in fleet.chunks(1) {
            bench.append(&rows(one, NOW_MS));
        }
        let journal =
            bench.disk.files().into_iter().find(|(p, _)| p.extension().is_some_and(|e| e == "journal"));
        let (path, len) = journal.unwrap();
        (bench, path, len)
    };
    let (_, _, len) = filled();
    let mut n_lost = 0;
    for byte in (0..len).step_by(3) {
        let (mut bench, path, _) = filled();
        bench.store = None;
        bench.disk.flip_bit(&path, byte * 8 + 5).unwrap();
        let report = bench.open();
        let n_found = bench.read_all().len();
        let reported = !report.problems.is_empty() || report.torn_bytes > 0;
        assert!(n_found >= 3 && (n_found == 4 || reported), "byte {byte}: {n_found} {report:?}");
        n_lost += 4 - n_found;
        // What was damaged can be sent again.
        bench.append(&rows(&fleet, NOW_MS + 1));
        assert_eq!(bench.read_all().len(), 4);
        bench.store().cut().unwrap();
        bench.crash();
        assert_eq!(bench.read_all().len(), 4);
    }
    assert!(n_lost > 10, "{n_lost}");
}

/// Queries do not pay for finding the same damage again and still say so; what was put right is read
/// again without a restart.
#[test]
fn damage_is_remembered_for_a_minute_and_a_restored_part_answers_again() {
    let series = labels(&[("__name__", "m")]);
    let check = |damage: &dyn Fn(&vfs::FaultVfs, &std::path::Path, u64), opens: bool| {
        let mut bench = Bench::new();
        bench.append(&[(&series, NOW_MS, 1.0)]);
        bench.store().cut().unwrap();
        let whole = bench.read_all();
        let files = bench.disk.files();
        let part = files.iter().find(|(path, _)| path.extension().is_some_and(|e| e == "part"));
        let (path, len) = part.expect("a cut writes a part");
        let bytes = bench.disk.read(path).unwrap();
        bench.store = None;
        damage(&bench.disk, path, *len);
        bench.open();
        let restore = || {
            if bench.disk.exists(path).unwrap() {
                bench.disk.remove(path).unwrap();
            }
            bench.disk.create(path).unwrap().write_all(&bytes).unwrap();
        };
        let ask = |n_warnings: usize, n_open_failures: u64| {
            let view = bench.store().view();
            let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
            let selected = view.select(&bench.tenant, &[], 0, i64::MAX, &budget, &cancel).unwrap();
            let mut columns = store_metrics::SampleColumns::default();
            (0..selected.len()).for_each(|i| selected.read(i, &mut columns).unwrap());
            let stats = bench.store().stats();
            assert_eq!((view.warnings().len(), stats.corruption.len()), (n_warnings, n_warnings));
            let expected = if opens { 0 } else { n_open_failures };
            assert_eq!(stats.part_open_failures, expected, "{:?}", view.warnings());
            assert_eq!(stats.corrupt_parts + stats.corrupt_blocks, 1);
        };
        let loaded_metadata = u64::from(!opens);
        ask(1, loaded_metadata);
        ask(1, 1);
        bench.clock.advance(std::time::Duration::from_secs(61));
        ask(1, 2);
        restore();
        ask(1, 2);
        bench.clock.advance(std::time::Duration::from_secs(61));
        ask(0, 2);
        assert_eq!(bench.read_all(), whole);
    };
    check(&|disk, path, len| disk.flip_bit(path, (len - 3) * 8).unwrap(), false);
    check(&|disk, path, len| disk.open_append(path).unwrap().truncate(len / 2).unwrap(), false);
    check(&|disk, path, _| disk.remove(path).unwrap(), false);
    check(&|disk, path, _| disk.flip_bit(path, 9 * 8).unwrap(), true);
}

#[test]
fn what_the_journal_has_lost_is_counted() {
    let series = labels(&[("__name__", "m")]);
    let check = |damage: &dyn Fn(&vfs::FaultVfs, &std::path::Path, u64), n_corruptions: u64| {
        let mut bench = Bench::new();
        for i in 0..3 {
            bench.append(&[(&series, NOW_MS + i, 1.0)]);
        }
        assert_eq!(bench.store().stats().journal_corruptions, 0);
        bench.store = None;
        let files = bench.disk.files();
        let journal = files.iter().find(|(path, _)| path.extension().is_some_and(|e| e == "journal"));
        let (path, len) = journal.expect("an append writes a segment");
        damage(&bench.disk, path, *len);
        bench.open();
        let stats = bench.store().stats();
        assert_eq!((stats.journal_corruptions, stats.journal_segments_read), (n_corruptions, 1));
    };
    check(&|_, _, _| {}, 0);
    check(&|disk, path, _| disk.flip_bit(path, 80 * 8).unwrap(), 1);
    check(&|disk, path, len| disk.open_append(path).unwrap().truncate(len - 1).unwrap(), 1);
    check(&|disk, path, _| disk.flip_bit(path, 20 * 8).unwrap(), 1);
}
