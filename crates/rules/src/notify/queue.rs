//! The queue to one Alertmanager.

use std::collections::VecDeque;
use std::sync::Arc;

use super::SendOutcome;
use super::payload::encode;
use crate::query::Notification;

/// Queues to several Alertmanagers share their alerts.
pub(super) type SharedAlert = Arc<Notification>;

/// Names one Alertmanager for as long as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub(super) u64);

/// Alerts to be posted to one Alertmanager as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub endpoint: EndpointId,
    /// The set whose HTTP settings apply.
    pub set_key: String,
    pub url: String,
    pub n_alerts: usize,
    pub body: Vec<u8>,
}

/// What is counted for one Alertmanager. Every alert queued ends as sent or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointCounters {
    pub url: String,
    pub queued: usize,
    pub on_the_way: usize,
    pub sent: u64,
    /// In batches that failed.
    pub errors: u64,
    /// Because the queue was full.
    pub dropped_queue_full: u64,
    /// Because sending failed.
    pub dropped_failed: u64,
    /// Because the Alertmanager or this process went away.
    pub dropped_shutdown: u64,
}

impl EndpointCounters {
    /// All dropped alerts.
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full + self.dropped_failed + self.dropped_shutdown
    }
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) leaving: bool,
    url: String,
    set_key: String,
    queue: VecDeque<SharedAlert>,
    on_the_way: usize,
    counters: EndpointCounters,
}

impl Endpoint {
    pub(super) fn new(id: EndpointId, url: String, set_key: String) -> Self {
        let counters = EndpointCounters { url: url.clone(), ..EndpointCounters::default() };
        Self { id, leaving: false, url, set_key, queue: VecDeque::new(), on_the_way: 0, counters }
    }

    pub(super) fn add(&mut self, alerts: &[SharedAlert], capacity: usize) {
        let kept = &alerts[alerts.len().saturating_sub(capacity)..];
        let overflow = (self.queue.len() + kept.len()).saturating_sub(capacity);
        self.queue.drain(..overflow);
        self.queue.extend(kept.iter().map(Arc::clone));
        self.counters.dropped_queue_full += (overflow + alerts.len() - kept.len()) as u64;
    }

    pub(super) fn is_ready(&self) -> bool {
        self.on_the_way == 0 && !self.queue.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.on_the_way == 0 && self.queue.is_empty()
    }

    pub(super) fn next_batch(&mut self, batch_max: usize) -> Option<Batch> {
        if !self.is_ready() {
            return None;
        }
        let n_alerts = self.queue.len().min(batch_max.max(1));
        let alerts: Vec<SharedAlert> = self.queue.drain(..n_alerts).collect();
        self.on_the_way = n_alerts;
        Some(Batch {
            endpoint: self.id,
            set_key: self.set_key.clone(),
            url: self.url.clone(),
            n_alerts,
            body: encode(alerts.iter().map(AsRef::as_ref)),
        })
    }

    pub(super) fn on_result(&mut self, outcome: SendOutcome) {
        let n = std::mem::take(&mut self.on_the_way) as u64;
        match outcome {
            SendOutcome::Accepted => self.counters.sent += n,
            SendOutcome::Failed => {
                self.counters.errors += n;
                self.counters.dropped_failed += n;
            }
        }
    }

    pub(super) fn drop_queue(&mut self) {
        self.counters.dropped_shutdown += self.queue.len() as u64;
        self.queue.clear();
    }

    pub(super) fn counters(&self) -> EndpointCounters {
        EndpointCounters { queued: self.queue.len(), on_the_way: self.on_the_way, ..self.counters.clone() }
    }
}
