//! Functions of a range vector: one value from one window of one series.

use std::collections::VecDeque;
use std::sync::Arc;

use model::histogram::{HistogramMean, HistogramSum, MergeNotes};
use model::{FloatHistogram, Labels};
use ql_core::Span;

use crate::annotations::{Annotation, Annotations, HistogramOperation};
use crate::eval::error::EvalError;
use crate::functions::math::{kahan_inc, quantile};
use crate::functions::{rate, regression};

/// The samples of one series in one window, without staleness markers. The start timestamps are
/// empty if none are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The index of the window's first float in its series.
    pub(crate) first_float: usize,
    pub(crate) float_ts: &'a [i64],
    pub(crate) floats: &'a [f64],
    pub(crate) float_st: &'a [i64],
    pub(crate) histogram_ts: &'a [i64],
    pub(crate) histograms: &'a [Arc<FloatHistogram>],
    pub(crate) histogram_st: &'a [i64],
    /// The range that was asked for, its start exclusive. An extended selector also gives samples
    /// outside of it.
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// When the expression is evaluated, which `@` and offsets do not change.
    pub(crate) eval_ms: i64,
}

impl Window<'_> {
    pub(crate) fn n_samples(&self) -> usize {
        self.float_ts.len() + self.histogram_ts.len()
    }

    pub(crate) fn range_seconds(&self) -> f64 {
        (self.end_ms - self.start_ms) as f64 / 1000.0
    }

    pub(crate) fn is_mixed(&self) -> bool {
        !self.float_ts.is_empty() && !self.histogram_ts.is_empty()
    }
}

/// What a kernel remembers from one window to the next of the same series. Windows only move
/// forward, so that each float need be looked at once or so. Indices are those of the series.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    /// The first float that no window has shown.
    seen: usize,
    /// Floats less than the one before them, as far as windows to come may show both.
    drops: VecDeque<usize>,
    /// The largest, or smallest, float seen.
    best: usize,
}

impl Carry {
    pub(crate) fn clear(&mut self) {
        self.seen = 0;
        self.drops.clear();
    }

    /// The positions within the window of floats that are less than the one before them.
    pub(crate) fn drops(&mut self, window: &Window<'_>) -> impl Iterator<Item = usize> {
        let first = window.first_float;
        let end = first + window.floats.len();
        for idx in self.seen.max(first + 1)..end {
            if window.floats[idx - first] < window.floats[idx - first - 1] {
                self.drops.push_back(idx);
            }
        }
        self.seen = end;
        while self.drops.front().is_some_and(|idx| *idx <= first) {
            self.drops.pop_front();
        }
        self.drops.iter().map(move |idx| idx - first)
    }

    /// The position within the window of the float that no other is better than.
    fn best(&mut self, window: &Window<'_>, better: impl Fn(f64, f64) -> bool) -> usize {
        let first = window.first_float;
        let known = self.seen > first && self.best >= first;
        let (mut best, from) = if known { (self.best - first, self.seen - first) } else { (0, 0) };
        for (idx, value) in window.floats.iter().enumerate().skip(from) {
            if better(*value, window.floats[best]) || window.floats[best].is_nan() {
                best = idx;
            }
        }
        (self.seen, self.best) = (first + window.floats.len(), first + best);
        best
    }
}

/// How a range selector looks beyond its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    None,
    Anchored,
    Smoothed,
}

/// What a window function knows beside the window.
#[derive(Debug)]
pub(crate) struct WindowContext<'a> {
    /// The labels of the series, name included.
    pub(crate) labels: &'a Labels,
    /// The scalar arguments at this step, in order.
    pub(crate) scalars: &'a [f64],
    pub(crate) extension: Extension,
    pub(crate) annotations: &'a mut Annotations,
    /// Where the first argument stands.
    pub(crate) position: Span,
    /// Reused by functions that must sort.
    pub(crate) scratch: &'a mut Vec<f64>,
    pub(crate) carry: &'a mut Carry,
}

