//! Quantiles of what was observed in the last minutes, within a percent and in bounded memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Clock;
use parking_lot::Mutex;

use super::SeriesSnapshot;

/// What is older than all windows together is forgotten, as upstream: ten minutes in five steps.
const WINDOWS: usize = 5;
const WINDOW_NS: u64 = 120_000_000_000;

/// Each bucket is this much wider than the one before, so that its middle is off by a percent.
const GROWTH: f64 = 1.02;

/// Values outside of these share the first or the last bucket; some two thousand lie between.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e9;

/// Observations with their quantiles.
#[derive(Debug, Clone)]
pub struct Summary(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    quantiles: &'static [f64],
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts by bucket, of the windows whose numbers are these modulo [`WINDOWS`].
    windows: [BTreeMap<i32, u64>; WINDOWS],
    newest: u64,
    sum: f64,
    count: u64,
}

impl State {
    fn forget_until(&mut self, window: u64) {
        let n_passed = window.saturating_sub(self.newest).min(WINDOWS as u64);
        for passed in 0..n_passed {
            self.windows[slot(window - passed)].clear();
        }
        self.newest = self.newest.max(window);
    }

    /// The middle of the bucket where the quantile lies; NaN when nothing was observed.
    fn quantile(merged: &BTreeMap<i32, u64>, quantile: f64) -> f64 {
        let total: u64 = merged.values().sum();
        let rank = ((quantile * total as f64).ceil() as u64).max(1);
        let mut n_below = 0;
        for (bucket, count) in merged {
            n_below += count;
            if n_below >= rank {
                return GROWTH.powf(f64::from(*bucket) + 0.5);
            }
        }
        f64::NAN
    }
}

fn slot(window: u64) -> usize {
    usize::try_from(window % WINDOWS as u64).expect("a remainder of five is small")
}

fn bucket(value: f64) -> i32 {
    // NaN is counted with 1.
    (value.clamp(SMALLEST, LARGEST).ln() / GROWTH.ln()).floor() as i32
}

impl Summary {
    pub(super) fn new(quantiles: &'static [f64], clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { quantiles, clock, state: Mutex::default() }))
    }

    pub fn observe(&self, value: f64) {
        let window = self.0.clock.monotonic_ns() / WINDOW_NS;
        let mut state = self.0.state.lock();
        state.forget_until(window);
        let newest = slot(state.newest);
        *state.windows[newest].entry(bucket(value)).or_default() += 1;
        state.sum += value;
        state.count += 1;
    }

    pub(super) fn snapshot_into(&self, labels: &[(String, String)], out: &mut Vec<SeriesSnapshot>) {
        let mut state = self.0.state.lock();
        state.forget_until(self.0.clock.monotonic_ns() / WINDOW_NS);
        let mut merged = BTreeMap::new();
        for (bucket, count) in state.windows.iter().flatten() {
            *merged.entry(*bucket).or_default() += count;
        }
        let mut push = |suffix, bound, value| {
            out.push(SeriesSnapshot { suffix, labels: labels.to_vec(), bound, value });
        };
        for quantile in self.0.quantiles {
            push("", Some(("quantile", *quantile)), State::quantile(&merged, *quantile));
        }
        push("_sum", None, state.sum);
        push("_count", None, state.count as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::ManualClock;

    use super::*;

    #[test]
    fn quantiles_are_within_a_percent_and_forget_what_is_old() {
        let clock = Arc::new(ManualClock::new(0));
        let summary = Summary::new(&[0.5, 0.99], Arc::clone(&clock) as Arc<dyn Clock>);
        let values = || {
            let mut out = Vec::new();
            summary.snapshot_into(&[], &mut out);
            out.iter().map(|s| s.value).collect::<Vec<f64>>()
        };
        let check = |expected: [f64; 4]| {
            for (found, expected) in values().into_iter().zip(expected) {
                let is_near = (found - expected).abs() <= expected.abs() * 0.0101;
                assert!(is_near || found.is_nan() && expected.is_nan(), "{:?} {expected}", values());
            }
        };
        check([f64::NAN, f64::NAN, 0.0, 0.0]);
        for n in 1..=1000 {
            summary.observe(f64::from(n) / 1000.0);
        }
        check([0.5, 0.99, 500.5, 1000.0]);
        clock.advance(Duration::from_secs(6 * 60));
        summary.observe(7.0);
        check([0.501, 0.991, 507.5, 1001.0]);
        clock.advance(Duration::from_secs(4 * 60));
        check([7.0, 7.0, 507.5, 1001.0]);
        clock.advance(Duration::from_secs(24 * 3600));
        check([f64::NAN, f64::NAN, 507.5, 1001.0]);
    }

    #[test]
    fn no_value_takes_more_than_a_place_among_two_thousand() {
        let summary = Summary::new(&[0.5], Arc::new(ManualClock::new(0)));
        for value in [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 1e-300, f64::INFINITY, 1e300, 1.0] {
            summary.observe(value);
        }
        assert!(bucket(LARGEST) - bucket(SMALLEST) < 2100);
        assert!(summary.0.state.lock().windows[0].len() <= 3);
    }
}
