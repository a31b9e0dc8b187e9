//! Every file of a store, damaged in many places: it never panics and never says what was not written,
//! it names what it cannot read, and whatever is undamaged still answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, CancelToken, Clock, ManualClock, Rng};
use model::{Labels, Matcher};
use store_core::doctor::{DoctorReport, rebuild_catalog, verify};
use store_core::part_family::PartFamily;
use store_core::{JournalOptions, StoreDir};
use store_metrics::{MetricStore, MetricsFamily, RecoveryReport, SampleColumns, StoreOptions};
use vfs::{MemVfs, Vfs};

use crate::bench::{Bench, Contents, NOW_MS, labels};

const SEED: u64 = 20_261_128;

/// Places per file and kind of damage.
const PLACES: u64 = 14;

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip {
        bit: u64,
    },
    Truncate {
        len_bytes: u64,
    },
    /// What a disk returns for a sector that it lost.
    Zero {
        from: u64,
    },
}

/// A store as files, and what was written.
struct Subject {
    files: Vec<(PathBuf, Vec<u8>)>,
    options: StoreOptions,
    now_ms: i64,
    contents: Contents,
    /// Deleted before the store was left.
    deleted: Contents,
}

fn filled() -> Subject {
    let mut bench = Bench::new();
    bench.options.retention.time_ms = None;
    bench.options.reserve_bytes = 0;
    let fleet: Vec<Labels> = (0..6).map(|i| labels(&[("__name__", "m"), ("i", &i.to_string())])).collect();
    bench.open();
    // Enough commits for two checkpoints.
    for step in 0..140i64 {
        let t = NOW_MS + step * 60_000;
        let rows: Vec<_> = fleet.iter().map(|series| (series, t, (step as f64).sqrt())).collect();
        bench.append(&rows);
        bench.clock.advance(Duration::from_mins(1));
        if step < 132 {
            bench.store().cut().unwrap();
        }
        if step % 20 == 19 {
            while bench.store().maintain(&CancelToken::unbounded()).unwrap().more {}
        }
    }
    let all = bench.read_all();
    let matchers = [Matcher::equal("i", "5")];
    bench.store().delete_series(&bench.tenant, &matchers, i64::MIN, NOW_MS + 100 * 60_000).unwrap();
    // A deletion cuts: what is only in the journal comes after it.
    for step in 140..146i64 {
        let t = NOW_MS + step * 60_000;
        bench.append(&fleet.iter().map(|series| (series, t, 0.5)).collect::<Vec<_>>());
    }
    let contents = bench.read_all();
    let is_gone =
        |series: &Labels, row: &(i64, u64)| !contents.get(series).is_some_and(|rows| rows.contains(row));
    let deleted = all.iter().map(|(series, rows)| {
        (series.clone(), rows.iter().copied().filter(|row| is_gone(series, row)).collect::<Vec<_>>())
    });
    let deleted: Contents = deleted.filter(|(_, rows)| !rows.is_empty()).collect();
    assert!(!deleted.is_empty());
    bench.store = None;
    let files = bench.disk.files().into_iter().map(|(path, _)| {
        let bytes = bench.disk.read(&path).unwrap();
        (path, bytes)
    });
    Subject {
        files: files.collect(),
        options: bench.options.clone(),
        now_ms: bench.clock.now_ms(),
        contents,
        deleted,
    }
}

fn is_below(path: &Path, folder: &str) -> bool {
    path.starts_with(Bench::dir().join(folder))
}

impl Subject {
    fn damaged(&self, path: &Path, damage: Damage) -> MemVfs {
        let disk = MemVfs::default();
        for (other, bytes) in &self.files {
            disk.create_dir_all(other.parent().unwrap()).unwrap();
            let mut bytes = bytes.clone();
            if other == path {
                match damage {
                    Damage::Flip { bit } => bytes[(bit / 8) as usize] ^= 1 << (bit % 8),
                    Damage::Truncate { len_bytes } => bytes.truncate(len_bytes as usize),
                    Damage::Zero { from } => {
                        let end = bytes.len().min(from as usize + 512);
                        bytes[from as usize..end].fill(0);
                    }
                }
            }
            let mut file = disk.create(other).unwrap();
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
        }
        disk
    }

