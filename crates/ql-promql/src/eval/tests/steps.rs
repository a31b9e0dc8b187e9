//! Evaluating over a range is evaluating at each step, on however many threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Rng;
use model::histogram::Span;
use model::{FloatHistogram, Labels, stale_nan};

use super::{labels, parse};
use crate::eval::evaluate;
use crate::memory_source::MemorySource;
use crate::query::{EngineOptions, EvalContext, QueryParams};
use crate::value::{SampleValue, Value};

/// Queries that between them reach every kind of node, most kernels and all matchings.
const QUERIES: &[&str] = &[
    "m",
    "m offset 30s",
    "m offset -30s",
    "m @ 100",
    "m smoothed",
    "-m",
    "1 + 2 * time()",
    "vector(time())",
    "m + on (a) group_left n",
    "n * on (a) group_right m",
    "n + on (a) group_left sum by (a) (n)",
    "n + fill (0) n offset 2m",
    "sum by (a) (n) - fill_left (1) fill_right (2) sum by (a) (m)",
    "m > 5",
    "m > bool 5",
    "5 < m",
    "m and on (a) n",
    "m or n",
    "m unless on (a) (n > 3)",
    "m == m",
    "sum(m)",
    "sum by (a) (m)",
    "avg without (b) (m)",
    "count by (a) (m)",
    "group by (a) (m)",
    "min(m)",
    "max by (b) (m)",
    "stddev(m)",
    "stdvar by (a) (m)",
    "quantile by (a) (0.7, m)",
    "count_values by (a) (\"v\", round(m / 10))",
    "topk by (a) (2, m)",
    "bottomk(scalar(count(n)) / 2, m)",
    "limitk(3, m)",
    "limit_ratio(0.5, m)",
    "limit_ratio(-0.5, m)",
    "rate(m[1m])",
    "increase(m[100s])",
    "delta(m[90s] offset 20s)",
    "irate(m[1m])",
    "idelta(m[1m])",
    "rate(m[1m] smoothed)",
    "increase(m[1m] anchored)",
    "changes(m[2m])",
    "resets(m[2m])",
    "resets(m[2m] anchored)",
    "deriv(m[2m])",
    "predict_linear(m[2m], 60)",
    "double_exponential_smoothing(m[2m], 0.5, 0.3)",
    "sum_over_time(m[1m])",
    "avg_over_time(m[1m])",
    "min_over_time(m[1m])",
    "max_over_time(m[1m])",
    "count_over_time(m[1m])",
    "stddev_over_time(m[1m])",
    "stdvar_over_time(m[1m])",
    "quantile_over_time(0.3, m[2m])",
    "mad_over_time(m[2m])",
    "first_over_time(m[1m])",
    "last_over_time(m[1m])",
    "present_over_time(m[15s])",
    "absent_over_time(n{a=\"1\"}[3s])",
    "absent(n{a=\"1\"} > 5)",
    "ts_of_first_over_time(m[1m])",
    "ts_of_last_over_time(m[1m])",
    "ts_of_max_over_time(m[1m])",
    "ts_of_min_over_time(m[1m])",
    "timestamp(m)",
    "timestamp(m + 1)",
    "max_over_time(rate(m[1m])[2m:10s])",
    "sum_over_time(sum by (a) (m)[1m:])",
    "sum_over_time((m @ 60)[1m:7s] offset 3s)",
    "scalar(n{a=\"1\"})",
    "clamp(m, 2, scalar(count(m)))",
    "clamp_min(m, 4)",
    "round(m, 3)",
    "hour(m * 1000)",
    "day_of_week()",
    "label_replace(m, \"c\", \"x$1\", \"b\", \"(.*)\")",
    "label_join(m, \"c\", \"-\", \"a\", \"b\")",
    "histogram_count(h)",
    "histogram_avg(rate(h[1m]))",
    "histogram_quantile(0.9, sum by (a) (rate(h[2m])))",
    "histogram_fraction(0, 4, h)",
    "sum(h)",
    "avg_over_time(h[1m])",
    "h * 2",
    "h - h offset 30s",
    "info(m)",
];

/// Series `m` (floats with gaps, resets and staleness markers), `n` (one per `a`), `h` (histograms)
/// and `target_info`.
fn source(seed: u64) -> MemorySource {
    let mut rng = Rng::new(seed);
    let mut source = MemorySource::new();
    for a in ["1", "2", "3"] {
        for b in ["x", "y", "z"] {
            fill(
                &mut source,
                &mut rng,
                &labels(&[("__name__", "m"), ("a", a), ("b", b), ("job", b), ("instance", a)]),
            );
            fill_histograms(&mut source, &mut rng, &labels(&[("__name__", "h"), ("a", a), ("b", b)]));
        }
        fill(&mut source, &mut rng, &labels(&[("__name__", "n"), ("a", a)]));
        let info = labels(&[("__name__", "target_info"), ("job", "x"), ("instance", a), ("version", a)]);
        fill(&mut source, &mut rng, &info);
    }
    source
}

/// Calls `put` at irregular times from 0 to 600 s.
fn at_times(rng: &mut Rng, mut put: impl FnMut(&mut Rng, i64)) {
    let mut t_ms = rng.below(20_000) as i64;
    while t_ms < 600_000 {
        put(rng, t_ms);
        let gap_ms = if rng.one_in(15) { 120_000 } else { 10_000 };
        t_ms += gap_ms + rng.below(3) as i64 * 500;
    }
}