impl WindowContext<'_> {
    pub(crate) fn annotate(&mut self, annotation: Annotation) {
        self.annotations.add(annotation, self.position);
    }

    pub(crate) fn metric(&self) -> String {
        self.labels.metric_name().to_owned()
    }

    pub(crate) fn warn_mixed(&mut self) {
        let metric = self.metric();
        self.annotate(Annotation::MixedFloatsHistograms { metric });
    }

    pub(crate) fn warn_mixed_schemas(&mut self) {
        let metric = self.metric();
        self.annotate(Annotation::MixedExponentialCustomHistograms { metric });
    }

    fn note_ignored_histograms(&mut self, window: &Window<'_>) {
        if !window.histogram_ts.is_empty() {
            let metric = self.metric();
            self.annotate(Annotation::HistogramIgnoredInMixedRange { metric });
        }
    }
}

/// What a window function gives.
#[derive(Debug, Clone)]
pub(crate) enum WindowValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl WindowValue {
    pub(crate) fn histogram(histogram: FloatHistogram) -> Option<Self> {
        Some(Self::Histogram(Arc::new(histogram)))
    }
}

type Outcome = Result<Option<WindowValue>, EvalError>;

/// A function of one window, which holds at least one sample. `None` leaves the cell empty.
pub(crate) type WindowFunction = fn(&Window<'_>, &mut WindowContext<'_>) -> Outcome;

