//! Comparing what came out with what was stated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base::gofloat::format_g;
use model::histogram::{CounterResetHint, Span};
use model::{FloatHistogram, Labels};

use super::script::{Eval, EvalTime, Expected, ExpectedSeries};
use crate::almost::almost_equal;
use crate::series_desc::SequenceValue;
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};

/// The relative error that test scripts allow.
const RELATIVE_ERROR_MAX: f64 = 1e-6;

/// How a result differs from what was stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("expected {expected}, got {got}")]
    Value { expected: String, got: String },
    #[error("{labels}: expected {expected}, got {got}")]
    Series { labels: Labels, expected: String, got: String },
    #[error("expected nothing for {labels}, got {got}")]
    Unexpected { labels: Labels, got: String },
    #[error("{labels} is missing, expected {expected}")]
    Missing { labels: Labels, expected: String },
    #[error("{labels} is at position {got}, expected at {expected}")]
    Position { labels: Labels, expected: usize, got: usize },
    #[error("an ordered result was expected, got a matrix")]
    OrderedMatrix,
    #[error("the matrix is not sorted: {second} comes after {first}")]
    Unsorted { first: Labels, second: Labels },
    #[error("{labels}: {n} values were expected, which the time range cannot hold")]
    TooManyValues { labels: Labels, n: usize },
}

/// Compares the value of a query with what `eval` states.
pub(super) fn compare(eval: &Eval, value: &Value) -> Result<(), Mismatch> {
    let differs = |expected: String| Mismatch::Value { expected, got: show_value(value) };
    match (&eval.expected, value) {
        (Expected::Scalar(expected), Value::Scalar { value: got, .. }) => {
            if almost_equal(*expected, *got, RELATIVE_ERROR_MAX) {
                return Ok(());
            }
            Err(differs(format_g(*expected)))
        }
        (Expected::String(expected), Value::String { value: got, .. }) => {
            if expected == got {
                Ok(())
            } else {
                Err(differs(format!("{expected:?}")))
            }
        }
        (Expected::Series(expected), Value::Vector { samples, .. }) => {
            compare_vector(expected, samples, eval.ordered)
        }
        (Expected::Series(_), Value::Matrix(_)) if eval.ordered => Err(Mismatch::OrderedMatrix),
        (Expected::Series(expected), Value::Matrix(series)) => {
            compare_matrix(expected, series, eval.expected_times())
        }
        (Expected::Scalar(expected), _) => Err(differs(format!("the scalar {}", format_g(*expected)))),
        (Expected::String(expected), _) => Err(differs(format!("the string {expected:?}"))),
        (Expected::Series(expected), _) => Err(differs(format!("{} series", expected.len()))),
    }
}

/// The expected series by labels, with their position from 1.
fn by_labels(expected: &[ExpectedSeries]) -> BTreeMap<&Labels, (usize, &[SequenceValue])> {
    (1..).zip(expected).map(|(position, s)| (&s.labels, (position, s.values.as_slice()))).collect()
}

fn compare_vector(expected: &[ExpectedSeries], got: &[VectorSample], ordered: bool) -> Result<(), Mismatch> {
    let mut missing = by_labels(expected);
    for (position, sample) in (1..).zip(got) {
        let labels = &sample.labels;
        let got = show_sample(&sample.value);
        let Some((expected_position, values)) = missing.remove(labels) else {
            return Err(Mismatch::Unexpected { labels: labels.clone(), got });
        };
        if ordered && expected_position != position {
            let (labels, expected) = (labels.clone(), expected_position);
            return Err(Mismatch::Position { labels, expected, got: position });
        }
        let value = values.first().unwrap_or(&SequenceValue::Omitted);
        if !same_value(value, &sample.value) {
            return Err(Mismatch::Series { labels: labels.clone(), expected: show_expected(value), got });
        }
    }
    none_missing(&missing)
}

fn none_missing(missing: &BTreeMap<&Labels, (usize, &[SequenceValue])>) -> Result<(), Mismatch> {
    match missing.first_key_value() {
        None => Ok(()),
        Some((labels, (_, values))) => {
            let expected: Vec<String> = values.iter().map(show_expected).collect();
            Err(Mismatch::Missing { labels: (*labels).clone(), expected: expected.join(" ") })
        }
    }
}

fn compare_matrix(
    expected: &[ExpectedSeries],
    got: &[MatrixSeries],
    times: EvalTime,
) -> Result<(), Mismatch> {
    check_sorted(got)?;
    let (start_ms, end_ms, step_ms) = match times {
        EvalTime::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        EvalTime::Instant { t_ms } => (t_ms, t_ms, 1),
    };
    let mut missing = by_labels(expected);
    for series in got {
        let labels = &series.labels;
        let Some((_, values)) = missing.remove(labels) else {
            return Err(Mismatch::Unexpected { labels: labels.clone(), got: show_series(series) });
        };
        let n_times = usize::try_from((end_ms - start_ms) / step_ms).unwrap_or(0) + 1;
        if values.len() > n_times {
            return Err(Mismatch::TooManyValues { labels: labels.clone(), n: values.len() });
        }
        let times = (0..).map(|idx: i64| start_ms + idx * step_ms);
        let points: Vec<(i64, &SequenceValue)> =
            times.zip(values).filter(|(_, value)| !matches!(value, SequenceValue::Omitted)).collect();
        if !same_points(&points, series) {
            let expected: Vec<String> =
                points.iter().map(|(t, value)| format!("{}@{t}", show_expected(value))).collect();
            let (labels, expected) = (labels.clone(), expected.join(" "));
            return Err(Mismatch::Series { labels, expected, got: show_series(series) });
        }
    }
    none_missing(&missing)
}

