//! Quantiles and fractions of classic histograms, interpolated linearly within a bucket.

use super::input::Remarks;
use crate::almost::almost_equal;

/// Relative differences between neighbouring buckets that rounding explains. One observation makes
/// a greater one in any bucket with fewer than 10^12 of them.
const ROUNDING_MAX: f64 = 1e-12;

/// One bucket with its cumulative count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ClassicBucket {
    pub(super) upper: f64,
    pub(super) count: f64,
}

/// The `q` quantile of buckets that ascend by bound. Counts that decrease are mended in place.
///
/// The lowest bucket begins at 0 if it ends above it. What falls into the lowest bucket when that
/// ends at or below 0, or into the +Inf bucket, gets the nearest finite bound. Without a +Inf
/// bucket, a second bucket or observations the result is NaN.
pub(super) fn quantile(q: f64, buckets: &mut [ClassicBucket], remarks: &mut Remarks) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return f64::NAN;
    }
    force_monotonicity(buckets, remarks);
    let [finite @ .., last] = &*buckets else {
        return f64::NAN;
    };
    let Some(highest_finite) = finite.last() else {
        return f64::NAN;
    };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * last.count;
    let at = finite.partition_point(|bucket| bucket.count < rank);
    let Some(bucket) = finite.get(at) else {
        return highest_finite.upper;
    };
    if at == 0 && bucket.upper <= 0.0 {
        return bucket.upper;
    }
    let (lower, below) = at.checked_sub(1).map_or((0.0, 0.0), |i| (finite[i].upper, finite[i].count));
    lower + (bucket.upper - lower) * ((rank - below) / (bucket.count - below))
}

/// Replaces counts smaller than that of the bucket below by the latter. Differences that rounding
/// explains are evened out silently, in both directions; decreases beyond them are remarked.
fn force_monotonicity(buckets: &mut [ClassicBucket], remarks: &mut Remarks) {
    let Some((first, rest)) = buckets.split_first_mut() else {
        return;
    };
    let mut below = first.count;
    let (mut lowest, mut highest, mut diff_max) = (f64::INFINITY, f64::NEG_INFINITY, 0f64);
    let mut forced = false;
    for bucket in rest.iter_mut() {
        let count = bucket.count;
        if count == below {
            continue;
        }
        if almost_equal(below, count, ROUNDING_MAX) {
            bucket.count = below;
        } else if count < below {
            bucket.count = below;
            forced = true;
            lowest = lowest.min(bucket.upper);
            highest = highest.max(bucket.upper);
            diff_max = diff_max.max(below - count);
        } else {
            below = count;
        }
    }
    if forced {
        remarks.forced_monotonicity(lowest, highest, diff_max);
    }
}

/// The part of the observations between two bounds, interpolated as by [`quantile`].
pub(super) fn fraction(lower: f64, upper: f64, buckets: &[ClassicBucket]) -> f64 {
    let Some(last) = buckets.last().filter(|last| last.upper == f64::INFINITY) else {
        return f64::NAN;
    };
    if last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, last.count) - rank_of(lower, buckets, last.count)) / last.count
}

/// How many observations are below `v`.
fn rank_of(v: f64, buckets: &[ClassicBucket], total: f64) -> f64 {
    let mut begin = if buckets.first().is_some_and(|b| b.upper <= 0.0) { f64::NEG_INFINITY } else { 0.0 };
    let mut below = 0.0;
    for bucket in buckets {
        if begin >= v {
            return if below > total { total } else { below };
        }
        if bucket.upper > v {
            // A bucket from -Inf cannot be interpolated; it counts as if all lay at its end.
            let rank = if begin == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (v - begin) / (bucket.upper - begin)
            };
            return if rank > total { total } else { rank };
        }
        begin = bucket.upper;
        below = bucket.count;
    }
    total
}
