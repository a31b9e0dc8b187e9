//! The store's background work: cutting the live generation into parts, compaction and retention,
//! on a thread of its own, since it computes and waits for the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{CancelToken, Clock};
use engine::QueryEngine;
use store_metrics::{MetricStore, RecoveryReport};

use crate::shutdown::Shutdown;
use crate::telemetry::{Counter, Gauge, Labelled, Registry};

/// How often it is looked whether a cut is due.
const CUT_LOOK: Duration = Duration::from_secs(1);

/// How often maintenance is planned when there was nothing to do.
const MAINTAIN_EVERY_MS: i64 = 30_000;

/// How often every live series is looked at, to count what is in memory.
const COUNT_EVERY_MS: i64 = 15_000;

/// Gauges and counters of the store; those upstream's mixin reads carry its names.
#[derive(Debug, Clone)]
pub(crate) struct StoreMetrics {
    head_series: Gauge,
    head_samples: Labelled<Counter>,
    head_chunks: Gauge,
    wal_segment: Gauge,
    series_created: Counter,
    series_removed: Counter,
    out_of_order: Counter,
    blocks_loaded: Gauge,
    storage_bytes: Gauge,
    journal_bytes: Gauge,
    live_bytes: Gauge,
    compactions: Counter,
    compaction_failures: Counter,
    reload_failures: Counter,
    wal_corruptions: Counter,
    cuts: Counter,
    cut_failures: Counter,
    read_only: Gauge,
    exemplars: Gauge,
    corrupt_parts: Counter,
    corrupt_blocks: Counter,
    lowest_timestamp: Gauge,
    head_max_time: Gauge,
    tenant_series: Labelled<Gauge>,
    tenant_query_bytes: Labelled<Gauge>,
}

impl StoreMetrics {
    /// The start was clean if nothing had to be read back from the journal.
    pub(crate) fn new(r: &Registry, recovery: &RecoveryReport) -> Self {
        let is_clean = recovery.journal_records == 0 && recovery.torn_bytes == 0;
        r.gauge(
            "prometheus_tsdb_clean_start",
            "1 if the last process on these data ended in order, 0 if its journal had to be replayed.",
        )
        .set(f64::from(u8::from(is_clean)));
        Self {
            head_series: r.gauge("prometheus_tsdb_head_series", "Total number of series in the head block."),
            head_samples: r.counters(
                "prometheus_tsdb_head_samples_appended_total",
                "Total number of appended samples.",
                &["type"],
            ),
            head_chunks: r.gauge("prometheus_tsdb_head_chunks", "Total number of chunks in the head block."),
            wal_segment: r.gauge(
                "prometheus_tsdb_wal_segment_current",
                "Write log segment that is currently written to, by the number of its first record.",
            ),
            series_created: r.counter(
                "prometheus_tsdb_head_series_created_total",
                "Total number of series created in the head.",
            ),
            series_removed: r.counter(
                "prometheus_tsdb_head_series_removed_total",
                "Total number of series removed in the head.",
            ),
            out_of_order: r.counter(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Total number of appended out of order samples.",
            ),
            blocks_loaded: r
                .gauge("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks."),
            storage_bytes: r.gauge(
                "prometheus_tsdb_storage_blocks_bytes",
                "The number of bytes that are currently used for local storage by all blocks.",
            ),
            journal_bytes: r.gauge("sextant_journal_bytes", "Bytes of journal not yet covered by parts."),
            live_bytes: r.gauge("sextant_live_store_bytes", "Memory of the live store."),
            compactions: r.counter(
                "prometheus_tsdb_compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            compaction_failures: r.counter(
                "prometheus_tsdb_compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            reload_failures: r.counter(
                "prometheus_tsdb_reloads_failures_total",
                "Number of times the database failed to reloadBlocks block data from disk.",
            ),
            wal_corruptions: r
                .counter("prometheus_tsdb_wal_corruptions_total", "Total number of WAL corruptions."),
            cuts: r.counter("sextant_store_cuts_total", "Times the live store was cut into parts."),
            cut_failures: r
                .counter("sextant_store_cut_failures_total", "Cuts that failed and will be tried again."),
            read_only: r.gauge("sextant_store_read_only", "1 while a full or failing disk refuses writes."),
            corrupt_parts: r.counter(
                "sextant_store_corrupt_parts_total",
                "Parts found damaged; their readable data are served.",
            ),
            corrupt_blocks: r.counter("sextant_store_corrupt_blocks_total", "Blocks of parts found damaged."),
            exemplars: r.gauge(
                "prometheus_tsdb_exemplar_exemplars_in_storage",
                "Number of exemplars currently in circular storage.",
            ),
            lowest_timestamp: r.gauge(
                "prometheus_tsdb_lowest_timestamp_seconds",
                "Lowest timestamp value stored in the database.",
            ),
            head_max_time: r
                .gauge("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block."),
            tenant_series: r.gauges(
                "sextant_tenant_active_series",
                "Series of a tenant in the live store.",
                &["tenant"],
            ),
            tenant_query_bytes: r.gauges(
                "sextant_tenant_query_memory_bytes",
                "Memory that the running queries of a tenant are charged with.",
                &["tenant"],
            ),
        }
    }

