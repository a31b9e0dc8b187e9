//! Refusals: deadlines, budgets, sample limits, queries that make no sense.

use std::sync::Arc;
use std::time::Duration;

use base::{Budget, CancelToken, Clock, ManualClock};

use super::{labels, parse};
use crate::eval::{EvalError, evaluate};
use crate::memory_source::MemorySource;
use crate::query::{EngineOptions, EvalContext, QueryParams};
use crate::source::{SelectRequest, SeriesSet, SeriesSource, SourceError};

fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for series in ["1", "2", "3"] {
        for idx in 0..100 {
            source.append_float(&labels(&[("__name__", "m"), ("a", series)]), idx * 1000, idx as f64, 0);
        }
    }
    source
}

fn range_error(query: &str, context: &EvalContext, options: &EngineOptions) -> EvalError {
    let expr = parse(query);
    let params = QueryParams::range(&expr, 0, 99_000, 1000);
    evaluate(options, &params, &source(), context).unwrap_err()
}

#[test]
fn a_cancelled_or_late_query_stops() {
    let context = EvalContext::unbounded();
    context.cancel.cancel();
    let options = EngineOptions::default();
    assert_eq!(range_error("m", &context, &options), EvalError::Cancelled);

    let clock = Arc::new(ManualClock::new(0));
    let cancel = CancelToken::with_timeout(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    let context = EvalContext { cancel, ..EvalContext::unbounded() };
    let error = range_error("m", &context, &options);
    assert_eq!(
        (&error, error.to_string().as_str()),
        (&EvalError::Timeout, "query timed out in expression evaluation")
    );
}

#[test]
fn memory_is_charged_and_given_back() {
    let options = EngineOptions::default();
    let budget = Budget::new("query", 1 << 10);
    let context = EvalContext { budget: budget.clone(), ..EvalContext::unbounded() };
    for query in ["m", "rate(m[5s])", "m + m", "sum by (a) (m)"] {
        assert!(matches!(range_error(query, &context, &options), EvalError::Budget(_)), "{query}");
        assert_eq!(budget.used_bytes(), 0, "{query}");
    }
}

/// A clock that is an hour later each time it is read.
#[derive(Debug, Default)]
struct Hurried(std::sync::atomic::AtomicU64);

impl Clock for Hurried {
    fn now_ms(&self) -> i64 {
        0
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.fetch_add(3_600_000_000_000, std::sync::atomic::Ordering::Relaxed)
    }
}

fn many_series(n: usize) -> MemorySource {
    let mut source = MemorySource::new();
    for series in 0..n {
        let (value, padding) = (series.to_string(), "x".repeat(1000));
        let pairs = [("__name__", "c"), ("s", value.as_str()), ("pad", padding.as_str())];
        source.append_float(&labels(&pairs), 0, series as f64, 0);
    }
    source.append_float(&labels(&[("__name__", "one"), ("long", &"y".repeat(10_000))]), 0, 1.0, 0);
    source
}

#[test]
fn built_labels_are_charged_and_building_them_can_be_stopped() {
    const N_SERIES: usize = 2000;
    let source = many_series(N_SERIES);
    let replace = format!("label_replace(c, \"z\", \"{}\", \"s\", \"(.*)\")", "$1".repeat(1000));
    let template = format!("label_replace(c, \"z\", \"{}\", \"pad\", \"(.*)\")", "$1".repeat(20_000));
    let join = format!("label_join(c, \"z\", \"-\"{})", ", \"pad\"".repeat(4));
    let run = |query: &str, context: &EvalContext| {
        let expr = parse(query);
        evaluate(&EngineOptions::default(), &QueryParams::instant(&expr, 0), &source, context)
    };
    for query in [
        replace.as_str(),
        template.as_str(),
        join.as_str(),
        "count_values without () (\"z\", c)",
        "c + on () group_left (long) one",
        "sum by (s, pad) (c)",
        "quantile by (s, pad) (0.5, c)",
        "-c",
    ] {
        let budget = Budget::new("query", 1 << 20);
        let context = EvalContext { budget: budget.clone(), ..EvalContext::unbounded() };
        let error = run(query, &context).unwrap_err();
        assert!(matches!(error, EvalError::Budget(_)), "{query:.40}: {error}");
        assert_eq!(budget.used_bytes(), 0, "{query:.40}");
    }
    for query in [replace.as_str(), join.as_str(), "count_values without () (\"z\", c)"] {
        let reads = |timeout_hours: u64| {
            let clock = Arc::new(Hurried::default());
            let timeout = Duration::from_secs(3600 * timeout_hours);
            let cancel = CancelToken::with_timeout(Arc::clone(&clock) as Arc<dyn Clock>, timeout);
            let outcome = run(query, &EvalContext { cancel, ..EvalContext::unbounded() });
            (outcome.err(), clock.monotonic_ns() / 3_600_000_000_000)
        };
        let (error, checks) = reads(1_000_000);
        assert_eq!(error, None);
        assert!(checks >= (N_SERIES / 128) as u64, "{query:.40}: {checks} checks");
        assert_eq!(reads(checks - 2).0, Some(EvalError::Timeout), "{query:.40}");
    }
}

#[test]
fn too_many_samples_are_refused_in_upstreams_words() {
    let options = EngineOptions { samples_max: 299, ..EngineOptions::default() };
    for query in ["m", "sum_over_time(m[1m:1s])", "vector(1) + on() group_right m", "max_over_time(m[50s])"] {
        let error = range_error(query, &EvalContext::unbounded(), &options);
        assert_eq!(
            error.to_string(),
            "query processing would load too many samples into memory in query execution",
            "{query}"
        );
    }
}

#[test]
fn nonsense_is_refused_in_upstreams_words() {
    for (query, expected) in [
        (
            "m[5m]",
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        ("\"a\"", "invalid expression type \"string\" for range query, must be Scalar or instant Vector"),
        ("rate(m[1s-2s])", "7:12: duration must be greater than 0"),
        ("m offset (1s / (step() - 1))", "10:26: division by zero"),
        ("topk(NaN, m)", "Parameter value is NaN"),
        ("topk(1e30, m)", "Scalar value 1e+30 overflows int64"),
        ("limit_ratio(NaN, m)", "Ratio value is NaN"),
        (
            "m + on () m",
            "found duplicate series for the match group {} on the right hand-side of the operation: [{__name__=\"m\", a=\"1\"}, {__name__=\"m\", a=\"2\"}];many-to-many matching not allowed: matching labels must be unique on one side",
        ),
        (
            "m + on () vector(1)",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "m + on () group_left (a) vector(1)",
            "multiple matches for labels: grouping labels must ensure unique matches",
        ),
        (
            "max_over_time(m[5s] smoothed)",
            "smoothed modifier can only be used with: delta, increase, rate - not with max_over_time",
        ),
        (
            "irate(m[5s] anchored)",
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with irate",
        ),
        (
            "double_exponential_smoothing(m[5s], 1, 0.5)",
            "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000",
        ),
        (
            "label_replace(m, \"a\", \"x\", \"a\", \".*\")",
            "vector cannot contain metrics with the same labelset",
        ),
        ("label_replace(m, \"a\", \"x\", \"a\", \"(\")", "invalid regular expression in label_replace(): ("),
    ] {
        let error = range_error(query, &EvalContext::unbounded(), &EngineOptions::default());
        assert_eq!(error.to_string(), expected, "{query}");
    }
}

#[test]
fn a_step_of_zero_is_refused() {
    let expr = parse("m");
    let params = QueryParams::range(&expr, 0, 10, 0);
    let outcome = evaluate(&EngineOptions::default(), &params, &source(), &EvalContext::unbounded());
    assert!(matches!(outcome, Err(EvalError::Preparation(_))), "{outcome:?}");
}

/// A store that is broken.
struct Broken;

impl SeriesSource for Broken {
    fn select(&self, _: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SourceError> {
        Err(SourceError::Storage("disk on fire".to_owned()))
    }
}

#[test]
fn the_error_of_a_store_arrives() {
    let expr = parse("sum(m)");
    let params = QueryParams::instant(&expr, 0);
    let error = evaluate(&EngineOptions::default(), &params, &Broken, &EvalContext::unbounded()).unwrap_err();
    assert_eq!(error.to_string(), "expanding series: disk on fire");
}

#[test]
fn subqueries_of_absurdly_many_steps_are_refused_before_they_allocate() {
    let budget = Budget::new("query", 64 << 20);
    let context = EvalContext { budget, ..EvalContext::unbounded() };
    for (query, expected) in [
        (
            "sum_over_time(nothing[50y:1ms])",
            "query processing would load too many samples into memory in query execution",
        ),
        (
            "sum_over_time(nothing[12h:1ms])",
            "memory budget \"query\" exceeded: 388800000 bytes asked, 9 of 67108864 in use",
        ),
    ] {
        let expr = parse(query);
        let params = QueryParams::instant(&expr, 0);
        let error = evaluate(&EngineOptions::default(), &params, &source(), &context).unwrap_err();
        assert_eq!(error.to_string(), expected, "{query}");
    }
}

#[test]
fn deep_expressions_fit_the_stack_of_a_thread() {
    let chain = vec!["m"; 900].join(" + ");
    let nested = format!("{}m{}", "abs(".repeat(140), ")".repeat(140));
    for query in [chain, nested] {
        let expr = parse(&query);
        let params = QueryParams::range(&expr, 0, 99_000, 1000);
        evaluate(&EngineOptions::default(), &params, &source(), &EvalContext::unbounded()).unwrap();
    }
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    for at in ["9223372036854775", "-9223372036854775"] {
        for query in [
            "m @ AT offset 100y",
            "m @ AT offset -100y",
            "sum_over_time(m[100y] @ AT)",
            "rate(m[100y] @ AT smoothed)",
            "m @ AT smoothed",
            "sum_over_time(m[100y:50y] @ AT)",
            "sum_over_time(m[100y:50y] @ AT offset -200y)",
            "timestamp(m @ AT offset -1s)",
        ] {
            let query = query.replace("AT", at);
            let expr = parse(&query);
            for t_ms in [0, i64::MAX / 1000, i64::MIN / 1000] {
                let params = QueryParams::instant(&expr, t_ms);
                evaluate(&EngineOptions::default(), &params, &source(), &EvalContext::unbounded()).unwrap();
            }
        }
    }
}
