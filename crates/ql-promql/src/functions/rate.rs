//! Counters: rates, increases, resets and changes.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use crate::annotations::{Annotation, HistogramOperation};
use crate::eval::error::EvalError;
use crate::functions::extended;
use crate::functions::window::{Extension, Window, WindowContext, WindowValue};

type Outcome = Result<Option<WindowValue>, EvalError>;

/// What a difference over a window is taken of, and how it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateKind {
    /// Per second, of a counter.
    Rate,
    /// Over the range, of a counter.
    Increase,
    /// Over the range, of a gauge.
    Delta,
}

impl RateKind {
    pub(crate) fn is_counter(self) -> bool {
        self != Self::Delta
    }

    pub(crate) fn is_rate(self) -> bool {
        self == Self::Rate
    }
}

pub(crate) fn rate(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    difference(window, context, RateKind::Rate)
}

pub(crate) fn increase(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    difference(window, context, RateKind::Increase)
}

pub(crate) fn delta(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    difference(window, context, RateKind::Delta)
}

#[expect(clippy::unnecessary_wraps, reason = "every kernel has this type")]
fn difference(window: &Window<'_>, context: &mut WindowContext<'_>, kind: RateKind) -> Outcome {
    if window.is_mixed() {
        context.warn_mixed();
        return Ok(None);
    }
    if context.extension != Extension::None {
        return Ok(extended::difference(window, context, kind));
    }
    Ok(extrapolated(window, context, kind))
}

/// Whether a counter was reset between two samples, by their start timestamps (0 for unknown).
pub(crate) fn is_start_reset(previous_start: i64, previous_ms: i64, start: i64, t_ms: i64) -> bool {
    if start == 0 || start >= t_ms || start < previous_ms {
        return false;
    }
    if start > previous_ms {
        return true;
    }
    // It starts where the previous sample is: a delta series, unless that one's start is unknown.
    previous_start <= previous_ms && previous_start != 0 && previous_start != previous_ms
}

fn starts_overlap(previous_start: i64, previous_ms: i64, start: i64) -> bool {
    start != 0 && start < previous_ms && start != previous_start
}

/// The difference within the samples, before it is extrapolated.
enum Raw {
    Float(f64),
    Histogram(FloatHistogram),
}

fn extrapolated(window: &Window<'_>, context: &mut WindowContext<'_>, kind: RateKind) -> Option<WindowValue> {
    let is_histogram = !window.histogram_ts.is_empty();
    let (times, starts) = if is_histogram {
        (window.histogram_ts, window.histogram_st)
    } else {
        (window.float_ts, window.float_st)
    };
    let (first_ms, last_ms) = (*times.first()?, *times.last()?);
    let n_gaps = times.len() - 1;
    let mut raw = if !is_histogram {
        Some(Raw::Float(float_difference(window, context, kind)))
    } else if n_gaps > 0 {
        Some(Raw::Histogram(histogram_difference(window, context, kind)?))
    } else {
        None
    };
    let mut sampled_s = (last_ms - first_ms) as f64 / 1000.0;
    let between_s = if n_gaps > 0 { sampled_s / n_gaps as f64 } else { 0.0 };
    let threshold_s = between_s * 1.1;

    let start_s;
    let first_start = starts.first().copied().unwrap_or(0);
    if kind.is_counter() && first_start != 0 && first_start > window.start_ms && first_start < first_ms {
        // The counter began within the window: the first sample is all increase, and nothing is
        // extrapolated to the left.
        start_s = 0.0;
        sampled_s = (last_ms - first_start) as f64 / 1000.0;
        add_first_sample(&mut raw, window, context)?;
    } else if n_gaps == 0 {
        return None;
    } else {
        start_s = extrapolation_to_start(window, raw.as_ref(), sampled_s, between_s, kind);
    }
    let mut end_s = (window.end_ms - last_ms) as f64 / 1000.0;
    if end_s >= threshold_s {
        end_s = between_s / 2.0;
    }
    let mut factor = 1.0;
    if sampled_s != 0.0 {
        factor = (sampled_s + start_s + end_s) / sampled_s;
    }
    if kind.is_rate() {
        factor /= window.range_seconds();
    }
    match raw? {
        Raw::Float(value) => Some(WindowValue::Float(value * factor)),
        Raw::Histogram(mut histogram) => {
            histogram.mul(factor);
            WindowValue::histogram(histogram)
        }
    }
}

