//! The built-in host collector at work: a page every interval, stored as if it had been scraped.

mod series;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent::{HostCollector, OptionsError, Page};
use base::{Clock, TenantId};
use parking_lot::Mutex;
use store_metrics::AppendOptions;

use crate::ingest::Ingest;
use crate::shutdown::Shutdown;
use series::HostSeries;

/// The longest sleep, so that a clock that jumps is noticed.
const SLEEP_MAX_MS: i64 = 1000;

/// What to collect, how often, and under which labels.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Whose samples they are.
    pub tenant: TenantId,
    /// At least a millisecond. Collections happen at multiples of it since 1970.
    pub interval: Duration,
    pub job_name: String,
    pub instance: String,
    pub collector: agent::HostOptions,
}

/// Collects until shutdown begins. Writes no staleness markers then, as a scraper writes none when
/// its server stops.
pub async fn run(
    options: HostOptions,
    ingest: Arc<Ingest>,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<(), OptionsError> {
    let interval_ms = i64::try_from(options.interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let job = Arc::new(Job {
        collector: HostCollector::new(options.collector)?,
        ingest,
        clock: Arc::clone(&clock),
        state: Mutex::new(State {
            series: HostSeries::new(options.tenant, &options.job_name, &options.instance),
            complaints: BTreeSet::new(),
        }),
    });
    let mut due_ms = next_tick_ms(clock.now_ms(), interval_ms);
    loop {
        let wait_ms = due_ms - clock.now_ms();
        if wait_ms > 0 {
            // A clock that was set back must not silence the host until it is where it was.
            due_ms = due_ms.min(next_tick_ms(clock.now_ms(), interval_ms));
            let pause =
                Duration::from_millis((due_ms - clock.now_ms()).clamp(1, SLEEP_MAX_MS).unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(pause) => continue,
                () = shutdown.begun() => return Ok(()),
            }
        }
        if shutdown.has_begun() {
            return Ok(());
        }
        // A tick that was missed is not made up for: its sample would carry values of now.
        let t_ms = clock.now_ms().div_euclid(interval_ms) * interval_ms;
        let worker = Arc::clone(&job);
        if let Err(panic) = tokio::task::spawn_blocking(move || worker.collect(t_ms)).await {
            tracing::error!(%panic, "collecting host metrics ended in a panic");
        }
        due_ms = next_tick_ms(clock.now_ms(), interval_ms).max(t_ms.saturating_add(interval_ms));
    }
}

/// The first multiple of the interval after `now_ms`.
fn next_tick_ms(now_ms: i64, interval_ms: i64) -> i64 {
    now_ms.div_euclid(interval_ms).saturating_add(1).saturating_mul(interval_ms)
}

struct Job {
    collector: HostCollector,
    ingest: Arc<Ingest>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    series: HostSeries,
    /// Failures of the last collection, so that each is logged when it begins and not every time.
    complaints: BTreeSet<String>,
}

impl Job {
    /// Reads the host and appends; runs on a blocking thread, since both wait for files.
    fn collect(&self, t_ms: i64) {
        let started_ns = self.clock.monotonic_ns();
        let page = self.collector.collect(self.clock.as_ref());
        let duration_s = self.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
        let mut state = self.state.lock();
        state.log_new_failures(&page);
        let batch = state.series.batch(&page.families, t_ms, duration_s);
        drop(state);
        match self.ingest.append(&batch, AppendOptions::default()) {
            Ok(outcome) if outcome.rejected.total() > 0 => {
                tracing::warn!(rejected = ?outcome.rejected, "the store refused host metrics");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "host metrics were not stored"),
        }
    }
}

impl State {
    /// What a host does not have is no news.
    fn log_new_failures(&mut self, page: &Page) {
        let failures = page.failures.iter().filter(|f| !matches!(f.error, agent::CollectError::NoData));
        let now: BTreeSet<String> = failures.map(|f| format!("{}: {}", f.collector, f.error)).collect();
        for failure in now.difference(&self.complaints) {
            tracing::warn!(%failure, "a host collector failed");
        }
        self.complaints = now;
    }
}

#[cfg(test)]
mod tests;
