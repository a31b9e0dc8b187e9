//! Self metrics of remote write, under upstream's names, which the Prometheus mixin reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::telemetry::{Counter, Gauge, Histogram, Labelled, Registry};

use super::round::Counts;

const REMOTE: &[&str] = &["remote_name", "url"];
const REASON: &[&str] = &["remote_name", "url", "reason"];
const DURATION_BOUNDS_S: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

/// Why samples were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropReason {
    /// `write_relabel_configs`
    Relabelled,
    /// `sample_age_limit`
    TooOld,
    CustomBuckets,
    /// The queue was full, and they were the oldest.
    QueueFull,
    /// The disk refused them.
    QueueFailed,
    Unreadable,
}

impl DropReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Relabelled => "dropped_series",
            Self::TooOld => "too_old",
            Self::CustomBuckets => "nhcb_in_rw1_not_supported",
            Self::QueueFull => "queue_full",
            Self::QueueFailed => "queue_failed",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A gauge of seconds that only grows.
#[derive(Debug)]
pub(super) struct HighestTime {
    ms: AtomicI64,
    gauge: Gauge,
}

impl HighestTime {
    fn new(gauge: Gauge) -> Self {
        Self { ms: AtomicI64::new(0), gauge }
    }

    pub(super) fn raise(&self, t_ms: i64) {
        let before = self.ms.fetch_max(t_ms, Ordering::Relaxed);
        self.gauge.set((before.max(t_ms) / 1000) as f64);
    }
}

/// One family per kind of item.
#[derive(Debug)]
struct Kinds {
    samples: Labelled<Counter>,
    histograms: Labelled<Counter>,
    exemplars: Labelled<Counter>,
}

impl Kinds {
    fn add(&self, labels: &[&str], counts: Counts) {
        let kinds = [
            (&self.samples, counts.samples),
            (&self.histograms, counts.histograms),
            (&self.exemplars, counts.exemplars),
        ];
        for (family, n) in kinds {
            if n > 0 {
                family.with(labels).add(n as f64);
            }
        }
    }
}

/// All families; [`RemoteMetrics::of`] gives those of one remote.
#[derive(Debug)]
pub(super) struct RemoteMetrics {
    pub(super) samples_in: Counter,
    pub(super) highest_in: HighestTime,
    sent: Kinds,
    failed: Kinds,
    retried: Kinds,
    dropped: Kinds,
    metadata_sent: Labelled<Counter>,
    metadata_failed: Labelled<Counter>,
    metadata_retried: Labelled<Counter>,
    bytes: Labelled<Counter>,
    metadata_bytes: Labelled<Counter>,
    enqueue_retries: Labelled<Counter>,
    current_segment: Labelled<Gauge>,
    pending: Labelled<Gauge>,
    shards: Labelled<Gauge>,
    shards_min: Labelled<Gauge>,
    shards_max: Labelled<Gauge>,
    shards_desired: Labelled<Gauge>,
    shard_capacity: Labelled<Gauge>,
    max_samples_per_send: Labelled<Gauge>,
    highest_queued: Labelled<Gauge>,
    highest_sent: Labelled<Gauge>,
    duration: Labelled<Histogram>,
}

