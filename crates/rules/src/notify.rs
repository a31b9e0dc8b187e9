//! The way of alerts to external Alertmanagers: labels added and rewritten, one bounded queue per
//! Alertmanager, batches out, results in. The caller discovers the Alertmanagers and does the HTTP.
//!
//! A batch that an Alertmanager could not take goes back to the front of its queue and is tried
//! again after a pause that doubles; in the meantime newer states of its alerts take the place of
//! those that wait. What an Alertmanager refuses for good, and alerts that ended long ago, are
//! dropped and counted.

mod endpoint;
mod payload;
mod queue;

use std::collections::BTreeMap;

use model::Labels;
use model::relabel::RelabelConfig;

use crate::query::Notification;
use queue::{Endpoint, SharedAlert};

pub use endpoint::{Discovered, InvalidAddress, discovered};
pub use payload::encode;
pub use queue::{Batch, EndpointCounters, EndpointId};

/// Settings of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifierOptions {
    /// `--alertmanager.notification-queue-capacity`, per Alertmanager.
    pub queue_capacity: usize,
    /// `--alertmanager.notification-batch-size`
    pub batch_max: usize,
    /// `--alertmanager.drain-notification-queue-on-shutdown`
    pub drain_on_shutdown: bool,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        Self { queue_capacity: 10_000, batch_max: 256, drain_on_shutdown: true }
    }
}

/// One entry of `alertmanagers`.
#[derive(Debug, Clone, PartialEq)]
pub struct SetConfig {
    /// Names the entry for [`Notifier::sync`].
    pub key: String,
    /// Equal for entries that are the same in every respect; their queues survive a reload.
    pub fingerprint: String,
    pub alert_relabel: Vec<RelabelConfig>,
}

/// How sending a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// Any status 2xx.
    Accepted,
    /// No answer, a status 5xx or 429: another try may succeed.
    Retry,
    /// Any other answer: the same batch would be refused again.
    Rejected,
}

#[derive(Debug)]
struct Set {
    config: SetConfig,
    /// By URL.
    endpoints: BTreeMap<String, Endpoint>,
    dropped_urls: Vec<String>,
}

/// The queues to all Alertmanagers.
#[derive(Debug)]
pub struct Notifier {
    options: NotifierOptions,
    external_labels: Labels,
    alert_relabel: Vec<RelabelConfig>,
    sets: BTreeMap<String, Set>,
    /// Endpoints that are gone and still have alerts to send.
    leaving: Vec<Endpoint>,
    next_id: u64,
    stopping: bool,
}

impl Notifier {
    pub fn new(options: NotifierOptions) -> Self {
        Self {
            options,
            external_labels: Labels::empty(),
            alert_relabel: Vec::new(),
            sets: BTreeMap::new(),
            leaving: Vec::new(),
            next_id: 0,
            stopping: false,
        }
    }

    /// Takes a new configuration. Sets whose fingerprint stays keep their Alertmanagers and queues.
    pub fn apply(
        &mut self,
        external_labels: Labels,
        alert_relabel: Vec<RelabelConfig>,
        sets: Vec<SetConfig>,
    ) {
        self.external_labels = external_labels;
        self.alert_relabel = alert_relabel;
        let mut old: BTreeMap<String, Set> = std::mem::take(&mut self.sets)
            .into_values()
            .map(|set| (set.config.fingerprint.clone(), set))
            .collect();
        for config in sets {
            let (endpoints, dropped_urls) = match old.remove(&config.fingerprint) {
                Some(set) => (set.endpoints, set.dropped_urls),
                None => (BTreeMap::new(), Vec::new()),
            };
            self.sets.insert(config.key.clone(), Set { config, endpoints, dropped_urls });
        }
        for endpoint in old.into_values().flat_map(|set| set.endpoints.into_values()) {
            self.leave(endpoint);
        }
    }

    /// Takes what discovery found for one set. Alertmanagers that stay keep their queues.
    pub fn sync(&mut self, set_key: &str, found: Discovered) {
        let Some(set) = self.sets.get_mut(set_key) else { return };
        let mut old = std::mem::take(&mut set.endpoints);
        for url in found.active {
            let id = EndpointId(self.next_id);
            let endpoint = old.remove(&url).unwrap_or_else(|| {
                self.next_id += 1;
                Endpoint::new(id, url.clone(), set_key.to_owned())
            });
            set.endpoints.insert(url, endpoint);
        }
        set.dropped_urls = found.dropped;
        for endpoint in old.into_values() {
            self.leave(endpoint);
        }
    }

    fn leave(&mut self, mut endpoint: Endpoint) {
        if !self.options.drain_on_shutdown {
            endpoint.drop_queue();
        }
        endpoint.leaving = true;
        if !endpoint.is_idle() {
            self.leaving.push(endpoint);
        }
    }

