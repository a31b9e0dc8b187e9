//! Anchored and smoothed ranges: values at the very ends of the range instead of extrapolation.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use crate::annotations::{Annotation, HistogramOperation};
use crate::functions::rate::{RateKind, bounds_reconciled};
use crate::functions::window::{Extension, Window, WindowContext, WindowValue};
use crate::value::MatrixSeries;

/// Adds, with what that remarks; false if the bucket schemas do not mix.
pub(crate) fn add_noting(
    base: &mut FloatHistogram,
    other: &FloatHistogram,
    context: &mut WindowContext<'_>,
) -> bool {
    match base.add(other) {
        Ok(notes) => {
            if notes.bounds_reconciled {
                context.annotate(bounds_reconciled(HistogramOperation::Addition));
            }
            true
        }
        Err(_) => {
            context.warn_mixed_schemas();
            false
        }
    }
}

/// As [`add_noting`], subtracting.
pub(crate) fn sub_noting(
    base: &mut FloatHistogram,
    other: &FloatHistogram,
    context: &mut WindowContext<'_>,
) -> bool {
    match base.sub(other) {
        Ok(notes) => {
            if notes.bounds_reconciled {
                context.annotate(bounds_reconciled(HistogramOperation::Subtraction));
            }
            true
        }
        Err(_) => {
            context.warn_mixed_schemas();
            false
        }
    }
}

/// The value at `at_ms` on the line through two floats. A counter that fell between them is taken
/// to have started again from 0.
pub(crate) fn interpolate(before: (i64, f64), after: (i64, f64), at_ms: i64, is_counter: bool) -> f64 {
    let ((t1, mut y1), (t2, y2)) = (before, after);
    if is_counter && y2 < y1 {
        y1 = 0.0;
    }
    y1 + (y2 - y1) * (at_ms - t1) as f64 / (t2 - t1) as f64
}

/// As [`interpolate`], of histograms; `None` if their schemas do not mix.
pub(crate) fn interpolate_histograms(
    before: (i64, &FloatHistogram),
    after: (i64, &FloatHistogram),
    at_ms: i64,
    is_counter: bool,
    context: &mut WindowContext<'_>,
) -> Option<FloatHistogram> {
    let ((t1, h1), (t2, h2)) = (before, after);
    if at_ms == t1 {
        return Some(h1.clone());
    }
    let mut result = h2.clone();
    if at_ms == t2 {
        return Some(result);
    }
    let fraction = (at_ms - t1) as f64 / (t2 - t1) as f64;
    if is_counter && h2.detect_reset(h1) {
        result.mul(fraction);
        return Some(result);
    }
    if !sub_noting(&mut result, h1, context) {
        return None;
    }
    result.mul(fraction);
    add_noting(&mut result, h1, context).then_some(result)
}

/// The samples that bound a range: from the last at or before its start, to the first at or after
/// its end (smoothed) or the last there is (anchored).
#[derive(Debug, Clone, Copy)]
struct Bounds {
    first: usize,
    last: usize,
}

fn bounds(times: &[i64], start_ms: i64, end_ms: i64, smoothed: bool) -> Bounds {
    let last = times.len() - 1;
    let first = times[..last].partition_point(|t_ms| *t_ms <= start_ms).saturating_sub(1);
    let last = if smoothed { times[..last].partition_point(|t_ms| *t_ms < end_ms) } else { last };
    Bounds { first, last }
}

fn float_ends(
    times: &[i64],
    values: &[f64],
    bounds: Bounds,
    range: (i64, i64),
    smoothed: bool,
    is_counter: bool,
) -> (f64, f64) {
    let (start_ms, end_ms) = range;
    let Bounds { first, last } = bounds;
    let at = |idx: usize| (times[idx], values[idx]);
    let left = if smoothed && times[first] < start_ms {
        interpolate(at(first), at(first + 1), start_ms, is_counter)
    } else {
        values[first]
    };
    let right = if smoothed && last > 0 && times[last] > end_ms {
        interpolate(at(last - 1), at(last), end_ms, is_counter)
    } else {
        values[last]
    };
    (left, right)
}

/// `rate`, `increase` and `delta` of an anchored or smoothed range.
pub(crate) fn difference(
    window: &Window<'_>,
    context: &mut WindowContext<'_>,
    kind: RateKind,
) -> Option<WindowValue> {
    if window.histogram_ts.is_empty() {
        float_difference(window, context, kind).map(WindowValue::Float)
    } else {
        histogram_difference(window, context, kind).map(|h| WindowValue::Histogram(Arc::new(h)))
    }
}

fn float_difference(window: &Window<'_>, context: &WindowContext<'_>, kind: RateKind) -> Option<f64> {
    let smoothed = context.extension == Extension::Smoothed;
    let (times, values) = (window.float_ts, window.floats);
    if times.is_empty() {
        return None;
    }
    let found = bounds(times, window.start_ms, window.end_ms, smoothed);
    if times[found.last] <= window.start_ms || (smoothed && times[found.first] > window.end_ms) {
        return None;
    }
    let range = (window.start_ms, window.end_ms);
    let (left, right) = float_ends(times, values, found, range, smoothed, kind.is_counter());
    let mut result = right - left;
    if kind.is_counter() {
        let first = found.first + usize::from(times[found.first] <= window.start_ms);
        let end = found.last + usize::from(times[found.last] < window.end_ms);
        result += reset_correction(left, right, values.get(first..end).unwrap_or(&[]));
    }
    if kind.is_rate() {
        result /= window.range_seconds();
    }
    Some(result)
}

