//! The HTTP side: routes, handlers, and the state they share.

pub mod access;
mod admin_api;
mod around;
mod client_certs;
mod consoles;
mod debug_api;
mod federate;
mod ingest_api;
mod lifecycle;
mod listen;
mod metrics;
mod notices;
mod openapi;
mod otlp_api;
mod otlp_grpc;
mod otlp_listener;
mod ownership;
mod params;
mod query_api;
pub(crate) mod query_stats;
mod read_api;
mod reply;
mod rules_api;
mod search_api;
mod self_metrics;
mod series_api;
pub mod server_tls;
mod static_files;
mod status_api;
mod targets_api;
pub(crate) mod time;
mod upstream_routing;
pub mod web_config;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use base::{Clock, TenantId};
use config::sextant::Personality;
use engine::QueryEngine;
use http::StatusCode;
use parking_lot::Mutex;
use store_metrics::{MetricStore, StoreError};
use tokio::sync::Semaphore;
use wire_prom::remote_write::{SeriesCache, WriteMessage};

use crate::delta_streams::{DeltaConversion, OtlpDeltas};
use crate::ingest::Ingest;
use crate::process_metrics::ProcessMetrics;
use crate::reload::Reload;
use crate::ruling::Ruling;
use crate::scraping::Scraping;
use crate::shutdown::Shutdown;
use crate::telemetry::Registry;
use reply::{ApiError, plain_error};
use web_config::ListenerConfig;

pub use consoles::ConsoleSettings;
pub(crate) use listen::{ListenLimits, serve};
pub use metrics::WebMetrics;
pub use notices::Notices;
pub use status_api::{BuildInfo, StatusFacts};

/// The largest request body that is read: compressed remote writes are far below.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Bytes of label sets remembered per tenant for remote write, so that known series cost one hash.
const SERIES_CACHE_BYTES: usize = 64 << 20;

/// Tenants whose caches are kept.
const SERIES_CACHES_MAX: usize = 64;

/// What is fixed for the life of the process.
#[derive(Debug, Clone)]
pub struct WebSettings {
    pub enable_admin_api: bool,
    pub enable_lifecycle: bool,
    pub enable_remote_write_receiver: bool,
    pub enable_otlp_receiver: bool,
    pub otlp_deltas: OtlpDeltas,
    pub consoles: ConsoleSettings,
    pub enable_search_api: bool,
    /// The largest `limit` of the search API; 0 for none.
    pub search_limit_max: usize,
    pub accepted_write_messages: Vec<WriteMessage>,
    pub type_and_unit_labels: bool,
    /// `None`: every origin.
    pub cors_origin: Option<model::regex::GoRegex>,
    /// With scheme, host and path prefix, without a slash at its end.
    pub external_url: String,
    /// The path all routes live under; empty or starting with a slash.
    pub route_prefix: String,
    /// `host:port` we listen on.
    pub listen_address: String,
    pub remote_read_samples_max: usize,
    pub remote_read_concurrency_max: usize,
    pub remote_read_frame_bytes_max: usize,
}

/// What all handlers share.
pub struct App {
    pub engine: Arc<QueryEngine>,
    pub store: Arc<MetricStore>,
    pub ingest: Arc<Ingest>,
    pub clock: Arc<dyn Clock>,
    pub registry: Arc<Registry>,
    pub metrics: WebMetrics,
    pub scraping: Arc<Scraping>,
    pub ruling: Arc<Ruling>,
    pub settings: WebSettings,
    pub facts: StatusFacts,
    pub reload: Reload,
    pub shutdown: Shutdown,
    pub notices: Arc<Notices>,
    process: ProcessMetrics,
    delta_conversion: Option<Arc<DeltaConversion>>,
    /// Remote reads at once.
    read_places: Arc<Semaphore>,
    ready: AtomicBool,
    series_caches: Mutex<BTreeMap<TenantId, Arc<Mutex<SeriesCache>>>>,
    random: Mutex<base::Rng>,
}

