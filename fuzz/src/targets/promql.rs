//! PromQL: expressions, their evaluation, series in the notation of tests, and test scripts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, CancelToken, Clock, SystemClock};
use model::{FloatHistogram, Labels};
use ql_promql::ast::{Expr, ValueType};
use ql_promql::eval::evaluate;
use ql_promql::memory_source::MemorySource;
use ql_promql::parser::{ParserOptions, parse_expr, parse_metric, parse_metric_selector};
use ql_promql::promqltest::Script;
use ql_promql::query::{EngineOptions, EvalContext, QueryParams};
use ql_promql::series_desc::{SERIES_VALUES_MAX, parse_series_desc};
use ql_promql::value::{SampleValue, Value};
use ql_promql::{ast_json, prettify};

use crate::Target;
use crate::input::text;
use crate::seeds::{Files, Folder};

const WORDS: &[&str] = &[
    "sum",
    " by (job) ",
    " without (le) ",
    "topk(2, ",
    "quantile(0.9, ",
    "count_values(\"v\", ",
    "limitk(1, ",
    "rate(",
    "increase(",
    "histogram_quantile(0.5, ",
    "histogram_fraction(0, 1, ",
    "label_replace(",
    "label_join(",
    "avg_over_time(",
    "predict_linear(",
    "double_exponential_smoothing(",
    "absent(",
    "absent_over_time(",
    "sort_by_label(",
    "info(",
    "vector(1)",
    "scalar(",
    "time()",
    "step()",
    "range()",
    "min(",
    "start()",
    "end()",
    " offset 1m",
    " offset -1m",
    " @ 10",
    " @ start()",
    " @ end()",
    "[5m]",
    "[1m:10s]",
    "[1h:]",
    "{job=\"a\"}",
    "{__name__=~\".+\"}",
    "{\"a b\"}",
    "=~",
    "!~",
    "!=",
    "==",
    " bool ",
    " and ",
    " or ",
    " unless ",
    " atan2 ",
    " on (job) ",
    " ignoring (le) ",
    " group_left (x) ",
    " group_right ",
    " fill (0) ",
    " smoothed",
    " anchored",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "(",
    ")",
    ",",
    "a",
    "b",
    "h",
    "n",
    "NaN",
    "Inf",
    "0x1f",
    "1e9",
    "1_000",
    "'x'",
    "`y`",
    "\"\\xff\"",
    "9223372036854775807",
    "# c\n",
];

