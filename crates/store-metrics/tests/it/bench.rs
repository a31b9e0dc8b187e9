//! A store on a simulated disk, and the shortest words to fill and read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Budget, CancelToken, Clock, ManualClock, TenantId};
use model::{BatchSeries, FloatSample, Labels, Matcher, Metadata, SeriesBatch};
use store_core::JournalOptions;
use store_metrics::{AppendOptions, AppendOutcome, MetricStore, RecoveryReport, SampleColumns, StoreOptions};
use vfs::{FaultPlan, FaultVfs, Vfs};

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// All samples of each series as `(time, bits)`.
pub(crate) type Contents = BTreeMap<Labels, Vec<(i64, u64)>>;

pub(crate) struct Bench {
    pub(crate) disk: Arc<FaultVfs>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) options: StoreOptions,
    pub(crate) tenant: TenantId,
    pub(crate) store: Option<MetricStore>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    pub(crate) fn with(options: StoreOptions) -> Self {
        let mut bench = Self {
            disk: Arc::new(FaultVfs::new(1, FaultPlan::default())),
            clock: Arc::new(ManualClock::new(NOW_MS)),
            options,
            tenant: TenantId::anonymous(),
            store: None,
        };
        bench.open();
        bench
    }

    pub(crate) fn dir() -> PathBuf {
        Path::new("/data").to_owned()
    }

    pub(crate) fn open(&mut self) -> RecoveryReport {
        self.store = None;
        let disk = Arc::clone(&self.disk) as Arc<dyn Vfs>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let journal = JournalOptions::default();
        let opened = MetricStore::open_dir(disk, &Self::dir(), clock, journal, self.options.clone());
        let (store, report) = opened.unwrap();
        self.store = Some(store);
        report
    }

    /// Power off, then on again: what was not synced may be gone.
    pub(crate) fn crash(&mut self) -> RecoveryReport {
        self.store = None;
        self.disk = Arc::new(self.disk.crash());
        self.open()
    }

    pub(crate) fn store(&self) -> &MetricStore {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn batch(&self, rows: &[(&Labels, i64, f64)]) -> SeriesBatch {
        let mut batch = SeriesBatch::new(self.tenant.clone());
        for (labels, t, v) in rows {
            let known = batch.series.iter().position(|series| series.labels == **labels);
            let series_idx = match known {
                Some(idx) => u32::try_from(idx).unwrap(),
                None => batch.add_series(BatchSeries::new(&self.tenant, (*labels).clone())),
            };
            batch.floats.push(FloatSample { series_idx, st: 0, t: *t, v: *v });
        }
        batch
    }

    pub(crate) fn append(&self, rows: &[(&Labels, i64, f64)]) -> AppendOutcome {
        self.store().append(&self.batch(rows), AppendOptions::default()).unwrap()
    }

    pub(crate) fn read(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Contents {
        let budget = Budget::new("query", 1 << 30);
        let cancel = CancelToken::unbounded();
        let view = self.store().view();
        let selected = view.select(&self.tenant, matchers, start_ms, end_ms, &budget, &cancel).unwrap();
        let mut contents = Contents::new();
        let mut columns = SampleColumns::default();
        let mut previous: Option<&Labels> = None;
        for i in 0..selected.len() {
            assert!(previous < Some(selected.labels(i)), "sorted, each once");
            previous = Some(selected.labels(i));
            selected.read(i, &mut columns).unwrap();
            assert!(columns.float_ts.is_sorted_by(|a, b| a < b), "ascending");
            let rows = columns.float_ts.iter().zip(&columns.float_values).map(|(t, v)| (*t, v.to_bits()));
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                contents.insert(selected.labels(i).clone(), rows);
            }
        }
        contents
    }

    pub(crate) fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        let mut all = BTreeMap::new();
        self.store().for_each_metadata(&self.tenant, None, &mut |family, entries| {
            all.insert(family.to_owned(), entries.to_vec());
        });
        all
    }

    pub(crate) fn read_all(&self) -> Contents {
        self.read(&[], i64::MIN, i64::MAX)
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}
