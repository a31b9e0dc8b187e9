//! Evaluating a query in fragments and comparing with the whole.

use std::sync::Arc;

use base::{SHARDS, ShardRange, ShardSet};
use model::Labels;

use super::compare::{almost_equal_histograms, show_value};
use crate::almost::almost_equal;
use crate::eval::{EvalError, Place, evaluate_in_fragments};
use crate::query::{EngineOptions, EvalContext, QueryOutput, QueryParams, QueryStats};
use crate::source::SeriesSource;
use crate::value::{SampleValue, Value};

/// The relative error that another order of additions may make.
const RELATIVE_ERROR_MAX: f64 = 1e-12;

/// How the outcome in fragments differs from that of the whole query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {n_places} places it gives {got} instead of {expected}")]
pub struct FragmentMismatch {
    pub n_places: usize,
    pub expected: String,
    pub got: String,
}

/// Evaluates the query at so many places, whose shards are about as many each.
pub(super) fn check(
    options: &EngineOptions,
    params: &QueryParams<'_>,
    source: &dyn SeriesSource,
    n_places: usize,
    whole: &Result<QueryOutput, EvalError>,
) -> Result<(), FragmentMismatch> {
    let bound = |place: usize| (usize::from(SHARDS) * place / n_places) as u16;
    let places: Vec<Place<'_>> = (0..n_places)
        .map(|place| {
            let range = ShardRange { first: bound(place), last: bound(place + 1) - 1 };
            Place { source, shards: ShardSet::from(range) }
        })
        .collect();
    let fragmented = evaluate_in_fragments(options, params, &places, &EvalContext::unbounded());
    let differs = |expected: String, got: String| Err(FragmentMismatch { n_places, expected, got });
    match (whole, &fragmented) {
        (Ok(whole), Ok(fragmented)) => {
            if !same_value(&whole.value, &fragmented.value) {
                return differs(show_value(&whole.value), show_value(&fragmented.value));
            }
            // As texts, so that a NaN in one equals a NaN in the other.
            let remarks = |output: &QueryOutput| format!("{:?}", output.annotations);
            if remarks(whole) != remarks(fragmented) {
                return differs(remarks(whole), remarks(fragmented));
            }
            // Scalar arguments are held at every place.
            let stats = |output: &QueryOutput| QueryStats { peak_samples: 0, ..output.stats.clone() };
            if stats(whole) != stats(fragmented) {
                return differs(format!("{:?}", stats(whole)), format!("{:?}", stats(fragmented)));
            }
            Ok(())
        }
        (Err(whole), Err(fragmented)) if whole == fragmented => Ok(()),
        (whole, fragmented) => differs(show_outcome(whole), show_outcome(fragmented)),
    }
}

fn show_outcome(outcome: &Result<QueryOutput, EvalError>) -> String {
    match outcome {
        Ok(output) => show_value(&output.value),
        Err(error) => format!("the error {error}"),
    }
}

/// Each series or sample in turn: its labels and its floats and histograms with their times.
type Point<'a> = (i64, &'a Labels, SampleValue);

fn points(value: &Value) -> Option<Vec<Point<'_>>> {
    match value {
        Value::Vector { t_ms, samples } => {
            Some(samples.iter().map(|sample| (*t_ms, &sample.labels, sample.value.clone())).collect())
        }
        Value::Matrix(series) => {
            let mut points: Vec<Point<'_>> = Vec::new();
            for one in series {
                let floats = one.float_ts.iter().zip(&one.floats);
                points.extend(floats.map(|(t, v)| (*t, &one.labels, SampleValue::Float(*v))));
                let histograms = one.histogram_ts.iter().zip(&one.histograms);
                points.extend(
                    histograms.map(|(t, h)| (*t, &one.labels, SampleValue::Histogram(Arc::clone(h)))),
                );
            }
            Some(points)
        }
        Value::Scalar { .. } | Value::String { .. } => None,
    }
}

/// Whether two values have the same elements in the same order, up to rounding.
fn same_value(a: &Value, b: &Value) -> bool {
    let same_float = |a: f64, b: f64| almost_equal(a, b, RELATIVE_ERROR_MAX);
    let same_sample = |(a, b): (&Point<'_>, &Point<'_>)| {
        (a.0, a.1) == (b.0, b.1)
            && match (&a.2, &b.2) {
                (SampleValue::Float(a), SampleValue::Float(b)) => same_float(*a, *b),
                (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
                    almost_equal_histograms(a, b, Some(a.counter_reset_hint))
                }
                _ => false,
            }
    };
    match (a, b) {
        (Value::Scalar { value: a, .. }, Value::Scalar { value: b, .. }) => same_float(*a, *b),
        (Value::String { value: a, .. }, Value::String { value: b, .. }) => a == b,
        _ => match (points(a), points(b)) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(same_sample),
            _ => false,
        },
    }
}
