//! Quantiles and fractions of native histograms.
//!
//! Within a bucket, observations are taken to be spread evenly on a logarithmic scale; evenly on
//! the linear one within custom buckets and the zero bucket. A histogram with buckets on one side
//! only has no observations on the other side of zero.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::input::Remarks;

const NO_BUCKET: Bucket =
    Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0, index: 0 };

/// The `q` quantile. Observations of NaN count as if they lay above all others.
pub(super) fn quantile(q: f64, h: &FloatHistogram, remarks: &mut Remarks) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // Counting from the nearer end is more accurate; NaNs allow only counting upwards.
    let upwards = h.sum.is_nan() || q < 0.5;
    let mut all = h.iter_all();
    let rank = if upwards { q * h.count } else { (1.0 - q) * h.count };
    let (mut bucket, reached) =
        if upwards { reach(&mut all, rank) } else { reach(&mut all.by_ref().rev(), rank) };
    if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bucket = one_sided(h, bucket);
    }
    let mut count = reached.min(h.count);
    if count < rank {
        if h.sum.is_nan() {
            remarks.quantile_nan = true;
            return f64::NAN;
        }
        return bucket.upper;
    }
    let rank = if upwards { rank - (count - bucket.count) } else { count - rank };
    if h.sum.is_nan() {
        // Upstream goes on with the highest bucket after it has counted them all.
        for rest in all {
            bucket = rest;
            count += rest.count;
        }
        remarks.quantile_skewed |= count < h.count;
    }
    interpolate(h, &bucket, rank / bucket.count)
}

/// The bucket where the running count reaches `rank` (or the last one), and that count.
fn reach(buckets: &mut impl Iterator<Item = Bucket>, rank: f64) -> (Bucket, f64) {
    let mut last = NO_BUCKET;
    let mut count = 0.0;
    for bucket in buckets {
        last = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (last, count)
}

/// The zero bucket, cut at zero if only one side has buckets.
fn one_sided(h: &FloatHistogram, mut zero: Bucket) -> Bucket {
    match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
        (true, false) => zero.lower = 0.0,
        (false, true) => zero.upper = 0.0,
        (true, true) | (false, false) => {}
    }
    zero
}

/// The value below which `fraction` of the bucket's observations lie.
fn interpolate(h: &FloatHistogram, bucket: &Bucket, fraction: f64) -> f64 {
    if h.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let log_lower = bucket.lower.abs().log2();
    let log_upper = bucket.upper.abs().log2();
    if bucket.lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// The part of all observations between two bounds. NaNs are between none.
pub(super) fn fraction(lower: f64, upper: f64, h: &FloatHistogram, remarks: &mut Remarks) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let total = if h.sum.is_nan() {
        let observed = h.iter_all().map(|b| b.count).sum();
        remarks.fraction_nans |= observed < h.count;
        observed
    } else {
        h.count
    };
    let rank = |v| match rank_of(v, h) {
        Some(rank) if rank > total => total,
        Some(rank) => rank,
        None => total,
    };
    (rank(upper) - rank(lower)) / h.count
}

/// How many observations are below `v`; `None` if all are.
fn rank_of(v: f64, h: &FloatHistogram) -> Option<f64> {
    let mut below = 0.0;
    for bucket in h.iter_all() {
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let bucket = if around_zero { one_sided(h, bucket) } else { bucket };
        if bucket.lower >= v {
            return Some(below);
        }
        if bucket.upper > v {
            let linear = h.uses_custom_buckets() || around_zero;
            // A bucket from -Inf cannot be interpolated; it counts as if all lay at its end.
            return Some(if linear && bucket.lower == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + bucket.count * bucket.fraction_below(v, linear)
            });
        }
        below += bucket.count;
    }
    None
}