fn add_first_sample(
    raw: &mut Option<Raw>,
    window: &Window<'_>,
    context: &mut WindowContext<'_>,
) -> Option<()> {
    match raw {
        Some(Raw::Float(value)) => *value += window.floats[0],
        Some(Raw::Histogram(histogram)) => {
            if !extended::add_noting(histogram, &window.histograms[0], context) {
                return None;
            }
        }
        None => *raw = Some(Raw::Histogram((*window.histograms[0]).clone())),
    }
    Some(())
}

/// How far to extrapolate to the left: to the start of the range if the first sample is near it,
/// else by half the distance between samples; for counters no further than to where they were zero.
fn extrapolation_to_start(
    window: &Window<'_>,
    raw: Option<&Raw>,
    sampled_s: f64,
    between_s: f64,
    kind: RateKind,
) -> f64 {
    let first_ms =
        window.float_ts.first().or(window.histogram_ts.first()).copied().unwrap_or(window.start_ms);
    let mut start_s = (first_ms - window.start_ms) as f64 / 1000.0;
    if start_s >= between_s * 1.1 {
        start_s = between_s / 2.0;
    }
    if !kind.is_counter() {
        return start_s;
    }
    let zero_s = match raw {
        Some(Raw::Float(increase)) if *increase > 0.0 && window.floats[0] >= 0.0 => {
            sampled_s * (window.floats[0] / increase)
        }
        Some(Raw::Histogram(increase)) if increase.count > 0.0 && window.histograms[0].count >= 0.0 => {
            sampled_s * (window.histograms[0].count / increase.count)
        }
        _ => start_s,
    };
    if zero_s < start_s { zero_s } else { start_s }
}

fn float_difference(window: &Window<'_>, context: &mut WindowContext<'_>, kind: RateKind) -> f64 {
    let values = window.floats;
    let mut result = values[values.len() - 1] - values[0];
    if !kind.is_counter() {
        return result;
    }
    if window.float_st.is_empty() {
        for idx in context.carry.drops(window) {
            result += values[idx - 1];
        }
        return result;
    }
    let (times, starts) = (window.float_ts, window.float_st);
    let mut overlaps = false;
    for idx in 1..values.len() {
        overlaps |= starts_overlap(starts[idx - 1], times[idx - 1], starts[idx]);
        if values[idx] < values[idx - 1]
            || is_start_reset(starts[idx - 1], times[idx - 1], starts[idx], times[idx])
        {
            result += values[idx - 1];
        }
    }
    if overlaps {
        let metric = context.metric();
        context.annotate(Annotation::StartTimeOverlap { metric, occurrences: 1 });
    }
    result
}

