//! Compaction, retention and deletion on a real store whose clock runs through months.

use std::time::Duration;

use base::CancelToken;
use model::{Labels, Matcher};
use store_core::plan::{CompactionPolicy, window_of};
use store_metrics::{PartInfo, RetentionOptions, StoreOptions};
use vfs::{FaultPlan, Vfs};

use crate::bench::{Bench, Contents, NOW_MS, labels};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

fn noise(n: i64) -> f64 {
    ((n * 7_919) as f64).sin()
}

/// A store that keeps everything, and what it must contain.
struct Months {
    bench: Bench,
    series: Vec<Labels>,
    expected: Contents,
    now_ms: i64,
}

impl Months {
    fn new(options: StoreOptions) -> Self {
        let series = (0..3).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect();
        Self { bench: Bench::with(options), series, expected: Contents::new(), now_ms: NOW_MS }
    }

    fn advance(&mut self, by_ms: i64) {
        self.bench.clock.advance(Duration::from_millis(by_ms.unsigned_abs()));
        self.now_ms += by_ms;
    }

    /// A sample of every series now, in a part of its own.
    fn sample(&mut self) {
        let rows: Vec<_> = self.series.iter().map(|s| (s, self.now_ms, noise(self.now_ms))).collect();
        self.bench.append(&rows);
        for series in &self.series {
            let rows = self.expected.entry(series.clone()).or_default();
            rows.push((self.now_ms, noise(self.now_ms).to_bits()));
        }
        self.bench.store().cut().unwrap();
    }

    fn maintain(&self) {
        while self.bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
    }

    fn parts(&self) -> Vec<PartInfo> {
        self.bench.store().parts(&self.bench.tenant)
    }

    /// The parts that there should be: `(level, first, last, samples per series)`. The samples of a
    /// window that has passed are one part of its level; a lone cut stays what it is.
    fn planned(&self, policy: &CompactionPolicy) -> Vec<(u8, i64, i64, u64)> {
        let mut planned: Vec<(u8, i64, i64, u64)> = Vec::new();
        for (t, _) in &self.expected[&self.series[0]] {
            let passed = policy
                .windows_ms
                .iter()
                .enumerate()
                .rev()
                .find(|(_, window_ms)| window_of(*t, **window_ms).max_ms + policy.grace_ms < self.now_ms);
            let (level, window) = match passed {
                Some((idx, window_ms)) => (u8::try_from(idx + 1).unwrap(), window_of(*t, *window_ms)),
                None => (0, window_of(*t, 1)),
            };
            match planned.last_mut() {
                Some(last) if last.0 == level && window.contains(last.1) => {
                    last.2 = *t;
                    last.3 += 1;
                }
                _ => planned.push((level, *t, *t, 1)),
            }
        }
        planned.iter().map(|p| if p.3 == 1 { (0, p.1, p.2, p.3) } else { *p }).collect()
    }

    fn disk_free(&self) -> u64 {
        self.bench.disk.space(&Bench::dir()).unwrap().free_bytes
    }

    /// What the files of the parts weigh on the disk.
    fn part_files(&self) -> u64 {
        let is_part = |path: &std::path::Path| path.extension().is_some_and(|e| e == "part");
        self.bench.disk.files().iter().filter(|(path, _)| is_part(path)).map(|(_, len)| len).sum()
    }
}

fn keep_all() -> StoreOptions {
    let retention = RetentionOptions { time_ms: None, ..RetentionOptions::default() };
    StoreOptions { retention, reserve_bytes: 0, ..StoreOptions::default() }
}

#[test]
fn seventy_days_become_parts_of_half_hours_two_hours_days_and_months() {
    let options = keep_all();
    let policy = options.compaction.clone();
    assert_eq!(policy.windows_ms, [HOUR_MS / 2, 2 * HOUR_MS, DAY_MS, 31 * DAY_MS]);
    let mut months = Months::new(options);
    for step in 0..68 * 12 {
        months.sample();
        months.advance(2 * HOUR_MS);
        if step % 12 == 11 {
            months.maintain();
        }
    }
    assert_eq!(months.bench.read_all(), months.expected);
    for step in 0..245 {
        months.sample();
        months.advance(10 * MINUTE_MS);
        if step % 6 == 5 {
            months.maintain();
        }
    }
    months.sample();
    months.maintain();
    let found: Vec<_> = months
        .parts()
        .iter()
        .map(|part| (part.level, part.min_time_ms, part.max_time_ms, part.n_samples / 3))
        .collect();
    assert_eq!(found, months.planned(&policy));
    let n_at = |level: u8| found.iter().filter(|part| part.0 == level).count();
    assert!((1..5).all(|level| n_at(level) > 0) && found.len() < 60, "{found:?}");
    assert_eq!(months.bench.read_all(), months.expected, "merging changes no answer");
    let stats = months.bench.store().stats();
    assert_eq!(months.part_files(), stats.parts_bytes, "what was merged is gone from the disk");
    months.bench.crash();
    assert_eq!(months.bench.read_all(), months.expected);
    assert_eq!(months.parts().len(), found.len());
}

/// Ten days of samples, a part for each day.
fn ten_days() -> Months {
    let mut options = keep_all();
    options.compaction.windows_ms = vec![DAY_MS];
    let mut months = Months::new(options);
    for _ in 0..10 * 6 {
        months.sample();
        months.advance(4 * HOUR_MS);
    }
    months.advance(DAY_MS);
    months.maintain();
    months
}

