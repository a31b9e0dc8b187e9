//! Sample statistics: what upstream counts for the same queries over the same series.

use model::FloatHistogram;
use model::Labels;
use model::histogram::Span;

use super::{labels, parse};
use crate::eval::evaluate;
use crate::memory_source::MemorySource;
use crate::query::{EngineOptions, EvalContext, QueryParams};

/// A query with its times in seconds (an instant query if the step is 0), the most samples it holds
/// at once, and per step the samples looked at and read.
struct Case {
    query: &'static str,
    times_s: [i64; 3],
    peak: usize,
    total: &'static [i64],
    read: &'static [i64],
}

const fn case(
    query: &'static str,
    times_s: [i64; 3],
    peak: usize,
    total: &'static [i64],
    read: &'static [i64],
) -> Case {
    Case { query, times_s, peak, total, read }
}

/// A sample every ten seconds from 0 to 1000 s: `one`, three series `three`, and histograms `hist`.
fn source() -> MemorySource {
    let mut source = MemorySource::new();
    let one = labels(&[("__name__", "one")]);
    let three: Vec<Labels> = [("1", "1"), ("2", "2"), ("3", "2")]
        .map(|(a, b)| labels(&[("__name__", "three"), ("a", a), ("b", b)]))
        .to_vec();
    let hist = labels(&[("__name__", "hist")]);
    for idx in 0..=100 {
        let t_ms = idx * 10_000;
        for labels in three.iter().chain([&one]) {
            source.append_float(labels, t_ms, 1.0 + idx as f64, 0);
        }
        let n = idx as f64;
        let histogram = FloatHistogram {
            schema: 1,
            count: 5.0 + 10.0 * n,
            sum: 20.0 + 5.0 * n,
            positive_spans: vec![Span { offset: 0, length: 4 }],
            positive_buckets: vec![1.0 + n, 2.0 + 2.0 * n, 1.0 + 3.0 * n, 1.0 + 4.0 * n],
            ..FloatHistogram::default()
        };
        source.append_histogram(&hist, t_ms, histogram, 0);
    }
    source
}

#[test]
fn samples_are_counted_as_upstream_counts_them() {
    let source = source();
    let options = EngineOptions { per_step_stats: true, ..EngineOptions::default() };
    for Case { query, times_s, peak, total, read } in CASES {
        let expr = parse(query);
        let [start_ms, end_ms, step_ms] = times_s.map(|s| s * 1000);
        let params = if step_ms == 0 {
            QueryParams::instant(&expr, start_ms)
        } else {
            QueryParams::range(&expr, start_ms, end_ms, step_ms)
        };
        let params = QueryParams { per_step_stats: true, ..params };
        let stats = evaluate(&options, &params, &source, &EvalContext::unbounded()).unwrap().stats;
        let counts = |steps: &[(i64, i64)]| steps.iter().map(|(_, n)| *n).collect::<Vec<_>>();
        let what = format!("{query} {times_s:?}");
        assert_eq!(counts(&stats.total_queryable_samples_per_step), *total, "{what}");
        assert_eq!(counts(&stats.samples_read_per_step), *read, "{what}");
        assert_eq!(stats.peak_samples, *peak, "{what}");
        assert_eq!(stats.total_queryable_samples, total.iter().sum::<i64>(), "{what}");
        assert_eq!(stats.samples_read, read.iter().sum::<i64>(), "{what}");

        let tight = EngineOptions { samples_max: peak.saturating_sub(1), ..options.clone() };
        let outcome = evaluate(&tight, &params, &source, &EvalContext::unbounded());
        assert_eq!(outcome.is_err(), *peak > 0, "{what} with one sample less");
    }
}