pub(super) fn check_sorted(series: &[MatrixSeries]) -> Result<(), Mismatch> {
    match series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        None => Ok(()),
        Some(pair) => {
            let [first, second] = [&pair[0], &pair[1]].map(|s| s.labels.clone());
            Err(Mismatch::Unsorted { first, second })
        }
    }
}

fn same_points(expected: &[(i64, &SequenceValue)], got: &MatrixSeries) -> bool {
    let floats = expected.iter().filter_map(|(t, value)| match value {
        SequenceValue::Float(v) => Some((*t, *v)),
        _ => None,
    });
    let got_floats = got.float_ts.iter().zip(&got.floats);
    let histograms = expected.iter().filter(|(_, value)| matches!(value, SequenceValue::Histogram { .. }));
    floats.clone().count() == got.float_ts.len()
        && histograms.clone().count() == got.histogram_ts.len()
        && floats
            .zip(got_floats)
            .all(|((t, v), (got_t, got))| t == *got_t && almost_equal(v, *got, RELATIVE_ERROR_MAX))
        && histograms
            .zip(got.histogram_ts.iter().zip(&got.histograms))
            .all(|((t, value), (got_t, got))| t == got_t && same_histogram(value, got))
}

fn same_value(expected: &SequenceValue, got: &SampleValue) -> bool {
    match (expected, got) {
        (SequenceValue::Float(expected), SampleValue::Float(got)) => {
            almost_equal(*expected, *got, RELATIVE_ERROR_MAX)
        }
        (expected, SampleValue::Histogram(got)) => same_histogram(expected, got),
        (_, SampleValue::Float(_)) => false,
    }
}

fn same_histogram(expected: &SequenceValue, got: &FloatHistogram) -> bool {
    match expected {
        SequenceValue::Histogram { histogram, reset_hint_given } => {
            let hint = reset_hint_given.then_some(histogram.counter_reset_hint);
            almost_equal_histograms(histogram, got, hint)
        }
        SequenceValue::Float(_) | SequenceValue::Omitted => false,
    }
}

/// Whether two histograms are the same up to rounding and empty buckets. The counter reset hint
/// of `got` is checked only if one is given.
pub fn almost_equal_histograms(
    expected: &FloatHistogram,
    got: &FloatHistogram,
    hint: Option<CounterResetHint>,
) -> bool {
    let (mut expected, mut got) = (expected.clone(), got.clone());
    expected.compact(0);
    got.compact(0);
    let same = |a: f64, b: f64| almost_equal(a, b, RELATIVE_ERROR_MAX);
    let same_side = |a: (&[Span], &[f64]), b: (&[Span], &[f64])| {
        a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().zip(b.1).all(|(a, b)| same(*a, *b))
    };
    expected.schema == got.schema
        && same(expected.count, got.count)
        && same(expected.sum, got.sum)
        && (!expected.uses_custom_buckets() || expected.custom_values == got.custom_values)
        && expected.zero_threshold == got.zero_threshold
        && same(expected.zero_count, got.zero_count)
        && same_side(
            (&expected.positive_spans, &expected.positive_buckets),
            (&got.positive_spans, &got.positive_buckets),
        )
        && same_side(
            (&expected.negative_spans, &expected.negative_buckets),
            (&got.negative_spans, &got.negative_buckets),
        )
        && hint.is_none_or(|hint| hint == got.counter_reset_hint)
}

fn show_expected(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "_".to_owned(),
        SequenceValue::Float(v) => show_float(*v),
        SequenceValue::Histogram { histogram, .. } => histogram.test_expression(),
    }
}

fn show_float(v: f64) -> String {
    if model::is_stale_nan(v) { "stale".to_owned() } else { format_g(v) }
}

fn show_sample(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(v) => show_float(*v),
        SampleValue::Histogram(histogram) => histogram.test_expression(),
    }
}

fn show_series(series: &MatrixSeries) -> String {
    let floats = series.float_ts.iter().zip(series.floats.iter().map(|v| show_float(*v)));
    let histograms = series.histogram_ts.iter().zip(series.histograms.iter().map(|h| h.test_expression()));
    let mut points: Vec<(i64, String)> = floats.chain(histograms).map(|(t, text)| (*t, text)).collect();
    points.sort();
    let texts: Vec<String> = points.into_iter().map(|(t, text)| format!("{text}@{t}")).collect();
    texts.join(" ")
}

pub(super) fn show_value(value: &Value) -> String {
    let mut out = format!("the {} ", value.type_name());
    match value {
        Value::Scalar { value, .. } => out.push_str(&show_float(*value)),
        Value::String { value, .. } => write!(out, "{value:?}").expect("writing to a String cannot fail"),
        Value::Vector { samples, .. } => {
            let texts: Vec<String> =
                samples.iter().map(|s| format!("{} {}", s.labels, show_sample(&s.value))).collect();
            out.push_str(&texts.join(", "));
        }
        Value::Matrix(series) => {
            let texts: Vec<String> =
                series.iter().map(|s| format!("{} {}", s.labels, show_series(s))).collect();
            out.push_str(&texts.join(", "));
        }
    }
    out
}
