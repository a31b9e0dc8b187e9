//! What makes a histogram consistent. The texts are upstream's, since senders see and match them.

use base::gofloat::format_g;

use super::{
    CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN, FloatHistogram, IntegerHistogram,
    Span, is_custom_buckets_schema, is_exponential_schema,
};

/// Why a histogram is invalid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HistogramError {
    #[error("positive side: {0}")]
    PositiveSide(Box<HistogramError>),
    #[error("negative side: {0}")]
    NegativeSide(Box<HistogramError>),
    #[error("custom buckets: {0}")]
    CustomBuckets(Box<HistogramError>),
    #[error(
        "{buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
    )]
    CountNotBigEnough { buckets: u64, count: u64 },
    #[error(
        "{buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch { buckets: u64, count: u64 },
    #[error("observation count is  {}: histogram's observation count is negative", format_g(*.0))]
    NegativeCount(f64),
    #[error("bucket number {number} has observation count of {}: histogram has a bucket whose observation count is negative", format_g(*.count))]
    NegativeBucketCount { number: usize, count: f64 },
    #[error("zero bucket has observation count of {}: histogram has a bucket whose observation count is negative", format_g(*.0))]
    NegativeZeroCount(f64),
    #[error("span number {number} with offset {offset}: histogram has a span whose offset is negative")]
    SpanNegativeOffset { number: usize, offset: i32 },
    #[error(
        "spans need {need} buckets, have {have} buckets: histogram spans specify different number of buckets than provided"
    )]
    SpansBucketsMismatch { need: usize, have: usize },
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length of {spans}: histogram custom bounds are too few"
    )]
    CustomBoundsTooFew { bounds: usize, spans: usize },
    #[error(
        "previous bound is {previous:.6} and current is {current:.6}: histogram custom bounds must be in strictly increasing order"
    )]
    CustomBoundsNotIncreasing { previous: f64, current: f64 },
    #[error("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite")]
    CustomBoundInfinite,
    #[error("histogram custom bounds must not be NaN")]
    CustomBoundNaN,
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialWithCustomBounds,
    #[error(
        "histogram has an invalid schema, which must be between {min} and {max} for exponential buckets, or {custom} for custom buckets, got schema {0}",
        min = EXPONENTIAL_SCHEMA_MIN, max = EXPONENTIAL_SCHEMA_MAX, custom = CUSTOM_BUCKETS_SCHEMA
    )]
    InvalidSchema(i32),
}

use HistogramError as E;

/// The fields that the checks of both kinds of histogram share.
struct Shape<'a> {
    schema: i32,
    zero_threshold: f64,
    zero_count_is_zero: bool,
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
    custom_values: &'a [f64],
}

impl Shape<'_> {
    fn check(&self) -> Result<(), E> {
        if is_custom_buckets_schema(self.schema) {
            check_custom_bounds(self.custom_values, self.positive.0, self.positive.1)
                .map_err(|e| E::CustomBuckets(Box::new(e)))?;
            return match () {
                () if !self.zero_count_is_zero => Err(E::CustomZeroCount),
                () if self.zero_threshold != 0.0 => Err(E::CustomZeroThreshold),
                () if !self.negative.0.is_empty() => Err(E::CustomNegativeSpans),
                () if self.negative.1 > 0 => Err(E::CustomNegativeBuckets),
                () => Ok(()),
            };
        }
        if !is_exponential_schema(self.schema) {
            return Err(E::InvalidSchema(self.schema));
        }
        check_spans(self.positive.0, self.positive.1).map_err(positive)?;
        check_spans(self.negative.0, self.negative.1).map_err(negative)
    }
}

fn positive(e: E) -> E {
    E::PositiveSide(Box::new(e))
}

fn negative(e: E) -> E {
    E::NegativeSide(Box::new(e))
}