impl RemoteMetrics {
    pub(super) fn new(r: &Registry) -> Arc<Self> {
        let gauge = |name, help| r.gauges(name, help, REMOTE);
        let counter = |name, help| r.counters(name, help, REMOTE);
        Arc::new(Self {
            samples_in: r.counter(
                "prometheus_remote_storage_samples_in_total",
                "Samples in to remote storage, compare to samples out for queue managers.",
            ),
            highest_in: HighestTime::new(r.gauge(
                "prometheus_remote_storage_highest_timestamp_in_seconds",
                "Highest timestamp that has come into the remote storage, in seconds since epoch.",
            )),
            sent: Kinds {
                samples: counter(
                    "prometheus_remote_storage_samples_total",
                    "Samples sent to remote storage.",
                ),
                histograms: counter(
                    "prometheus_remote_storage_histograms_total",
                    "Histograms sent to remote storage.",
                ),
                exemplars: counter(
                    "prometheus_remote_storage_exemplars_total",
                    "Exemplars sent to remote storage.",
                ),
            },
            failed: Kinds {
                samples: counter(
                    "prometheus_remote_storage_samples_failed_total",
                    "Samples that the remote storage refused for good.",
                ),
                histograms: counter(
                    "prometheus_remote_storage_histograms_failed_total",
                    "Histograms that the remote storage refused for good.",
                ),
                exemplars: counter(
                    "prometheus_remote_storage_exemplars_failed_total",
                    "Exemplars that the remote storage refused for good.",
                ),
            },
            retried: Kinds {
                samples: counter(
                    "prometheus_remote_storage_samples_retried_total",
                    "Samples that were sent again after a failure that may pass.",
                ),
                histograms: counter(
                    "prometheus_remote_storage_histograms_retried_total",
                    "Histograms that were sent again after a failure that may pass.",
                ),
                exemplars: counter(
                    "prometheus_remote_storage_exemplars_retried_total",
                    "Exemplars that were sent again after a failure that may pass.",
                ),
            },
            dropped: Kinds {
                samples: r.counters(
                    "prometheus_remote_storage_samples_dropped_total",
                    "Samples that were not sent, by reason.",
                    REASON,
                ),
                histograms: r.counters(
                    "prometheus_remote_storage_histograms_dropped_total",
                    "Histograms that were not sent, by reason.",
                    REASON,
                ),
                exemplars: r.counters(
                    "prometheus_remote_storage_exemplars_dropped_total",
                    "Exemplars that were not sent, by reason.",
                    REASON,
                ),
            },
            metadata_sent: counter(
                "prometheus_remote_storage_metadata_total",
                "Metadata entries sent to remote storage.",
            ),
            metadata_failed: counter(
                "prometheus_remote_storage_metadata_failed_total",
                "Metadata entries that the remote storage refused for good.",
            ),
            metadata_retried: counter(
                "prometheus_remote_storage_metadata_retried_total",
                "Metadata entries that were sent again after a failure that may pass.",
            ),
            bytes: counter(
                "prometheus_remote_storage_bytes_total",
                "Bytes of data (not metadata) sent, compressed.",
            ),
            metadata_bytes: counter(
                "prometheus_remote_storage_metadata_bytes_total",
                "Bytes of metadata sent, compressed.",
            ),
            enqueue_retries: counter(
                "prometheus_remote_storage_enqueue_retries_total",
                "Total number of times enqueue has failed because a shards queue was full.",
            ),
            current_segment: r.gauges(
                "prometheus_wal_watcher_current_segment",
                "Segment of its queue that the consumer is reading from, by the number of its first record.",
                &["consumer"],
            ),
            pending: gauge(
                "prometheus_remote_storage_samples_pending",
                "Samples, histograms and exemplars that wait in the queue.",
            ),
            shards: gauge("prometheus_remote_storage_shards", "Requests that are sent side by side."),
            shards_min: gauge("prometheus_remote_storage_shards_min", "The least number of shards."),
            shards_max: gauge("prometheus_remote_storage_shards_max", "The largest number of shards."),
            shards_desired: gauge(
                "prometheus_remote_storage_shards_desired",
                "The number of shards that the backlog asks for.",
            ),
            shard_capacity: gauge(
                "prometheus_remote_storage_shard_capacity",
                "The configured capacity of a shard.",
            ),
            max_samples_per_send: gauge(
                "prometheus_remote_storage_max_samples_per_send",
                "The largest number of samples of a request.",
            ),
            highest_queued: gauge(
                "prometheus_remote_storage_queue_highest_timestamp_seconds",
                "Highest timestamp that was enqueued, in seconds since epoch.",
            ),
            highest_sent: gauge(
                "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
                "Highest timestamp successfully sent by this queue, in seconds since epoch.",
            ),
            duration: r.histograms(
                "prometheus_remote_storage_sent_batch_duration_seconds",
                "Duration of send calls to the remote storage.",
                REMOTE,
                DURATION_BOUNDS_S,
            ),
        })
    }

