//! Reading `prometheus.yml` and what it names, and putting it in force as one step: a file that is
//! wrong changes nothing and says why.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use config::prometheus::StorageConfig;
use config::{ConfigError, PrometheusConfig, RuleFileOptions, parse_rule_file};
use parking_lot::{Mutex, RwLock};
use rules::config::RuleFile;
use store_metrics::{MetricStore, RetentionOptions};
use tokio::sync::{mpsc, oneshot};

use crate::discovery::expand;
use crate::outbound::client::Environment;
use crate::query_log::QueryLogging;
use crate::remote_read::RemoteReading;
use crate::remote_write::RemoteWriting;
use crate::ruling::Ruling;
use crate::scraping::Scraping;
use crate::shutdown::Shutdown;
use crate::telemetry::{Gauge, Registry};
use crate::web::Notices;

const FAILED_NOTICE: &str = "Configuration reload has failed.";

/// Requests that may wait while a reload runs; more are refused.
const QUEUE: usize = 8;

/// A configuration with everything it names.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Arc<PrometheusConfig>,
    pub rule_files: Vec<RuleFile>,
}

/// Why a configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("couldn't load configuration (--config.file={path:?}): {cause}")]
    Read { path: String, cause: std::io::Error },
    #[error("couldn't load configuration (--config.file={path:?}): {cause}{}", cause.places())]
    Config { path: String, cause: Box<ConfigError> },
    #[error("error loading rules: {}{}", .0, .0.places())]
    Rules(Box<ConfigError>),
    #[error("{0}")]
    Apply(String),
}

/// Where configuration comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// `None`: an empty configuration, as when only push is used.
    pub path: Option<PathBuf>,
    pub environment: Environment,
    pub rule_options: RuleFileOptions,
}

impl Source {
    /// Reads all files; puts nothing in force.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let shown = self.path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|cause| LoadError::Read { path: path.display().to_string(), cause })
        };
        let text = match &self.path {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let wrong = |cause: ConfigError| LoadError::Config { path: shown.clone(), cause: Box::new(cause) };
        let var = |name: &str| (self.environment.var)(name);
        let mut config = PrometheusConfig::parse(&text, &shown, &var, config::Mode::Server).map_err(wrong)?;
        for path in config.scrape_config_files.clone().iter().flat_map(|pattern| expand(pattern)) {
            config.add_scrape_file(&read(&path)?, &path.display().to_string()).map_err(wrong)?;
        }
        let mut rule_files = Vec::new();
        for path in config.rule_files.iter().flat_map(|pattern| expand(pattern)) {
            let parsed = parse_rule_file(&read(&path)?, &path.display().to_string(), &self.rule_options);
            rule_files.push(parsed.map_err(|cause| LoadError::Rules(Box::new(cause)))?);
        }
        Ok(Loaded { config: Arc::new(config), rule_files })
    }
}

/// What the last reload came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReloadStatus {
    pub successful: bool,
    /// 0 before the first success.
    pub last_success_ms: i64,
}

/// What the configuration file says of retention, else `base`: as upstream, the file wins.
pub(crate) fn retention(base: RetentionOptions, storage: &StorageConfig) -> RetentionOptions {
    RetentionOptions {
        time_ms: storage.retention_time_ms.map_or(base.time_ms, |ms| Some(ms).filter(|ms| *ms > 0)),
        size_bytes: storage
            .retention_size
            .map_or(base.size_bytes, |size| Some(size.0).filter(|bytes| *bytes > 0)),
        disk_percent: storage.retention_percentage.map_or(base.disk_percent, |percent| {
            Some(percent.clamp(0.0, 100.0) as u8).filter(|percent| *percent > 0)
        }),
    }
}

/// Everything a new configuration is applied to.
pub struct Components {
    pub store: Arc<MetricStore>,
    /// What the command line or `sextant.yml` says, where `prometheus.yml` says nothing.
    pub retention: RetentionOptions,
    pub scraping: Arc<Scraping>,
    pub ruling: Arc<Ruling>,
    pub remote_writing: Arc<RemoteWriting>,
    pub remote_reading: RemoteReading,
    pub query_logging: Arc<QueryLogging>,
    pub clock: Arc<dyn Clock>,
    pub notices: Arc<Notices>,
}

type Answer = oneshot::Sender<Result<(), String>>;

/// The handle through which signals and requests ask for a reload.
#[derive(Debug, Clone)]
pub struct Reload {
    requests: mpsc::Sender<Answer>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    status: Mutex<ReloadStatus>,
    loaded: RwLock<Option<Loaded>>,
    successful: Gauge,
    last_success: Gauge,
}

/// The other end, run by [`Reloader::run`].
pub struct Reloader {
    requests: mpsc::Receiver<Answer>,
    shared: Arc<Shared>,
    source: Source,
}

/// A connected pair.
pub fn channel(source: Source, registry: &Registry) -> (Reload, Reloader) {
    let (sender, requests) = mpsc::channel(QUEUE);
    let shared = Arc::new(Shared {
        status: Mutex::default(),
        loaded: RwLock::new(None),
        successful: registry.gauge(
            "prometheus_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
        ),
        last_success: registry.gauge(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
        ),
    });
    (Reload { requests: sender, shared: Arc::clone(&shared) }, Reloader { requests, shared, source })
}

