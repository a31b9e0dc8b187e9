//! Walking over buckets, one side or all of them, upwards or downwards.

use std::fmt;

use super::bounds::bound;
use super::{FloatHistogram, Span, is_custom_buckets_schema};

/// One bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
    /// The index within the schema, to compare buckets of one schema and side.
    pub index: i32,
}

impl Bucket {
    /// The part of the bucket's width at or below `v`, which lies strictly between finite bounds:
    /// by linear interpolation for custom buckets and the zero bucket, else on a logarithmic scale.
    pub fn fraction_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let log_lower = self.lower.abs().log2();
        let log_upper = self.upper.abs().log2();
        let log_v = v.abs().log2();
        if v > 0.0 {
            (log_v - log_lower) / (log_upper - log_lower)
        } else {
            1.0 - (log_v - log_upper) / (log_lower - log_upper)
        }
    }
}

impl fmt::Display for Bucket {
    /// `(lower,upper]:count`, with brackets where a bound belongs to the bucket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(base::gofloat::format_g);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

/// The indices that spans name, with a value for each; ends early where the values end.
#[derive(Debug, Clone)]
pub(super) struct Indexed<'a> {
    spans: &'a [Span],
    values: &'a [f64],
    /// How many values are left between both ends.
    remaining: usize,
    front: Cursor,
    back: Cursor,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    span: usize,
    /// Buckets of the span already taken by this end.
    taken: u32,
    /// For the front, the index of the next bucket; for the back, one past it.
    index: i32,
    value: usize,
}

impl<'a> Indexed<'a> {
    pub(super) fn new(spans: &'a [Span], values: &'a [f64]) -> Self {
        let named: usize = spans.iter().map(|s| s.length as usize).sum();
        let remaining = named.min(values.len());
        let end = spans.iter().fold(0i32, |idx, s| idx.wrapping_add(s.offset).wrapping_add(s.length as i32));
        Self {
            spans,
            values,
            remaining,
            front: Cursor { span: 0, taken: 0, index: spans.first().map_or(0, |s| s.offset), value: 0 },
            back: Cursor { span: spans.len().wrapping_sub(1), taken: 0, index: end, value: remaining },
        }
    }
}

impl Iterator for Indexed<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<(i32, f64)> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        let cursor = &mut self.front;
        while cursor.taken >= self.spans[cursor.span].length {
            cursor.span += 1;
            cursor.taken = 0;
            cursor.index = cursor.index.wrapping_add(self.spans[cursor.span].offset);
        }
        let item = (cursor.index, self.values[cursor.value]);
        cursor.taken += 1;
        cursor.index = cursor.index.wrapping_add(1);
        cursor.value += 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl DoubleEndedIterator for Indexed<'_> {
    fn next_back(&mut self) -> Option<(i32, f64)> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        let cursor = &mut self.back;
        while cursor.taken >= self.spans[cursor.span].length {
            cursor.index = cursor.index.wrapping_sub(self.spans[cursor.span].offset);
            cursor.span -= 1;
            cursor.taken = 0;
        }
        cursor.taken += 1;
        cursor.index = cursor.index.wrapping_sub(1);
        cursor.value -= 1;
        Some((cursor.index, self.values[cursor.value]))
    }
}

impl ExactSizeIterator for Indexed<'_> {}

/// The buckets of one side, from zero outwards; reversed, from outside towards zero.
#[derive(Debug, Clone)]
pub struct SideBuckets<'a> {
    indexed: Indexed<'a>,
    schema: i32,
    custom_values: &'a [f64],
    positive: bool,
}

impl SideBuckets<'_> {
    fn bucket(&self, (index, count): (i32, f64)) -> Bucket {
        let outer = bound(index, self.schema, self.custom_values);
        let inner = bound(index.wrapping_sub(1), self.schema, self.custom_values);
        let (lower, upper) = if self.positive { (inner, outer) } else { (-outer, -inner) };
        let (lower_inclusive, upper_inclusive) = if is_custom_buckets_schema(self.schema) {
            (index == 0, true)
        } else {
            (lower < 0.0, upper > 0.0)
        };
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
    }
}

impl Iterator for SideBuckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        let item = self.indexed.next()?;
        Some(self.bucket(item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexed.size_hint()
    }
}

impl DoubleEndedIterator for SideBuckets<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        let item = self.indexed.next_back()?;
        Some(self.bucket(item))
    }
}

impl ExactSizeIterator for SideBuckets<'_> {}

/// All buckets in ascending order: negative, zero (if populated), positive. A bucket that reaches
/// into the zero bucket is cut at the zero threshold. Reversed, in descending order.
#[derive(Debug, Clone)]
pub struct AllBuckets<'a> {
    negative: SideBuckets<'a>,
    zero: Option<Bucket>,
    positive: SideBuckets<'a>,
    zero_threshold: f64,
}

impl AllBuckets<'_> {
    fn cut_at_zero(&self, mut bucket: Bucket) -> Bucket {
        if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
            bucket.upper = -self.zero_threshold;
        } else if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
            bucket.lower = self.zero_threshold;
        }
        bucket
    }
}

impl Iterator for AllBuckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        if let Some(bucket) = self.negative.next_back() {
            return Some(self.cut_at_zero(bucket));
        }
        if let Some(zero) = self.zero.take() {
            return Some(zero);
        }
        let bucket = self.positive.next()?;
        Some(self.cut_at_zero(bucket))
    }
}

impl DoubleEndedIterator for AllBuckets<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        if let Some(bucket) = self.positive.next_back() {
            return Some(self.cut_at_zero(bucket));
        }
        if let Some(zero) = self.zero.take() {
            return Some(zero);
        }
        let bucket = self.negative.next()?;
        Some(self.cut_at_zero(bucket))
    }
}

impl FloatHistogram {
    /// Positive buckets, ascending; `rev()` for descending.
    pub fn iter_positive(&self) -> SideBuckets<'_> {
        SideBuckets {
            indexed: Indexed::new(&self.positive_spans, &self.positive_buckets),
            schema: self.schema,
            custom_values: &self.custom_values,
            positive: true,
        }
    }

    /// Negative buckets from zero downwards; `rev()` for ascending.
    pub fn iter_negative(&self) -> SideBuckets<'_> {
        SideBuckets {
            indexed: Indexed::new(&self.negative_spans, &self.negative_buckets),
            schema: self.schema,
            custom_values: &[],
            positive: false,
        }
    }

    /// All buckets, ascending; `rev()` for descending.
    pub fn iter_all(&self) -> AllBuckets<'_> {
        AllBuckets {
            negative: self.iter_negative(),
            zero: (self.zero_count > 0.0).then(|| self.zero_bucket()),
            positive: self.iter_positive(),
            zero_threshold: self.zero_threshold,
        }
    }
}