    /// The series of one remote.
    pub(super) fn of(self: &Arc<Self>, remote_name: &str, url: &str) -> QueueMetrics {
        let labels = [remote_name, url];
        // What dashboards divide by exists from the start, at zero.
        for kinds in [&self.sent, &self.failed, &self.retried] {
            kinds.samples.with(&labels);
            kinds.histograms.with(&labels);
            kinds.exemplars.with(&labels);
        }
        // Appending to a queue on disk never has to be tried again: the oldest make room.
        self.enqueue_retries.with(&labels);
        self.dropped.samples.with(&[remote_name, url, DropReason::Relabelled.as_str()]);
        QueueMetrics {
            metadata_sent: self.metadata_sent.with(&labels),
            metadata_failed: self.metadata_failed.with(&labels),
            metadata_retried: self.metadata_retried.with(&labels),
            bytes: self.bytes.with(&labels),
            metadata_bytes: self.metadata_bytes.with(&labels),
            current_segment: self.current_segment.with(&[remote_name]),
            pending: self.pending.with(&labels),
            shards: self.shards.with(&labels),
            shards_min: self.shards_min.with(&labels),
            shards_max: self.shards_max.with(&labels),
            shards_desired: self.shards_desired.with(&labels),
            shard_capacity: self.shard_capacity.with(&labels),
            max_samples_per_send: self.max_samples_per_send.with(&labels),
            highest_queued: HighestTime::new(self.highest_queued.with(&labels)),
            highest_sent: HighestTime::new(self.highest_sent.with(&labels)),
            duration: self.duration.with(&labels),
            all: Arc::clone(self),
            remote_name: remote_name.to_owned(),
            url: url.to_owned(),
        }
    }

    /// Forgets the gauges of a remote that is gone; its counters stay, as what was sent was sent.
    pub(super) fn forget(&self, remote_name: &str, url: &str) {
        let gauges = [
            &self.pending,
            &self.shards,
            &self.shards_min,
            &self.shards_max,
            &self.shards_desired,
            &self.shard_capacity,
            &self.max_samples_per_send,
            &self.highest_queued,
            &self.highest_sent,
        ];
        gauges.iter().for_each(|gauge| gauge.remove(&[remote_name, url]));
        self.current_segment.remove(&[remote_name]);
    }
}

/// The metrics of one remote.
#[derive(Debug)]
pub(super) struct QueueMetrics {
    pub(super) metadata_sent: Counter,
    pub(super) metadata_failed: Counter,
    pub(super) metadata_retried: Counter,
    pub(super) bytes: Counter,
    pub(super) metadata_bytes: Counter,
    pub(super) current_segment: Gauge,
    pub(super) pending: Gauge,
    pub(super) shards: Gauge,
    pub(super) shards_min: Gauge,
    pub(super) shards_max: Gauge,
    pub(super) shards_desired: Gauge,
    pub(super) shard_capacity: Gauge,
    pub(super) max_samples_per_send: Gauge,
    pub(super) highest_queued: HighestTime,
    pub(super) highest_sent: HighestTime,
    pub(super) duration: Histogram,
    all: Arc<RemoteMetrics>,
    remote_name: String,
    url: String,
}

impl QueueMetrics {
    pub(super) fn sent(&self, counts: Counts) {
        self.all.sent.add(&[&self.remote_name, &self.url], counts);
    }

    pub(super) fn failed(&self, counts: Counts) {
        self.all.failed.add(&[&self.remote_name, &self.url], counts);
    }

    pub(super) fn retried(&self, counts: Counts) {
        self.all.retried.add(&[&self.remote_name, &self.url], counts);
    }

    pub(super) fn dropped(&self, reason: DropReason, counts: Counts) {
        self.all.dropped.add(&[&self.remote_name, &self.url, reason.as_str()], counts);
    }

    /// Of whatever kind they were.
    pub(super) fn dropped_samples(&self, reason: DropReason, n: u64) {
        self.dropped(reason, Counts { samples: n, ..Counts::default() });
    }
}