/// From the parts and the bytes of the journal: what to keep, and how large the disk is.
type Limit<'a> = dyn Fn(&[PartInfo], u64) -> (RetentionOptions, Option<u64>) + 'a;

#[test]
fn every_kind_of_retention_drops_the_oldest_parts_and_frees_their_bytes() {
    let check = |limit: &Limit<'_>, n_kept: usize| {
        let mut months = ten_days();
        let parts = months.parts();
        assert_eq!(parts.len(), 11, "one for each day that the samples touch");
        let (retention, capacity_bytes) = limit(&parts, months.bench.store().stats().journal_bytes);
        months.bench.options.retention = retention;
        months.bench.open();
        months.bench.disk.set_plan(FaultPlan { capacity_bytes, ..FaultPlan::default() });
        let (free_before, files_before) = (months.disk_free(), months.part_files());
        let done = months.bench.store().maintain(&CancelToken::unbounded()).unwrap();
        let (dropped, kept) = parts.split_at(parts.len() - n_kept);
        assert_eq!(months.parts(), kept, "{retention:?}");
        assert_eq!(done.parts_dropped, dropped.len() as u64);
        let dropped_bytes: u64 = dropped.iter().map(|part| part.bytes).sum();
        assert_eq!(done.bytes_reclaimed, dropped_bytes);
        assert_eq!(files_before - months.part_files(), dropped_bytes);
        // The commit that drops them is an object too.
        assert!(months.disk_free() + 4_096 > free_before + dropped_bytes);
        let from_ms = kept[0].min_time_ms;
        let mut expected = months.expected.clone();
        expected.values_mut().for_each(|rows| rows.retain(|(t, _)| *t >= from_ms));
        assert_eq!(months.bench.read_all(), expected);
        months.bench.crash();
        assert_eq!(months.bench.read_all(), expected, "after power loss");
        let again = months.bench.store().maintain(&CancelToken::unbounded()).unwrap();
        assert_eq!((again.parts_dropped, months.parts().as_slice()), (0, kept));
    };
    let none = RetentionOptions { time_ms: None, size_bytes: None, disk_percent: None };
    let newest = |parts: &[PartInfo], n: usize| -> u64 {
        parts[parts.len() - n..].iter().map(|part| part.bytes).sum()
    };
    let now_ms = NOW_MS + 11 * DAY_MS;
    // A part goes when all of it is too old, so the oldest that is kept may be partly so.
    let time = |parts: &[PartInfo], _| {
        let time_ms = now_ms - parts[parts.len() - 4].max_time_ms;
        (RetentionOptions { time_ms: Some(time_ms), ..none }, None)
    };
    check(&time, 4);
    let size = |parts: &[PartInfo], journal_bytes: u64| {
        (RetentionOptions { size_bytes: Some(newest(parts, 3) + journal_bytes), ..none }, None)
    };
    check(&size, 3);
    let size = |parts: &[PartInfo], journal_bytes: u64| {
        (RetentionOptions { size_bytes: Some(newest(parts, 3) + journal_bytes - 1), ..none }, None)
    };
    check(&size, 2);
    check(
        &|parts: &[PartInfo], journal_bytes| {
            // Percent are whole: the disk is a hundred times what may be kept, and more than is used.
            let capacity_bytes = (newest(parts, 5) + journal_bytes) * 100 + 99;
            (RetentionOptions { disk_percent: Some(1), ..none }, Some(capacity_bytes))
        },
        5,
    );
}

#[test]
fn deleting_by_selector_gives_the_bytes_back_to_the_disk() {
    let mut months = ten_days();
    let gone = months.series.remove(0);
    let matchers = [Matcher::equal("i", "0")];
    let delete = |months: &Months, matchers: &[Matcher], start_ms: i64, end_ms: i64| {
        months.bench.store().delete_series(&months.bench.tenant, matchers, start_ms, end_ms).unwrap();
    };
    let before = months.part_files();
    delete(&months, &matchers, i64::MIN, i64::MAX);
    months.expected.remove(&gone);
    assert_eq!(months.bench.read_all(), months.expected, "hidden at once");
    assert_eq!(months.part_files(), before);
    months.bench.store().clean_tombstones().unwrap();
    let after = months.part_files();
    assert!(after < before && after == months.bench.store().stats().parts_bytes, "{after} {before}");
    assert_eq!(months.bench.read_all(), months.expected);

    // Parts of which nothing is left go altogether.
    let parts = months.parts();
    let end_ms = parts[3].max_time_ms;
    delete(&months, &[Matcher::equal("__name__", "m")], i64::MIN, end_ms);
    months.expected.values_mut().for_each(|rows| rows.retain(|(t, _)| *t > end_ms));
    months.bench.store().clean_tombstones().unwrap();
    assert_eq!(months.parts().len(), parts.len() - 4);
    let freed: u64 = parts[..4].iter().map(|part| part.bytes).sum();
    assert_eq!(after - months.part_files(), freed);
    assert_eq!(months.bench.read_all(), months.expected);
    months.bench.crash();
    assert_eq!(months.bench.read_all(), months.expected);
}