    pub(crate) fn update(&self, store: &MetricStore, engine: &QueryEngine) {
        let query_bytes: BTreeMap<_, _> = engine.used_bytes_by_tenant().into_iter().collect();
        for (tenant, n_series) in store.tenants() {
            self.tenant_series.with(&[tenant.as_str()]).set(n_series as f64);
            let bytes = query_bytes.get(&tenant).copied().unwrap_or(0);
            self.tenant_query_bytes.with(&[tenant.as_str()]).set(bytes as f64);
        }
        let stats = store.stats();
        self.head_series.set(stats.active_series as f64);
        self.head_samples.with(&["float"]).set(stats.samples_appended as f64);
        self.head_samples.with(&["histogram"]).set(stats.histograms_appended as f64);
        self.wal_segment.set(stats.journal_segment as f64);
        self.series_created.set(stats.series_created as f64);
        self.series_removed.set(stats.series_removed as f64);
        self.out_of_order.set(stats.out_of_order_samples as f64);
        self.blocks_loaded.set(stats.parts as f64);
        self.storage_bytes.set(stats.parts_bytes as f64);
        self.journal_bytes.set(stats.journal_bytes as f64);
        self.live_bytes.set(stats.live_bytes as f64);
        self.compactions.set(stats.merges as f64);
        self.compaction_failures.set(stats.merge_failures as f64);
        self.reload_failures.set(stats.part_open_failures as f64);
        self.wal_corruptions.set(stats.journal_corruptions as f64);
        // Each finding is logged once: the counts only grow.
        let found = (stats.corrupt_parts + stats.corrupt_blocks) as f64;
        if found > self.corrupt_parts.get() + self.corrupt_blocks.get() {
            tracing::error!(
                findings = stats.corruption.join("; "),
                "damaged data in the store; run `sextant doctor`"
            );
        }
        self.corrupt_parts.set(stats.corrupt_parts as f64);
        self.corrupt_blocks.set(stats.corrupt_blocks as f64);
        self.cuts.set(stats.cuts as f64);
        self.cut_failures.set(stats.cut_failures as f64);
        self.read_only.set(f64::from(u8::from(stats.read_only)));
        self.exemplars.set(stats.exemplars_in_storage as f64);
        self.lowest_timestamp.set(stats.min_time_ms.unwrap_or(0) as f64 / 1000.0);
        self.head_max_time.set(stats.max_time_ms.unwrap_or(0) as f64 / 1000.0);
    }
}

/// Runs until shutdown.
pub(crate) async fn run(
    engine: Arc<QueryEngine>,
    clock: Arc<dyn Clock>,
    metrics: StoreMetrics,
    shutdown: Shutdown,
) {
    let store = Arc::clone(engine.store());
    let cancel = CancelToken::unbounded();
    let mut maintain_at_ms = clock.now_ms() + MAINTAIN_EVERY_MS;
    let mut count_at_ms = clock.now_ms();
    loop {
        tokio::select! {
            () = tokio::time::sleep(CUT_LOOK) => {}
            () = shutdown.begun() => {
                cancel.cancel();
                return;
            }
        }
        metrics.update(&store, &engine);
        if clock.now_ms() >= count_at_ms {
            let worker = Arc::clone(&store);
            match tokio::task::spawn_blocking(move || worker.n_live_logs()).await {
                Ok(n_logs) => metrics.head_chunks.set(n_logs as f64),
                Err(panic) => tracing::error!(%panic, "counting the live store ended in a panic"),
            }
            count_at_ms = clock.now_ms() + COUNT_EVERY_MS;
        }
        let maintain = clock.now_ms() >= maintain_at_ms;
        if !maintain && !store.wants_cut() {
            continue;
        }
        let (worker, token) = (Arc::clone(&store), cancel.clone());
        let round = move || one_round(&worker, &token, maintain);
        match tokio::task::spawn_blocking(round).await {
            Ok(more) => maintain_at_ms = clock.now_ms() + if more { 0 } else { MAINTAIN_EVERY_MS },
            Err(panic) => tracing::error!(%panic, "store maintenance ended in a panic"),
        }
    }
}

/// True when there is more to do right away.
fn one_round(store: &MetricStore, cancel: &CancelToken, maintain: bool) -> bool {
    if store.wants_cut() {
        match store.cut() {
            Ok(cut) => tracing::debug!(parts = cut.parts, samples = cut.samples, bytes = cut.bytes, "cut"),
            Err(error) => tracing::error!(%error, "cutting the live store failed; it will be tried again"),
        }
    }
    if !maintain {
        return false;
    }
    match store.maintain(cancel) {
        Ok(done) => {
            if done.merges + done.parts_dropped > 0 {
                tracing::info!(
                    merges = done.merges,
                    parts_dropped = done.parts_dropped,
                    bytes_reclaimed = done.bytes_reclaimed,
                    "store maintained"
                );
            }
            for failure in &done.failures {
                tracing::error!(failure, "a merge failed; it will be tried again");
            }
            done.more
        }
        Err(error) => {
            tracing::error!(%error, "store maintenance failed; it will be tried again");
            false
        }
    }
}
