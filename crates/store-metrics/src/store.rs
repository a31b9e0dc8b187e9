//! The store: one owner of journal, live store, parts and catalog.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use base::{CancelToken, Clock, TenantId};
use hashbrown::HashMap;
use model::{Matcher, Metadata, SeriesBatch};
use parking_lot::{Mutex, RwLock};
use store_core::maintain::Maintenance;
use store_core::{BlobStore, Catalog, Journal, JournalOptions, PartId, StoreDir};
use vfs::Vfs;

use crate::cardinality::CardinalityStats;
use crate::error::{AppendError, StoreError};
use crate::live::tenant::TenantLive;
use crate::options::{AppendOptions, LiveSamples, RetentionOptions, StoreOptions};
use crate::outcome::{
    AppendOutcome, CutOutcome, DeleteOutcome, MaintainOutcome, PartInfo, RecoveryReport, SnapshotReport,
    StoreStats,
};
use crate::part::cache::PartCache;
use crate::part::family::MetricsFamily;
use crate::part::reader::MetricsPart;
use crate::store::charge::LiveCharge;
use crate::store::counters::Counters;
use crate::store::damage::Damage;
use crate::store::lifecycle::Lifecycle;
use crate::store::writers::{Turns, Writers};

mod append;
mod charge;
mod counters;
mod cut;
mod damage;
mod labels;
mod lifecycle;
mod maintain;
mod recover;
mod stats;
mod view;
mod writers;

pub(crate) use damage::Extent;
pub use view::MetricsView;

/// What a store stands on.
#[derive(Debug, Clone)]
pub struct StoreParts {
    pub journal: Arc<dyn Journal>,
    pub blobs: Arc<dyn BlobStore>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
}

/// Read by every append for as long as it takes, written by a cut for an instant.
#[derive(Debug)]
struct Gate {
    generation: u32,
    /// When the generation began.
    since_ms: i64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    journal: Arc<dyn Journal>,
    blobs: Arc<dyn BlobStore>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    options: StoreOptions,
    tenants: RwLock<BTreeMap<TenantId, Arc<TenantLive>>>,
    gate: RwLock<Gate>,
    /// The next series number of the generation's journal records.
    next_number: AtomicU32,
    /// Bytes journalled since the last freeze.
    journal_bytes: AtomicU64,
    lifecycle: Mutex<Lifecycle>,
    /// One cut, deletion or snapshot at a time; a long merge does not hold them up.
    cutting: Mutex<()>,
    /// One round of maintenance at a time.
    maintaining: Mutex<()>,
    maintenance_tasks: Maintenance,
    live_charge: LiveCharge,
    cache: Arc<PartCache>,
    parts: Mutex<HashMap<PartId, Arc<MetricsPart>>>,
    writers: Mutex<Writers>,
    turns: Turns,
    counters: Counters,
    damage: Mutex<Damage>,
    read_only: RwLock<Option<String>>,
    closed: AtomicBool,
    /// As of the last change; `options` has what the store was opened with.
    retention: RwLock<RetentionOptions>,
}

impl Shared {
    fn tenant(&self, tenant: &TenantId) -> Arc<TenantLive> {
        if let Some(live) = self.tenants.read().get(tenant) {
            return Arc::clone(live);
        }
        let mut tenants = self.tenants.write();
        let live = tenants.entry(tenant.clone());
        let limits = *self.options.limits.of(tenant);
        Arc::clone(live.or_insert_with(|| Arc::new(TenantLive::new(tenant.clone(), limits))))
    }

    /// Whoever may send may name a tenant, so that their number has a bound.
    fn check_tenant(&self, tenant: &TenantId) -> Result<(), AppendError> {
        let (tenants, tenants_max) = (self.tenants.read(), self.options.tenants_max);
        if tenants.len() >= tenants_max && !tenants.contains_key(tenant) {
            return Err(AppendError::Tenants { tenants_max });
        }
        Ok(())
    }

    fn known_tenant(&self, tenant: &TenantId) -> Option<Arc<TenantLive>> {
        self.tenants.read().get(tenant).map(Arc::clone)
    }

