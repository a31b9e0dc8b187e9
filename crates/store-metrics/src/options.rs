//! What the owner of a store decides: limits, retention, when to cut, how much memory.

use std::path::PathBuf;

use base::{Budget, PerTenant, ShardRange};
use store_core::plan::CompactionPolicy;

const HOUR_MS: i64 = 3_600_000;

/// Limits on what one tenant may hold; each refusal is counted by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Series with samples in the live store, per tenant.
    pub active_series_max: u64,
    /// Labels of a new series, its metric name included.
    pub label_names_max: u64,
    /// Bytes of a label value of a new series.
    pub label_value_bytes_max: u64,
    /// How far into the future a sample may lie, in milliseconds.
    pub future_max_ms: i64,
    /// Exemplars kept in memory, over all series of a tenant; the oldest go first. 0 keeps none.
    pub exemplars_max: usize,
    /// Metric families whose metadata is kept, per tenant.
    pub metadata_families_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            active_series_max: 10_000_000,
            label_names_max: u64::MAX,
            label_value_bytes_max: u64::MAX,
            future_max_ms: 10 * 60_000,
            exemplars_max: 100_000,
            metadata_families_max: 100_000,
        }
    }
}

/// When samples may go. `None` means never for that reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionOptions {
    pub time_ms: Option<i64>,
    /// Total size of parts.
    pub size_bytes: Option<u64>,
    /// Parts may use at most this share of the disk, in percent.
    pub disk_percent: Option<u8>,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        Self { time_ms: Some(15 * 24 * 3_600_000), size_bytes: None, disk_percent: None }
    }
}

/// Everything a store is opened with.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub limits: PerTenant<Limits>,
    /// Tenants with samples in the live store; batches of any other are refused.
    pub tenants_max: usize,
    pub retention: RetentionOptions,
    /// The virtual shards that this store is to hold. Its parts say so, and a selection of other
    /// shards does not open them. Series of other shards are taken as well, at that price.
    pub shards: ShardRange,
    /// [`crate::MetricStore::wants_cut`] becomes true when the live generation is this old, in
    /// milliseconds,
    pub cut_interval_ms: i64,
    /// or when this many bytes are in the journal since the last cut,
    pub cut_journal_bytes: u64,
    /// or when the live store holds this many bytes of samples.
    pub cut_live_bytes: u64,
    /// A series without new samples for this long leaves the live index.
    pub idle_series_ms: i64,
    /// What live buffers, indexes and caches are charged to.
    pub budget: Budget,
    /// How much of the budget caches of parts may take, in bytes.
    pub cache_bytes: u64,
    pub compaction: CompactionPolicy,
    /// Merges leave at least this much of the disk free, in bytes.
    pub reserve_bytes: u64,
    /// Where snapshots are put, on the file system of the store; `None`: in its folder `snapshots`.
    pub snapshots_dir: Option<PathBuf>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            limits: PerTenant::all(Limits::default()),
            tenants_max: 10_000,
            retention: RetentionOptions::default(),
            shards: ShardRange::ALL,
            cut_interval_ms: 5 * 60_000,
            cut_journal_bytes: 16 << 20,
            cut_live_bytes: 64 << 20,
            idle_series_ms: 15 * 60_000,
            budget: Budget::unlimited(),
            cache_bytes: 64 << 20,
            compaction: CompactionPolicy {
                // Half hours first: a query of the last hours meets few parts.
                windows_ms: vec![HOUR_MS / 2, 2 * HOUR_MS, 24 * HOUR_MS, 31 * 24 * HOUR_MS],
                ..CompactionPolicy::default()
            },
            reserve_bytes: 64 << 20,
            snapshots_dir: None,
        }
    }
}

/// Names one batch of one writer of a tenant. A batch is applied once: the store remembers the highest
/// sequence of each (tenant, writer, epoch), and takes a lower one for a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId {
    pub writer: u64,
    pub epoch: u64,
    pub sequence: u64,
}

/// How one batch is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppendOptions {
    /// `None`: the batch is not deduplicated as a whole (equal samples still are one).
    pub batch: Option<BatchId>,
    /// Samples older than the newest of their series by more than this are refused, in
    /// milliseconds; `None` accepts all within retention. Upstream's `out_of_order_time_window`.
    pub out_of_order_window_ms: Option<i64>,
}

/// What a snapshot does about samples that are not in parts yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveSamples {
    /// Cuts first, so that the snapshot has them.
    CutFirst,
    LeaveOut,
}
