//! From settings to a running server: logging, signals, the runtime, and the way down.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, ByteSize, Clock, PerTenant, SystemClock, TenantId};
use config::WebConfig;
use config::sextant::{AuthConfig, BudgetsConfig, Deltas, HostCollectorConfig, Personality, TenantLimits};
use engine::{QueryLimits, TenantQueryLimits};
use model::regex::GoRegex;
use ql_promql::parser::ParserOptions;
use ql_promql::query::EngineOptions;
use rules::notify::NotifierOptions;
use rules::ruler::RuleOptions;
use scrape::cycle::CycleOptions;
use server::delta_streams::{ConversionOptions, OtlpDeltas};
use server::host::HostOptions;
use server::outbound::client::Environment;
use server::outbound::connections::Connections;
use server::serve::{ListenerOptions, ServeOptions, start};
use server::web::access::Tenancy;
use server::web::{BuildInfo, ConsoleSettings, StatusFacts, WebSettings};
use store_core::journal::JournalOptions;
use store_metrics::{Limits, RetentionOptions, StoreOptions};
use tokio::signal::unix::{SignalKind, signal};
use wire_prom::remote_write::WriteMessage;

use crate::open_files;

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit; builds that set `SEXTANT_COMMIT` know it.
const COMMIT: &str = match option_env!("SEXTANT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What the API answers for its version: Grafana and others switch features on by the release of
/// Prometheus they believe to talk to, which is the one whose API this is.
const API_VERSION: &str = concat!("3.14.0+sextant.", env!("CARGO_PKG_VERSION"));

/// Version, commit and platform, as `--version` shows them.
pub(crate) fn long_version() -> &'static str {
    // Built once, and needed until the process ends.
    format!("{VERSION} (commit {COMMIT}, {} {})", std::env::consts::OS, std::env::consts::ARCH).leak()
}

/// Memory for queries and samples where nothing is configured.
const MEMORY_SHARE_OF_MACHINE: u64 = 2;
/// Without a retention by time or size, samples are kept this long, as upstream.
const RETENTION_DEFAULT_MS: i64 = 15 * 24 * 3_600_000;
const QUERIES_WAITING_MAX: usize = 200;

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

/// Prints a message for the person at the terminal.
pub(crate) fn fail(message: &str) -> ExitCode {
    crate::output::remark(&format!("sextant: {message}"));
    ExitCode::FAILURE
}

/// Runs until a signal or a request ends the server.
pub(crate) fn run(settings: Settings, moot_flags: &[&str]) -> ExitCode {
    start_logging(&settings);
    open_files::raise();
    for warning in &settings.warnings {
        tracing::warn!(warning, "configuration");
    }
    if !moot_flags.is_empty() {
        tracing::warn!(flags = moot_flags.join(", "), "these flags have no effect in this program");
    }
    if !settings.features_without_effect.is_empty() {
        let features = settings.features_without_effect.join(", ");
        tracing::warn!(features, "these features are unknown or always on");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

async fn serve(settings: Settings) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = serve_options(&settings, &*clock)?;
    let scheme = |listener: &ListenerOptions| if listener.web.tls.is_some() { "https" } else { "http" };
    let schemes: Vec<_> = options.listeners.iter().map(scheme).collect();
    let prefix = options.web.route_prefix.clone();
    let running = start(options, clock).await.map_err(|e| e.to_string())?;
    for address in &running.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(password) = &running.first_password {
        // To the terminal and not to the log, which others read.
        crate::output::line(&format!(
            "\nFirst start: log in as {} with the password {password}\nIt is shown this once; \
             `sextant users reset-password {}` makes another.\n",
            server::accounts::FIRST_ADMIN,
            server::accounts::FIRST_ADMIN,
        ));
    }
    let recovery = &running.recovery;
    tracing::info!(
        parts = recovery.parts,
        journal_records = recovery.journal_records,
        took_ms = recovery.took_ms,
        "server is ready to receive web requests"
    );
    for (scheme, address) in schemes.iter().zip(&running.addresses) {
        tracing::info!(url = format!("{scheme}://{address}{prefix}/"), "look here");
    }
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "a torn end of the journal was cut off; it had not been acknowledged"
        );
    }
    for problem in &recovery.problems {
        tracing::error!(problem, "damage found while opening the store");
    }
    tokio::spawn(signals(Arc::clone(&running.app), running.shutdown().clone()));
    running.finish().await.map_err(|e| e.to_string())?;
    tracing::info!("see you next time");
    Ok(())
}

/// SIGHUP reloads; SIGTERM and SIGINT end the server.
async fn signals(app: Arc<server::web::App>, shutdown: server::shutdown::Shutdown) {
    let streams =
        (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = streams else {
        return tracing::error!("cannot listen to signals");
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                // The outcome is logged where it happens.
                drop(app.reload.request().await);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("received a signal, exiting gracefully");
    shutdown.begin();
}

fn start_logging(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log_level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn serve_options(settings: &Settings, clock: &dyn Clock) -> Result<ServeOptions, String> {
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
    let retention = retention(settings);
    let mut shown = Vec::new();
    shown.extend(retention.time_ms.map(base::duration::format_ms));
    shown.extend(retention.size_bytes.map(|bytes| ByteSize(bytes).to_string()));
    shown.extend(retention.disk_percent.map(|percent| format!("{percent}%")));
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
        storage_retention: shown.join(" or "),
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