/// What a counter had reached before each of its resets.
fn reset_correction(left: f64, right: f64, between: &[f64]) -> f64 {
    let mut correction = 0.0;
    let mut previous = left;
    for value in between.iter().copied().chain([right]) {
        if value < previous {
            correction += previous;
        }
        previous = value;
    }
    correction
}

fn histogram_difference(
    window: &Window<'_>,
    context: &mut WindowContext<'_>,
    kind: RateKind,
) -> Option<FloatHistogram> {
    let smoothed = context.extension == Extension::Smoothed;
    let (times, points) = (window.histogram_ts, window.histograms);
    let found = bounds(times, window.start_ms, window.end_ms, smoothed);
    let Bounds { first, last } = found;
    if times[last] <= window.start_ms || (smoothed && times[first] > window.end_ms) {
        return None;
    }
    if !consistent(points.get(first..=last)?, kind, context) {
        return None;
    }
    let at = |idx: usize| (times[idx], &*points[idx]);
    let left = if smoothed && times[first] < window.start_ms {
        interpolate_histograms(at(first), at(first + 1), window.start_ms, kind.is_counter(), context)?
    } else {
        (*points[first]).clone()
    };
    let right = if smoothed && last > 0 && times[last] > window.end_ms {
        interpolate_histograms(at(last - 1), at(last), window.end_ms, kind.is_counter(), context)?
    } else {
        (*points[last]).clone()
    };
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let both_gauges = is_gauge(&left) && is_gauge(&right);
    if !kind.is_counter() && !both_gauges {
        let metric = context.metric();
        context.annotate(Annotation::NativeHistogramNotGauge { metric });
    }
    let mut result = right.clone();
    if !sub_noting(&mut result, &left, context) {
        return None;
    }
    if kind.is_counter()
        && let Some(correction) = histogram_correction(window, found, (&left, &right), smoothed, context)?
        && !add_noting(&mut result, &correction, context)
    {
        return None;
    }
    if kind.is_rate() {
        result.div(window.range_seconds());
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// Whether all histograms have the same kind of buckets. Gauges under a counter function are noted.
fn consistent(points: &[Arc<FloatHistogram>], kind: RateKind, context: &mut WindowContext<'_>) -> bool {
    let custom = points.first().is_some_and(|h| h.uses_custom_buckets());
    for point in points {
        if point.uses_custom_buckets() != custom {
            context.warn_mixed_schemas();
            return false;
        }
        if kind.is_counter() && point.counter_reset_hint == CounterResetHint::Gauge {
            let metric = context.metric();
            context.annotate(Annotation::NativeHistogramNotCounter { metric });
        }
    }
    true
}

/// The sum of what the counter had reached before each reset; the inner `None` if there was none,
/// the outer if histograms did not mix.
fn histogram_correction(
    window: &Window<'_>,
    bounds: Bounds,
    ends: (&FloatHistogram, &FloatHistogram),
    smoothed: bool,
    context: &mut WindowContext<'_>,
) -> Option<Option<FloatHistogram>> {
    let points = window.histograms;
    let (left, right) = ends;
    let mut first = bounds.first + 1;
    let mut previous = left;
    let spans_start = smoothed && window.histogram_ts[bounds.first] < window.start_ms;
    if spans_start && points[bounds.first + 1].detect_reset(&points[bounds.first]) {
        // The value at the start was interpolated across this reset, which is thereby accounted for.
        previous = &points[bounds.first + 1];
        first += 1;
    }
    // The last sample is `right`, or where it was interpolated to; its hint must not count twice.
    if first > bounds.last {
        return Some(None);
    }
    let mut correction: Option<FloatHistogram> = None;
    let between = points[first..bounds.last].iter().map(|h| &**h);
    for point in between.chain([right]) {
        if point.detect_reset(previous) {
            match &mut correction {
                None => correction = Some(previous.clone()),
                Some(sum) => {
                    if !add_noting(sum, previous, context) {
                        return None;
                    }
                }
            }
        }
        previous = point;
    }
    Some(correction)
}

/// Puts samples at the very ends of a range that stands on its own.
pub(crate) fn extend_floats(series: &mut MatrixSeries, start_ms: i64, end_ms: i64, smoothed: bool) {
    if series.float_ts.is_empty() {
        return;
    }
    let found = bounds(&series.float_ts, start_ms, end_ms, smoothed);
    if series.float_ts[found.last] <= start_ms {
        series.float_ts.clear();
        series.floats.clear();
        return;
    }
    let (left, right) =
        float_ends(&series.float_ts, &series.floats, found, (start_ms, end_ms), smoothed, false);
    let first = found.first + usize::from(series.float_ts[found.first] <= start_ms);
    let end = found.last + usize::from(series.float_ts[found.last] < end_ms);
    let inner = first..end.max(first);
    let mut times = vec![start_ms];
    times.extend_from_slice(&series.float_ts[inner.clone()]);
    times.push(end_ms);
    let mut values = vec![left];
    values.extend_from_slice(&series.floats[inner]);
    values.push(right);
    (series.float_ts, series.floats) = (times, values);
}
