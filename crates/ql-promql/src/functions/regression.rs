//! Trends: least squares and double exponential smoothing.

use crate::annotations::Annotation;
use crate::eval::error::EvalError;
use crate::functions::math::kahan_inc;
use crate::functions::window::{Window, WindowContext, WindowValue};

type Outcome = Result<Option<WindowValue>, EvalError>;

/// True if there are the two floats that a trend needs. Histograms beside floats are noted.
fn has_trend(window: &Window<'_>, context: &mut WindowContext<'_>) -> bool {
    if !window.floats.is_empty() && !window.histogram_ts.is_empty() {
        let metric = context.metric();
        context.annotate(Annotation::HistogramIgnoredInMixedRange { metric });
    }
    window.floats.len() >= 2
}

/// A fitted line.
#[derive(Debug, Clone, Copy)]
struct Line {
    slope: f64,
    /// The value at the time the fit was told.
    intercept: f64,
}

fn fit(window: &Window<'_>, intercept_ms: i64) -> Line {
    let first = window.floats[0];
    if window.floats.iter().all(|value| *value == first) {
        let constant = Line { slope: 0.0, intercept: first };
        let undefined = Line { slope: f64::NAN, intercept: f64::NAN };
        return if first.is_infinite() { undefined } else { constant };
    }
    let (mut sum_x, mut c_x, mut sum_y, mut c_y) = (0.0, 0.0, 0.0, 0.0);
    let (mut sum_xy, mut c_xy, mut sum_x2, mut c_x2) = (0.0, 0.0, 0.0, 0.0);
    for (t_ms, y) in window.float_ts.iter().zip(window.floats) {
        let x = (t_ms - intercept_ms) as f64 / 1e3;
        (sum_x, c_x) = kahan_inc(x, sum_x, c_x);
        (sum_y, c_y) = kahan_inc(*y, sum_y, c_y);
        (sum_xy, c_xy) = kahan_inc(x * y, sum_xy, c_xy);
        (sum_x2, c_x2) = kahan_inc(x * x, sum_x2, c_x2);
    }
    let n = window.floats.len() as f64;
    let (sum_x, sum_y) = (sum_x + c_x, sum_y + c_y);
    let (sum_xy, sum_x2) = (sum_xy + c_xy, sum_x2 + c_x2);
    let covariance = sum_xy - sum_x * sum_y / n;
    let variance = sum_x2 - sum_x * sum_x / n;
    let slope = covariance / variance;
    Line { slope, intercept: sum_y / n - slope * sum_x / n }
}

pub(crate) fn deriv(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    if !has_trend(window, context) {
        return Ok(None);
    }
    // Times are taken relative to one that is near, which keeps the sums exact.
    Ok(Some(WindowValue::Float(fit(window, window.float_ts[0]).slope)))
}

pub(crate) fn predict_linear(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    if !has_trend(window, context) {
        return Ok(None);
    }
    let line = fit(window, window.eval_ms);
    Ok(Some(WindowValue::Float(line.slope * context.scalars[0] + line.intercept)))
}

pub(crate) fn double_exponential_smoothing(window: &Window<'_>, context: &mut WindowContext<'_>) -> Outcome {
    let (smoothing, trend) = (context.scalars[0], context.scalars[1]);
    for (name, symbol, factor) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(EvalError::Execution(format!(
                "invalid {name} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}"
            )));
        }
    }
    if !has_trend(window, context) {
        return Ok(None);
    }
    let (mut previous, mut current) = (0.0, window.floats[0]);
    let mut slope = window.floats[1] - window.floats[0];
    for (idx, value) in window.floats.iter().enumerate().skip(1) {
        if idx > 1 {
            slope = trend * (current - previous) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (current + slope);
        (previous, current) = (current, next);
    }
    Ok(Some(WindowValue::Float(current)))
}