impl FloatHistogram {
    /// Checks layout, bounds and signs. The count is not compared with the buckets, because
    /// rounding makes them differ in correct histograms.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let shape = Shape {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count_is_zero: self.zero_count == 0.0,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
            custom_values: &self.custom_values,
        };
        shape.check()?;
        if !self.uses_custom_buckets() {
            check_counts(self.negative_buckets.iter().copied()).map_err(negative)?;
            if self.zero_count < 0.0 {
                return Err(E::NegativeZeroCount(self.zero_count));
            }
            if !self.custom_values.is_empty() {
                return Err(E::ExponentialWithCustomBounds);
            }
        }
        if self.count < 0.0 {
            return Err(E::NegativeCount(self.count));
        }
        check_counts(self.positive_buckets.iter().copied()).map_err(positive)
    }
}

impl IntegerHistogram {
    /// As [`FloatHistogram::validate`], and the count must equal the buckets' total; it may exceed
    /// it if NaN was observed (the sum is NaN then), which no bucket counts.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let shape = Shape {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count_is_zero: self.zero_count == 0,
            positive: (&self.positive_spans, self.positive_deltas.len()),
            negative: (&self.negative_spans, self.negative_deltas.len()),
            custom_values: &self.custom_values,
        };
        shape.check()?;
        let mut observed = self.zero_count;
        if !is_custom_buckets_schema(self.schema) {
            observed = observed.wrapping_add(total_of_deltas(&self.negative_deltas).map_err(negative)?);
            if !self.custom_values.is_empty() {
                return Err(E::ExponentialWithCustomBounds);
            }
        }
        observed = observed.wrapping_add(total_of_deltas(&self.positive_deltas).map_err(positive)?);
        let count = self.count;
        if self.sum.is_nan() {
            if observed > count {
                return Err(E::CountNotBigEnough { buckets: observed, count });
            }
        } else if observed != count {
            return Err(E::CountMismatch { buckets: observed, count });
        }
        Ok(())
    }
}

pub(super) fn check_spans(spans: &[Span], n_buckets: usize) -> Result<(), HistogramError> {
    for (number, span) in (1..).zip(spans).skip(1) {
        if span.offset < 0 {
            return Err(E::SpanNegativeOffset { number, offset: span.offset });
        }
    }
    check_bucket_number(spans, n_buckets)
}

fn check_bucket_number(spans: &[Span], n_buckets: usize) -> Result<(), HistogramError> {
    let need: usize = spans.iter().map(|s| s.length as usize).sum();
    if need == n_buckets { Ok(()) } else { Err(E::SpansBucketsMismatch { need, have: n_buckets }) }
}

fn check_custom_bounds(bounds: &[f64], spans: &[Span], n_buckets: usize) -> Result<(), HistogramError> {
    let mut previous = f64::NEG_INFINITY;
    for (position, current) in bounds.iter().copied().enumerate() {
        if current.is_nan() {
            return Err(E::CustomBoundNaN);
        }
        if position > 0 && current <= previous {
            return Err(E::CustomBoundsNotIncreasing { previous, current });
        }
        previous = current;
    }
    if previous == f64::INFINITY {
        return Err(E::CustomBoundInfinite);
    }
    let mut total = 0usize;
    for (number, span) in (1..).zip(spans) {
        let offset = usize::try_from(span.offset)
            .map_err(|_| E::SpanNegativeOffset { number, offset: span.offset })?;
        total += offset + span.length as usize;
    }
    check_bucket_number(spans, n_buckets)?;
    if bounds.len() + 1 < total {
        return Err(E::CustomBoundsTooFew { bounds: bounds.len(), spans: total });
    }
    Ok(())
}

fn check_counts(counts: impl Iterator<Item = f64>) -> Result<(), HistogramError> {
    for (number, count) in (1..).zip(counts) {
        if count < 0.0 {
            return Err(E::NegativeBucketCount { number, count });
        }
    }
    Ok(())
}

fn total_of_deltas(deltas: &[i64]) -> Result<u64, HistogramError> {
    let (mut count, mut total) = (0i64, 0u64);
    for (number, delta) in (1..).zip(deltas) {
        count = count.wrapping_add(*delta);
        let positive =
            u64::try_from(count).map_err(|_| E::NegativeBucketCount { number, count: count as f64 })?;
        total = total.wrapping_add(positive);
    }
    Ok(total)
}
