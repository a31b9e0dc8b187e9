//! One scrape job, every default filled in and every check passed: plain data that `config` builds
//! from a `scrape_configs` entry and the `global` section.

use std::collections::BTreeMap;

use base::ByteSize;
use model::relabel::RelabelConfig;
use wire_core::http_config::HttpClientConfig;
pub use wire_prom::negotiate::{EscapingScheme as NameEscaping, ScrapeProtocol};

use crate::sd_config::SdConfig;

/// Which characters names may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameValidation {
    #[default]
    Utf8,
    Legacy,
}

/// Limits of one scrape; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScrapeLimits {
    /// Of the uncompressed body.
    pub body_size: ByteSize,
    /// Samples after metric relabelling.
    pub samples: u64,
    /// Targets of the job after relabelling.
    pub targets: u64,
    pub labels: u64,
    pub label_name_bytes: u64,
    pub label_value_bytes: u64,
    pub native_histogram_buckets: u64,
    pub native_histogram_min_bucket_factor: f64,
    /// How many dropped targets are remembered for the API.
    pub dropped_targets_kept: u64,
}

/// One entry of `scrape_configs`.
#[derive(Debug, Clone)]
pub struct ScrapeConfig {
    pub job_name: String,
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    /// URL query parameters by name.
    pub params: BTreeMap<String, Vec<String>>,
    pub interval_ms: i64,
    /// At most `interval_ms`.
    pub timeout_ms: i64,
    /// Most wanted first, never empty.
    pub protocols: Vec<ScrapeProtocol>,
    /// Used when the target's `Content-Type` is missing or unknown; `None` fails such a scrape.
    pub fallback_protocol: Option<ScrapeProtocol>,
    pub native_histograms: bool,
    pub always_scrape_classic_histograms: bool,
    pub convert_classic_histograms_to_nhcb: bool,
    /// Stores `scrape_timeout_seconds`, `scrape_sample_limit`, `scrape_body_size_bytes` too.
    pub extra_scrape_metrics: bool,
    /// Empty: failures are not logged to a file.
    pub failure_log_file: String,
    pub metrics_path: String,
    /// `http` or `https`; a target's `__scheme__` wins.
    pub scheme: String,
    /// Whether `Accept-Encoding: gzip` is sent.
    pub enable_compression: bool,
    pub limits: ScrapeLimits,
    pub name_validation: NameValidation,
    pub name_escaping: NameEscaping,
    pub http: HttpClientConfig,
    pub sd: Vec<SdConfig>,
    pub relabel: Vec<RelabelConfig>,
    pub metric_relabel: Vec<RelabelConfig>,
    /// The entry as `/api/v1/scrape_pools/config` and `/api/v1/status/config` show it: defaults
    /// filled, secrets hidden. Two entries with equal YAML may still differ in a secret.
    pub yaml: String,
}