const CASES: &[Case] = &[
    case(r#""literal string""#, [21, 21, 0], 0, &[0], &[0]),
    case("1", [21, 21, 0], 1, &[0], &[0]),
    case("one", [21, 21, 0], 1, &[1], &[1]),
    case("hist", [21, 21, 0], 13, &[13], &[13]),
    case("timestamp(one)", [21, 21, 0], 2, &[1], &[1]),
    case("timestamp(hist)", [21, 21, 0], 2, &[1], &[1]),
    case("one", [22, 22, 0], 1, &[1], &[1]),
    case("one offset 10s", [21, 21, 0], 1, &[1], &[1]),
    case("one @ 15", [21, 21, 0], 1, &[1], &[1]),
    case(r#"three{a="1"}"#, [21, 21, 0], 1, &[1], &[1]),
    case(r#"three{a="1"} @ 19"#, [21, 21, 0], 1, &[1], &[1]),
    case(r#"three{a="1"}[20s] @ 19"#, [21, 21, 0], 2, &[2], &[2]),
    case("three", [21, 21, 0], 3, &[3], &[3]),
    case("one[60s]", [201, 201, 0], 6, &[6], &[6]),
    case("hist[60s]", [201, 201, 0], 78, &[78], &[78]),
    case("max_over_time(one[60s])[20s:5s]", [201, 201, 0], 10, &[24], &[8]),
    case("max_over_time(one[61s])[20s:5s]", [201, 201, 0], 11, &[26], &[8]),
    case("max_over_time(hist[60s])[20s:5s]", [201, 201, 0], 78, &[312], &[104]),
    case("one[60s] @ 30", [201, 201, 0], 4, &[4], &[4]),
    case("hist[60s] @ 30", [201, 201, 0], 52, &[52], &[52]),
    case("sum(max_over_time(three[60s] @ 30))", [201, 201, 0], 7, &[12], &[12]),
    case("sum by (b) (max_over_time(three[60s] @ 30))", [201, 201, 0], 7, &[12], &[12]),
    case("one[60s] offset 10s", [201, 201, 0], 6, &[6], &[6]),
    case("three[60s]", [201, 201, 0], 18, &[18], &[18]),
    case("max_over_time(one[60s])", [201, 201, 0], 7, &[6], &[6]),
    case("absent_over_time(one[60s])", [201, 201, 0], 7, &[6], &[6]),
    case("max_over_time(three[60s])", [201, 201, 0], 9, &[18], &[18]),
    case("one[60s:5s]", [201, 201, 0], 12, &[12], &[12]),
    case("one[60s:5s] offset 10s", [201, 201, 0], 12, &[12], &[12]),
    case("max_over_time(three[60s:5s])", [201, 201, 0], 51, &[36], &[36]),
    case(
        "sum(max_over_time(three[60s:5s])) + sum(max_over_time(three[60s:5s]))",
        [201, 201, 0],
        52,
        &[72],
        &[72],
    ),
    case(r#"three{a="1"}"#, [201, 220, 5], 4, &[1, 1, 1, 1], &[1, 1, 1, 1]),
    case(r#"three{a="1"}"#, [204, 223, 5], 4, &[1, 1, 1, 1], &[1, 1, 1, 1]),
    case("hist", [204, 223, 5], 52, &[13, 13, 13, 13], &[13, 13, 13, 13]),
    case("timestamp(one)", [201, 220, 5], 5, &[1, 1, 1, 1], &[1, 1, 1, 1]),
    case("timestamp(hist)", [201, 220, 5], 5, &[1, 1, 1, 1], &[1, 1, 1, 1]),
    case(r#"max_over_time(three{a="1"}[10s])"#, [991, 1021, 10], 2, &[1, 1, 0, 0], &[1, 1, 0, 0]),
    case(r#"three{a="1"} offset 10s"#, [201, 220, 5], 4, &[1, 1, 1, 1], &[1, 1, 1, 1]),
    case("max_over_time(three[60s] @ 30)", [201, 220, 5], 12, &[12, 12, 12, 12], &[12, 0, 0, 0]),
    case("three", [201, 220, 5], 12, &[3, 3, 3, 3], &[3, 3, 3, 3]),
    case("max_over_time(three[60s])", [201, 220, 5], 18, &[18, 18, 18, 18], &[18, 0, 3, 0]),
    case("max_over_time(three[60s:5s])", [201, 216, 5], 69, &[36, 36, 36, 36], &[36, 3, 3, 3]),
    case("max_over_time(three[60s:5s])", [201, 220, 5], 69, &[36, 36, 36, 36], &[36, 3, 3, 3]),
    case("max_over_time(one[60s:5s])", [201, 220, 5], 31, &[12, 12, 12, 12], &[12, 1, 1, 1]),
    case("sum by (b) (max_over_time(one[60s:5s]))", [201, 220, 5], 31, &[12, 12, 12, 12], &[12, 1, 1, 1]),
    case(
        "sum(max_over_time(three[60s:5s])) + sum(max_over_time(three[60s:5s]))",
        [201, 220, 5],
        73,
        &[72, 72, 72, 72],
        &[72, 6, 6, 6],
    ),
    case(
        "sum(max_over_time(three[60s:5s])) + sum(max_over_time(one[60s:5s]))",
        [201, 216, 5],
        69,
        &[48, 48, 48, 48],
        &[48, 4, 4, 4],
    ),
    case(
        "sum(max_over_time(three[60s:5s])) + sum(max_over_time(one[60s:5s]))",
        [201, 220, 5],
        69,
        &[48, 48, 48, 48],
        &[48, 4, 4, 4],
    ),
    case("max_over_time(one[20s:10s])", [201, 201, 0], 5, &[2], &[2]),
    case("sum_over_time(one[30s:30s])", [90, 90, 0], 3, &[1], &[1]),
    case("max_over_time(one[30s:2m])", [240, 240, 0], 3, &[1], &[1]),
    case("max_over_time(one[30s:10s])", [201, 231, 30], 11, &[3, 3], &[3, 3]),
    case("max_over_time(one[20s:10s])", [201, 261, 10], 17, &[2, 2, 2, 2, 2, 2, 2], &[2, 1, 1, 1, 1, 1, 1]),
    case("max_over_time(one[30s:10s])", [201, 261, 60], 14, &[3, 3], &[3, 3]),
    case("histogram_count(max_over_time(hist[20s:10s]))", [201, 201, 0], 52, &[26], &[26]),
    case("avg_over_time(hist[2m:1m])", [120, 240, 60], 117, &[26, 26, 26], &[26, 13, 13]),
    case(
        "max_over_time(three[60s:10s])",
        [200, 400, 30],
        99,
        &[18, 18, 18, 18, 18, 18, 18],
        &[18, 9, 9, 9, 9, 9, 9],
    ),
    case("predict_linear(one[60s] @ 100, 60)", [100, 300, 100], 12, &[6, 6, 6], &[6, 0, 0]),
    case("sum_over_time(three[20s:10s] @ 200)", [250, 250, 0], 11, &[6], &[6]),
    case("sum_over_time(one[20s:10s] offset 1m)", [240, 240, 0], 5, &[2], &[2]),
    case("sum_over_time(three[1m:10s] @ 200 offset 1m)", [300, 300, 0], 27, &[18], &[18]),
    case(
        "sum_over_time(max_over_time(three[60s] @ 300)[5m:1m] @ 600)[10m:2m]",
        [800, 800, 0],
        23,
        &[75],
        &[18],
    ),
    case("rate(sum_over_time(one[30s])[1m:30s])", [240, 240, 0], 5, &[2], &[6]),
];
