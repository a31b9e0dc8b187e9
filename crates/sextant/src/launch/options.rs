//! From settings to what the server is built from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, Clock, TenantId};
use config::WebConfig;
use config::sextant::{Deltas, HostCollectorConfig, TenantLimits};
use engine::{QueryLimits, TenantQueryLimits};
use ql_promql::query::EngineOptions;
use rules::notify::NotifierOptions;
use rules::ruler::RuleOptions;
use scrape::cycle::CycleOptions;
use server::delta_streams::{ConversionOptions, OtlpDeltas};
use server::host::HostOptions;
use server::outbound::client::Environment;
use server::outbound::connections::Connections;
use server::serve::{ListenerOptions, ServeOptions};
use server::web::{BuildInfo, StatusFacts, WebSettings};
use store_core::journal::JournalOptions;
use store_metrics::{Limits, RetentionOptions, StoreOptions};

use super::{API_VERSION, COMMIT, Settings};
use crate::open_files;

/// Memory for queries and samples where nothing is configured.
const MEMORY_SHARE_OF_MACHINE: u64 = 2;
/// Without a retention by time or size, samples are kept this long, as upstream.
const RETENTION_DEFAULT_MS: i64 = 15 * 24 * 3_600_000;
const QUERIES_WAITING_MAX: usize = 200;

pub(super) fn serve_options(settings: &Settings, clock: &dyn Clock) -> Result<ServeOptions, String> {
    let mut listeners = Vec::new();
    for (idx, address) in settings.listen_addresses.iter().enumerate() {
        let own = settings.web_config_files.get(idx).and_then(Option::as_ref);
        let web_config_file = own.or(settings.web_config_file.as_ref()).cloned();
        let web = match &web_config_file {
            Some(path) => read_web_config(path)?,
            None => WebConfig::default(),
        };
        let speaks = settings.speaks.get(idx).copied().unwrap_or_default();
        listeners.push(ListenerOptions { address: address.clone(), web, web_config_file, speaks });
    }
    let budgets = &settings.budgets;
    let memory = budgets.process_memory.map_or_else(|| machine_memory() / MEMORY_SHARE_OF_MACHINE, |b| b.0);
    let query_memory = budgets.query_memory.map_or(memory / 2, |b| b.0);
    let ingest_memory = budgets.ingest_memory.map_or(memory / 2, |b| b.0);
    let process = Budget::new("process", memory);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let listen_address = settings.listen_addresses.first().cloned().unwrap_or_default();
    let external_url = external_url(settings, &listen_address);
    let route_prefix = route_prefix(settings, &external_url);
    Ok(ServeOptions {
        config_file: settings.config_file.clone(),
        data_dir: settings.data_dir.clone(),
        listeners,
        auth: settings.auth.clone(),
        keep_accounts: settings.keep_accounts,
        tenancy: settings.tenancy,
        samples_per_second: settings.tenant_limits.map(|limits| limits.samples_per_second),
        insecure_no_auth: settings.insecure_no_auth,
        connections_max: settings.connections_max,
        read_timeout: settings.read_timeout,
        web: WebSettings {
            enable_admin_api: settings.enable_admin_api,
            enable_lifecycle: settings.enable_lifecycle,
            enable_remote_write_receiver: settings.enable_remote_write_receiver,
            enable_otlp_receiver: settings.enable_otlp_receiver,
            otlp_deltas: otlp_deltas(settings, &process, memory),
            consoles: settings.consoles.clone(),
            enable_search_api: settings.enable_search_api,
            search_limit_max: settings.search_limit_max,
            accepted_write_messages: settings.accepted_write_messages.clone(),
            type_and_unit_labels: settings.type_and_unit_labels,
            cors_origin: settings.cors_origin.clone(),
            external_url,
            route_prefix,
            listen_address,
            remote_read_samples_max: settings.remote_read_samples_max,
            remote_read_concurrency_max: settings.remote_read_concurrency_max,
            remote_read_frame_bytes_max: settings.remote_read_frame_bytes_max,
        },
        facts: facts(settings, clock),
        engine: EngineOptions {
            lookback_delta_ms: settings.lookback_delta_ms,
            samples_max: settings.query_samples_max,
            delayed_name_removal: settings.delayed_name_removal,
            use_start_timestamps: settings.use_start_timestamps,
            type_and_unit_labels: settings.type_and_unit_labels,
            per_step_stats: settings.per_step_stats,
            ..EngineOptions::default()
        },
        parser: settings.parser,
        query_limits: QueryLimits {
            concurrency_max: settings.query_concurrency_max,
            waiting_max: QUERIES_WAITING_MAX,
            timeout: settings.query_timeout,
            budget: process.child("queries", query_memory),
            memory_bytes_per_query_max: query_memory / 2,
            tenants: settings.tenant_limits.map(|limits| query_limits_of(settings, limits)),
            threads_per_query: threads,
        },
        store: StoreOptions {
            retention: retention(settings),
            limits: settings.tenant_limits.map(|limits| store_limits_of(settings, limits)),
            budget: process.child("store", ingest_memory),
            ..StoreOptions::default()
        },
        journal: JournalOptions {
            fresh_incarnation: clock.now_ms().unsigned_abs(),
            ..JournalOptions::default()
        },
        rules: RuleOptions {
            outage_tolerance_ms: settings.outage_tolerance_ms,
            for_grace_period_ms: settings.for_grace_period_ms,
            resend_delay_ms: settings.resend_delay_ms,
            concurrent_evals: settings.concurrent_rule_eval,
            restore_new_groups: false,
            parser: settings.parser,
        },
        concurrent_evals_max: settings.concurrent_evals_max,
        notifier: NotifierOptions {
            queue_capacity: settings.notification_queue_capacity,
            batch_max: settings.notification_batch_max,
            drain_on_shutdown: settings.drain_on_shutdown,
        },
        scrape: CycleOptions {
            type_and_unit_labels: settings.type_and_unit_labels,
            start_timestamps: settings.start_timestamps || settings.use_start_timestamps,
            created_zero_samples: settings.created_zero_samples,
            exemplars: settings.exemplar_storage,
            extra_scrape_metrics: settings.extra_scrape_metrics,
        },
        scrape_budget: process.child("scrapes", memory / 8),
        host: settings.host_collector.as_ref().map(host_options),
        auto_reload: settings.auto_reload,
        flush_deadline: settings.flush_deadline,
        environment: environment(),
    })
}

