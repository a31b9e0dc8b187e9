//! What the queries must say, worked out from what was sent.
//!
//! The load generator knows the increase of every counter. Between the two lies only `rate`'s
//! extrapolation to the edges of its window, which depends on when samples were taken; it is computed
//! here from the timestamps alone.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sextant::{Sextant, number, value};

/// The windows of the seed's expressions.
const WINDOW_S: f64 = 300.0;
/// The buckets of the service's histogram.
const BUCKETS: [f64; 6] = [0.1, 0.5, 1.0, 2.0, 5.0, f64::INFINITY];

/// Requests of one kind; each kind is one series of `http_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// The label that the service gives it.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) count: u64,
}

/// What was sent: how many of each service and kind (with the count zero), warm-up apart.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) warm_up: BTreeMap<(&'static str, Kind), u64>,
    pub(crate) sent: BTreeMap<(&'static str, Kind), u64>,
}

impl Load {
    pub(crate) fn add(&mut self, service: &'static str, kinds: &[Kind], warm_up: bool) {
        let counts = if warm_up { &mut self.warm_up } else { &mut self.sent };
        for kind in kinds {
            *counts.entry((service, Kind { count: 0, ..*kind })).or_default() += kind.count;
        }
    }

    /// Requests by service, all in all.
    pub(crate) fn totals(&self) -> BTreeMap<String, f64> {
        let mut totals = BTreeMap::new();
        for ((service, _), count) in self.warm_up.iter().chain(&self.sent) {
            *totals.entry((*service).to_owned()).or_default() += *count as f64;
        }
        totals
    }
}

/// The factor by which `rate` multiplies the increase between the first and the last of these samples.
fn extrapolation(samples: &[(f64, f64)], increase: f64) -> f64 {
    let ((first_t, first_v), (last_t, _)) = (samples[0], samples[samples.len() - 1]);
    let sampled = last_t - first_t;
    let average = sampled / (samples.len() - 1) as f64;
    let near = |gap: f64| if gap >= average * 1.1 { average / 2.0 } else { gap };
    let mut before = near(first_t + WINDOW_S);
    if increase > 0.0 {
        // A counter was never below zero.
        before = before.min(sampled * (first_v / increase));
    }
    (sampled + before + near(-last_t)) / sampled
}

/// Each kind's increase within the window, as sent, and its factor.
#[derive(Debug)]
pub(crate) struct Seen {
    rates: BTreeMap<(&'static str, Kind), f64>,
    /// By service and upper bound: observations per second, cumulative.
    buckets: BTreeMap<String, BTreeMap<usize, f64>>,
}

impl Seen {
    /// Reads when samples were taken, and checks that the last of each series less its first is what was
    /// sent.
    pub(crate) fn read(sextant: &Sextant, load: &Load, at_ms: i64) -> Self {
        let mut rates = BTreeMap::new();
        let mut buckets: BTreeMap<String, BTreeMap<usize, f64>> = BTreeMap::new();
        for ((service, kind), sent) in &load.sent {
            let sent = *sent as f64;
            let selector = format!(
                "service=\"{service}\",method=\"{}\",route=\"{}\",status=\"{}\"",
                kind.method, kind.route, kind.status
            );
            let samples = raw(sextant, &format!("http_requests_total{{{selector}}}"), at_ms);
            assert_eq!(samples[0].1, 1.0, "{service} {kind:?} starts with the warm-up");
            let increase = samples[samples.len() - 1].1 - samples[0].1;
            assert_eq!(increase, sent, "{service} {kind:?}");
            let rate = |increase: f64, samples: &[(f64, f64)]| {
                increase * extrapolation(samples, increase) / WINDOW_S
            };
            rates.insert((*service, *kind), rate(sent, &samples));
            for (bound_idx, bound) in BUCKETS.iter().enumerate() {
                // The service writes le="1"; scraping makes one spelling of it.
                let le = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
                let metric = format!("http_request_duration_seconds_bucket{{{selector},le=\"{le}\"}}");
                let samples = raw(sextant, &metric, at_ms);
                let observed = samples[samples.len() - 1].1 - samples[0].1;
                if bound.is_infinite() {
                    assert_eq!(observed, sent, "{metric}");
                }
                let of_service = buckets.entry((*service).to_owned()).or_default();
                *of_service.entry(bound_idx).or_default() += rate(observed, &samples);
            }
        }
        Self { rates, buckets }
    }

    /// Requests per second by service, of the kinds that are wanted.
    pub(crate) fn rates(&self, wanted: impl Fn(&Kind) -> bool) -> BTreeMap<String, f64> {
        let mut by_service = BTreeMap::new();
        for ((service, _), rate) in self.rates.iter().filter(|((_, kind), _)| wanted(kind)) {
            *by_service.entry((*service).to_owned()).or_default() += rate;
        }
        by_service
    }

    /// The quantile of the durations by service: linear within the bucket that holds it.
    pub(crate) fn quantiles(&self, q: f64) -> BTreeMap<String, f64> {
        let quantile = |counts: &BTreeMap<usize, f64>| {
            let rank = q * counts[&(BUCKETS.len() - 1)];
            let holder = counts.iter().find(|(_, count)| **count >= rank).map_or(0, |(idx, _)| *idx);
            let (lower, below) =
                if holder == 0 { (0.0, 0.0) } else { (BUCKETS[holder - 1], counts[&(holder - 1)]) };
            lower + (BUCKETS[holder] - lower) * (rank - below) / (counts[&holder] - below)
        };
        self.buckets.iter().map(|(service, counts)| (service.clone(), quantile(counts))).collect()
    }
}

/// The samples of one series within the window that ends at `at_ms`; times in seconds from there.
fn raw(sextant: &Sextant, selector: &str, at_ms: i64) -> Vec<(f64, f64)> {
    let result = sextant.query_at(&format!("{selector}[5m]"), at_ms);
    let series = result.as_array().expect("a matrix");
    assert_eq!(series.len(), 1, "{selector}: {result}");
    let pairs = series[0]["values"].as_array().expect("samples");
    let seconds = |t: &Value| ((t.as_f64().expect("a time") * 1000.0).round() - at_ms as f64) / 1000.0;
    pairs.iter().map(|pair| (seconds(&pair[0]), number(&pair[1]))).collect()
}

/// An instant vector as values by one label.
pub(crate) fn by_label(result: &Value, label: &str) -> BTreeMap<String, f64> {
    let samples = result.as_array().expect("a vector");
    samples.iter().map(|s| (s["metric"][label].as_str().unwrap_or("").to_owned(), value(s))).collect()
}

/// The same series, and values that differ by rounding only.
pub(crate) fn assert_close(expr: &str, seen: &BTreeMap<String, f64>, wanted: &BTreeMap<String, f64>) {
    let close = |(name, wanted): (&String, &f64)| {
        seen.get(name).is_some_and(|seen| (seen - wanted).abs() <= wanted.abs() * 1e-9)
    };
    assert!(seen.len() == wanted.len() && wanted.iter().all(close), "{expr}: {seen:?}, expected {wanted:?}");
}

/// A result with its series in the order of their labels.
pub(crate) fn sorted(mut result: Value) -> Value {
    if let Some(series) = result.as_array_mut() {
        series.sort_by_key(|series| series["metric"].to_string());
    }
    result
}
