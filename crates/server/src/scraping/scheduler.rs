//! Who is due when: one heap for all targets, those that end included, and one task that waits for its
//! top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use scrape::schedule::first_delay_ms;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};

use super::Surroundings;
use super::target_loop::TargetLoop;

/// Scrapes that are parsed and stored at once. They wait for the disk together, and more of them would
/// only be threads that queries lack.
const STORING_MAX: usize = 32;

/// The longest sleep, so that a clock that jumps is noticed.
const SLEEP_MAX_MS: i64 = 1000;

struct Due {
    at_ms: i64,
    /// Breaks ties, so that the heap's order is total.
    order: u64,
    what: What,
}

enum What {
    /// A target that is gone by then falls out of the heap.
    Scrape(Weak<TargetLoop>),
    /// The series of a target that is gone end, at this time.
    End { target: Arc<TargetLoop>, stale_ms: i64 },
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
    storing: Arc<Semaphore>,
    order: AtomicU64,
    offset_seed: AtomicU64,
}

impl Scheduler {
    pub(super) fn start(around: Arc<Surroundings>) -> Arc<Self> {
        let scheduler = Arc::new(Self {
            places: Arc::new(Semaphore::new(around.environment.connections.in_flight_max())),
            storing: Arc::new(Semaphore::new(STORING_MAX)),
            around,
            heap: Mutex::default(),
            earlier: Notify::new(),
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
        self.push(now_ms + delay_ms, What::Scrape(Arc::downgrade(target)));
        self.earlier.notify_one();
    }

    /// Ends a target: no further scrape begins. Its series end not at once, since it may only have moved,
    /// but when two more scrapes would have happened, at the time of the first of them.
    pub(super) fn end(&self, target: Arc<TargetLoop>) {
        target.stop();
        let stale_ms = target.next_due_ms(self.around.clock.now_ms());
        let interval_ms = target.target().interval_ms;
        let at_ms = stale_ms.saturating_add(interval_ms).saturating_add(interval_ms / 10);
        self.push(at_ms, What::End { target, stale_ms });
    }

    fn push(&self, at_ms: i64, what: What) {
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        self.heap.lock().push(Reverse(Due { at_ms, order, what }));
    }

    async fn run(&self) {
        loop {
            let now_ms = self.around.clock.now_ms();
            while let Some(what) = self.take_due(now_ms) {
                // Who waits for a place waits in the heap, not in a task of its own.
                let place = tokio::select! {
                    place = Arc::clone(&self.places).acquire_owned() => place,
                    () = self.around.shutdown.begun() => return,
                };
                match what {
                    What::Scrape(target) => self.begin(target, place),
                    What::End { target, stale_ms } => self.end_series(target, stale_ms, place),
                }
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

    /// What came due first.
    fn take_due(&self, now_ms: i64) -> Option<What> {
        let mut heap = self.heap.lock();
        let is_due = heap.peek().is_some_and(|Reverse(top)| top.at_ms <= now_ms);
        if is_due { heap.pop().map(|Reverse(due)| due.what) } else { None }
    }

    fn begin(&self, target: Weak<TargetLoop>, place: Place) {
        let Some(running) = target.upgrade().filter(|running| !running.is_stopped()) else { return };
        let now_ms = self.around.clock.now_ms();
        self.push(running.next_due_ms(now_ms), What::Scrape(target));
        let Some(turn) = running.try_begin() else {
            self.around.metrics.skipped.inc();
            return;
        };
        let (around, storing) = (Arc::clone(&self.around), Arc::clone(&self.storing));
        tokio::spawn(async move {
            let _place = place;
            let fetched = turn.fetch(&around).await;
            let _storing = storing.acquire().await;
            turn.store(fetched, around).await;
        });
    }

    fn end_series(&self, target: Arc<TargetLoop>, stale_ms: i64, place: Place) {
        let (around, storing) = (Arc::clone(&self.around), Arc::clone(&self.storing));
        tokio::spawn(async move {
            let _place = place;
            let _storing = storing.acquire().await;
            target.end_series(stale_ms, around).await;
        });
    }
}

/// One of the scrapes in flight; the semaphore is never closed.
type Place = Result<OwnedSemaphorePermit, AcquireError>;