/// What an [`App`] is built from.
pub struct AppParts {
    pub engine: Arc<QueryEngine>,
    pub ingest: Arc<Ingest>,
    pub clock: Arc<dyn Clock>,
    pub registry: Arc<Registry>,
    pub scraping: Arc<Scraping>,
    pub ruling: Arc<Ruling>,
    pub settings: WebSettings,
    pub facts: StatusFacts,
    pub reload: Reload,
    pub shutdown: Shutdown,
    pub notices: Arc<Notices>,
    pub process: ProcessMetrics,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl App {
    pub fn new(parts: AppParts) -> Arc<Self> {
        parts.facts.build.register(&parts.registry);
        let metrics = WebMetrics::new(&parts.registry);
        // No limit is upstream's meaning of 0; tokio's is a little lower than the largest number.
        let read_places = match parts.settings.remote_read_concurrency_max {
            0 => Semaphore::MAX_PERMITS,
            max => max,
        };
        let delta_conversion = match &parts.settings.otlp_deltas {
            OtlpDeltas::Refused | OtlpDeltas::AsTheyAre => None,
            OtlpDeltas::Converted(options) => {
                Some(DeltaConversion::new(options.clone(), Arc::clone(&parts.clock), &parts.registry))
            }
        };
        let seed = parts.clock.now_ms().unsigned_abs() ^ u64::from(std::process::id());
        Arc::new(Self {
            engine: parts.engine,
            store: Arc::clone(&parts.ingest.store),
            ingest: parts.ingest,
            clock: parts.clock,
            registry: parts.registry,
            metrics,
            scraping: parts.scraping,
            ruling: parts.ruling,
            settings: parts.settings,
            facts: parts.facts,
            reload: parts.reload,
            shutdown: parts.shutdown,
            notices: parts.notices,
            process: parts.process,
            delta_conversion,
            read_places: Arc::new(Semaphore::new(read_places)),
            ready: AtomicBool::new(false),
            series_caches: Mutex::default(),
            random: Mutex::new(base::Rng::new(seed)),
        })
    }

    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// What turns OTLP deltas into cumulative values, where that is asked for.
    pub(crate) fn delta_conversion(&self) -> Option<&Arc<DeltaConversion>> {
        self.delta_conversion.as_ref()
    }

    /// Our own metric families, with what is only read when asked for.
    pub(crate) fn own_families(&self) -> Vec<crate::telemetry::FamilySnapshot> {
        self.process.update(self.facts.started_ms);
        self.metrics.update_engine(&self.engine);
        self.scraping.update_metrics();
        self.registry.snapshot()
    }

    fn random(&self) -> u64 {
        self.random.lock().next_u64()
    }

    /// Runs work that blocks or computes for long off the connection's thread.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome.map_err(ApiError::from),
            Err(panic) => Err(ApiError::new(wire_prom::api_json::ErrorType::Internal, panic.to_string())),
        }
    }

    fn with_series_cache<T>(&self, tenant: &TenantId, run: impl FnOnce(&mut SeriesCache) -> T) -> T {
        let cache = {
            let mut caches = self.series_caches.lock();
            if caches.len() >= SERIES_CACHES_MAX && !caches.contains_key(tenant) {
                caches.pop_first();
            }
            let fresh = || Arc::new(Mutex::new(SeriesCache::new(tenant.clone(), SERIES_CACHE_BYTES)));
            Arc::clone(caches.entry(tenant.clone()).or_insert_with(fresh))
        };
        run(&mut cache.lock())
    }
}

/// What a listener serves: everything, or the paths of one of the systems we replace.
pub fn router(app: &Arc<App>, speaks: Personality) -> Router {
    let routes = match speaks {
        Personality::All => prometheus_routes(app).merge(otlp_listener::exporter_routes(app)),
        Personality::Prometheus => prometheus_routes(app),
        Personality::OtlpHttp => otlp_listener::only_http(app),
        Personality::OtlpGrpc => otlp_listener::only_grpc(),
    };
    routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(Arc::clone(app))
}

fn prometheus_routes(app: &Arc<App>) -> Router<Arc<App>> {
    let api = api_routes(app);
    let pages = Router::new()
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready))
        .route("/-/reload", post(lifecycle::reload).put(lifecycle::reload).get(lifecycle::only_post))
        .route("/-/quit", post(lifecycle::quit).put(lifecycle::quit).get(lifecycle::only_post))
        .route("/metrics", get(self_metrics::metrics))
        .route("/version", get(status_api::version))
        .route("/federate", get(federate::federate).layer(from_fn_with_state(Arc::clone(app), gate)))
        .route("/debug/{*subpath}", get(debug_api::serve).post(debug_api::serve))
        .route("/", get(status_api::front_page))
        .merge(consoles::routes(app));
    let pages = UI_PATHS.iter().fold(pages, |pages, path| pages.route(path, get(to_front_page)));
    let all = pages.nest("/api/v1", api).fallback(not_found);
    let prefixed = match app.settings.route_prefix.as_str() {
        "" | "/" => all,
        prefix => Router::new()
            .nest(prefix, all)
            .route(&format!("{prefix}/"), get(status_api::front_page))
            .route("/", get(to_front_page))
            .fallback(not_found),
    };
    prefixed.layer(from_fn(around::compress))
}

