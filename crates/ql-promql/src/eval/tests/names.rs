//! Metric names, removed at once or at the end of the query.

use super::{labels, parse};
use crate::eval::evaluate;
use crate::memory_source::MemorySource;
use crate::query::{EngineOptions, EvalContext, QueryParams};
use crate::value::{SampleValue, Value};

/// `a_total{x="1"}` from 0 to 60 s and `b_total{x="1"}` from 120 s on.
fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for (name, times_s) in [("a_total", 0..=60), ("b_total", 360..=420)] {
        for t_s in times_s.step_by(20) {
            source.append_float(&labels(&[("__name__", name), ("x", "1")]), t_s * 1000, t_s as f64, 0);
        }
    }
    source
}

fn check(query: &str, t_s: i64, delayed_name_removal: bool, expected: Result<&[(&str, f64)], &str>) {
    let expr = parse(query);
    let options = EngineOptions { delayed_name_removal, ..EngineOptions::default() };
    let params = QueryParams::instant(&expr, t_s * 1000);
    let outcome = evaluate(&options, &params, &source(), &EvalContext::unbounded());
    let found = outcome.map_err(|e| e.to_string()).map(|output| match output.value {
        Value::Vector { samples, .. } => samples
            .into_iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => (sample.labels.to_string(), value),
                SampleValue::Histogram(histogram) => panic!("{query} gave {histogram}"),
            })
            .collect::<Vec<_>>(),
        other => panic!("{query} gave {other:?}"),
    });
    let expected = expected
        .map(|samples| samples.iter().map(|(labels, v)| ((*labels).to_owned(), *v)).collect())
        .map_err(str::to_owned);
    assert_eq!(found, expected, "{query} with delayed removal: {delayed_name_removal}");
}

#[test]
fn names_go_now_or_later() {
    let duplicate = "vector cannot contain metrics with the same labelset";
    for delayed in [false, true] {
        check("-a_total", 60, delayed, Ok(&[("{x=\"1\"}", -60.0)]));
        check("a_total * 2", 60, delayed, Ok(&[("{x=\"1\"}", 120.0)]));
        check("last_over_time(a_total[1m])", 60, delayed, Ok(&[("{__name__=\"a_total\", x=\"1\"}", 60.0)]));
        check("abs(a_total) > bool 1", 60, delayed, Ok(&[("{x=\"1\"}", 1.0)]));
        check("count_over_time({x=\"1\"}[10m])", 420, delayed, Err(duplicate));
        check("abs(last_over_time({x=\"1\"}[10m]))", 420, delayed, Err(duplicate));
    }
    // Only a name that is still there can be brought back.
    let kept = "label_replace(abs(a_total), \"__name__\", \"${1}_abs\", \"__name__\", \"(.*)\")";
    check(kept, 60, true, Ok(&[("{__name__=\"a_total_abs\", x=\"1\"}", 60.0)]));
    check(kept, 60, false, Ok(&[("{__name__=\"_abs\", x=\"1\"}", 60.0)]));
    let grouped = "sum by (__name__) (abs(a_total))";
    check(grouped, 60, true, Ok(&[("{}", 60.0)]));
}