fn otlp_deltas(settings: &Settings, process: &Budget, memory: u64) -> OtlpDeltas {
    match settings.otlp_deltas {
        Deltas::Refuse => OtlpDeltas::Refused,
        Deltas::Keep => OtlpDeltas::AsTheyAre,
        Deltas::Convert => OtlpDeltas::Converted(ConversionOptions {
            stale_after: settings.delta_max_stale,
            streams_max: settings.delta_streams_max,
            budget: process.child("OTLP deltas", memory / 8),
        }),
    }
}

/// The variables of this process, and connections within the files it may open.
pub(crate) fn environment() -> Environment {
    let var = Arc::new(|name: &str| std::env::var_os(name)?.into_string().ok());
    Environment { var, connections: Connections::within(open_files::limit()) }
}

fn read_web_config(path: &Path) -> Result<WebConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    WebConfig::parse(&text, &path.display().to_string()).map_err(|e| e.located())
}

/// 0 is no limit; for series that is the store's own.
fn store_limits_of(settings: &Settings, limits: &TenantLimits) -> Limits {
    let defaults = Limits::default();
    let or = |limit: u64, otherwise: u64| if limit == 0 { otherwise } else { limit };
    Limits {
        active_series_max: or(limits.active_series, defaults.active_series_max),
        label_names_max: or(limits.label_names_per_series, defaults.label_names_max),
        label_value_bytes_max: or(limits.label_value_length_bytes, defaults.label_value_bytes_max),
        exemplars_max: if settings.exemplar_storage { defaults.exemplars_max } else { 0 },
        ..defaults
    }
}

fn query_limits_of(settings: &Settings, limits: &TenantLimits) -> TenantQueryLimits {
    let concurrency = usize::try_from(limits.query_concurrency).unwrap_or(usize::MAX);
    TenantQueryLimits {
        concurrency_max: if concurrency == 0 { settings.query_concurrency_max } else { concurrency },
        memory_bytes_max: limits.query_memory.map_or(u64::MAX, |size| size.0),
    }
}

fn host_options(config: &HostCollectorConfig) -> HostOptions {
    HostOptions {
        tenant: TenantId::anonymous(),
        interval: Duration::from_millis(config.interval_ms.max(1).unsigned_abs()),
        job_name: config.job_name.clone(),
        instance: host_name(),
        collector: agent::HostOptions {
            textfile_directory: Some(&config.textfile_directory)
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from),
            disabled: config.disabled_collectors.clone(),
            ..agent::HostOptions::default()
        },
    }
}

/// By time only when nothing else bounds the data, as upstream.
fn retention(settings: &Settings) -> RetentionOptions {
    let size_bytes = settings.retention_size.map(|size| size.0);
    let disk_percent = settings.retention_percent.map(|percent| percent.clamp(1.0, 100.0) as u8);
    let unbounded = size_bytes.is_none() && disk_percent.is_none();
    let time_ms = settings.retention_ms.or(unbounded.then_some(RETENTION_DEFAULT_MS));
    RetentionOptions { time_ms, size_bytes, disk_percent }
}

fn external_url(settings: &Settings, listen_address: &str) -> String {
    if !settings.external_url.is_empty() {
        let url = settings.external_url.trim_end_matches('/');
        return if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    }
    let port = listen_address.rsplit_once(':').map_or("9090", |(_, port)| port);
    format!("http://{}:{port}", host_name())
}

fn route_prefix(settings: &Settings, external_url: &str) -> String {
    let wanted = if settings.route_prefix.is_empty() {
        external_url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path)
    } else {
        &settings.route_prefix
    };
    let bare = wanted.trim_matches('/');
    if bare.is_empty() { String::new() } else { format!("/{bare}") }
}

fn facts(settings: &Settings, clock: &dyn Clock) -> StatusFacts {
    let working_directory =
        std::env::current_dir().map_or_else(|_| String::new(), |dir| dir.display().to_string());
    StatusFacts {
        build: BuildInfo {
            version: API_VERSION.to_owned(),
            revision: COMMIT.to_owned(),
            branch: String::new(),
            build_user: String::new(),
            build_date: String::new(),
            compiler: "rust".to_owned(),
        },
        flags: settings.flags.clone(),
        started_ms: clock.now_ms(),
        working_directory,
        command_line: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        host_name: host_name(),
        server_timezone: "UTC".to_owned(),
        features: crate::features::features(settings),
    }
}

fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = read.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Memory of the machine, or of the control group if that is less.
fn machine_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total_kib = total.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    let machine = total_kib.map_or(2 << 30, |kib| kib << 10);
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    group.trim().parse::<u64>().map_or(machine, |limit| limit.min(machine))
}
