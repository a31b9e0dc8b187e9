//! Who is due when: one heap for all targets, one task that waits for its top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use scrape::schedule::first_delay_ms;
use tokio::sync::{Notify, Semaphore};

use super::Surroundings;
use super::target_loop::TargetLoop;

/// Scrapes in flight at once. A scrape that must wait for a place is late, not lost.
const IN_FLIGHT_MAX: usize = 4096;

/// The longest sleep, so that a clock that jumps is noticed.
const SLEEP_MAX_MS: i64 = 1000;

struct Due {
    at_ms: i64,
    /// Breaks ties, so that the heap's order is total.
    order: u64,
    target: Weak<TargetLoop>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.order) == (other.at_ms, other.order)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

pub(super) struct Scheduler {
    around: Arc<Surroundings>,
    heap: Mutex<BinaryHeap<Reverse<Due>>>,
    earlier: Notify,
    places: Arc<Semaphore>,
    order: AtomicU64,
    offset_seed: AtomicU64,
}

impl Scheduler {
    pub(super) fn start(around: Arc<Surroundings>) -> Arc<Self> {
        let scheduler = Arc::new(Self {
            around,
            heap: Mutex::default(),
            earlier: Notify::new(),
            places: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            order: AtomicU64::new(0),
            offset_seed: AtomicU64::new(0),
        });
        let runner = Arc::clone(&scheduler);
        tokio::spawn(async move { runner.run().await });
        scheduler
    }

    pub(super) fn set_offset_seed(&self, seed: u64) {
        self.offset_seed.store(seed, Ordering::Relaxed);
    }

    /// Puts a new target in at its own point of the interval.
    pub(super) fn add(&self, target: &Arc<TargetLoop>) {
        let now_ms = self.around.clock.now_ms();
        let seed = self.offset_seed.load(Ordering::Relaxed);
        let now_ns = now_ms.saturating_mul(1_000_000);
        let delay_ms = first_delay_ms(target.target().hash, seed, target.target().interval_ms, now_ns);
        target.start_ticks(now_ms + delay_ms);
        self.push(now_ms + delay_ms, Arc::downgrade(target));
        self.earlier.notify_one();
    }

    fn push(&self, at_ms: i64, target: Weak<TargetLoop>) {
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        self.heap.lock().push(Reverse(Due { at_ms, order, target }));
    }

    async fn run(&self) {
        loop {
            let now_ms = self.around.clock.now_ms();
            for target in self.take_due(now_ms) {
                self.begin(&target, now_ms);
            }
            let next_ms = self.heap.lock().peek().map_or(SLEEP_MAX_MS, |Reverse(due)| due.at_ms - now_ms);
            let pause_ms = next_ms.clamp(0, SLEEP_MAX_MS).unsigned_abs();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                () = self.earlier.notified() => {}
                () = self.around.shutdown.begun() => return,
            }
        }
    }

    /// Targets whose time has come; those that are gone fall out of the heap here.
    fn take_due(&self, now_ms: i64) -> Vec<Arc<TargetLoop>> {
        let mut heap = self.heap.lock();
        let mut due = Vec::new();
        while heap.peek().is_some_and(|Reverse(top)| top.at_ms <= now_ms) {
            let Some(Reverse(top)) = heap.pop() else { break };
            due.extend(top.target.upgrade().filter(|target| !target.is_stopped()));
        }
        due
    }

    fn begin(&self, target: &Arc<TargetLoop>, now_ms: i64) {
        self.push(target.next_due_ms(now_ms), Arc::downgrade(target));
        if !target.try_begin() {
            self.around.metrics.skipped.inc();
            return;
        }
        let (target, around, places) =
            (Arc::clone(target), Arc::clone(&self.around), Arc::clone(&self.places));
        tokio::spawn(async move {
            let _place = places.acquire().await;
            target.scrape(&around).await;
        });
    }
}