pub(super) const TARGETS: &[Target] = &[
    Target::new("promql", check_expr, expr_seeds).with_words(WORDS).with_heap(64 << 20, 16 << 10),
    Target::new("promql_evaluation", check_evaluation, expr_seeds)
        .with_words(WORDS)
        .with_heap(96 << 20, 16 << 10)
        .with_test_runs(6_000),
    Target::new("promql_matchers", check_matchers, || {
        [r#"up{job="a",x=~"b|c",y!="",z!~"d.*"}"#, r#"{"a.b",'c d'="\n"}"#, "up", "{}"]
            .map(Vec::from)
            .to_vec()
    })
    .with_words(WORDS)
    .with_heap(96 << 20, 16 << 10),
    // A description may stand for as many values as the limit says.
    Target::new("promql_series", check_series, || {
        let texts =
            ["up{a=\"b\"} 1 0x3 1+2x5 _ _x3 stale", "h {{schema:1 sum:3 count:4 buckets:[1 2]}}+{{sum:1}}x4"];
        texts.map(Vec::from).to_vec()
    })
    .with_words(&[
        "_",
        "x3",
        "+",
        "-",
        "stale",
        "{{",
        "}}",
        "schema:",
        "sum:",
        "count:",
        "buckets:[",
        "n_buckets:[",
        "offset:",
        "n_offset:",
        "z_bucket:",
        "z_bucket_w:",
        "custom_values:[",
        "counter_reset_hint:reset",
        "]",
        "NaN",
        "x4194303",
    ])
    .with_heap(SERIES_VALUES_MAX * 64, 4 << 10),
    Target::new("promql_script", check_script, || vec![SCRIPT.into()])
        .with_files(&[Files {
            folder: Folder::Conformance("metrics/prometheus/promql/promqltest/testdata"),
            ending: ".test",
            prefix: &[],
        }])
        .with_words(&[
            "load 1m\n",
            "clear\n",
            "eval instant at 1m ",
            "eval range from 0 to 1m step 10s ",
            "expect fail",
            "expect warn",
            "expect no_info\n",
            "expect ordered\n",
            " msg: ",
            " regex: ",
            "expect range vector from 0 to 1m step 10s\n",
            "expect string \"x\"\n",
            "eval_fail ",
            "\n",
            "  a 1 2 3\n",
            "{}",
            "@st 1 2 3",
            "load_with_nhcb 1m\n",
        ])
        .with_heap(SERIES_VALUES_MAX * 64, 4 << 10),
];

fn parsed(query: &str) -> Option<Expr> {
    parse_expr(query, &ParserOptions::all()).ok()
}

/// Whether the lexer takes what the printer wrote: as upstream's, it takes U+FFFD for broken UTF-8 even
/// where somebody means it, and as upstream's, the printer does not escape it.
fn is_readable(printed: &str) -> bool {
    !printed.contains(char::REPLACEMENT_CHARACTER)
}

fn check_expr(input: &[u8]) {
    let Some(query) = text(input) else { return };
    match parse_expr(query, &ParserOptions::all()) {
        Ok(expr) => {
            let printed = expr.to_string();
            let texts = [printed.clone(), prettify::prettify(&expr)];
            for text in texts.into_iter().filter(|text| is_readable(text)) {
                let again = parse_expr(&text, &ParserOptions::all());
                let again = again
                    .unwrap_or_else(|e| panic!("{query:?} prints as {text:?}, which does not parse: {e}"));
                assert_eq!(again.to_string(), printed, "{query:?}, printed, parsed and printed");
            }
            let json = serde_json::from_str::<serde_json::Value>(&ast_json::to_json(&expr));
            // The reader gives up at a depth below the parser's.
            let is_json = json.map_or_else(|e| e.to_string().contains("recursion limit"), |j| j.is_object());
            assert!(is_json, "{query:?} as JSON");
            assert!(expr.span().end as usize <= query.len(), "the expression lies within its text");
        }
        Err(errors) => {
            assert!(!errors.errors().is_empty(), "a refusal says why");
            assert!(!errors.to_string().is_empty());
        }
    }
}

/// Longer expressions only take longer.
const EVALUATED_BYTES_MAX: usize = 300;
const T_MS: i64 = 600_000;

fn check_evaluation(input: &[u8]) {
    let Some(query) = text(input).filter(|query| query.len() <= EVALUATED_BYTES_MAX) else { return };
    let Some(expr) = parsed(query) else { return };
    let instant = value(&QueryParams::instant(&expr, T_MS));
    assert_eq!(instant, value(&QueryParams::instant(&expr, T_MS)), "{query}: the same query gives the same");
    if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) {
        return;
    }
    let range = value(&QueryParams::range(&expr, T_MS, T_MS, 1));
    if let (Some(instant), Some(range)) = (instant, range) {
        assert_eq!(range, instant, "{query}: a range of one step is an instant");
    }
}

/// How a scalar is listed: in a range query it is a series without labels.
const NO_LABELS: &str = "{}";

/// Values by series, without order: `sort` means nothing to a range query.
type Answer = BTreeMap<String, Vec<String>>;

fn value(params: &QueryParams<'_>) -> Option<Answer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let context = EvalContext {
        cancel: CancelToken::with_timeout(clock, Duration::from_secs(2)),
        budget: Budget::new("query", 32 << 20),
        threads: 1,
    };
    let options =
        EngineOptions { samples_max: 20_000, use_start_timestamps: true, ..EngineOptions::default() };
    let output = evaluate(&options, params, &source(), &context).ok()?;
    assert!(output.stats.peak_samples <= options.samples_max, "no more samples are held than allowed");
    let mut answer = Answer::new();
    match output.value {
        Value::Scalar { value, .. } => {
            answer.entry(NO_LABELS.to_owned()).or_default().push(shown(&SampleValue::Float(value)));
        }
        Value::String { value, .. } => answer.entry(NO_LABELS.to_owned()).or_default().push(value),
        Value::Vector { samples, .. } => {
            for sample in samples {
                answer.entry(sample.labels.to_string()).or_default().push(shown(&sample.value));
            }
        }
        Value::Matrix(series) => {
            for series in series {
                let values = answer.entry(series.labels.to_string()).or_default();
                values.extend(series.floats.iter().map(|v| shown(&SampleValue::Float(*v))));
                values
                    .extend(series.histograms.iter().map(|h| shown(&SampleValue::Histogram(Arc::clone(h)))));
            }
        }
    }
    Some(answer)
}

