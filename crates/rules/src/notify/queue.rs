//! The queue to one Alertmanager.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::Labels;

use super::SendOutcome;
use super::payload::encode;
use crate::query::Notification;

/// The pause after a first failure; it doubles with each further one.
const PAUSE_MIN_MS: i64 = 1_000;
const PAUSE_MAX_MS: i64 = 30_000;

/// An alert that ended so long ago is no news: rules repeat a resolved alert for as long.
const ENDED_KEPT_MS: i64 = 15 * 60 * 1_000;

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

/// What is counted for one Alertmanager. Every alert queued ends as sent,
/// dropped or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointCounters {
    pub url: String,
    pub queued: usize,
    pub on_the_way: usize,
    pub sent: u64,
    /// In batches that failed, counted at each try.
    pub errors: u64,
    /// Because the queue was full.
    pub dropped_queue_full: u64,
    /// Because the Alertmanager refused them.
    pub dropped_failed: u64,
    /// Because the Alertmanager or this process went away.
    pub dropped_shutdown: u64,
    /// Because they had ended long before they could be sent.
    pub dropped_ended: u64,
    /// Not dropped: while they waited after a failure, newer states of the same alerts came.
    pub replaced: u64,
}

impl EndpointCounters {
    /// All dropped alerts.
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full + self.dropped_failed + self.dropped_shutdown + self.dropped_ended
    }
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) leaving: bool,
    url: String,
    set_key: String,
    queue: VecDeque<SharedAlert>,
    on_the_way: Vec<SharedAlert>,
    pause: Option<Pause>,
    counters: EndpointCounters,
}

/// Kept after a failure until a batch is answered otherwise.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until_ms: i64,
    length_ms: i64,
}

impl Pause {
    /// Also if the clock has been set back to before the failure.
    fn is_over(self, now_ms: i64) -> bool {
        now_ms >= self.until_ms || now_ms < self.until_ms.saturating_sub(self.length_ms)
    }
}

impl Endpoint {
    pub(super) fn new(id: EndpointId, url: String, set_key: String) -> Self {
        let counters = EndpointCounters { url: url.clone(), ..EndpointCounters::default() };
        Self {
            id,
            leaving: false,
            url,
            set_key,
            queue: VecDeque::new(),
            on_the_way: Vec::new(),
            pause: None,
            counters,
        }
    }

    pub(super) fn add(&mut self, mut alerts: Vec<SharedAlert>, capacity: usize) {
        if self.pause.is_some() {
            self.replace_waiting(&mut alerts);
        }
        self.queue.extend(alerts);
        self.drop_overflow(capacity);
    }

    /// Puts newer states of alerts where the old ones wait, and keeps in `alerts` the others.
    fn replace_waiting(&mut self, alerts: &mut Vec<SharedAlert>) {
        let queue = &mut self.queue;
        let mut waiting: BTreeMap<Labels, usize> = BTreeMap::new();
        for (at, old) in queue.iter().enumerate() {
            waiting.insert(old.labels.clone(), at);
        }
        let before = alerts.len();
        alerts.retain(|new| match waiting.get(&new.labels) {
            Some(at) => {
                queue[*at] = Arc::clone(new);
                false
            }
            None => true,
        });
        self.counters.replaced += (before - alerts.len()) as u64;
    }

    fn drop_overflow(&mut self, capacity: usize) {
        let overflow = self.queue.len().saturating_sub(capacity);
        self.queue.drain(..overflow);
        self.counters.dropped_queue_full += overflow as u64;
    }

    pub(super) fn is_ready(&self, now_ms: i64) -> bool {
        self.on_the_way.is_empty()
            && !self.queue.is_empty()
            && self.pause.is_none_or(|pause| pause.is_over(now_ms))
    }

    /// When a pause ends that alerts wait for.
    pub(super) fn due_ms(&self) -> Option<i64> {
        let waits = self.on_the_way.is_empty() && !self.queue.is_empty();
        self.pause.filter(|_| waits).map(|pause| pause.until_ms)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.on_the_way.is_empty() && self.queue.is_empty()
    }

    pub(super) fn next_batch(&mut self, batch_max: usize, now_ms: i64) -> Option<Batch> {
        if !self.is_ready(now_ms) {
            return None;
        }
        self.drop_ended(now_ms);
        let n_alerts = self.queue.len().min(batch_max.max(1));
        if n_alerts == 0 {
            return None;
        }
        self.on_the_way = self.queue.drain(..n_alerts).collect();
        Some(Batch {
            endpoint: self.id,
            set_key: self.set_key.clone(),
            url: self.url.clone(),
            n_alerts,
            body: encode(self.on_the_way.iter().map(AsRef::as_ref)),
        })
    }

    /// After failures only: what has just been queued is for its rule to judge.
    fn drop_ended(&mut self, now_ms: i64) {
        if self.pause.is_none() {
            return;
        }
        let before = self.queue.len();
        self.queue.retain(|alert| alert.ends_at_ms.saturating_add(ENDED_KEPT_MS) > now_ms);
        self.counters.dropped_ended += (before - self.queue.len()) as u64;
    }

    pub(super) fn on_result(&mut self, outcome: SendOutcome, now_ms: i64, capacity: usize) {
        let alerts = std::mem::take(&mut self.on_the_way);
        let n = alerts.len() as u64;
        match outcome {
            SendOutcome::Accepted => {
                self.pause = None;
                self.counters.sent += n;
            }
            SendOutcome::Rejected => {
                self.pause = None;
                self.counters.errors += n;
                self.counters.dropped_failed += n;
            }
            SendOutcome::Retry => {
                self.counters.errors += n;
                let length_ms = self.pause.map_or(PAUSE_MIN_MS, |p| (p.length_ms * 2).min(PAUSE_MAX_MS));
                self.pause = Some(Pause { until_ms: now_ms.saturating_add(length_ms), length_ms });
                self.put_back(alerts, capacity);
            }
        }
    }

    /// Puts a batch in front again, without those alerts that newer states came for meanwhile.
    fn put_back(&mut self, alerts: Vec<SharedAlert>, capacity: usize) {
        let newer: BTreeSet<&Labels> = self.queue.iter().map(|alert| &alert.labels).collect();
        let (before, mut kept) = (alerts.len(), alerts);
        kept.retain(|old| !newer.contains(&old.labels));
        self.counters.replaced += (before - kept.len()) as u64;
        kept.into_iter().rev().for_each(|alert| self.queue.push_front(alert));
        self.drop_overflow(capacity);
    }

    pub(super) fn drop_queue(&mut self) {
        self.counters.dropped_shutdown += self.queue.len() as u64;
        self.queue.clear();
    }

    pub(super) fn counters(&self) -> EndpointCounters {
        EndpointCounters {
            queued: self.queue.len(),
            on_the_way: self.on_the_way.len(),
            ..self.counters.clone()
        }
    }
}
