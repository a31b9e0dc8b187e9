//! Service discovery at run time: each mechanism of each job is a task that reports its target
//! groups; one collector keeps the latest of each and tells the job's owner, not more often than
//! the throttle allows.

mod dns;
mod files;
mod web;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scrape::sd_config::{SdConfig, TargetGroup};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::outbound::client::Environment;
use crate::telemetry::{Counter, Gauge, Labelled, Registry};

pub(crate) use files::expand;

/// Changes of a set are passed on at most this often, so that a flapping source costs little.
const THROTTLE: Duration = Duration::from_millis(500);

/// Counters of discovery, under upstream's names.
#[derive(Debug, Clone)]
pub struct DiscoveryMetrics {
    pub refresh_failures: Labelled<Counter>,
    pub discovered: Labelled<Gauge>,
    /// Stays 0 as long as that mechanism is not active.
    pub kubernetes_failures: Counter,
    pub updates: Counter,
    pub file_read_errors: Counter,
    pub http_failures: Counter,
    pub dns_lookups: Counter,
    pub dns_failures: Counter,
}

impl DiscoveryMetrics {
    pub fn new(registry: &Registry) -> Self {
        Self {
            refresh_failures: registry.counters(
                "prometheus_sd_refresh_failures_total",
                "Number of refresh failures for the given SD mechanism.",
                &["mechanism", "config"],
            ),
            discovered: registry.gauges(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            kubernetes_failures: registry.counter(
                "prometheus_sd_kubernetes_failures_total",
                "The number of failed WATCH/LIST requests.",
            ),
            updates: registry.counter(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
            ),
            file_read_errors: registry
                .counter("prometheus_sd_file_read_errors_total", "The number of File-SD read errors."),
            http_failures: registry.counter(
                "prometheus_sd_http_failures_total",
                "Number of HTTP service discovery refresh failures.",
            ),
            dns_lookups: registry.counter("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups."),
            dns_failures: registry
                .counter("prometheus_sd_dns_lookup_failures_total", "The number of DNS-SD lookup failures."),
        }
    }
}

/// The groups of one set (a scrape job, or one `alertmanagers` entry), by mechanism and source.
pub(crate) type Groups = BTreeMap<(usize, String), TargetGroup>;

/// Parses a JSON or YAML list of target groups; the text of an error goes to the log.
pub(crate) type GroupParser = Arc<dyn Fn(&str) -> Result<Vec<TargetGroup>, String> + Send + Sync>;

/// What every mechanism needs.
#[derive(Clone)]
pub(crate) struct Provider {
    /// Position of the mechanism in its set.
    idx: usize,
    /// Of its set.
    config: Arc<str>,
    set: Arc<Mutex<Groups>>,
    changed: Arc<tokio::sync::Notify>,
    pub(crate) metrics: DiscoveryMetrics,
    pub(crate) parse: GroupParser,
    pub(crate) environment: Environment,
}

impl Provider {
    /// Replaces everything this mechanism has reported.
    pub(crate) fn replace(&self, groups: Vec<TargetGroup>) {
        let mut set = self.set.lock();
        let before = set.len();
        let mut same = true;
        let mut keep = std::collections::BTreeSet::new();
        for group in groups {
            let key = (self.idx, group.source.clone());
            same &= set.get(&key) == Some(&group);
            keep.insert(key.clone());
            set.insert(key, group);
        }
        set.retain(|key, _| key.0 != self.idx || keep.contains(key));
        if !same || set.len() != before {
            self.metrics.updates.inc();
            self.changed.notify_one();
        }
    }

    pub(crate) fn failed(&self, mechanism: &'static str, error: &str) {
        self.metrics.refresh_failures.with(&[mechanism, &self.config]).inc();
        tracing::warn!(mechanism, error, "unable to refresh target groups");
    }
}

/// Names a set in metrics.
#[derive(Debug, Clone)]
pub(crate) struct SetId {
    /// `scrape` or `notify`.
    pub(crate) name: &'static str,
    /// The job, or `config-0` for the first set of Alertmanagers.
    pub(crate) config: Arc<str>,
}

/// A running set. Dropping it stops its tasks.
#[derive(Debug)]
pub(crate) struct DiscoverySet {
    groups: watch::Receiver<Arc<Vec<TargetGroup>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for DiscoverySet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl DiscoverySet {
    /// Starts the mechanisms of one set. Static groups are there at once.
    pub(crate) fn start(
        id: &SetId,
        configs: &[SdConfig],
        metrics: &DiscoveryMetrics,
        parse: &GroupParser,
        environment: &Environment,
    ) -> Self {
        let set = Arc::new(Mutex::new(Groups::new()));
        let changed = Arc::new(tokio::sync::Notify::new());
        let mut tasks = Vec::new();
        for (idx, config) in configs.iter().enumerate() {
            let provider = Provider {
                idx,
                config: Arc::clone(&id.config),
                set: Arc::clone(&set),
                changed: Arc::clone(&changed),
                metrics: metrics.clone(),
                parse: Arc::clone(parse),
                environment: environment.clone(),
            };
            match config {
                SdConfig::Static(groups) => provider.replace(groups.clone()),
                SdConfig::File(file) => tasks.push(tokio::spawn(files::follow(provider, file.clone()))),
                SdConfig::Http(http) => tasks.push(tokio::spawn(web::follow(provider, http.clone()))),
                SdConfig::Dns(dns) => tasks.push(tokio::spawn(dns::follow(provider, dns.clone()))),
                SdConfig::Inactive(inactive) => {
                    tracing::warn!(
                        mechanism = inactive.mechanism,
                        "service discovery mechanism is not active yet"
                    );
                }
            }
        }
        let discovered = metrics.discovered.with(&[id.name, &id.config]);
        let snapshot = move |set: &Mutex<Groups>| {
            let groups: Vec<TargetGroup> = set.lock().values().cloned().collect();
            discovered.set(groups.iter().map(|group| group.targets.len()).sum::<usize>() as f64);
            Arc::new(groups)
        };
        let (sender, groups) = watch::channel(snapshot(&set));
        tasks.push(tokio::spawn(async move {
            loop {
                changed.notified().await;
                if sender.send(snapshot(&set)).is_err() {
                    return;
                }
                tokio::time::sleep(THROTTLE).await;
            }
        }));
        Self { groups, tasks }
    }

    /// The latest groups, and a way to wait for newer ones.
    pub(crate) fn groups(&self) -> watch::Receiver<Arc<Vec<TargetGroup>>> {
        self.groups.clone()
    }
}

#[cfg(test)]
mod tests;
