//! Bringing alerts to the Alertmanagers: discovery keeps the endpoints current, each endpoint has
//! one request on the way at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{StatusCode, Uri};
use model::Labels;
use parking_lot::{Mutex, RwLock};
use rules::config::{AlertingConfig, AlertmanagerConfig};
use rules::notify::{Batch, Notifier, NotifierOptions, SendOutcome, SetConfig, discovered};
use rules::query::Notification;
use scrape::sd_config::{SdConfig, TargetGroup};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::discovery::{DiscoveryMetrics, DiscoverySet, GroupParser, SetId};
use crate::outbound::client::{ClientError, Environment, HttpClient, Outgoing};
use crate::shutdown::Shutdown;
use crate::telemetry::{Counter, Gauge, Histogram, Labelled, Registry};

/// How long shutdown waits for queues to empty.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest wait for the end of a pause, so that a clock that jumps is noticed.
const WAIT_MAX_MS: i64 = 30_000;
/// An Alertmanager's answer is read up to this size, for the log.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const DURATION_BOUNDS_S: &[f64] = &[0.01, 0.1, 1.0, 10.0];

/// Upstream's name of the sets of Alertmanagers.
const SET_NAME: &str = "notify";

#[derive(Debug)]
struct NotifyMetrics {
    sent: Labelled<Counter>,
    errors: Labelled<Counter>,
    dropped: Labelled<Counter>,
    queue_length: Labelled<Gauge>,
    queue_capacity: Gauge,
    discovered: Gauge,
    latency: Labelled<Histogram>,
}

impl NotifyMetrics {
    fn new(r: &Registry) -> Self {
        let by = &["alertmanager"];
        Self {
            sent: r.counters("prometheus_notifications_sent_total", "Total number of alerts sent.", by),
            errors: r.counters(
                "prometheus_notifications_errors_total",
                "Total number of sent alerts affected by errors.",
                by,
            ),
            dropped: r.counters(
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
                by,
            ),
            queue_length: r.gauges(
                "prometheus_notifications_queue_length",
                "The number of alert notifications in the queue.",
                by,
            ),
            queue_capacity: r.gauge(
                "prometheus_notifications_queue_capacity",
                "The capacity of the alert notifications queue.",
            ),
            discovered: r.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
            latency: r.histograms(
                "prometheus_notifications_latency_histogram_seconds",
                "Latency histogram for sending alert notifications.",
                by,
                DURATION_BOUNDS_S,
            ),
        }
    }
}

/// One set of Alertmanagers with its client.
struct SetClient {
    client: HttpClient,
    timeout: Duration,
}

/// Clients built from a new configuration, not yet in use.
pub(super) struct Prepared(BTreeMap<String, Arc<SetClient>>);

/// The senders.
pub struct Notifying {
    notifier: Mutex<Notifier>,
    clients: RwLock<BTreeMap<String, Arc<SetClient>>>,
    feeds: Mutex<Vec<JoinHandle<()>>>,
    wake: Notify,
    idle: Notify,
    environment: Environment,
    parse_groups: GroupParser,
    discovery_metrics: DiscoveryMetrics,
    metrics: NotifyMetrics,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
}

impl Notifying {
    pub(super) fn start(
        options: NotifierOptions,
        environment: Environment,
        parse_groups: GroupParser,
        discovery_metrics: DiscoveryMetrics,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
        registry: &Registry,
    ) -> Arc<Self> {
        let notifying = Arc::new(Self {
            notifier: Mutex::new(Notifier::new(options)),
            clients: RwLock::default(),
            feeds: Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
            environment,
            parse_groups,
            discovery_metrics,
            metrics: NotifyMetrics::new(registry),
            clock,
            shutdown,
        });
        let runner = Arc::clone(&notifying);
        tokio::spawn(async move {
            loop {
                runner.woken_or_due().await;
                runner.send_ready();
            }
        });
        notifying
    }

    /// Waits for news, or for the end of a pause after a failure.
    async fn woken_or_due(&self) {
        let due_ms = self.notifier.lock().next_due_ms();
        let woken = self.wake.notified();
        match due_ms {
            None => woken.await,
            Some(due_ms) => {
                let wait_ms = due_ms.saturating_sub(self.clock.now_ms()).clamp(0, WAIT_MAX_MS);
                // Either is a reason to look again.
                tokio::time::timeout(Duration::from_millis(wait_ms.unsigned_abs()), woken).await.ok();
            }
        }
    }

    /// Builds the clients of a configuration, so that one that cannot work is refused before
    /// anything changes.
    pub(super) fn prepare(&self, alerting: &AlertingConfig<SdConfig>) -> Result<Prepared, ClientError> {
        let mut clients = BTreeMap::new();
        for (idx, set) in alerting.alertmanagers.iter().enumerate() {
            let client = HttpClient::new(set.http.clone(), &self.environment, None)?;
            let timeout = Duration::from_millis(set.timeout_ms.max(1).unsigned_abs());
            clients.insert(set_key(idx), Arc::new(SetClient { client, timeout }));
        }
        Ok(Prepared(clients))
    }

    pub(super) fn apply(
        self: &Arc<Self>,
        external_labels: Labels,
        alerting: &AlertingConfig<SdConfig>,
        prepared: Prepared,
    ) {
        let sets = alerting.alertmanagers.iter().enumerate().map(|(idx, set)| SetConfig {
            key: set_key(idx),
            fingerprint: format!("{idx} {set:?}"),
            alert_relabel: set.alert_relabel.clone(),
        });
        self.notifier.lock().apply(external_labels, alerting.alert_relabel.clone(), sets.collect());
        *self.clients.write() = prepared.0;
        let mut feeds = self.feeds.lock();
        for (idx, feed) in feeds.drain(..).enumerate() {
            feed.abort();
            self.discovery_metrics.discovered.remove(&[SET_NAME, &set_key(idx)]);
        }
        for (idx, set) in alerting.alertmanagers.iter().enumerate() {
            feeds.push(tokio::spawn(Arc::clone(self).follow(set_key(idx), set.clone())));
        }
    }

