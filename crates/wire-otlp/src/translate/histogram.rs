//! OTLP's dense buckets to native histograms.

use model::FloatHistogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, IntegerHistogram, Span};

use super::PointError;
use crate::request::{ExponentialPoint, HistogramPoint, Point, Temporality};

/// Zero bucket width, as OTLP's is not used yet.
const ZERO_THRESHOLD: f64 = 1e-128;
const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;

/// Empty buckets in a row that are written out rather than skipped by a new span.
const GAP_MAX: i64 = 2;

/// A histogram with a warning about it.
type Converted = (FloatHistogram, Option<String>);

/// An exponential histogram.
pub(super) fn of_exponential(
    p: &ExponentialPoint,
    temporality: Option<Temporality>,
) -> Result<Converted, PointError> {
    if p.scale < SCHEMA_MIN {
        let scale = p.scale;
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {SCHEMA_MIN}, was {scale}"
        ));
    }
    let scale_down = u32::try_from(p.scale - SCHEMA_MAX).unwrap_or(0);
    let offset = |offset: i32| i64::from(offset);
    let (positive_spans, positive_deltas) =
        layout(&p.positive.counts, offset(p.positive.offset), scale_down, IndexShift::One)?;
    let (negative_spans, negative_deltas) =
        layout(&p.negative.counts, offset(p.negative.offset), scale_down, IndexShift::One)?;
    let h = IntegerHistogram {
        counter_reset_hint: hint(temporality),
        schema: p.scale.min(SCHEMA_MAX),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: p.zero_count,
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        ..IntegerHistogram::default()
    };
    finish(h, &p.point, p.count, p.sum, "exponential histogram")
}

/// A histogram with explicit bounds, as one with custom buckets.
pub(super) fn of_explicit(
    p: &HistogramPoint,
    temporality: Option<Temporality>,
) -> Result<Converted, PointError> {
    let skipped = p.bucket_counts.iter().take_while(|count| **count == 0).count();
    let offset = i64::try_from(skipped).unwrap_or(i64::MAX);
    let (positive_spans, positive_deltas) = layout(&p.bucket_counts[skipped..], offset, 0, IndexShift::None)?;
    let h = IntegerHistogram {
        counter_reset_hint: hint(temporality),
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans,
        positive_deltas,
        custom_values: p.explicit_bounds.clone(),
        ..IntegerHistogram::default()
    };
    finish(h, &p.point, p.count, p.sum, "histogram")
}

/// Deltas are marked as gauges, since they rise and fall; for others nothing is known.
fn hint(temporality: Option<Temporality>) -> CounterResetHint {
    match temporality {
        Some(Temporality::Delta) => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn finish(
    mut h: IntegerHistogram,
    point: &Point,
    count: u64,
    sum: Option<f64>,
    kind: &str,
) -> Result<Converted, PointError> {
    if point.is_stale() {
        return Ok((FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() }, None));
    }
    h.sum = sum.unwrap_or(0.0);
    h.count = count;
    let warning = (count == 0 && h.sum != 0.0)
        .then(|| format!("{kind} data point has zero count, but non-zero sum: {:.6}", h.sum));
    h.validate().map_err(|e| e.to_string())?;
    Ok((h.into_float(), warning))
}

/// Whether bucket 0 of the source is bucket 1 of the result: exponential buckets are counted by
/// their lower bound in OTLP and by their upper bound here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexShift {
    None,
    One,
}

/// Spans and deltas of dense buckets, 2^`scale_down` of which become one. Empty buckets are left
/// out, except in short gaps.
fn layout(
    counts: &[u64],
    offset: i64,
    scale_down: u32,
    shift: IndexShift,
) -> Result<(Vec<Span>, Vec<i64>), PointError> {
    let (mut spans, mut deltas) = (Vec::<Span>::new(), Vec::new());
    // One past the last bucket written, and that bucket's count.
    let (mut end, mut previous) = (0i64, 0i64);
    let shift = i64::from(shift == IndexShift::One);
    let target = |n: i64| ((offset + n) >> scale_down.min(63)) + shift;
    let mut sources = (0i64..).zip(counts).peekable();
    while let Some((n, count)) = sources.next() {
        let (idx, mut count) = (target(n), *count);
        while let Some((_, more)) = sources.next_if(|(n, _)| target(*n) == idx) {
            count = count.saturating_add(*more);
        }
        if count == 0 {
            continue;
        }
        let count = i64::try_from(count).map_err(|_| "bucket count out of range".to_owned())?;
        // The first span's offset counts from bucket zero, the others' from the span before.
        let gap = idx - end;
        if spans.is_empty() || gap > GAP_MAX {
            let offset = i32::try_from(gap).map_err(|_| "bucket offset out of range".to_owned())?;
            spans.push(Span { offset, length: 0 });
        } else {
            for _ in 0..gap {
                deltas.push(-previous);
                previous = 0;
            }
        }
        deltas.push(count - previous);
        (end, previous) = (idx + 1, count);
        if let Some(span) = spans.last_mut() {
            span.length += 1 + if span.length > 0 { u32::try_from(gap).unwrap_or(0) } else { 0 };
        }
    }
    Ok((spans, deltas))
}