fn histogram_difference(
    window: &Window<'_>,
    context: &mut WindowContext<'_>,
    kind: RateKind,
) -> Option<FloatHistogram> {
    let points = window.histograms;
    let (first, last) = (&points[0], &points[points.len() - 1]);
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let reset_at = |idx: usize, previous: &FloatHistogram| {
        let (starts, times) = (window.histogram_st, window.histogram_ts);
        (!starts.is_empty() && is_start_reset(starts[idx - 1], times[idx - 1], starts[idx], times[idx]))
            || points[idx].detect_reset(previous)
    };
    let not_counter = |context: &mut WindowContext<'_>| {
        let metric = context.metric();
        context.annotate(Annotation::NativeHistogramNotCounter { metric });
    };
    if kind.is_counter() && (is_gauge(first) || is_gauge(last)) {
        not_counter(context);
    }
    let mut previous = Arc::clone(first);
    let mut custom = first.uses_custom_buckets();
    if kind.is_counter() && reset_at(1, first) {
        // Nothing before the reset matters, not even its bucket layout.
        custom = points[1].uses_custom_buckets();
        previous = Arc::new(FloatHistogram {
            schema: points[1].schema,
            custom_values: points[1].custom_values.clone(),
            ..FloatHistogram::default()
        });
    }
    if last.uses_custom_buckets() != custom {
        context.warn_mixed_schemas();
        return None;
    }
    let mut schema_min = last.schema.min(previous.schema);
    if kind.is_counter() {
        for point in &points[1..points.len() - 1] {
            if is_gauge(point) {
                not_counter(context);
            }
            schema_min = schema_min.min(point.schema);
            if point.uses_custom_buckets() != custom {
                context.warn_mixed_schemas();
                return None;
            }
        }
    }
    let mut result = last.to_schema(schema_min);
    if !extended::sub_noting(&mut result, &previous, context) {
        return None;
    }
    if kind.is_counter() {
        add_before_resets(&mut result, window, &previous, reset_at, context)?;
    } else if !is_gauge(first) || !is_gauge(last) {
        let metric = context.metric();
        context.annotate(Annotation::NativeHistogramNotGauge { metric });
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// Adds to a difference what the counter had reached before each reset.
fn add_before_resets(
    result: &mut FloatHistogram,
    window: &Window<'_>,
    first: &Arc<FloatHistogram>,
    reset_at: impl Fn(usize, &FloatHistogram) -> bool,
    context: &mut WindowContext<'_>,
) -> Option<()> {
    let mut previous = first;
    let mut overlaps = false;
    for idx in 1..window.histograms.len() {
        if !window.histogram_st.is_empty() {
            let (starts, times) = (window.histogram_st, window.histogram_ts);
            overlaps |= starts_overlap(starts[idx - 1], times[idx - 1], starts[idx]);
        }
        if reset_at(idx, previous) && !extended::add_noting(result, previous, context) {
            return None;
        }
        previous = &window.histograms[idx];
    }
    if overlaps {
        let metric = context.metric();
        context.annotate(Annotation::StartTimeOverlap { metric, occurrences: 1 });
    }
    Some(())
}

/// A sample of either kind.
#[derive(Debug, Clone, Copy)]
struct Sample<'a> {
    t_ms: i64,
    start_ms: i64,
    value: SampleRef<'a>,
}

#[derive(Debug, Clone, Copy)]
enum SampleRef<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// The samples of a window in time order, from the given first float and histogram on.
fn in_time_order<'a>(window: &Window<'a>, first: FirstSamples) -> impl Iterator<Item = Sample<'a>> {
    let window = *window;
    let (mut float, mut histogram) = (first.float, first.histogram);
    std::iter::from_fn(move || {
        let float_ms = window.float_ts.get(float).copied();
        let histogram_ms = window.histogram_ts.get(histogram).copied();
        let take_float = match (float_ms, histogram_ms) {
            (None, None) => return None,
            (Some(f), Some(h)) => f < h,
            (f, _) => f.is_some(),
        };
        if take_float {
            float += 1;
            let idx = float - 1;
            let start_ms = window.float_st.get(idx).copied().unwrap_or(0);
            return Some(Sample { t_ms: float_ms?, start_ms, value: SampleRef::Float(window.floats[idx]) });
        }
        histogram += 1;
        let idx = histogram - 1;
        let start_ms = window.histogram_st.get(idx).copied().unwrap_or(0);
        Some(Sample { t_ms: histogram_ms?, start_ms, value: SampleRef::Histogram(&window.histograms[idx]) })
    })
}

pub(crate) fn irate(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    Ok(last_two(window, context, true))
}

pub(crate) fn idelta(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    Ok(last_two(window, context, false))
}

/// The difference of the last two samples, per second if `is_rate`.
fn last_two(window: &Window<'_>, context: &mut WindowContext<'_>, is_rate: bool) -> Option<WindowValue> {
    if window.n_samples() < 2 {
        return None;
    }
    let first = FirstSamples {
        float: window.float_ts.len().saturating_sub(2),
        histogram: window.histogram_ts.len().saturating_sub(2),
    };
    let (mut before, mut last) = (None, None);
    for sample in in_time_order(window, first) {
        before = last.replace(sample);
    }
    let (before, last) = (before?, last?);
    let interval_s = (last.t_ms - before.t_ms) as f64 / 1000.0;
    if interval_s == 0.0 {
        return None;
    }
    let start_reset = is_start_reset(before.start_ms, before.t_ms, last.start_ms, last.t_ms);
    match (before.value, last.value) {
        (SampleRef::Float(old), SampleRef::Float(new)) => {
            let reset = is_rate && (new < old || start_reset);
            let difference = if reset { new } else { new - old };
            Some(WindowValue::Float(if is_rate { difference / interval_s } else { difference }))
        }
        (SampleRef::Histogram(old), SampleRef::Histogram(new)) => {
            let mut result = new.clone();
            check_hints(old, new, context, is_rate);
            if (!is_rate || (!start_reset && !new.detect_reset(old)))
                && !extended::sub_noting(&mut result, old, context)
            {
                return None;
            }
            result.counter_reset_hint = CounterResetHint::Gauge;
            result.compact(0);
            if is_rate {
                result.div(interval_s);
            }
            WindowValue::histogram(result)
        }
        _ => {
            context.warn_mixed();
            None
        }
    }
}

