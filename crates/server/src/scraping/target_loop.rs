//! One target while it is scraped: its cycle, its ticks, and what the API shows of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use scrape::cycle::{Fetched, ScrapeCycle, ScrapeFailure, Scraped};
use scrape::schedule::Ticks;
use scrape::target::Target;
use store_metrics::{AppendOptions, AppendOutcome};

use super::Surroundings;
use super::fetch::{FetchFailure, Page};
use super::pool::PoolShared;

/// What the last scrape showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    #[default]
    Unknown,
    Up,
    Down,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What the API says of a target.
#[derive(Debug, Clone, Default)]
pub struct TargetStatus {
    pub health: Health,
    pub last_error: String,
    /// 0 before the first scrape.
    pub last_scrape_ms: i64,
    pub last_duration_s: f64,
}

pub(super) struct TargetLoop {
    target: Arc<Target>,
    shared: Arc<PoolShared>,
    cycle: Mutex<ScrapeCycle>,
    ticks: Mutex<Ticks>,
    status: Mutex<TargetStatus>,
    /// Of the cycle, for whoever must not wait until a page was parsed.
    n_metadata: AtomicUsize,
    in_flight: AtomicBool,
    stopped: AtomicBool,
}

impl TargetLoop {
    pub(super) fn new(target: Arc<Target>, shared: Arc<PoolShared>, cycle: ScrapeCycle) -> Self {
        let ticks = Mutex::new(Ticks::new(0, target.interval_ms));
        Self {
            target,
            shared,
            n_metadata: AtomicUsize::new(cycle.n_metadata()),
            cycle: Mutex::new(cycle),
            ticks,
            status: Mutex::default(),
            in_flight: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(super) fn status(&self) -> TargetStatus {
        self.status.lock().clone()
    }

    /// Entries of metadata after the last scrape.
    pub(super) fn n_metadata(&self) -> usize {
        self.n_metadata.load(Ordering::Relaxed)
    }

    pub(super) fn start_ticks(&self, first_ms: i64) {
        *self.ticks.lock() = Ticks::new(first_ms, self.target.interval_ms);
    }

    pub(super) fn next_due_ms(&self, now_ms: i64) -> i64 {
        self.ticks.lock().next_due_ms(now_ms)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// No further scrape begins; whoever calls this decides about staleness markers.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// `None` while the last scrape still runs.
    pub(super) fn try_begin(self: &Arc<Self>) -> Option<Turn> {
        let began = !self.in_flight.swap(true, Ordering::AcqRel);
        began.then(|| Turn(Arc::clone(self)))
    }

    /// Runs with the cycle locked; used to inherit state and to list metadata.
    pub(super) fn with_cycle<T>(&self, run: impl FnOnce(&mut ScrapeCycle) -> T) -> T {
        run(&mut self.cycle.lock())
    }

    /// Unpacks, parses and appends.
    fn store(&self, around: &Surroundings, fetched: FetchedPage) {
        let FetchedPage { page, t_ms, started_ns } = fetched;
        let seconds = || around.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
        let page = page.and_then(|page| self.shared.fetcher().unpack(page));
        let mut cycle = self.cycle.lock();
        if self.is_stopped() {
            return;
        }
        let input = match &page {
            Ok(page) => Fetched::Body { body: &page.body, content_type: &page.content_type },
            Err(failure) => Fetched::Failed { error: &failure.error, body_too_large: failure.body_too_large },
        };
        let mut scraped = cycle.ingest(input, t_ms, around.clock.now_ms());
        self.n_metadata.store(cycle.n_metadata(), Ordering::Relaxed);
        let duration_s = seconds();
        cycle.report(&mut scraped, t_ms, duration_s);
        drop(cycle);
        self.count(around, &scraped);
        let error = scraped.failure.as_ref().map(ToString::to_string).unwrap_or_default();
        if !error.is_empty() {
            self.shared.log_failure(around.clock.now_ms(), &self.target, &error);
        }
        *self.status.lock() = TargetStatus {
            health: if scraped.failure.is_none() { Health::Up } else { Health::Down },
            last_error: error,
            last_scrape_ms: t_ms,
            last_duration_s: duration_s,
        };
        match around.ingest.append(&scraped.batch, AppendOptions::default()) {
            Ok(outcome) => count_rejected(around, &self.target.url, &outcome),
            Err(refused) => {
                around.metrics.not_stored.with(&["refused"]).inc();
                tracing::warn!(target = %self.target.url, error = %refused, "the samples of a scrape were not stored");
            }
        }
    }

    fn count(&self, around: &Surroundings, scraped: &Scraped) {
        let metrics = &around.metrics;
        metrics.duplicate.add(scraped.counts.duplicates as f64);
        metrics.out_of_bounds.add(scraped.counts.out_of_bounds as f64);
        let url = &self.target.url;
        warn_dropped(url, "another value for the same timestamp", scraped.counts.duplicates as u64);
        warn_dropped(url, "too old or too far in the future", scraped.counts.out_of_bounds as u64);
        if scraped.counts.body_bytes < 0 {
            metrics.exceeded_body_size.inc();
        }
        match &scraped.failure {
            Some(ScrapeFailure::SampleLimit) => metrics.exceeded_sample_limit.inc(),
            Some(ScrapeFailure::BucketLimit) => metrics.exceeded_bucket_limit.inc(),
            Some(ScrapeFailure::LabelLimit(_)) => metrics.exceeded_label_limits.inc(),
            _ => {}
        }
    }

    /// Ends the series of a target that is gone.
    pub(super) async fn end_series(self: Arc<Self>, stale_ms: i64, around: Arc<Surroundings>) {
        let append = move || {
            let batch = self.cycle.lock().end(stale_ms);
            // A series that has newer samples lives on elsewhere and must not be ended.
            let options = AppendOptions { out_of_order_window_ms: Some(0), ..AppendOptions::default() };
            if let Err(error) = around.ingest.append(&batch, options) {
                tracing::warn!(target = %self.target.url, %error, "staleness markers were not stored");
            }
        };
        if let Err(panic) = tokio::task::spawn_blocking(append).await {
            tracing::error!(%panic, "writing staleness markers ended in a panic");
        }
    }
}

/// The right to one scrape; the next may begin when this is dropped, whatever became of it.
pub(super) struct Turn(Arc<TargetLoop>);

/// What came of a request, and when.
pub(super) struct FetchedPage {
    page: Result<Page, FetchFailure>,
    t_ms: i64,
    started_ns: u64,
}

impl Turn {
    pub(super) async fn fetch(&self, around: &Surroundings) -> FetchedPage {
        let target = &self.0;
        let now_ms = around.clock.now_ms();
        let t_ms = target.ticks.lock().stamp(now_ms);
        let started_ns = around.clock.monotonic_ns();
        let last_ms = target.status.lock().last_scrape_ms;
        if last_ms > 0 {
            let interval = base::duration::format_ms(target.target.interval_ms);
            around.metrics.interval.with(&[&interval]).observe((now_ms - last_ms) as f64 / 1000.0);
        }
        let page = match target.shared.limit_error() {
            Some(error) => Err(FetchFailure { error, body_too_large: false }),
            None => target.shared.fetcher().fetch(&target.target).await,
        };
        FetchedPage { page, t_ms, started_ns }
    }

    /// On a blocking thread, since unpacking a few kilobytes can take seconds and the append waits for
    /// the disk.
    pub(super) async fn store(&self, fetched: FetchedPage, around: Arc<Surroundings>) {
        let worker = Arc::clone(&self.0);
        let store = move || worker.store(&around, fetched);
        if let Err(panic) = tokio::task::spawn_blocking(store).await {
            tracing::error!(target = %self.0.target.url, %panic, "a scrape ended in a panic");
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.in_flight.store(false, Ordering::Release);
    }
}

fn count_rejected(around: &Surroundings, url: &str, outcome: &AppendOutcome) {
    let (metrics, rejected) = (&around.metrics, &outcome.rejected);
    metrics.duplicate.add(rejected.duplicate as f64);
    metrics.out_of_order.add(rejected.out_of_order as f64);
    // What retention has passed is out of upstream's bounds too.
    metrics.out_of_bounds.add((rejected.out_of_bounds + rejected.too_old) as f64);
    for (reason, n) in [
        ("series limit", rejected.series_limit + rejected.series_memory),
        ("label limit", rejected.label_names + rejected.label_value),
    ] {
        if n > 0 {
            metrics.not_stored.with(&[reason]).inc();
        }
    }
    warn_dropped(url, "out of order", rejected.out_of_order);
    warn_dropped(url, "another value for the same timestamp", rejected.duplicate);
    warn_dropped(url, "too old or too far in the future", rejected.out_of_bounds + rejected.too_old);
    warn_dropped(url, "beyond the limit of series", rejected.series_limit + rejected.series_memory);
    warn_dropped(url, "beyond the limits of labels", rejected.label_names + rejected.label_value);
    warn_dropped(url, "invalid histogram", rejected.invalid_histogram);
}

/// Once for a scrape and a reason, as upstream.
fn warn_dropped(url: &str, reason: &str, n_dropped: u64) {
    if n_dropped > 0 {
        tracing::warn!(target = url, reason, n_dropped, "samples of a scrape were dropped");
    }
}