    fn open(&self, disk: &MemVfs) -> Result<(MetricStore, RecoveryReport), String> {
        let clock = Arc::new(ManualClock::new(self.now_ms)) as Arc<dyn Clock>;
        let disk = Arc::new(disk.clone()) as Arc<dyn Vfs>;
        let journal = JournalOptions::default();
        MetricStore::open_dir(disk, &Bench::dir(), clock, journal, self.options.clone())
            .map_err(|e| e.to_string())
    }

    /// How many samples are missing. Panics at one that was never written, or was deleted.
    fn n_missing(&self, found: &Contents, what: &str) -> usize {
        let mut n_found = 0;
        for (series, rows) in found {
            for row in rows {
                let is_written =
                    self.contents.get(series).is_some_and(|rows| rows.binary_search(row).is_ok());
                assert!(is_written, "{what}: {series} has {row:?}");
            }
            n_found += rows.len();
        }
        self.contents.values().map(Vec::len).sum::<usize>() - n_found
    }
}

fn read(store: &MetricStore) -> (Contents, Vec<String>) {
    let tenant = base::TenantId::anonymous();
    let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
    let view = store.view();
    let selected = view.select(&tenant, &[], i64::MIN, i64::MAX, &budget, &cancel).unwrap();
    let mut contents = Contents::new();
    let mut columns = SampleColumns::default();
    for i in 0..selected.len() {
        selected.read(i, &mut columns).unwrap();
        let rows = columns.float_ts.iter().zip(&columns.float_values);
        contents.insert(selected.labels(i).clone(), rows.map(|(t, v)| (*t, v.to_bits())).collect());
    }
    (contents, view.warnings())
}

fn doctor(disk: &MemVfs) -> Result<DoctorReport, String> {
    let family: Arc<dyn PartFamily> = Arc::new(MetricsFamily::new(Budget::unlimited()));
    verify(&(Arc::new(disk.clone()) as _), &Bench::dir(), &[family]).map_err(|e| e.to_string())
}

fn damages(len_bytes: u64, rng: &mut Rng) -> Vec<Damage> {
    let mut damages = vec![Damage::Truncate { len_bytes: 0 }, Damage::Truncate { len_bytes: len_bytes - 1 }];
    for _ in 0..PLACES {
        damages.push(Damage::Flip { bit: rng.below(len_bytes * 8) });
        damages.push(Damage::Truncate { len_bytes: rng.below(len_bytes) });
        damages.push(Damage::Zero { from: rng.below(len_bytes) });
    }
    damages
}

/// What came of the damages to one kind of file.
#[derive(Debug, Default)]
struct Tally {
    n_trials: u64,
    n_refused: u64,
    n_incomplete: u64,
    n_noticed: u64,
}

/// The samples that one file alone has, at most.
fn may_miss(subject: &Subject, path: &Path) -> usize {
    if is_below(path, "journal") {
        return 6 * 6;
    }
    let disk = subject.damaged(path, Damage::Truncate { len_bytes: 0 });
    let (store, _) = subject.open(&disk).unwrap();
    subject.n_missing(&read(&store).0, "without it")
}

