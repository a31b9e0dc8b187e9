//! Which parts of a query become fragments, and what merging them must not lose. That fragments agree with
//! whole evaluations is the business of all scripts: tests/it/scripts.rs.

use base::{ShardRange, ShardSet};

use super::{labels, parse};
use crate::eval::{EvalError, Merge, Place, evaluate, evaluate_in_fragments, fragments_of};
use crate::memory_source::MemorySource;
use crate::query::{EngineOptions, EvalContext, QueryOutput, QueryParams};
use crate::value::{SampleValue, Value};

#[test]
fn the_largest_parts_that_shards_can_answer_become_fragments() {
    use Merge::{Contenders, Counts, Groups, Rows};
    let check = |query: &str, delayed_name_removal: bool, expected: &[(&str, Merge)]| {
        let expr = parse(query);
        let options = EngineOptions { delayed_name_removal, ..EngineOptions::default() };
        let found = fragments_of(&options, &QueryParams::instant(&expr, 0)).unwrap();
        let found: Vec<_> = found.iter().map(|f| (f.span.text(query), f.merge)).collect();
        assert_eq!(found, expected, "{query}");
    };
    for delayed in [false, true] {
        check("x", delayed, &[("x", Rows)]);
        check("1 + 2", delayed, &[]);
        check("rate(x[5m])", delayed, &[("rate(x[5m])", Rows)]);
        check("sum by (a) (rate(x[5m]))", delayed, &[("sum by (a) (rate(x[5m]))", Groups)]);
        check("sum(abs(rate(x[5m])) * 8)", delayed, &[("sum(abs(rate(x[5m])) * 8)", Groups)]);
        let of_subquery = "max(max_over_time(rate(x[1m])[1h:1m]))";
        check(of_subquery, delayed, &[(of_subquery, Groups)]);
        check("sum(a) / on (job) b", delayed, &[("sum(a)", Groups), ("b", Rows)]);
        check("sum(sum by (a) (x))", delayed, &[("sum by (a) (x)", Groups)]);
        check("topk(3, x)", delayed, &[("topk(3, x)", Contenders)]);
        check("limit_ratio(0.5, x)", delayed, &[("limit_ratio(0.5, x)", Contenders)]);
        check("count_values(\"v\", x)", delayed, &[("count_values(\"v\", x)", Counts)]);
        // All values of a group at once; a parameter that reads series; series that meet others.
        check("quantile(0.5, x)", delayed, &[("x", Rows)]);
        check("topk(scalar(n), x)", delayed, &[("n", Rows), ("x", Rows)]);
        check("clamp_max(x, scalar(n))", delayed, &[("x", Rows), ("n", Rows)]);
        check("histogram_quantile(0.9, sum by (le) (x))", delayed, &[("sum by (le) (x)", Groups)]);
        check("label_replace(x, \"a\", \"b\", \"\", \"\")", delayed, &[("x", Rows)]);
        check("absent(x)", delayed, &[("x", Rows)]);
        check("absent_over_time(x[5m])", delayed, &[]);
        check("sum_over_time(sum(x)[5m:1m])", delayed, &[("sum(x)", Groups)]);
        check("sort(x)", delayed, &[("x", Rows)]);
        check("info(x, {a=~\".+\"})", delayed, &[("x", Rows)]);
    }
    // Series of several names may be the same without them.
    for (query, whole) in [("rate({a=\"b\"}[5m])", "rate({a=\"b\"}[5m])"), ("-{a=\"b\"}", "{a=\"b\"}")] {
        check(query, true, &[(whole, Rows)]);
    }
    check("rate({a=\"b\"}[5m])", false, &[]);
    check("sum(abs({a=\"b\"}))", false, &[("{a=\"b\"}", Rows)]);
    check("timestamp({a=\"b\"})", false, &[]);
}

/// `x` with one sample of each value, and places that hold about so many shards each.
fn outcomes(
    values: &[f64],
    query: &str,
    n_places: u16,
) -> (Result<QueryOutput, EvalError>, Result<QueryOutput, EvalError>) {
    let mut source = MemorySource::new();
    for (i, value) in values.iter().enumerate() {
        let series = labels(&[("__name__", "x"), ("i", &format!("{i:03}")), ("g", &(i % 3).to_string())]);
        source.append_float(&series, 0, *value, 0);
    }
    let expr = parse(query);
    let (options, context) = (EngineOptions::default(), EvalContext::unbounded());
    let params = QueryParams::instant(&expr, 0);
    let places: Vec<Place<'_>> = (0..n_places)
        .map(|i| {
            let shards = (0..1024).filter(|shard| shard % n_places == i).collect();
            Place { source: &source, shards }
        })
        .collect();
    let whole = evaluate(&options, &params, &source, &context);
    (whole, evaluate_in_fragments(&options, &params, &places, &context))
}

