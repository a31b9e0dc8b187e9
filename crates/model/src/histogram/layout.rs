//! Which buckets exist: building, comparing, compacting and coarsening span lists.

use super::buckets::Indexed;
use super::{EXPONENTIAL_SCHEMA_MIN_RESERVED, FloatHistogram, Span, is_custom_buckets_schema};
use crate::histogram::HistogramError;

/// Empty buckets that compaction may insert in one gap; wider gaps stay gaps, since a hostile span
/// offset could otherwise ask for gigabytes.
const FILLED_GAP_MAX: usize = 1 << 20;

/// Appends buckets in ascending index order and keeps the spans that name them.
#[derive(Debug, Default)]
pub(super) struct SpanBuilder {
    pub(super) spans: Vec<Span>,
    /// One past the last index.
    end: i32,
}

impl SpanBuilder {
    /// `index` is greater than every index pushed before.
    pub(super) fn push(&mut self, index: i32) {
        let gap = index.wrapping_sub(self.end);
        match self.spans.last_mut() {
            Some(last) if gap == 0 => last.length += 1,
            _ => self.spans.push(Span { offset: gap, length: 1 }),
        }
        self.end = index.wrapping_add(1);
    }

    /// Empty buckets between the last index and `index`; `None` before the first bucket.
    fn gap_before(&self, index: i32) -> Option<usize> {
        if self.spans.is_empty() {
            return None;
        }
        usize::try_from(i64::from(index) - i64::from(self.end)).ok()
    }

    fn end(&self) -> i32 {
        self.end
    }
}

/// The index in `target_schema` of the bucket that contains bucket `index` of a finer schema.
pub(super) fn coarser_index(index: i32, schema: i32, target_schema: i32) -> i32 {
    let shift = schema.saturating_sub(target_schema).clamp(0, 31);
    (index.wrapping_sub(1) >> shift).wrapping_add(1)
}

/// Whether two span lists name the same buckets.
pub(super) fn same_layout(a: &[Span], b: &[Span]) -> bool {
    a == b || runs(a).eq(runs(b))
}

/// Spans without the empty ones, whose offsets go to the next one. Adjacent spans stay apart, as
/// upstream's comparison keeps them.
fn runs(spans: &[Span]) -> impl Iterator<Item = (i32, u32)> {
    let mut offset = 0i32;
    spans.iter().filter_map(move |span| {
        offset = offset.wrapping_add(span.offset);
        (span.length > 0).then(|| (std::mem::take(&mut offset), span.length))
    })
}

/// Drops empty buckets at the ends of spans and in runs longer than `max_empty`, and joins spans
/// that are at most `max_empty` apart. A bucket is empty if its count is zero, and its
/// compensation too where one is given.
pub(super) fn compact_side(
    spans: &mut Vec<Span>,
    buckets: &mut Vec<f64>,
    mut compensation: Option<&mut Vec<f64>>,
    max_empty: usize,
) {
    if is_compact(spans, buckets, max_empty) {
        return;
    }
    let max_filled = max_empty.min(FILLED_GAP_MAX);
    let mut builder = SpanBuilder::default();
    let mut kept = Vec::with_capacity(buckets.len());
    let mut kept_compensation = Vec::new();
    for (position, (index, count)) in Indexed::new(spans, buckets).enumerate() {
        let c = compensation.as_ref().map_or(0.0, |c| c[position]);
        if count == 0.0 && c == 0.0 {
            continue;
        }
        if let Some(gap) = builder.gap_before(index).filter(|gap| *gap <= max_filled) {
            (0..gap).for_each(|_| builder.push(builder.end()));
            kept.resize(kept.len() + gap, 0.0);
        }
        builder.push(index);
        kept.push(count);
        if compensation.is_some() {
            kept_compensation.resize(kept.len() - 1, 0.0);
            kept_compensation.push(c);
        }
    }
    *spans = builder.spans;
    *buckets = kept;
    if let Some(compensation) = compensation.as_mut() {
        **compensation = kept_compensation;
    }
}

/// Whether compaction would change nothing; cheap, and usually true.
fn is_compact(spans: &[Span], buckets: &[f64], max_empty: usize) -> bool {
    let far_apart = |offset: i32| usize::try_from(offset).is_ok_and(|gap| gap > max_empty);
    buckets.iter().all(|count| *count != 0.0)
        && spans.iter().all(|span| span.length > 0)
        && spans.iter().skip(1).all(|span| far_apart(span.offset))
}