/// The kernel of a function over a range vector.
pub(crate) fn window_function(name: &str) -> Option<WindowFunction> {
    Some(match name {
        "absent_over_time" | "present_over_time" => |_, _| float(1.0),
        "avg_over_time" => avg_over_time,
        "changes" => rate::changes,
        "count_over_time" => |window, _| float(window.n_samples() as f64),
        "delta" => rate::delta,
        "deriv" => regression::deriv,
        "double_exponential_smoothing" => regression::double_exponential_smoothing,
        "first_over_time" => first_over_time,
        "idelta" => rate::idelta,
        "increase" => rate::increase,
        "irate" => rate::irate,
        "last_over_time" => last_over_time,
        "mad_over_time" => mad_over_time,
        "max_over_time" => |window, context| extreme(window, context, |v, best| v > best, Extreme::Value),
        "min_over_time" => |window, context| extreme(window, context, |v, best| v < best, Extreme::Value),
        "predict_linear" => regression::predict_linear,
        "quantile_over_time" => quantile_over_time,
        "rate" => rate::rate,
        "resets" => rate::resets,
        "stddev_over_time" => |window, context| variance(window, context, f64::sqrt),
        "stdvar_over_time" => |window, context| variance(window, context, |v| v),
        "sum_over_time" => sum_over_time,
        "ts_of_first_over_time" => |window, _| {
            let first = window.float_ts.first().into_iter().chain(window.histogram_ts.first()).min();
            Ok(first.map(|t_ms| WindowValue::Float(*t_ms as f64 / 1000.0)))
        },
        "ts_of_last_over_time" => |window, _| {
            let last = window.float_ts.last().into_iter().chain(window.histogram_ts.last()).max();
            Ok(last.map(|t_ms| WindowValue::Float(*t_ms as f64 / 1000.0)))
        },
        "ts_of_max_over_time" => {
            |window, context| extreme(window, context, |v, best| v >= best, Extreme::Time)
        }
        "ts_of_min_over_time" => {
            |window, context| extreme(window, context, |v, best| v <= best, Extreme::Time)
        }
        _ => return None,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "every kernel has this type")]
fn float(value: f64) -> Outcome {
    Ok(Some(WindowValue::Float(value)))
}

fn first_over_time(window: &Window<'_>, _: &mut WindowContext<'_>) -> Outcome {
    Ok(match (window.float_ts.first(), window.histogram_ts.first()) {
        (Some(float), Some(histogram)) if histogram <= float => {
            Some(WindowValue::Histogram(Arc::clone(&window.histograms[0])))
        }
        (Some(_), _) => Some(WindowValue::Float(window.floats[0])),
        (None, Some(_)) => Some(WindowValue::Histogram(Arc::clone(&window.histograms[0]))),
        (None, None) => None,
    })
}

fn last_over_time(window: &Window<'_>, _: &mut WindowContext<'_>) -> Outcome {
    let histogram = || window.histograms.last().map(|h| WindowValue::Histogram(Arc::clone(h)));
    Ok(match (window.float_ts.last(), window.histogram_ts.last()) {
        (Some(float), Some(last)) if last >= float => histogram(),
        (Some(_), _) => window.floats.last().map(|value| WindowValue::Float(*value)),
        (None, _) => histogram(),
    })
}

fn sum_over_time(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    if window.is_mixed() {
        context.warn_mixed();
        return Ok(None);
    }
    if window.floats.is_empty() {
        return Ok(sum_histograms(window, context));
    }
    let (mut sum, mut c) = (0.0, 0.0);
    for value in window.floats {
        (sum, c) = kahan_inc(*value, sum, c);
    }
    float(if sum.is_infinite() { sum } else { sum + c })
}

/// Collects what the histograms of a window say of counter resets and bounds.
#[derive(Debug, Default)]
struct WindowNotes {
    reset: bool,
    not_reset: bool,
    bounds_reconciled: bool,
}

impl WindowNotes {
    fn track(&mut self, histogram: &FloatHistogram) {
        match histogram.counter_reset_hint {
            model::histogram::CounterResetHint::Reset => self.reset = true,
            model::histogram::CounterResetHint::NotReset => self.not_reset = true,
            model::histogram::CounterResetHint::Unknown | model::histogram::CounterResetHint::Gauge => {}
        }
    }

    fn note(&mut self, notes: MergeNotes) {
        self.bounds_reconciled |= notes.bounds_reconciled;
    }

    fn annotate(&self, context: &mut WindowContext<'_>) {
        let operation = HistogramOperation::Aggregation;
        if self.reset && self.not_reset {
            context.annotate(Annotation::HistogramCounterResetCollision { operation });
        }
        if self.bounds_reconciled {
            context.annotate(Annotation::MismatchedCustomBuckets { operation });
        }
    }
}

fn sum_histograms(window: &Window<'_>, context: &mut WindowContext<'_>) -> Option<WindowValue> {
    let (first, rest) = window.histograms.split_first()?;
    let mut notes = WindowNotes::default();
    notes.track(first);
    let mut sum = HistogramSum::new((**first).clone());
    for histogram in rest {
        notes.track(histogram);
        let Ok(merged) = sum.add(histogram) else {
            context.warn_mixed_schemas();
            return None;
        };
        notes.note(merged);
    }
    notes.annotate(context);
    WindowValue::histogram(sum.finish())
}

fn avg_histograms(window: &Window<'_>, context: &mut WindowContext<'_>) -> Option<WindowValue> {
    let (first, rest) = window.histograms.split_first()?;
    let mut notes = WindowNotes::default();
    notes.track(first);
    let mut mean = HistogramMean::new((**first).clone());
    for histogram in rest {
        notes.track(histogram);
        let Ok(merged) = mean.add(histogram) else {
            context.warn_mixed_schemas();
            return None;
        };
        notes.note(merged);
    }
    notes.annotate(context);
    WindowValue::histogram(mean.finish())
}

fn avg_over_time(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    if window.is_mixed() {
        context.warn_mixed();
        return Ok(None);
    }
    let Some((first, rest)) = window.floats.split_first() else {
        return Ok(avg_histograms(window, context));
    };
    let mut mean = FloatMean::new(*first);
    for value in rest {
        mean.add(*value);
    }
    float(mean.finish())
}

/// The mean of floats: a compensated sum, and an incremental mean once that would overflow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloatMean {
    /// The sum, or the mean if `incremental`.
    value: f64,
    c: f64,
    n: f64,
    incremental: bool,
}