impl Reload {
    /// Asks for a reload and waits for what it comes to.
    pub async fn request(&self) -> Result<(), String> {
        let (answer, outcome) = oneshot::channel();
        self.requests.try_send(answer).map_err(|_| "too many reloads are waiting".to_owned())?;
        outcome.await.map_err(|_| "the server is shutting down".to_owned())?
    }

    pub fn status(&self) -> ReloadStatus {
        *self.shared.status.lock()
    }

    /// The configuration in force, as YAML with defaults and without secrets.
    pub fn current_yaml(&self) -> String {
        self.shared.loaded.read().as_ref().map_or_else(String::new, |loaded| loaded.config.to_yaml())
    }

    pub fn current(&self) -> Option<Arc<PrometheusConfig>> {
        self.shared.loaded.read().as_ref().map(|loaded| Arc::clone(&loaded.config))
    }
}

impl Reloader {
    /// Applies a configuration that was loaded before the components existed.
    pub fn apply_first(&self, loaded: Loaded, to: &Components) -> Result<(), LoadError> {
        let outcome = self.apply(loaded, to);
        self.record(outcome.is_ok(), to);
        outcome
    }

    /// Serves requests, and looks at the files' contents every `watch_every` if that is given.
    pub async fn run(mut self, to: Components, watch_every: Option<Duration>, shutdown: Shutdown) {
        let mut known = self.fingerprint();
        let mut ticker = tokio::time::interval(watch_every.unwrap_or(Duration::from_secs(3600)));
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(answer) = request else { return };
                    let outcome = self.reload(&to);
                    known = self.fingerprint();
                    // Whoever asked may be gone by now.
                    drop(answer.send(outcome.map_err(|e| e.to_string())));
                }
                _ = ticker.tick(), if watch_every.is_some() => {
                    let now = self.fingerprint();
                    if now != known {
                        known = now;
                        tracing::info!("configuration files have changed, reloading");
                        // The outcome is in the log, the metrics and the notices.
                        drop(self.reload(&to));
                    }
                }
                () = shutdown.begun() => return,
            }
        }
    }

    fn reload(&self, to: &Components) -> Result<(), LoadError> {
        let outcome = self.source.load().and_then(|loaded| self.apply(loaded, to));
        match &outcome {
            Ok(()) => tracing::info!("configuration loaded"),
            Err(error) => tracing::error!(%error, "configuration not loaded, the old one stays in force"),
        }
        self.record(outcome.is_ok(), to);
        outcome
    }

    fn record(&self, successful: bool, to: &Components) {
        let now_ms = to.clock.now_ms();
        let mut status = self.shared.status.lock();
        status.successful = successful;
        self.shared.successful.set(f64::from(u8::from(successful)));
        if successful {
            status.last_success_ms = now_ms;
            self.shared.last_success.set(now_ms as f64 / 1000.0);
            to.notices.take_back(FAILED_NOTICE, now_ms);
        } else {
            to.notices.show(FAILED_NOTICE, now_ms);
        }
    }

    /// Rules and clients are checked by their owners before they change anything, in an order in
    /// which only the last step cannot fail.
    fn apply(&self, loaded: Loaded, to: &Components) -> Result<(), LoadError> {
        let config = &loaded.config;
        for warning in &config.warnings {
            tracing::warn!(message = %warning.message, "configuration");
        }
        let refused = |e: &dyn std::fmt::Display| LoadError::Apply(e.to_string());
        let jobs: Vec<_> = config.scrape_configs.iter().cloned().map(Arc::new).collect();
        let prepared = to.scraping.prepare(&jobs).map_err(|e| refused(&e))?;
        let remotes = to.remote_writing.prepare(config).map_err(|e| refused(&e))?;
        let read_remotes = to.remote_reading.prepare(config).map_err(|e| refused(&e))?;
        let query_log = QueryLogging::prepare(&config.global.query_log_file).map_err(|e| refused(&e))?;
        to.ruling
            .apply(&loaded.rule_files, &config.rules_global(), &config.alerting)
            .map_err(|e| refused(&e))?;
        to.store.set_retention(retention(to.retention, &config.storage));
        to.scraping.apply(prepared, &config.global.external_labels);
        to.remote_writing.apply(remotes);
        to.remote_reading.apply(read_remotes);
        to.query_logging.apply(query_log);
        *self.shared.loaded.write() = Some(loaded);
        Ok(())
    }

    /// Contents of everything that is read, so that a touched but equal file reloads nothing.
    fn fingerprint(&self) -> u64 {
        let mut text = String::new();
        let mut add = |path: &Path| {
            text.push_str(&path.display().to_string());
            text.push_str(&std::fs::read_to_string(path).unwrap_or_default());
        };
        if let Some(path) = &self.source.path {
            add(path);
        }
        if let Some(loaded) = &*self.shared.loaded.read() {
            let patterns = loaded.config.rule_files.iter().chain(&loaded.config.scrape_config_files);
            patterns.flat_map(|pattern| expand(pattern)).for_each(|path| add(&path));
        }
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    }
}