fn fill(source: &mut MemorySource, rng: &mut Rng, labels: &Labels) {
    let mut value = rng.below(10) as f64;
    at_times(rng, |rng, t_ms| {
        value = if rng.one_in(8) { 0.0 } else { value + rng.below(5) as f64 };
        let marked = if rng.one_in(20) { stale_nan() } else { value };
        source.append_float(labels, t_ms, marked, 0);
    });
}

fn fill_histograms(source: &mut MemorySource, rng: &mut Rng, labels: &Labels) {
    let mut counts = [0.0; 3];
    at_times(rng, |rng, t_ms| {
        if rng.one_in(10) {
            counts = [0.0; 3];
        }
        for count in &mut counts {
            *count += rng.below(4) as f64;
        }
        let histogram = FloatHistogram {
            count: counts.iter().sum(),
            sum: counts[0] + 2.0 * counts[1] + 4.0 * counts[2],
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        };
        source.append_histogram(labels, t_ms, histogram, 0);
    });
}

/// Samples as text, by labels and time.
type Samples = BTreeMap<(Labels, i64), String>;

fn text(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => format!("{value:?}"),
        SampleValue::Histogram(histogram) => histogram.to_string(),
    }
}

fn samples(value: Value) -> Samples {
    match value {
        Value::Scalar { t_ms, value } => [((Labels::empty(), t_ms), format!("{value:?}"))].into(),
        Value::Vector { t_ms, samples } => {
            samples.into_iter().map(|sample| ((sample.labels, t_ms), text(&sample.value))).collect()
        }
        Value::Matrix(series) => series
            .iter()
            .flat_map(|series| {
                let floats = series.floats.iter().map(|value| SampleValue::Float(*value));
                let histograms = series.histograms.iter().map(|h| SampleValue::Histogram(Arc::clone(h)));
                let times = series.float_ts.iter().chain(&series.histogram_ts);
                times
                    .zip(floats.chain(histograms))
                    .map(|(t_ms, value)| ((series.labels.clone(), *t_ms), text(&value)))
            })
            .collect(),
        Value::String { .. } => panic!("no query here gives a string"),
    }
}

fn options() -> EngineOptions {
    EngineOptions { delayed_name_removal: true, use_start_timestamps: true, ..EngineOptions::default() }
}

const START_MS: i64 = 90_000;
const STEP_MS: i64 = 17_000;
const N_STEPS: i64 = 25;

fn over_range(query: &str, source: &MemorySource, threads: usize) -> Samples {
    let expr = parse(query);
    let params = QueryParams::range(&expr, START_MS, START_MS + (N_STEPS - 1) * STEP_MS, STEP_MS);
    let context = EvalContext { threads, ..EvalContext::unbounded() };
    let output = evaluate(&options(), &params, source, &context).unwrap_or_else(|e| panic!("{query}: {e}"));
    if let Value::Matrix(series) = &output.value {
        assert!(series.is_sorted_by(|a, b| a.labels < b.labels), "{query}: {series:?}");
    }
    samples(output.value)
}

#[test]
fn a_range_is_its_steps() {
    for seed in 0..4 {
        let source = source(seed);
        for query in QUERIES {
            let expr = parse(query);
            let mut expected = Samples::new();
            for step in 0..N_STEPS {
                let params = QueryParams::instant(&expr, START_MS + step * STEP_MS);
                let output = evaluate(&options(), &params, &source, &EvalContext::unbounded());
                expected.extend(samples(output.unwrap_or_else(|e| panic!("{query}: {e}")).value));
            }
            let found = over_range(query, &source, 1);
            for (key, value) in &expected {
                assert_eq!(found.get(key), Some(value), "{query} (seed {seed}) at {key:?}");
            }
            assert_eq!(found.len(), expected.len(), "{query} (seed {seed})");
            assert!(!found.is_empty(), "{query} (seed {seed}) gives nothing to compare");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut source = MemorySource::new();
    let mut rng = Rng::new(1);
    for idx in 0..400 {
        let (idx, group) = (idx.to_string(), (idx % 7).to_string());
        fill(&mut source, &mut rng, &labels(&[("__name__", "m"), ("a", &group), ("b", &idx)]));
    }
    for query in ["m", "rate(m[1m])", "sum by (a) (rate(m[1m]))", "topk(5, m)", "max_over_time(m[1m:10s])"] {
        let alone = over_range(query, &source, 1);
        assert_eq!(over_range(query, &source, 4), alone, "{query}");
        assert!(alone.len() > 100, "{query} gives enough to compare");
    }
}

#[test]
fn reducing_in_batches_is_reducing_at_once() {
    let mut source = MemorySource::new();
    let mut rng = Rng::new(2);
    for idx in 0..300 {
        let (idx, group) = (idx.to_string(), (idx % 7).to_string());
        fill(&mut source, &mut rng, &labels(&[("__name__", "m"), ("a", &group), ("b", &idx)]));
        fill_histograms(&mut source, &mut rng, &labels(&[("__name__", "h"), ("a", &group), ("b", &idx)]));
    }
    for op in ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"] {
        for input in ["m", "h", "rate(m[1m])", "rate(h[1m])", "quantile_over_time(0.5, m[1m])"] {
            for threads in [1, 3] {
                let streamed = over_range(&format!("{op} by (a) ({input})"), &source, threads);
                let whole = over_range(&format!("{op} by (a) ({input} or absent(m))"), &source, threads);
                assert_eq!(streamed, whole, "{op} of {input} on {threads} threads");
            }
        }
    }
}