fn floats(outcome: Result<QueryOutput, EvalError>) -> Vec<(String, f64)> {
    let Value::Vector { samples, .. } = outcome.unwrap().value else { panic!("a vector was asked for") };
    let float = |value: &SampleValue| match value {
        SampleValue::Float(v) => *v,
        SampleValue::Histogram(h) => panic!("{h}"),
    };
    samples.iter().map(|sample| (sample.labels.to_string(), float(&sample.value))).collect()
}

#[test]
fn merging_keeps_what_sums_means_and_ranks_are_sensitive_to() {
    let (inf, nan, huge) = (f64::INFINITY, f64::NAN, f64::MAX);
    let tied: Vec<f64> = (0..60).map(|i| f64::from(i % 4)).collect();
    let distinct: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 61)).collect();
    let lists: [&[f64]; 8] = [
        // Only compensations remember the small one; only an incremental mean does not overflow.
        &[1e100, 1.0, -1e100, 1e100, 1.0, -1e100, 3.0],
        &[huge, huge, huge, huge, huge, huge],
        &[inf, 1.0, 2.0, inf, 4.0, 5.0],
        &[inf, 1.0, -inf, inf, 4.0, -inf],
        &[nan, 1.0, 2.0, nan, 4.0, nan],
        &[nan, nan, nan, nan],
        &tied,
        &distinct,
    ];
    let queries = [
        "sum(x)",
        "sum by (g) (x)",
        "avg(x)",
        "avg by (g) (x)",
        "count(x)",
        "min by (g) (x)",
        "max(x)",
        "group by (g) (x)",
        "stddev(x)",
        "stdvar by (g) (x)",
        "topk(2, x)",
        "topk by (g) (5, x)",
        "bottomk by (g) (5, x)",
        "bottomk(100, x)",
        "topk(0, x)",
        "limitk by (g) (2, x)",
        "limit_ratio by (g) (0.4, x)",
        "limit_ratio(-0.4, x)",
        "quantile(0.3, x)",
        "count_values by (g) (\"v\", x)",
        "count_values(\"v\", x)",
    ];
    for (values, query) in lists.iter().flat_map(|values| queries.iter().map(move |q| (values, *q))) {
        let overflows = values.iter().filter(|v| v.abs() == huge).count() > 1;
        if overflows && (query.starts_with("std") || query.starts_with("sum")) {
            continue;
        }
        for n_places in [1, 2, 5, 64] {
            let (whole, fragmented) = outcomes(values, query, n_places);
            let (whole, fragmented) = (floats(whole), floats(fragmented));
            let same = |(a, b): (&(String, f64), &(String, f64))| {
                a.0 == b.0 && crate::almost::almost_equal(a.1, b.1, 1e-12)
            };
            assert!(
                whole.len() == fragmented.len() && whole.iter().zip(&fragmented).all(same),
                "{query} of {values:?} at {n_places} places: {fragmented:?} instead of {whole:?}"
            );
        }
    }
}

#[test]
fn a_place_that_is_missing_shows() {
    let values: Vec<f64> = (0..50).map(f64::from).collect();
    let mut source = MemorySource::new();
    for value in &values {
        source.append_float(&labels(&[("__name__", "x"), ("v", &value.to_string())]), 0, *value, 0);
    }
    let (options, context, expr) = (
        EngineOptions::default(),
        EvalContext::unbounded(),
        parse("count(x) + count(absent_over_time(y[1m]))"),
    );
    let half = Place { source: &source, shards: ShardSet::from(ShardRange { first: 0, last: 511 }) };
    let params = QueryParams::instant(&expr, 0);
    let count = floats(evaluate_in_fragments(&options, &params, &[half], &context))[0].1;
    assert!(count > 10.0 && count < 42.0, "{count}");
}

#[test]
fn limits_hold_over_all_places_together() {
    let values: Vec<f64> = (0..50).map(f64::from).collect();
    let (whole, fragmented) = outcomes(&values, "sum(x)", 4);
    assert_eq!(whole.unwrap().stats, fragmented.unwrap().stats);
    let mut source = MemorySource::new();
    for value in &values {
        source.append_float(&labels(&[("__name__", "x"), ("v", &value.to_string())]), 0, *value, 0);
    }
    let options = EngineOptions { samples_max: 40, ..EngineOptions::default() };
    let places: Vec<Place<'_>> = [(0, 511), (512, 1023)]
        .map(|(first, last)| Place { source: &source, shards: ShardSet::from(ShardRange { first, last }) })
        .into();
    for query in ["sum(x)", "x", "topk(1, x)", "count_values(\"v\", x)"] {
        let expr = parse(query);
        let params = QueryParams::instant(&expr, 0);
        let refused = evaluate_in_fragments(&options, &params, &places, &EvalContext::unbounded());
        assert_eq!(refused.unwrap_err(), EvalError::TooManySamples, "{query}");
    }
}