/// Merges the buckets of one side into those of a coarser schema.
pub(super) fn reduce_side(
    spans: &[Span],
    buckets: &[f64],
    schema: i32,
    target_schema: i32,
) -> (Vec<Span>, Vec<f64>) {
    let mut builder = SpanBuilder::default();
    let mut merged: Vec<f64> = Vec::with_capacity(buckets.len());
    for (index, count) in Indexed::new(spans, buckets) {
        let index = coarser_index(index, schema, target_schema);
        match merged.last_mut() {
            Some(last) if builder.end() == index.wrapping_add(1) => *last += count,
            _ => {
                builder.push(index);
                merged.push(count);
            }
        }
    }
    (builder.spans, merged)
}

/// As [`reduce_side`], with the compensations of a Kahan sum.
pub(super) fn reduce_side_kahan(
    spans: &[Span],
    buckets: &[f64],
    compensation: &[f64],
    schema: i32,
    target_schema: i32,
) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
    let mut builder = SpanBuilder::default();
    let mut merged: Vec<f64> = Vec::with_capacity(buckets.len());
    let mut merged_c: Vec<f64> = Vec::with_capacity(buckets.len());
    for (position, (index, count)) in Indexed::new(spans, buckets).enumerate() {
        let index = coarser_index(index, schema, target_schema);
        match (merged.last_mut(), merged_c.last_mut()) {
            (Some(sum), Some(c)) if builder.end() == index.wrapping_add(1) => {
                super::kahan_add(count, sum, c);
                super::kahan_add(compensation[position], sum, c);
            }
            _ => {
                builder.push(index);
                merged.push(count);
                merged_c.push(compensation[position]);
            }
        }
    }
    (builder.spans, merged, merged_c)
}

/// Why the resolution of a histogram cannot be reduced.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReduceError {
    #[error("cannot reduce resolution when there are custom buckets")]
    FromCustomBuckets,
    #[error("cannot reduce resolution to custom buckets schema")]
    ToCustomBuckets,
    #[error("cannot reduce resolution from schema {from} to {to}")]
    NotCoarser { from: i32, to: i32 },
    #[error(transparent)]
    Invalid(#[from] HistogramError),
}

impl FloatHistogram {
    /// Merges buckets so that the histogram has a coarser exponential schema. On error nothing
    /// has changed.
    pub fn reduce_resolution(&mut self, target_schema: i32) -> Result<(), ReduceError> {
        if self.uses_custom_buckets() {
            return Err(ReduceError::FromCustomBuckets);
        }
        if is_custom_buckets_schema(target_schema) {
            return Err(ReduceError::ToCustomBuckets);
        }
        if target_schema >= self.schema || target_schema < EXPONENTIAL_SCHEMA_MIN_RESERVED {
            return Err(ReduceError::NotCoarser { from: self.schema, to: target_schema });
        }
        super::validate::check_spans(&self.positive_spans, self.positive_buckets.len())?;
        super::validate::check_spans(&self.negative_spans, self.negative_buckets.len())?;
        self.reduce_to(target_schema);
        Ok(())
    }

    /// As [`FloatHistogram::reduce_resolution`] for a schema known to be coarser or equal.
    pub(super) fn reduce_to(&mut self, target_schema: i32) {
        if target_schema >= self.schema {
            return;
        }
        (self.positive_spans, self.positive_buckets) =
            reduce_side(&self.positive_spans, &self.positive_buckets, self.schema, target_schema);
        (self.negative_spans, self.negative_buckets) =
            reduce_side(&self.negative_spans, &self.negative_buckets, self.schema, target_schema);
        self.schema = target_schema;
    }

    /// A copy with a coarser or equal schema. The caller has checked that both are exponential.
    pub fn to_schema(&self, target_schema: i32) -> Self {
        let mut copy = self.clone();
        if target_schema < self.schema {
            copy.counter_reset_hint = super::CounterResetHint::Unknown;
            copy.reduce_to(target_schema);
        }
        copy
    }

    /// Drops empty buckets at the ends of spans, splits spans at runs of more than `max_empty`
    /// empty buckets and joins spans that are no farther apart. 0 is the canonical form.
    pub fn compact(&mut self, max_empty: usize) {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, None, max_empty);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, None, max_empty);
    }
}
