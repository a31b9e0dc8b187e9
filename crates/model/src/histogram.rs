//! Native histograms with float counts: exponential schemas -4 to 8 and custom buckets (-53).
//!
//! The positive and the negative side are each a list of spans (which buckets exist) and a list
//! of counts (one per bucket). Bucket `i` of an exponential schema `s` covers
//! `(2^((i-1) * 2^-s), 2^(i * 2^-s)]`, mirrored on the negative side; with custom buckets, bucket
//! `i` ends at `custom_values[i]`, and the last one at +Inf.

mod arithmetic;
mod bounds;
mod buckets;
mod integer;
mod layout;
mod nhcb;
mod reset;
mod sums;
mod text;
mod trim;
mod validate;

#[cfg(test)]
mod tests;

pub use arithmetic::{IncompatibleSchemas, MergeNotes, kahan_add};
pub use buckets::{AllBuckets, Bucket, SideBuckets};
pub use integer::IntegerHistogram;
pub use layout::ReduceError;
pub use nhcb::{ClassicBuckets, ClassicError, ClassicSeries, ClassicSuffix, split_classic_name};
pub use sums::{HistogramMean, HistogramSum};
pub use trim::TrimSide;
pub use validate::HistogramError;

/// Whether a histogram may be compared with its predecessor to find counter resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CounterResetHint {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// The schema that stands for custom bucket boundaries.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// The coarsest exponential schema.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;

/// The finest exponential schema. Finer ones up to [`EXPONENTIAL_SCHEMA_MAX_RESERVED`] may be
/// received and are then reduced to this one.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;

pub const EXPONENTIAL_SCHEMA_MIN_RESERVED: i32 = -9;
pub const EXPONENTIAL_SCHEMA_MAX_RESERVED: i32 = 52;

pub fn is_custom_buckets_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA
}

pub fn is_exponential_schema(schema: i32) -> bool {
    (EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX).contains(&schema)
}

/// Whether histograms of this schema may be stored and queried as they are.
pub fn is_valid_schema(schema: i32) -> bool {
    is_custom_buckets_schema(schema) || is_exponential_schema(schema)
}

/// Whether histograms of this schema may be received; those that are not valid must be reduced.
pub fn is_known_schema(schema: i32) -> bool {
    is_custom_buckets_schema(schema)
        || (EXPONENTIAL_SCHEMA_MIN_RESERVED..=EXPONENTIAL_SCHEMA_MAX_RESERVED).contains(&schema)
}

/// A run of consecutive buckets: `offset` from the end of the previous span (or from zero).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// A native histogram. Bucket counts are absolute, one per bucket that the spans name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    pub counter_reset_hint: CounterResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_buckets: Vec<f64>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of the buckets of schema -53, ascending, without +Inf; empty otherwise.
    pub custom_values: Vec<f64>,
}

impl FloatHistogram {
    pub fn uses_custom_buckets(&self) -> bool {
        is_custom_buckets_schema(self.schema)
    }

    /// Whether this is the marker that the series has gone stale: its sum is the stale NaN.
    pub fn is_stale_marker(&self) -> bool {
        crate::sample::is_stale_nan(self.sum)
    }

    /// The bucket around zero. Meaningless for custom buckets, which have none.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// Scales every count and the sum. A negative factor makes the histogram a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.map_counts(|v| v * factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// As [`FloatHistogram::mul`] by division. Division by zero leaves no buckets, only totals.
    pub fn div(&mut self, divisor: f64) {
        self.map_counts(|v| v / divisor);
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        } else if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    fn map_counts(&mut self, f: impl Fn(f64) -> f64) {
        self.zero_count = f(self.zero_count);
        self.count = f(self.count);
        self.sum = f(self.sum);
        for v in self.positive_buckets.iter_mut().chain(&mut self.negative_buckets) {
            *v = f(*v);
        }
    }

    /// Whether any number of the histogram is infinite, as sums of many histograms may become.
    pub fn has_overflow(&self) -> bool {
        self.numbers().any(f64::is_infinite) || self.custom_values.iter().any(|v| v.is_infinite())
    }

    /// Every count and the sum.
    fn numbers(&self) -> impl Iterator<Item = f64> {
        let totals = [self.zero_count, self.count, self.sum];
        totals.into_iter().chain(self.positive_buckets.iter().chain(&self.negative_buckets).copied())
    }

    /// Whether both hold the same data: numbers are compared by their bits, layouts without
    /// regard to empty spans, counter reset hints not at all.
    pub fn same_data(&self, other: &Self) -> bool {
        let bits_match = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
        };
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && layout::same_layout(&self.negative_spans, &other.negative_spans)
            && bits_match(&self.negative_buckets, &other.negative_buckets)
            && layout::same_layout(&self.positive_spans, &other.positive_spans)
            && bits_match(&self.positive_buckets, &other.positive_buckets)
    }

    /// Bytes, by upstream's accounting: what its sample statistics and limits count.
    pub fn size_bytes(&self) -> usize {
        let elements = self.positive_spans.len()
            + self.negative_spans.len()
            + self.positive_buckets.len()
            + self.negative_buckets.len()
            + self.custom_values.len();
        SIZE_WITHOUT_ELEMENTS_BYTES + 8 * elements
    }

    /// How many float samples this histogram counts for in a query's sample limit: its size in
    /// units of 16 bytes, the size of one float sample with its timestamp.
    pub fn sample_weight(&self) -> usize {
        (self.size_bytes() + 8) / FLOAT_SAMPLE_BYTES
    }
}

/// The fixed part of a histogram in upstream's memory, on 64-bit machines.
const SIZE_WITHOUT_ELEMENTS_BYTES: usize = 168;

const FLOAT_SAMPLE_BYTES: usize = 16;