    async fn follow(self: Arc<Self>, key: String, config: AlertmanagerConfig<SdConfig>) {
        let id = SetId { name: SET_NAME, config: Arc::from(key.as_str()) };
        let set = DiscoverySet::start(
            &id,
            &config.sd,
            &self.discovery_metrics,
            &self.parse_groups,
            &self.environment,
        );
        let mut groups = set.groups();
        loop {
            let latest = Arc::clone(&groups.borrow_and_update());
            let targets: Vec<Labels> = latest.iter().flat_map(target_labels).collect();
            match discovered(&targets, &config.scheme, &config.path_prefix, &config.relabel) {
                Ok(found) => self.notifier.lock().sync(&key, found),
                Err(error) => tracing::warn!(%error, "a discovered Alertmanager cannot be used"),
            }
            self.metrics.discovered.set(self.notifier.lock().active_urls().len() as f64);
            self.wake.notify_one();
            if groups.changed().await.is_err() {
                return;
            }
        }
    }

    /// Queues alerts; never blocks.
    pub(super) fn send(&self, alerts: &[Notification]) {
        self.notifier.lock().send(alerts);
        self.wake.notify_one();
    }

    fn send_ready(self: &Arc<Self>) {
        let batches: Vec<Batch> = {
            let mut notifier = self.notifier.lock();
            let now_ms = self.clock.now_ms();
            let ready = notifier.ready(now_ms);
            ready.into_iter().filter_map(|id| notifier.next_batch(id, now_ms)).collect()
        };
        for batch in batches {
            let notifying = Arc::clone(self);
            tokio::spawn(async move { notifying.deliver(batch).await });
        }
        self.publish();
        if self.notifier.lock().is_drained() {
            self.idle.notify_waiters();
        }
    }

    async fn deliver(self: Arc<Self>, batch: Batch) {
        let client = self.clients.read().get(&batch.set_key).cloned();
        let started = tokio::time::Instant::now();
        let posted = match client {
            Some(set) => post(&set, &batch).await,
            None => Err(Failure::Rejected("its configuration is gone".to_owned())),
        };
        self.metrics.latency.with(&[&batch.url]).observe(started.elapsed().as_secs_f64());
        let outcome = match &posted {
            Ok(()) => SendOutcome::Accepted,
            Err(Failure::Passing(_)) => SendOutcome::Retry,
            Err(Failure::Rejected(_)) => SendOutcome::Rejected,
        };
        if let Err(Failure::Passing(error) | Failure::Rejected(error)) = posted {
            let again = outcome == SendOutcome::Retry;
            tracing::error!(
                alertmanager = batch.url,
                count = batch.n_alerts,
                error,
                again,
                "error sending alerts"
            );
        }
        self.notifier.lock().on_result(batch.endpoint, outcome, self.clock.now_ms());
        self.wake.notify_one();
    }

    fn publish(&self) {
        let notifier = self.notifier.lock();
        self.metrics.queue_capacity.set(notifier.queue_capacity() as f64);
        for counters in notifier.counters() {
            let labels = &[counters.url.as_str()];
            self.metrics.sent.with(labels).set(counters.sent as f64);
            self.metrics.errors.with(labels).set(counters.errors as f64);
            self.metrics.dropped.with(labels).set(counters.dropped() as f64);
            self.metrics.queue_length.with(labels).set(counters.queued as f64);
        }
    }

    pub fn active_urls(&self) -> Vec<String> {
        self.notifier.lock().active_urls()
    }

    pub fn dropped_urls(&self) -> Vec<String> {
        self.notifier.lock().dropped_urls()
    }

    /// Sends what is queued, for at most a minute.
    pub(super) async fn drain(&self) {
        debug_assert!(self.shutdown.has_begun(), "queues are drained at shutdown only");
        self.notifier.lock().begin_shutdown();
        let drained = async {
            loop {
                let idle = self.idle.notified();
                self.wake.notify_one();
                if self.notifier.lock().is_drained() {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!("alerts were left in the queues at shutdown");
        }
    }
}

/// Why a batch did not arrive.
enum Failure {
    /// Another try may succeed.
    Passing(String),
    Rejected(String),
}

async fn post(set: &SetClient, batch: &Batch) -> Result<(), Failure> {
    let uri: Uri = batch.url.parse().map_err(|e| Failure::Rejected(format!("invalid URL: {e}")))?;
    let mut request = Outgoing::post(uri, Bytes::from(batch.body.clone()), set.timeout);
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
    let sent = set.client.send(request, ANSWER_BYTES_MAX).await;
    let status = sent.map_err(|e| Failure::Passing(e.to_string()))?.status;
    if status.is_success() {
        return Ok(());
    }
    let error = format!("bad response status {status}");
    let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Err(if passing { Failure::Passing(error) } else { Failure::Rejected(error) })
}

fn set_key(idx: usize) -> String {
    format!("config-{idx}")
}

/// A target's own labels with its group's behind them.
fn target_labels(group: &TargetGroup) -> impl Iterator<Item = Labels> + '_ {
    group.targets.iter().map(|own| {
        let mut labels = group.labels.to_builder();
        for (name, value) in own {
            labels.set(name, value);
        }
        labels.build()
    })
}