fn shown(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(v) if v.is_nan() => "NaN".to_owned(),
        SampleValue::Float(v) => format!("{v:?}"),
        SampleValue::Histogram(h) => format!("{h:?}"),
    }
}

/// A counter, a gauge with gaps, classic buckets, a native histogram, and a series with a NaN.
fn source() -> MemorySource {
    let mut source = MemorySource::new();
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    for step in 0..12i32 {
        let (t_ms, v) = (i64::from(step) * 60_000, f64::from(step));
        source.append_float(&labels(&[("__name__", "a"), ("job", "x")]), t_ms, v * 2.0 % 15.0, 1);
        source.append_float(&labels(&[("__name__", "a"), ("job", "y")]), t_ms + 1, v, 0);
        if step % 3 != 1 {
            source.append_float(&labels(&[("__name__", "b"), ("job", "x"), ("le", "1")]), t_ms, -v / 3.0, 0);
        }
        source.append_float(&labels(&[("__name__", "b"), ("job", "x"), ("le", "+Inf")]), t_ms, v, 0);
        source.append_float(
            &labels(&[("__name__", "n")]),
            t_ms,
            if step % 2 == 0 { f64::NAN } else { 1e308 },
            0,
        );
        let h = FloatHistogram {
            schema: 1,
            count: v + 2.0,
            sum: v * 1.5,
            positive_spans: vec![model::histogram::Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, v + 1.0],
            ..FloatHistogram::default()
        };
        source.append_histogram(&labels(&[("__name__", "h"), ("job", "x")]), t_ms, h, 0);
    }
    source
}

fn check_matchers(input: &[u8]) {
    let Some(query) = text(input) else { return };
    if let Ok(labels) = parse_metric(query)
        && is_readable(&labels.to_string())
    {
        let printed = labels.to_string();
        assert_eq!(parse_metric(&printed).as_ref(), Ok(&labels), "{query:?} prints as {printed:?}");
    }
    if let Ok(matchers) = parse_metric_selector(query) {
        let parts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        let printed = format!("{{{}}}", parts.join(","));
        if is_readable(&printed) {
            let again = parse_metric_selector(&printed);
            assert_eq!(again.as_ref(), Ok(&matchers), "{query:?} prints as {printed:?}");
        }
    }
}

fn check_series(input: &[u8]) {
    let Some(line) = text(input) else { return };
    let Ok((labels, values)) = parse_series_desc(line) else { return };
    assert!(values.len() <= SERIES_VALUES_MAX, "{} values", values.len());
    assert_eq!(Labels::from_bytes(labels.as_bytes()).as_ref(), Some(&labels));
}

/// Scripts longer than this only have more lines.
const SCRIPT_BYTES_MAX: usize = 1 << 10;

fn check_script(input: &[u8]) {
    let Some(script) = text(input).filter(|script| script.len() <= SCRIPT_BYTES_MAX) else { return };
    if let Err(error) = Script::parse(script) {
        let n_lines = script.split('\n').count();
        assert!((1..=n_lines).contains(&error.line), "line {} of {n_lines}", error.line);
    }
}

const SCRIPT: &str = "load 1m\n  a{x=\"1\"} 0+1x4\n  h {{schema:0 count:1 sum:1 buckets:[1]}}x3\n\n\
    eval instant at 3m sum(a)\n  expect no_warn\n  {} 3\n\neval range from 0 to 2m step 1m a\n  a{x=\"1\"} 0 1 2\n\nclear\n";

fn expr_seeds() -> Vec<Vec<u8>> {
    [
        "sum by (job) (rate(a{job=~\"x|y\"}[5m] offset 1m)) / on (job) group_left (le) b > bool 0.5",
        "histogram_quantile(0.9, sum without (le) (h)) or histogram_quantile(0.5, b)",
        "max_over_time((a + n)[10m:1m] @ end()) unless -a ^ 2 ^ -1",
        "label_replace(a, \"dst\", \"$1-x\", \"job\", \"(.*)\") and ignoring (dst) a",
        "topk(1, a) + scalar(count(b)) * time() - 0x1F",
        "{\"__name__\"=\"a\", job!=\"\"}[1h30m:] @ 300 offset -5m",
        "count_values(\"v\", a) or absent(nothing{x=\"y\"}) or vector(Inf)",
        "increase(a[step() * 5]) smoothed or rate(a[5m] anchored)",
        "\"a string\"",
        "predict_linear(a[5m], 3600) atan2 quantile_over_time(0.5, b[5m])",
    ]
    .map(Vec::from)
    .to_vec()
}