/// What one listener puts around the routes: its users, its headers, and the counting of requests.
pub fn guard(router: Router, app: &Arc<App>, listener: &Arc<ListenerConfig>) -> Router {
    let guarded = router
        .layer(from_fn(access::authenticate))
        .layer(from_fn(around::limit_rate))
        .layer(from_fn(around::add_headers))
        .layer(from_fn_with_state(Arc::clone(listener), web_config::put_in_force))
        .layer(from_fn_with_state(Arc::clone(app), around::count));
    // Only from outside can it be seen which methods a router allows.
    Router::new().fallback_service(guarded).layer(from_fn(upstream_routing::answer_as_upstream))
}

fn api_routes(app: &Arc<App>) -> Router<Arc<App>> {
    let read = Router::new()
        .route("/query", get(query_api::query).post(query_api::query))
        .route("/query_range", get(query_api::query_range).post(query_api::query_range))
        .route("/query_exemplars", get(query_api::query_exemplars).post(query_api::query_exemplars))
        .route("/format_query", get(query_api::format_query).post(query_api::format_query))
        .route("/parse_query", get(query_api::parse_query).post(query_api::parse_query))
        .route("/labels", get(series_api::labels).post(series_api::labels))
        .route("/label/{name}/values", get(series_api::label_values))
        .route("/series", get(series_api::series).post(series_api::series))
        .route("/metadata", get(series_api::metadata))
        .route("/scrape_pools", get(targets_api::scrape_pools))
        .route("/scrape_pools/config", get(targets_api::scrape_pool_config))
        .route("/targets", get(targets_api::targets))
        .route("/targets/metadata", get(targets_api::target_metadata))
        .route("/targets/relabel_steps", get(targets_api::relabel_steps))
        .route("/alertmanagers", get(rules_api::alertmanagers))
        .route("/rules", get(rules_api::rules))
        .route("/alerts", get(rules_api::alerts))
        .route("/features", get(status_api::features))
        .route("/search/metric_names", get(search_api::metric_names).post(search_api::metric_names))
        .route("/search/label_names", get(search_api::label_names).post(search_api::label_names))
        .route("/search/label_values", get(search_api::label_values).post(search_api::label_values));
    let write = Router::new()
        .route("/read", post(read_api::read))
        .route("/write", post(ingest_api::write))
        .route("/otlp/v1/metrics", post(otlp_api::export))
        .route("/admin/tsdb/delete_series", post(admin_api::delete_series).put(admin_api::delete_series))
        .route(
            "/admin/tsdb/clean_tombstones",
            post(admin_api::clean_tombstones).put(admin_api::clean_tombstones),
        )
        .route("/admin/tsdb/snapshot", post(admin_api::snapshot).put(admin_api::snapshot));
    let status = Router::new()
        .route("/status/config", get(status_api::config))
        .route("/status/runtimeinfo", get(status_api::runtime_info))
        .route("/status/buildinfo", get(status_api::build_info))
        .route("/status/flags", get(status_api::flags))
        .route("/status/tsdb", get(status_api::tsdb))
        .route("/status/tsdb/blocks", get(status_api::blocks))
        .route("/openapi.yaml", get(openapi::openapi))
        .route("/status/self_metrics", get(self_metrics::self_metrics));
    let always = Router::new()
        .route("/status/walreplay", get(status_api::wal_replay))
        .route("/notifications", get(notices::list))
        .route("/notifications/live", get(notices::live));
    read.merge(write)
        .merge(status)
        .layer(from_fn_with_state(Arc::clone(app), gate))
        .merge(always)
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(app), around::cors))
}

/// Pages of upstream's web application, which people have bookmarks of.
const UI_PATHS: [&str; 13] = [
    "/graph",
    "/query",
    "/alerts",
    "/targets",
    "/rules",
    "/config",
    "/flags",
    "/status",
    "/tsdb-status",
    "/service-discovery",
    "/alertmanager-discovery",
    "/classic",
    "/classic/{*rest}",
];

/// The front page under the path that others reach us by, with the query that was asked.
async fn to_front_page(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    request: axum::extract::Request,
) -> axum::response::Response {
    let url = &app.settings.external_url;
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    upstream_routing::redirect(StatusCode::FOUND, &format!("{path}/{query}"))
}

async fn not_found() -> axum::response::Response {
    plain_error(StatusCode::NOT_FOUND, "404 page not found")
}

/// Refuses with 503 until the store is open.
async fn gate(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    if app.is_ready() {
        next.run(request).await
    } else {
        plain_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    }
}
