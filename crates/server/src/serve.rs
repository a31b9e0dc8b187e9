//! The whole server: opens the store, builds every component, listens, and takes it all down in
//! order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, Clock, PerTenant, TenantId};
use config::WebConfig;
use config::sextant::{AuthConfig, Personality};
use engine::{QueryEngine, QueryLimits};
use ql_promql::parser::ParserOptions;
use ql_promql::query::EngineOptions;
use rules::notify::NotifierOptions;
use rules::ruler::RuleOptions;
use scrape::cycle::CycleOptions;
use store_core::journal::JournalOptions;
use store_metrics::{Limits, MetricStore, RecoveryReport, StoreOptions};
use tokio::net::TcpListener;
use vfs::RealVfs;

use crate::accounts::{Accounts, AccountsError};
use crate::discovery::{DiscoveryMetrics, GroupParser};
use crate::ingest::{Ingest, Rates};
use crate::outbound::client::Environment;
use crate::process_metrics::ProcessMetrics;
use crate::query_log::QueryLogging;
use crate::reload::{self, Components, LoadError, Source};
use crate::remote_read::{RemoteReading, RemoteReadingParts};
use crate::remote_write::{QUEUE_BYTES_MAX_DEFAULT, RemoteWriting, RemoteWritingParts};
use crate::ruling::{Ruling, RulingParts};
use crate::scraping::{Scraping, ScrapingParts};
use crate::shutdown::Shutdown;
use crate::telemetry::Registry;
use crate::upkeep::{self, StoreMetrics};
use crate::web::ListenLimits;
use crate::web::access::Tenancy;
use crate::web::server_tls::ServerTlsError;
use crate::web::web_config::{ListenerConfig, ListenerParts};
use crate::web::{self, App, AppParts, Notices, StatusFacts, WebSettings};

/// Where snapshots lie within the data directory, as upstream's do. Each has the layout of a data
/// directory.
const SNAPSHOTS_DIR: &str = "snapshots";

/// Where the metrics of a data directory are: in a folder of their own, as those of other signals. A
/// directory that is a store itself is used as it stands.
pub fn metrics_dir(data_dir: &Path) -> PathBuf {
    let is_store = data_dir.join("meta.json").is_file();
    if is_store { data_dir.to_path_buf() } else { data_dir.join(store_metrics::FAMILY) }
}

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// `host:port`; an empty host means all interfaces.
    pub address: String,
    /// TLS, users and headers of this listener.
    pub web: WebConfig,
    /// Where `web` was read from; changes of it are followed.
    pub web_config_file: Option<PathBuf>,
    pub speaks: Personality,
}

/// Everything that is decided before the server starts.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// `prometheus.yml`; `None` runs without scrapes and rules.
    pub config_file: Option<PathBuf>,
    pub data_dir: PathBuf,
    pub listeners: Vec<ListenerOptions>,
    /// Users and tokens of all listeners, besides those of each listener's web configuration.
    pub auth: AuthConfig,
    /// Keeps accounts of its own in the data directory, and makes an administrator on the first start.
    pub keep_accounts: bool,
    pub tenancy: Tenancy,
    /// What each tenant may send; 0 is no limit.
    pub samples_per_second: PerTenant<u64>,
    /// Allows listening beyond this machine without users.
    pub insecure_no_auth: bool,
    pub connections_max: usize,
    /// The longest that the head and the body of a request may take to arrive.
    pub read_timeout: Duration,
    pub web: WebSettings,
    pub facts: StatusFacts,
    pub engine: EngineOptions,
    pub parser: ParserOptions,
    pub query_limits: QueryLimits,
    pub store: StoreOptions,
    pub journal: JournalOptions,
    pub rules: RuleOptions,
    pub concurrent_evals_max: usize,
    pub notifier: NotifierOptions,
    pub scrape: CycleOptions,
    /// What scraped bodies may take while they are unpacked.
    pub scrape_budget: Budget,
    /// Looks at the configuration files this often and reloads when they changed.
    pub auto_reload: Option<Duration>,
    /// How long remote write may flush at shutdown.
    pub flush_deadline: Duration,
    /// Series of the machine this runs on.
    pub host: Option<crate::host::HostOptions>,
    pub environment: Environment,
}

