//! Self metrics of scraping, under upstream's names, which the Prometheus mixin reads.

use std::sync::Arc;

use base::Clock;

use crate::telemetry::{Counter, Gauge, Labelled, Registry, Summary};

const QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

#[derive(Debug, Clone)]
pub(crate) struct ScrapeMetrics {
    pub(crate) pools: Gauge,
    pub(crate) pool_targets: Labelled<Gauge>,
    pub(crate) pool_target_limit: Labelled<Gauge>,
    pub(crate) pool_reloads: Counter,
    pub(crate) pool_exceeded_target_limit: Counter,
    pub(crate) exceeded_sample_limit: Counter,
    pub(crate) exceeded_bucket_limit: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) exceeded_body_size: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) out_of_order: Counter,
    pub(crate) not_stored: Labelled<Counter>,
    pub(crate) interval: Labelled<Summary>,
    pub(crate) metadata_entries: Labelled<Gauge>,
    pub(crate) sync_length: Labelled<Summary>,
    pub(crate) sync_failed: Labelled<Counter>,
    pub(crate) skipped: Counter,
}

impl ScrapeMetrics {
    pub(crate) fn new(r: &Registry, clock: &Arc<dyn Clock>) -> Self {
        let by_job = &["scrape_job"];
        Self {
            pools: r.gauge("prometheus_target_scrape_pools", "Current number of scrape pools."),
            pool_targets: r.gauges(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
                &["scrape_job"],
            ),
            pool_target_limit: r.gauges(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
                &["scrape_job"],
            ),
            pool_reloads: r.counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            ),
            pool_exceeded_target_limit: r.counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            exceeded_sample_limit: r.counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_bucket_limit: r.counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            exceeded_label_limits: r.counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            exceeded_body_size: r.counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit.",
            ),
            duplicate: r.counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_bounds: r.counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            out_of_order: r.counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            not_stored: r.counters(
                "sextant_scrapes_not_stored_total",
                "Scrapes whose samples the store refused, by reason.",
                &["reason"],
            ),
            interval: r.summaries(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                QUANTILES,
                clock,
            ),
            metadata_entries: r.gauges(
                "prometheus_target_metadata_cache_entries",
                "Total number of metric metadata entries in the cache",
                by_job,
            ),
            sync_length: r.summaries(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                by_job,
                QUANTILES,
                clock,
            ),
            sync_failed: r.counters(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
                by_job,
            ),
            skipped: r.counter(
                "sextant_target_scrapes_skipped_total",
                "Scrapes that were due while the last one of the same target had not ended.",
            ),
        }
    }
}