    /// Queues alerts to every Alertmanager, after external labels and relabelling. Full queues lose
    /// their oldest alerts.
    pub fn send(&mut self, alerts: &[Notification]) {
        if self.stopping {
            return;
        }
        let relabelled: Vec<SharedAlert> = alerts
            .iter()
            .filter_map(|alert| relabel(alert, &self.external_labels, &self.alert_relabel))
            .map(SharedAlert::new)
            .collect();
        for set in self.sets.values_mut() {
            let for_set: Vec<SharedAlert> = if set.config.alert_relabel.is_empty() {
                relabelled.clone()
            } else {
                let rewrite = |alert: &SharedAlert| {
                    relabel(alert, &Labels::empty(), &set.config.alert_relabel).map(SharedAlert::new)
                };
                relabelled.iter().filter_map(rewrite).collect()
            };
            for endpoint in set.endpoints.values_mut() {
                endpoint.add(for_set.clone(), self.options.queue_capacity);
            }
        }
    }

    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.sets.values().flat_map(|set| set.endpoints.values()).chain(&self.leaving)
    }

    fn endpoint_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        let known = self.sets.values_mut().flat_map(|set| set.endpoints.values_mut());
        known.chain(&mut self.leaving).find(|endpoint| endpoint.id == id)
    }

    /// The Alertmanagers that have alerts waiting, none on the way and no pause to keep.
    pub fn ready(&self, now_ms: i64) -> Vec<EndpointId> {
        self.endpoints().filter(|e| e.is_ready(now_ms)).map(|endpoint| endpoint.id).collect()
    }

    /// When the next pause after a failure ends, in Unix milliseconds; perhaps in the past. `None`
    /// if no Alertmanager is being paused for.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.endpoints().filter_map(Endpoint::due_ms).min()
    }

    /// Takes the next batch for one Alertmanager. Each must be answered by [`Notifier::on_result`]
    /// before there is another. `None` also if all that waited had ended long ago.
    pub fn next_batch(&mut self, id: EndpointId, now_ms: i64) -> Option<Batch> {
        let batch_max = self.options.batch_max;
        let batch = self.endpoint_mut(id)?.next_batch(batch_max, now_ms);
        self.leaving.retain(|endpoint| !endpoint.is_idle());
        batch
    }

    /// Takes the end of the batch that was on the way.
    pub fn on_result(&mut self, id: EndpointId, outcome: SendOutcome, now_ms: i64) {
        let capacity = self.options.queue_capacity;
        let drains = !self.stopping || self.options.drain_on_shutdown;
        if let Some(endpoint) = self.endpoint_mut(id) {
            endpoint.on_result(outcome, now_ms, capacity);
            // An Alertmanager that is gone and fails will not come back.
            if !drains || (endpoint.leaving && outcome == SendOutcome::Retry) {
                endpoint.drop_queue();
            }
        }
        self.leaving.retain(|endpoint| !endpoint.is_idle());
    }

    /// Takes no more alerts. Queues are sent to the end, or dropped if draining is off.
    pub fn begin_shutdown(&mut self) {
        self.stopping = true;
        if !self.options.drain_on_shutdown {
            let known = self.sets.values_mut().flat_map(|set| set.endpoints.values_mut());
            known.chain(&mut self.leaving).for_each(Endpoint::drop_queue);
        }
    }

    /// Whether nothing waits and nothing is on the way.
    pub fn is_drained(&self) -> bool {
        self.endpoints().all(Endpoint::is_idle)
    }

    /// URLs of the Alertmanagers in use, sorted by set and URL.
    pub fn active_urls(&self) -> Vec<String> {
        self.sets.values().flat_map(|set| set.endpoints.keys().cloned()).collect()
    }

    /// URLs of those that relabelling dropped.
    pub fn dropped_urls(&self) -> Vec<String> {
        self.sets.values().flat_map(|set| set.dropped_urls.iter().cloned()).collect()
    }

    /// What the metrics show, per Alertmanager.
    pub fn counters(&self) -> Vec<EndpointCounters> {
        self.endpoints().map(Endpoint::counters).collect()
    }

    pub fn queue_capacity(&self) -> usize {
        self.options.queue_capacity
    }
}

/// The alert with external labels and rewritten, `None` if relabelling drops it. An external label
/// yields to one of the alert's own.
fn relabel(
    alert: &Notification,
    external_labels: &Labels,
    configs: &[RelabelConfig],
) -> Option<Notification> {
    let mut builder = alert.labels.to_builder();
    for (name, value) in external_labels {
        if alert.labels.get(name).unwrap_or("").is_empty() {
            builder.set(name, value);
        }
    }
    if !model::relabel::process_builder(&mut builder, configs) {
        return None;
    }
    Some(Notification { labels: builder.build(), ..alert.clone() })
}

#[cfg(test)]
mod tests;