/// Why the server did not start, in the words of whoever can mend it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot open the data directory {path}: {cause}")]
    Store { path: String, cause: store_metrics::StoreError },
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error("cannot listen on {address}: {cause}{}", listen_hint(cause))]
    Listen { address: String, cause: std::io::Error },
    #[error("cannot use TLS on {address}: {cause}")]
    Tls { address: String, cause: ServerTlsError },
    #[error(
        "{address} can be reached from other machines, and no users are configured: add users to \
         sextant.yml or to the file of --web.config.file, listen on 127.0.0.1, or say --insecure-no-auth"
    )]
    OpenToTheWorld { address: String },
    #[error("cannot use the accounts of this server: {0}")]
    Accounts(#[from] AccountsError),
    #[error("{0}")]
    Component(String),
}

/// What whoever reads the error can do.
fn listen_hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => "; stop the program that has it, or choose another address",
        std::io::ErrorKind::InvalidInput => ", expected HOST:PORT as in 127.0.0.1:9090",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

/// A server that is up.
pub struct Running {
    /// The addresses that are listened on, with the ports that were chosen for `:0`.
    pub addresses: Vec<SocketAddr>,
    pub recovery: RecoveryReport,
    /// The password of the administrator that this start made, to be shown once.
    pub first_password: Option<String>,
    pub app: Arc<App>,
    _accounts: Option<Accounts>,
    shutdown: Shutdown,
    store: Arc<MetricStore>,
    ruling: Arc<Ruling>,
    remote_writing: Arc<RemoteWriting>,
    query_logging: Arc<QueryLogging>,
    serving: Vec<tokio::task::JoinHandle<()>>,
    upkeep: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Starts everything. On return the server answers queries and scrapes.
pub async fn start(options: ServeOptions, clock: Arc<dyn Clock>) -> Result<Running, ServeError> {
    let shutdown = Shutdown::new();
    let registry = Arc::new(Registry::new());
    // A configuration that is wrong is reported before the data directory is touched.
    let source = Source {
        path: options.config_file.clone(),
        environment: options.environment.clone(),
        rule_options: config::RuleFileOptions { parser: options.parser, legacy_names: false },
    };
    let loaded = source.load()?;
    let accounts = match options.keep_accounts {
        true => Some(Accounts::open(Arc::new(RealVfs), &options.data_dir)?),
        false => None,
    };
    let first_password = accounts.as_ref().map(Accounts::first_admin).transpose()?.flatten();
    let listeners = bind(&options, accounts.as_ref(), &clock).await?;
    let (store, recovery) = open_store(&options, &loaded, &clock).await?;
    let store = Arc::new(store);
    let remote_writing = remote_writing(&options, &clock, &registry);
    let ingest = Arc::new(Ingest {
        store: Arc::clone(&store),
        remote_writing: Arc::clone(&remote_writing),
        rates: Rates::new(options.samples_per_second.clone(), Arc::clone(&clock)),
    });
    let engine = query_engine(&options, &store, &clock, &registry);
    let parse_groups: GroupParser =
        Arc::new(|text| config::parse_target_groups(text).map_err(|e| e.to_string()));
    let scraping = Scraping::new(
        ScrapingParts {
            ingest: Arc::clone(&ingest),
            clock: Arc::clone(&clock),
            tenant: TenantId::anonymous(),
            parse_groups: Arc::clone(&parse_groups),
            environment: options.environment.clone(),
            options: options.scrape,
            budget: options.scrape_budget.clone(),
            shutdown: shutdown.clone(),
            host_name: options.facts.host_name.clone(),
        },
        &registry,
    );
    let ruling = Ruling::start(
        RulingParts {
            engine: Arc::clone(&engine),
            ingest: Arc::clone(&ingest),
            clock: Arc::clone(&clock),
            tenant: TenantId::anonymous(),
            options: options.rules.clone(),
            concurrent_evals_max: options.concurrent_evals_max,
            notifier: options.notifier,
            external_url: options.web.external_url.clone(),
            parse_groups,
            environment: options.environment.clone(),
            discovery_metrics: DiscoveryMetrics::new(&registry),
            shutdown: shutdown.clone(),
        },
        &registry,
    );
    let reading_parts = RemoteReadingParts {
        engine: Arc::clone(&engine),
        clock: Arc::clone(&clock),
        environment: options.environment.clone(),
        tenant: TenantId::anonymous(),
    };
    let remote_reading = RemoteReading::new(reading_parts, &registry);
    let query_logging = QueryLogging::new(Arc::clone(&engine), Arc::clone(&clock), &registry);
    let notices = Arc::new(Notices::default());
    let (reload_handle, reloader) = reload::channel(source, &registry);
    let app = App::new(AppParts {
        engine,
        ingest: Arc::clone(&ingest),
        clock: Arc::clone(&clock),
        registry: Arc::clone(&registry),
        scraping: Arc::clone(&scraping),
        ruling: Arc::clone(&ruling),
        settings: options.web.clone(),
        facts: options.facts.clone(),
        reload: reload_handle,
        shutdown: shutdown.clone(),
        notices: Arc::clone(&notices),
        process: ProcessMetrics::new(&registry),
    });
    let components = Components {
        store: Arc::clone(&store),
        retention: options.store.retention,
        scraping,
        ruling: Arc::clone(&ruling),
        remote_writing: Arc::clone(&remote_writing),
        remote_reading,
        query_logging: Arc::clone(&query_logging),
        clock: Arc::clone(&clock),
        notices,
    };
    reloader.apply_first(loaded, &components)?;
    tokio::spawn(reloader.run(components, options.auto_reload, shutdown.clone()));
    if let Some(host) = options.host.clone() {
        let collecting = crate::host::run(host, Arc::clone(&ingest), Arc::clone(&clock), shutdown.clone());
        tokio::spawn(async move {
            if let Err(error) = collecting.await {
                tracing::error!(%error, "the host collector cannot run");
            }
        });
    }
    let store_metrics = StoreMetrics::new(&registry, &recovery);
    // What opening found is told from the first scrape on.
    store_metrics.update(&store, &app.engine);
    let upkeep = tokio::spawn(upkeep::run(Arc::clone(&app.engine), clock, store_metrics, shutdown.clone()));
    if let Some(conversion) = app.delta_conversion() {
        tokio::spawn(Arc::clone(conversion).run(shutdown.clone()));
    }
    let addresses = listeners.iter().map(|listener| listener.address).collect();
    let serving = serve_all(listeners, &app, &options, &shutdown);
    app.set_ready();
    Ok(Running {
        addresses,
        recovery,
        first_password,
        app,
        _accounts: accounts,
        shutdown,
        store,
        ruling,
        remote_writing,
        query_logging,
        serving,
        upkeep,
    })
}

fn query_engine(
    options: &ServeOptions,
    store: &Arc<MetricStore>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Arc<QueryEngine> {
    let durations = registry.summaries(
        "prometheus_engine_query_duration_seconds",
        "Query timings",
        &["slice"],
        &[0.5, 0.9, 0.99],
        clock,
    );
    let [queue, preparation, evaluation] =
        ["queue_time", "prepare_time", "inner_eval"].map(|slice| durations.with(&[slice]));
    let engine = QueryEngine::new(
        Arc::clone(store),
        Arc::clone(clock),
        options.engine.clone(),
        options.parser,
        options.query_limits.clone(),
    );
    Arc::new(engine.with_observer(move |timings| {
        queue.observe(timings.queue_s);
        preparation.observe(timings.preparation_s);
        evaluation.observe(timings.evaluation_s);
    }))
}

fn remote_writing(options: &ServeOptions, clock: &Arc<dyn Clock>, registry: &Registry) -> Arc<RemoteWriting> {
    let parts = RemoteWritingParts {
        clock: Arc::clone(clock),
        data_dir: options.data_dir.clone(),
        environment: options.environment.clone(),
        flush_deadline: options.flush_deadline,
        tenant: TenantId::anonymous(),
        queue_bytes_max: QUEUE_BYTES_MAX_DEFAULT,
    };
    RemoteWriting::new(parts, registry)
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    config: Arc<ListenerConfig>,
    speaks: Personality,
}

async fn bind(
    options: &ServeOptions,
    accounts: Option<&Accounts>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Bound>, ServeError> {
    let kept = accounts.map(Accounts::list).transpose()?.unwrap_or_default();
    let mut bound = Vec::new();
    for listener in &options.listeners {
        let address = match listener.address.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => listener.address.clone(),
        };
        let failed = |cause| ServeError::Listen { address: address.clone(), cause };
        let socket = TcpListener::bind(&address).await.map_err(failed)?;
        let actual = socket.local_addr().map_err(failed)?;
        let configured = !listener.web.basic_auth_users.is_empty()
            || !options.auth.users.is_empty()
            || !options.auth.tokens.is_empty();
        let needs_users = !actual.ip().is_loopback() && !options.insecure_no_auth;
        if needs_users && !configured && kept.is_empty() {
            return Err(ServeError::OpenToTheWorld { address });
        }
        let mut auth = options.auth.clone();
        // Accounts alone do not close an address that only this machine reaches: what spoke to the
        // systems we replace goes on speaking to it.
        if needs_users || configured {
            for (name, user) in &kept {
                auth.users.entry(name.clone()).or_insert_with(|| user.clone());
            }
        }
        let config = ListenerConfig::new(ListenerParts {
            file: listener.web_config_file.clone(),
            web: listener.web.clone(),
            auth,
            tenancy: options.tenancy,
            needs_users,
            clock: Arc::clone(clock),
        });
        let config = config.map_err(|cause| ServeError::Tls { address: address.clone(), cause })?;
        bound.push(Bound { listener: socket, address: actual, config, speaks: listener.speaks });
    }
    Ok(bound)
}

/// Retention in the configuration file wins over the command line, as upstream.
async fn open_store(
    options: &ServeOptions,
    loaded: &reload::Loaded,
    clock: &Arc<dyn Clock>,
) -> Result<(MetricStore, RecoveryReport), ServeError> {
    let mut store = options.store.clone();
    let storage = &loaded.config.storage;
    store.retention = reload::retention(store.retention, storage);
    if let Some(n_exemplars) = storage.max_exemplars {
        let exemplars_max = usize::try_from(n_exemplars).unwrap_or(0);
        store.limits = store.limits.map(|limits| Limits { exemplars_max, ..*limits });
    }
    store.snapshots_dir = Some(options.data_dir.join(SNAPSHOTS_DIR));
    let (dir, journal, clock) = (metrics_dir(&options.data_dir), options.journal.clone(), Arc::clone(clock));
    let path = dir.display().to_string();
    let opened = tokio::task::spawn_blocking(move || {
        MetricStore::open_dir(Arc::new(RealVfs), &dir, clock, journal, store)
    });
    match opened.await {
        Ok(outcome) => outcome.map_err(|cause| ServeError::Store { path, cause }),
        Err(panic) => Err(ServeError::Component(format!("opening the store: {panic}"))),
    }
}

fn serve_all(
    listeners: Vec<Bound>,
    app: &Arc<App>,
    options: &ServeOptions,
    shutdown: &Shutdown,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut serving = Vec::new();
    for bound in listeners {
        let guarded = web::guard(web::router(app, bound.speaks), app, &bound.config);
        serving.push(tokio::spawn(web::serve(
            bound.listener,
            bound.config,
            guarded,
            ListenLimits { connections_max: options.connections_max, read_timeout: options.read_timeout },
            shutdown.clone(),
        )));
    }
    serving
}

impl Running {
    /// A handle that ends the server.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Waits until shutdown begins, then ends everything in order: no new requests, no new scrapes,
    /// rules done, alerts delivered, samples in parts.
    pub async fn finish(self) -> Result<(), ServeError> {
        self.shutdown.begun().await;
        for task in self.serving {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        self.ruling.finish().await;
        self.remote_writing.finish().await;
        self.query_logging.finish().await;
        if let Err(error) = self.upkeep.await {
            tracing::error!(%error, "store upkeep ended badly");
        }
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || store.close()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ServeError::Component(format!("closing the store: {error}"))),
            Err(panic) => Err(ServeError::Component(format!("closing the store: {panic}"))),
        }
    }
}