    fn read_only(&self, reason: &str) {
        let mut state = self.read_only.write();
        if state.as_deref() != Some(reason) {
            *state = Some(reason.to_owned());
        }
    }

    /// Something was written: the disk takes writes.
    fn writable(&self) {
        if self.read_only.read().is_some() {
            *self.read_only.write() = None;
        }
    }
}

/// All methods take `&self` and may be called from any thread.
#[derive(Debug)]
pub struct MetricStore {
    shared: Arc<Shared>,
    /// Holds the lock of the directory that the store was opened from.
    _dir: Option<StoreDir>,
}

impl MetricStore {
    /// Opens the store: reads the catalog, replays the journal above what is in parts.
    pub fn open(parts: StoreParts, options: StoreOptions) -> Result<(Self, RecoveryReport), StoreError> {
        let StoreParts { journal, blobs, catalog, clock } = parts;
        let since_ms = clock.now_ms();
        let family = MetricsFamily::new(options.budget.clone());
        let (maintenance_blobs, maintenance_catalog) = (Arc::clone(&blobs), Arc::clone(&catalog));
        let cache = Arc::new(PartCache::new(options.cache_bytes, options.budget.clone()));
        let shared = Arc::new(Shared {
            journal,
            blobs,
            catalog,
            clock,
            tenants: RwLock::new(BTreeMap::new()),
            gate: RwLock::new(Gate { generation: 1, since_ms }),
            next_number: AtomicU32::new(0),
            journal_bytes: AtomicU64::new(0),
            lifecycle: Mutex::new(Lifecycle::new()),
            cutting: Mutex::new(()),
            maintaining: Mutex::new(()),
            maintenance_tasks: Maintenance::new(
                maintenance_blobs,
                maintenance_catalog,
                vec![Arc::new(family)],
            ),
            live_charge: LiveCharge::new(&options.budget),
            cache,
            parts: Mutex::new(HashMap::new()),
            writers: Mutex::new(Writers::default()),
            turns: Turns::default(),
            counters: Counters::default(),
            damage: Mutex::new(Damage::default()),
            read_only: RwLock::new(None),
            closed: AtomicBool::new(false),
            retention: RwLock::new(options.retention),
            options,
        });
        let report = shared.recover()?;
        Ok((Self { shared, _dir: None }, report))
    }

    /// Opens the store that lies in a directory, which is created if need be and locked until the
    /// store is dropped.
    pub fn open_dir(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        clock: Arc<dyn Clock>,
        journal: JournalOptions,
        options: StoreOptions,
    ) -> Result<(Self, RecoveryReport), StoreError> {
        let dir = match &options.snapshots_dir {
            Some(snapshots) => StoreDir::open_with_snapshots(vfs, dir, snapshots, journal),
            None => StoreDir::open(vfs, dir, journal),
        };
        let dir = dir.map_err(|e| StoreError::Open(e.to_string()))?;
        let recovery = dir.journal.recovery().clone();
        let parts = StoreParts {
            journal: Arc::clone(&dir.journal) as Arc<dyn Journal>,
            blobs: Arc::clone(&dir.blobs) as Arc<dyn BlobStore>,
            catalog: Arc::clone(&dir.catalog) as Arc<dyn Catalog>,
            clock,
        };
        let (mut store, mut report) = Self::open(parts, options)?;
        report.problems.extend(dir.problems.iter().cloned());
        report.torn_tails = u64::from(recovery.torn.is_some()) + u64::from(recovery.emptied.is_some());
        report.problems.extend(recovery.torn.as_ref().map(|torn| {
            format!(
                "journal segment {} had a torn end: {} bytes from byte {} on were cut off",
                torn.segment, torn.cut_bytes, torn.at_byte
            )
        }));
        report.problems.extend(recovery.emptied.as_ref().map(|segment| {
            format!(
                "journal segment {segment} holds nothing: it was being created when the power failed, \
                 or its records are gone"
            )
        }));
        report.torn_bytes = recovery.torn.as_ref().map_or(0, |torn| torn.cut_bytes);
        for lost in &recovery.lost {
            report.problems.push(format!(
                "journal segment {} is damaged at byte {}: records {} to {} are lost",
                lost.segment, lost.at_byte, lost.from, lost.to
            ));
        }
        report.problems.extend(
            recovery
                .damaged_headers
                .iter()
                .map(|name| format!("journal segment {name} has a damaged header")),
        );
        store._dir = Some(dir);
        Ok((store, report))
    }

