//! Everything a user may decide, whichever command line or file it came from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, PerTenant};
use config::sextant::{AuthConfig, BudgetsConfig, Deltas, HostCollectorConfig, Personality, TenantLimits};
use model::regex::GoRegex;
use ql_promql::parser::ParserOptions;
use server::delta_streams::ConversionOptions;
use server::web::ConsoleSettings;
use server::web::access::Tenancy;
use wire_prom::remote_write::WriteMessage;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Everything a user may decide, whichever command line or file it came from.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    pub(crate) listen_addresses: Vec<String>,
    /// One for all addresses.
    pub(crate) web_config_file: Option<PathBuf>,
    /// One per address, where each has its own.
    pub(crate) web_config_files: Vec<Option<PathBuf>>,
    /// One per address; everything where there is none.
    pub(crate) speaks: Vec<Personality>,
    pub(crate) auth: AuthConfig,
    pub(crate) host_collector: Option<HostCollectorConfig>,
    /// Everything else is limited by the defaults of the store.
    pub(crate) tenant_limits: PerTenant<TenantLimits>,
    pub(crate) tenancy: Tenancy,
    /// Accounts are kept in the data directory.
    pub(crate) keep_accounts: bool,
    pub(crate) warnings: Vec<String>,
    pub(crate) insecure_no_auth: bool,
    pub(crate) connections_max: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) external_url: String,
    pub(crate) route_prefix: String,
    pub(crate) enable_lifecycle: bool,
    pub(crate) enable_admin_api: bool,
    pub(crate) enable_remote_write_receiver: bool,
    pub(crate) enable_otlp_receiver: bool,
    pub(crate) consoles: ConsoleSettings,
    pub(crate) otlp_deltas: Deltas,
    pub(crate) delta_max_stale: Duration,
    pub(crate) delta_streams_max: usize,
    pub(crate) enable_search_api: bool,
    pub(crate) search_limit_max: usize,
    pub(crate) accepted_write_messages: Vec<WriteMessage>,
    pub(crate) cors_origin: Option<GoRegex>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) retention_size: Option<ByteSize>,
    pub(crate) retention_percent: Option<f64>,
    pub(crate) remote_read_samples_max: usize,
    pub(crate) remote_read_concurrency_max: usize,
    pub(crate) remote_read_frame_bytes_max: usize,
    pub(crate) outage_tolerance_ms: i64,
    pub(crate) for_grace_period_ms: i64,
    pub(crate) resend_delay_ms: i64,
    pub(crate) concurrent_evals_max: usize,
    pub(crate) concurrent_rule_eval: bool,
    pub(crate) notification_queue_capacity: usize,
    pub(crate) notification_batch_max: usize,
    pub(crate) drain_on_shutdown: bool,
    pub(crate) lookback_delta_ms: i64,
    pub(crate) query_timeout: Duration,
    pub(crate) query_concurrency_max: usize,
    pub(crate) query_samples_max: usize,
    pub(crate) flush_deadline: Duration,
    pub(crate) budgets: BudgetsConfig,
    pub(crate) auto_reload: Option<Duration>,
    pub(crate) parser: ParserOptions,
    pub(crate) delayed_name_removal: bool,
    pub(crate) per_step_stats: bool,
    pub(crate) use_start_timestamps: bool,
    pub(crate) type_and_unit_labels: bool,
    pub(crate) exemplar_storage: bool,
    pub(crate) created_zero_samples: bool,
    pub(crate) start_timestamps: bool,
    pub(crate) extra_scrape_metrics: bool,
    pub(crate) features_enabled: Vec<String>,
    pub(crate) features_without_effect: Vec<String>,
    pub(crate) log_level: String,
    pub(crate) log_format: LogFormat,
    pub(crate) flags: BTreeMap<String, String>,
}

impl Settings {
    /// Upstream's defaults over a data directory.
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self {
            config_file: None,
            data_dir,
            listen_addresses: vec!["127.0.0.1:9090".to_owned()],
            web_config_file: None,
            web_config_files: Vec::new(),
            speaks: Vec::new(),
            auth: AuthConfig::default(),
            host_collector: None,
            tenant_limits: PerTenant::default(),
            tenancy: Tenancy::Single,
            keep_accounts: false,
            warnings: Vec::new(),
            insecure_no_auth: false,
            connections_max: 512,
            read_timeout: Duration::from_secs(300),
            external_url: String::new(),
            route_prefix: String::new(),
            enable_lifecycle: false,
            enable_admin_api: false,
            enable_remote_write_receiver: false,
            enable_otlp_receiver: false,
            consoles: ConsoleSettings::default(),
            otlp_deltas: Deltas::Refuse,
            delta_max_stale: ConversionOptions::STALE_AFTER,
            delta_streams_max: ConversionOptions::STREAMS_MAX,
            enable_search_api: false,
            search_limit_max: 10_000,
            accepted_write_messages: vec![WriteMessage::V1, WriteMessage::V2],
            cors_origin: None,
            retention_ms: None,
            retention_size: None,
            retention_percent: None,
            remote_read_samples_max: 50_000_000,
            remote_read_concurrency_max: 10,
            remote_read_frame_bytes_max: 1 << 20,
            outage_tolerance_ms: 3_600_000,
            for_grace_period_ms: 600_000,
            resend_delay_ms: 60_000,
            concurrent_evals_max: 4,
            concurrent_rule_eval: false,
            notification_queue_capacity: 10_000,
            notification_batch_max: 256,
            drain_on_shutdown: true,
            lookback_delta_ms: 300_000,
            query_timeout: Duration::from_secs(120),
            query_concurrency_max: 20,
            query_samples_max: 50_000_000,
            flush_deadline: Duration::from_secs(60),
            budgets: BudgetsConfig::default(),
            auto_reload: None,
            parser: ParserOptions::default(),
            delayed_name_removal: false,
            per_step_stats: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            exemplar_storage: false,
            created_zero_samples: false,
            start_timestamps: false,
            extra_scrape_metrics: false,
            features_enabled: Vec::new(),
            features_without_effect: Vec::new(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            flags: BTreeMap::new(),
        }
    }
}
