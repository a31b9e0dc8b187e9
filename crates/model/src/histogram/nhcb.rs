//! Classic histograms (one cumulative series per bucket) to native ones with custom buckets and back.

use base::gofloat::{format_f, format_g};

use super::layout::compact_side;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistogramError, Span};

/// Which series of a classic histogram a metric name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClassicSuffix {
    Bucket,
    Sum,
    Count,
}

/// Splits `x_bucket`, `x_sum` or `x_count` into the histogram's name and which series it is.
pub fn split_classic_name(name: &str) -> Option<(&str, ClassicSuffix)> {
    let suffixes =
        [("_bucket", ClassicSuffix::Bucket), ("_sum", ClassicSuffix::Sum), ("_count", ClassicSuffix::Count)];
    suffixes.into_iter().find_map(|(text, suffix)| Some((name.strip_suffix(text)?, suffix)))
}

/// Why the series of a classic histogram do not make one histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClassicError {
    #[error("bucket count must be non-negative: le={}, count={}", format_g(*.le), format_g(*.count))]
    NegativeBucketCount { le: f64, count: f64 },
    #[error("bucket boundary must not be NaN")]
    NaNBound,
    #[error("count must be non-negative: count={}", format_g(*.0))]
    NegativeCount(f64),
    #[error("count mismatch: count={} != le={} count={}", format_g(*.count), format_g(*.le), format_g(*.bucket_count))]
    CountMismatch { count: f64, le: f64, bucket_count: f64 },
    #[error("count is not cumulative: {} {relation} {}", format_g(*.count), format_g(*.neighbour))]
    NotCumulative { count: f64, relation: char, neighbour: f64 },
}

/// Collects the series of one classic histogram at one time.
#[derive(Debug, Clone, Default)]
pub struct ClassicBuckets {
    /// Cumulative counts by ascending upper bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl ClassicBuckets {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.count.is_none()
    }

    /// Sets the cumulative count up to `le`; of several for one bound the first counts.
    pub fn set_bucket(&mut self, le: f64, count: f64) -> Result<(), ClassicError> {
        if le.is_nan() {
            return Err(ClassicError::NaNBound);
        }
        if count < 0.0 {
            return Err(ClassicError::NegativeBucketCount { le, count });
        }
        let at = self.buckets.partition_point(|(bound, _)| *bound < le);
        if self.buckets.get(at).is_some_and(|(bound, _)| *bound == le) {
            return Ok(());
        }
        let below = at.checked_sub(1).map(|i| self.buckets[i].1);
        if let Some(neighbour) = below.filter(|below| count < *below) {
            return Err(ClassicError::NotCumulative { count, relation: '<', neighbour });
        }
        let above = self.buckets.get(at).map(|(_, c)| *c);
        if let Some(neighbour) = above.filter(|above| count > *above) {
            return Err(ClassicError::NotCumulative { count, relation: '>', neighbour });
        }
        self.buckets.insert(at, (le, count));
        Ok(())
    }

    pub fn set_count(&mut self, count: f64) -> Result<(), ClassicError> {
        if count < 0.0 {
            return Err(ClassicError::NegativeCount(count));
        }
        self.count = Some(count);
        Ok(())
    }

    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The histogram with custom buckets. Without a count series the highest bucket gives the
    /// count, without a +Inf bucket the count gives that bucket.
    pub fn to_histogram(&self) -> Result<FloatHistogram, ClassicError> {
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, c)| c)).unwrap_or(0.0);
        let (le, bucket_count) =
            highest.filter(|(le, _)| *le == f64::INFINITY).unwrap_or((f64::INFINITY, count));
        if count != bucket_count {
            return Err(ClassicError::CountMismatch { count, le, bucket_count });
        }
        let finite = self.buckets.iter().filter(|(le, _)| *le != f64::INFINITY);
        let custom_values: Vec<f64> = finite.clone().map(|(le, _)| *le).collect();
        let mut below = 0.0;
        let cumulative = finite.map(|(_, c)| *c).chain([bucket_count]);
        let mut buckets: Vec<f64> = cumulative.map(|c| c - std::mem::replace(&mut below, c)).collect();
        let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
        let mut spans = vec![Span { offset: 0, length }];
        let is_whole = |v: f64| v.fract() == 0.0;
        let whole = is_whole(count) && self.buckets.iter().all(|(_, c)| is_whole(*c));
        // Upstream keeps short runs of empty buckets in histograms that it stores as integers.
        compact_side(&mut spans, &mut buckets, None, if whole { 2 } else { 0 });
        Ok(FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: spans,
            positive_buckets: buckets,
            custom_values,
            ..FloatHistogram::default()
        })
    }
}

/// One series of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClassicSeries {
    Bucket { le: f64, cumulative_count: f64 },
    Count(f64),
    Sum(f64),
}

impl ClassicSeries {
    /// The `le` label of a bound as OpenMetrics writes it: `1.0`, `0.25`, `1e+06`, `+Inf`.
    pub fn le_text(le: f64) -> String {
        if le.is_infinite() || le.is_nan() {
            return format_f(le);
        }
        if le == 0.0 {
            return "0.0".to_owned();
        }
        let text = format_g(le);
        if text.contains(['e', '.']) { text } else { format!("{text}.0") }
    }
}

impl FloatHistogram {
    /// The classic series of a histogram with custom buckets: its buckets up to +Inf, the count,
    /// the sum. The error is that of [`FloatHistogram::validate`].
    pub fn to_classic(&self) -> Result<Vec<ClassicSeries>, HistogramError> {
        if !self.uses_custom_buckets() {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        self.validate()?;
        let mut buckets = self.iter_positive().peekable();
        let mut cumulative_count = 0.0;
        let bounds = self.custom_values.iter().copied().chain([f64::INFINITY]);
        let mut series: Vec<ClassicSeries> = (0i32..)
            .zip(bounds)
            .map(|(index, le)| {
                if let Some(bucket) = buckets.next_if(|b| b.index == index) {
                    cumulative_count += bucket.count;
                }
                ClassicSeries::Bucket { le, cumulative_count }
            })
            .collect();
        series.extend([ClassicSeries::Count(self.count), ClassicSeries::Sum(self.sum)]);
        Ok(series)
    }
}