    /// Journals the batch (one group-committed fsync), then makes it searchable.
    pub fn append(&self, batch: &SeriesBatch, options: AppendOptions) -> Result<AppendOutcome, AppendError> {
        self.shared.append_batch(batch, options)
    }

    /// One catalog snapshot plus the live store above its committed offset.
    pub fn view(&self) -> MetricsView {
        MetricsView::new(&self.shared)
    }

    /// Whether age or size of the live generation asks for a [`MetricStore::cut`].
    pub fn wants_cut(&self) -> bool {
        self.shared.wants_cut()
    }

    /// Freezes the live generation, writes it as parts, commits them, trims the journal.
    pub fn cut(&self) -> Result<CutOutcome, StoreError> {
        let _one = self.shared.cutting.lock();
        self.shared.cut()
    }

    /// One round of planned compaction and retention.
    pub fn maintain(&self, cancel: &CancelToken) -> Result<MaintainOutcome, StoreError> {
        let _one = self.shared.maintaining.lock();
        self.shared.maintain(cancel)
    }

    /// Deletes samples of matching series within the time range, both ends inclusive.
    pub fn delete_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<DeleteOutcome, StoreError> {
        let _one = self.shared.cutting.lock();
        self.shared.delete_series(tenant, matchers, start_ms, end_ms)
    }

    /// Rewrites parts with deleted samples so that their space is free.
    pub fn clean_tombstones(&self) -> Result<MaintainOutcome, StoreError> {
        let _one = self.shared.maintaining.lock();
        self.shared.clean_tombstones()
    }

    /// Keeps the present state as `snapshots/<name>/metrics/`, without copying samples: the snapshot
    /// has the layout of a data directory.
    pub fn snapshot(&self, name: &str, live: LiveSamples) -> Result<SnapshotReport, StoreError> {
        let _one = self.shared.cutting.lock();
        self.shared.snapshot(name, live)
    }

    /// Statistics of the live store; `limit` entries per top list.
    pub fn cardinality(&self, tenant: &TenantId, limit: usize) -> CardinalityStats {
        self.shared.cardinality(tenant, limit)
    }

    /// Hands the metadata of each family in turn to `each`, or those of `metric` only. Appends of
    /// metadata wait meanwhile.
    pub fn for_each_metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
        each: &mut dyn FnMut(&str, &[Metadata]),
    ) {
        self.shared.for_each_metadata(tenant, metric, each);
    }

    /// When samples may go.
    pub fn retention(&self) -> RetentionOptions {
        *self.shared.retention.read()
    }

    /// Changes when samples may go, from the next batch and the next round of maintenance on.
    pub fn set_retention(&self, retention: RetentionOptions) {
        *self.shared.retention.write() = retention;
    }

    pub fn stats(&self) -> StoreStats {
        self.shared.stats()
    }

    /// Tenants of the live store, and how many series each has in it.
    pub fn tenants(&self) -> Vec<(TenantId, u64)> {
        let tenants = self.shared.tenants.read();
        tenants.iter().map(|(tenant, live)| (tenant.clone(), live.n_series())).collect()
    }

    /// Runs of samples in memory, of all tenants. Takes as long as looking at every live series.
    pub fn n_live_logs(&self) -> u64 {
        self.shared.n_live_logs()
    }

    /// A tenant's parts, by the time of their first sample.
    pub fn parts(&self, tenant: &TenantId) -> Vec<PartInfo> {
        self.shared.part_infos(tenant)
    }

    /// Why appends are refused, if they are.
    pub fn read_only_reason(&self) -> Option<String> {
        self.shared.read_only.read().clone()
    }

    /// Cuts what is live and refuses appends from then on.
    pub fn close(&self) -> Result<(), StoreError> {
        let _one = self.shared.cutting.lock();
        self.shared.closed.store(true, Ordering::Release);
        self.shared.cut().map(|_| ())
    }
}