fn trial(subject: &Subject, path: &Path, damage: Damage, missing_max: usize, tally: &mut Tally) {
    let what = format!("{} {damage:?}", path.display());
    let disk = subject.damaged(path, damage);
    tally.n_trials += 1;
    let report = doctor(&disk);
    let is_noticed =
        !report.as_ref().is_ok_and(|report| report.is_healthy() && report.journal.torn.is_none());
    tally.n_noticed += u64::from(is_noticed);
    match subject.open(&disk) {
        Ok((store, opened)) => {
            let (found, warnings) = read(&store);
            let n_missing = subject.n_missing(&found, &what);
            assert!(n_missing <= missing_max, "{what}: {n_missing} of {missing_max}");
            if n_missing > 0 {
                tally.n_incomplete += 1;
                // Only the journal itself says where it ends: a cut between two records looks like an end.
                let at_a_record = is_below(path, "journal") && matches!(damage, Damage::Truncate { .. });
                let is_named = !warnings.is_empty() || !opened.problems.is_empty();
                assert!(is_named || at_a_record, "{what}: {n_missing} missing without a word");
                assert!(is_noticed || at_a_record, "{what}: the doctor sees nothing");
            }
            if warnings.iter().any(|w| !w.contains(path.file_name().unwrap().to_str().unwrap())) {
                panic!("{what}: {warnings:?} name another file");
            }
            // Neither merging nor cutting makes it worse; a merge heals what it does not need, such as
            // postings.
            store.maintain(&CancelToken::unbounded()).unwrap();
            store.cut().unwrap();
            assert!(subject.n_missing(&read(&store).0, &what) <= n_missing, "{what}: after maintenance");
        }
        Err(refused) => {
            tally.n_refused += 1;
            let name = path.strip_prefix(Bench::dir()).unwrap().to_str().unwrap();
            assert!(refused.contains(name), "{what}: {refused}");
            assert!(is_noticed, "{what}: the doctor sees nothing");
            if is_below(path, "catalog") {
                rebuild_catalog(&(Arc::new(disk.clone()) as _), &Bench::dir()).unwrap();
                let (store, _) = subject.open(&disk).unwrap();
                let (found, warnings) = read(&store);
                assert_eq!((subject.n_missing(&found, &what), warnings), (0, Vec::new()), "{what}: rebuilt");
            }
        }
    }
}

#[test]
fn damage_anywhere_is_named_and_costs_no_more_than_it_hit() {
    let subject = filled();
    let mut rng = Rng::new(SEED);
    let sweep = |folder: &str, every: usize, rng: &mut Rng| {
        let mut tally = Tally::default();
        let has_rows = matches!(folder, "parts" | "journal");
        let files: Vec<_> = subject.files.iter().filter(|(path, _)| is_below(path, folder)).collect();
        assert!(!files.is_empty(), "{folder}");
        // The last is the newest, of which nothing is redundant.
        for (idx, (path, bytes)) in files.iter().enumerate() {
            if idx % every == 0 || idx + 1 == files.len() {
                let missing_max = if has_rows { may_miss(&subject, path) } else { 0 };
                for damage in damages(bytes.len() as u64, rng) {
                    trial(&subject, path, damage, missing_max, &mut tally);
                }
            }
        }
        tally
    };
    let parts = sweep("parts", 2, &mut rng);
    assert!(parts.n_refused == 0 && parts.n_incomplete * 2 > parts.n_trials, "{parts:?}");
    assert_eq!(parts.n_noticed, parts.n_trials, "{parts:?}");
    let journal = sweep("journal", 1, &mut rng);
    assert!(journal.n_refused == 0 && journal.n_incomplete * 4 > journal.n_trials, "{journal:?}");
    let checkpoints = sweep("catalog/checkpoint", 1, &mut rng);
    assert!(checkpoints.n_refused < checkpoints.n_trials, "the older one and the log do: {checkpoints:?}");
    let commits = sweep("catalog/commit", 16, &mut rng);
    assert!(commits.n_refused > 0 && commits.n_incomplete == 0, "{commits:?}");
    let tombstones = sweep("tombstones", 1, &mut rng);
    assert_eq!((tombstones.n_refused, tombstones.n_incomplete), (0, 0), "{tombstones:?}");
    assert_eq!(tombstones.n_noticed, tombstones.n_trials, "{tombstones:?}");
    let meta = sweep("meta.json", 1, &mut rng);
    assert!(meta.n_refused > 0 && meta.n_incomplete == 0, "{meta:?}");
    assert!(!subject.deleted.is_empty());
}

/// The sweep is worth what it can see.
#[test]
fn a_store_that_says_what_was_never_written_is_caught() {
    let mut subject = filled();
    let disk = subject.damaged(Path::new("none"), Damage::Truncate { len_bytes: 0 });
    drop(StoreDir::open(Arc::new(disk.clone()), &Bench::dir(), JournalOptions::default()).unwrap());
    let (store, _) = subject.open(&disk).unwrap();
    let found = read(&store).0;
    assert_eq!(subject.n_missing(&found, "whole"), 0);
    let series = found.keys().next().unwrap().clone();
    subject.contents.get_mut(&series).unwrap()[0].1 ^= 1;
    let caught =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| subject.n_missing(&found, "one bit")));
    assert!(caught.is_err());
}