impl FloatMean {
    pub(crate) fn new(first: f64) -> Self {
        Self { value: first, c: 0.0, n: 1.0, incremental: false }
    }

    pub(crate) fn add(&mut self, v: f64) {
        self.n += 1.0;
        if !self.incremental {
            let (sum, c) = kahan_inc(v, self.value, self.c);
            if !sum.is_infinite() {
                (self.value, self.c) = (sum, c);
                return;
            }
            self.incremental = true;
            self.value /= self.n - 1.0;
            self.c /= self.n - 1.0;
        }
        let q = (self.n - 1.0) / self.n;
        (self.value, self.c) = kahan_inc(v / self.n, q * self.value, q * self.c);
    }

    /// Adds the floats of another mean.
    pub(crate) fn merge(&mut self, other: Self) {
        let n = self.n + other.n;
        if !self.incremental && !other.incremental {
            let (sum, c) = kahan_inc(other.value, self.value, self.c);
            if !sum.is_infinite() {
                *self = Self { value: sum, c: c + other.c, n, incremental: false };
                return;
            }
        }
        let share = |mean: Self| {
            let by = if mean.incremental { mean.n / n } else { 1.0 / n };
            (mean.value * by, mean.c * by)
        };
        let ((mine, my_c), (theirs, their_c)) = (share(*self), share(other));
        let (value, c) = kahan_inc(theirs, mine, my_c);
        *self = Self { value, c: c + their_c, n, incremental: true };
    }

    pub(crate) fn finish(self) -> f64 {
        if self.incremental { self.value + self.c } else { self.value / self.n + self.c / self.n }
    }
}

/// What of the largest or smallest sample is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extreme {
    Value,
    Time,
}

fn extreme(
    window: &Window<'_>,
    context: &mut WindowContext<'_>,
    better: impl Fn(f64, f64) -> bool,
    wanted: Extreme,
) -> Outcome {
    if window.floats.is_empty() {
        return Ok(None);
    }
    context.note_ignored_histograms(window);
    let best = context.carry.best(window, better);
    float(match wanted {
        Extreme::Value => window.floats[best],
        Extreme::Time => window.float_ts[best] as f64 / 1000.0,
    })
}

fn quantile_over_time(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    if window.floats.is_empty() {
        return Ok(None);
    }
    let q = context.scalars[0];
    if !(0.0..=1.0).contains(&q) {
        context.annotate(Annotation::InvalidQuantile { quantile: q });
    }
    context.note_ignored_histograms(window);
    context.scratch.clear();
    context.scratch.extend_from_slice(window.floats);
    float(quantile(q, context.scratch))
}

/// The median of the distances from the median.
fn mad_over_time(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    if window.floats.is_empty() {
        return Ok(None);
    }
    context.note_ignored_histograms(window);
    if window.floats.iter().any(|value| value.is_nan()) {
        return float(f64::NAN);
    }
    context.scratch.clear();
    context.scratch.extend_from_slice(window.floats);
    let median = quantile(0.5, context.scratch);
    for value in context.scratch.iter_mut() {
        *value = (*value - median).abs();
    }
    float(quantile(0.5, context.scratch))
}

fn variance(window: &Window<'_>, context: &mut WindowContext<'_>, finish: impl Fn(f64) -> f64) -> Outcome {
    if window.floats.is_empty() {
        return Ok(None);
    }
    context.note_ignored_histograms(window);
    let (mut n, mut mean, mut c_mean, mut aux, mut c_aux) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in window.floats {
        n += 1.0;
        let delta = value - (mean + c_mean);
        (mean, c_mean) = kahan_inc(delta / n, mean, c_mean);
        (aux, c_aux) = kahan_inc(delta * (value - (mean + c_mean)), aux, c_aux);
    }
    float(finish((aux + c_aux) / n))
}