fn check_hints(old: &FloatHistogram, new: &FloatHistogram, context: &mut WindowContext<'_>, is_rate: bool) {
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let (any_gauge, both_gauges) = (is_gauge(old) || is_gauge(new), is_gauge(old) && is_gauge(new));
    let metric = context.metric();
    if is_rate && any_gauge {
        context.annotate(Annotation::NativeHistogramNotCounter { metric });
    } else if !is_rate && !both_gauges {
        context.annotate(Annotation::NativeHistogramNotGauge { metric });
    }
}

/// The samples at which a count begins.
#[derive(Debug, Clone, Copy)]
struct FirstSamples {
    float: usize,
    histogram: usize,
}

/// An anchored window begins with the last sample at or before its start, and is empty if nothing
/// follows that.
fn first_samples(window: &Window<'_>, extension: Extension) -> Option<FirstSamples> {
    if extension != Extension::Anchored {
        return Some(FirstSamples { float: 0, histogram: 0 });
    }
    let float = window.float_ts.partition_point(|t_ms| *t_ms <= window.start_ms);
    let histogram = window.histogram_ts.partition_point(|t_ms| *t_ms <= window.start_ms);
    if float == window.float_ts.len() && histogram == window.histogram_ts.len() {
        return None;
    }
    let float_ms = float.checked_sub(1).map(|idx| window.float_ts[idx]);
    let histogram_ms = histogram.checked_sub(1).map(|idx| window.histogram_ts[idx]);
    Some(match (float_ms, histogram_ms) {
        (None, None) => FirstSamples { float: 0, histogram: 0 },
        (Some(f), h) if h.is_none_or(|h| f >= h) => FirstSamples { float: float - 1, histogram },
        _ => FirstSamples { float, histogram: histogram - 1 },
    })
}

/// Counts neighbours for which `differs` holds; a change of kind always counts.
fn count_neighbours(
    window: &Window<'_>,
    context: &WindowContext<'_>,
    differs: impl Fn(&Sample<'_>, &Sample<'_>) -> bool,
) -> Option<WindowValue> {
    let first = first_samples(window, context.extension)?;
    let mut n = 0usize;
    let mut previous: Option<Sample<'_>> = None;
    for sample in in_time_order(window, first) {
        if let Some(before) = &previous
            && differs(before, &sample)
        {
            n += 1;
        }
        previous = Some(sample);
    }
    Some(WindowValue::Float(n as f64))
}

#[expect(clippy::unnecessary_wraps, reason = "every kernel has this type")]
pub(crate) fn resets(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    Ok(count_neighbours(window, context, |before, after| {
        let start_reset = || is_start_reset(before.start_ms, before.t_ms, after.start_ms, after.t_ms);
        match (before.value, after.value) {
            (SampleRef::Float(old), SampleRef::Float(new)) => new < old || start_reset(),
            (SampleRef::Histogram(old), SampleRef::Histogram(new)) => start_reset() || new.detect_reset(old),
            _ => true,
        }
    }))
}

#[expect(clippy::unnecessary_wraps, reason = "every kernel has this type")]
pub(crate) fn changes(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    Ok(count_neighbours(window, context, |before, after| match (before.value, after.value) {
        (SampleRef::Float(old), SampleRef::Float(new)) => old != new && !(old.is_nan() && new.is_nan()),
        (SampleRef::Histogram(old), SampleRef::Histogram(new)) => !new.same_data(old),
        _ => true,
    }))
}

/// The annotation of sums or differences of custom buckets with different bounds.
pub(crate) fn bounds_reconciled(operation: HistogramOperation) -> Annotation {
    Annotation::MismatchedCustomBuckets { operation }
}
