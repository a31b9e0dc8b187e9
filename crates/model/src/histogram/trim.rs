//! Removing the observations on one side of a value: the operators `</` and `>/`.

use super::{Bucket, FloatHistogram, is_custom_buckets_schema};

/// Which observations a trim keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrimSide {
    /// `</`: those at or below the value.
    KeepBelow,
    /// `>/`: those above it.
    KeepAbove,
}

/// What is left of a bucket: how many observations, and where their middle is estimated.
#[derive(Debug, Clone, Copy)]
struct Kept {
    count: f64,
    midpoint: f64,
}

const NOTHING: Kept = Kept { count: 0.0, midpoint: 0.0 };

/// How observations are assumed to lie within a bucket.
#[derive(Debug, Clone, Copy)]
struct Within {
    linear: bool,
    positive: bool,
}

impl FloatHistogram {
    /// Keeps the observations on one side of `at`. The bucket that contains `at` is interpolated;
    /// count and sum are estimated anew from what is left, unless nothing was cut.
    pub fn trim(&mut self, side: TrimSide, at: f64) {
        let mut totals = Totals::default();
        let linear = is_custom_buckets_schema(self.schema);
        let mut populated = [false; 2];
        for (idx, positive) in [true, false].into_iter().enumerate() {
            let buckets = if positive { self.iter_positive() } else { self.iter_negative() };
            let mut counts: Vec<f64> = Vec::with_capacity(buckets.len());
            for bucket in buckets {
                if bucket.count == 0.0 {
                    counts.push(bucket.count);
                    continue;
                }
                populated[idx] = true;
                let kept = keep(side, &bucket, at, Within { linear, positive });
                totals.take(kept, bucket.count);
                counts.push(kept.count);
            }
            let target = if positive { &mut self.positive_buckets } else { &mut self.negative_buckets };
            target[..counts.len()].copy_from_slice(&counts);
        }
        if self.zero_count > 0.0 {
            let kept = keep_of_zero(side, &self.zero_bucket(), at, populated);
            totals.take(kept, self.zero_count);
            self.zero_count = kept.count;
        }
        if totals.trimmed {
            self.count = totals.count;
            self.sum = totals.sum;
            self.compact(0);
        }
    }
}

#[derive(Debug, Default)]
struct Totals {
    count: f64,
    sum: f64,
    trimmed: bool,
}

impl Totals {
    fn take(&mut self, kept: Kept, before: f64) {
        self.count += kept.count;
        self.sum += kept.midpoint * kept.count;
        self.trimmed |= kept.count != before;
    }
}

fn keep(side: TrimSide, bucket: &Bucket, at: f64, within: Within) -> Kept {
    let (all, part) = match side {
        TrimSide::KeepBelow => (bucket.upper <= at, bucket.lower < at),
        TrimSide::KeepAbove => (bucket.lower >= at, bucket.upper > at),
    };
    if all {
        return Kept { count: bucket.count, midpoint: midpoint(bucket.lower, bucket.upper, within) };
    }
    if !part {
        return NOTHING;
    }
    if bucket.lower == f64::NEG_INFINITY {
        return keep_of_lowest(side, bucket, at);
    }
    if bucket.upper == f64::INFINITY {
        return keep_of_highest(side, bucket, at);
    }
    let below = if at <= bucket.lower {
        0.0
    } else if at >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(at, within.linear)
    };
    match side {
        TrimSide::KeepBelow => Kept { count: below, midpoint: midpoint(bucket.lower, at, within) },
        TrimSide::KeepAbove => {
            Kept { count: bucket.count - below, midpoint: midpoint(at, bucket.upper, within) }
        }
    }
}

/// Part of a bucket that begins at -Inf. If it ends at a positive number, its observations are
/// taken to be positive (only custom buckets do, which are linear). Otherwise nothing is known of
/// how they lie, and they count as being at the finite end.
fn keep_of_lowest(side: TrimSide, bucket: &Bucket, at: f64) -> Kept {
    let upper = bucket.upper;
    let finite_positive = upper > 0.0 && upper.is_finite();
    let removed = Kept { count: 0.0, midpoint: if upper.is_finite() { upper } else { 0.0 } };
    match side {
        TrimSide::KeepBelow if at > 0.0 && finite_positive => {
            Kept { count: bucket.count * at / upper, midpoint: at / 2.0 }
        }
        TrimSide::KeepBelow if upper <= 0.0 => Kept { count: bucket.count, midpoint: at },
        TrimSide::KeepAbove if at == f64::NEG_INFINITY => Kept { count: bucket.count, midpoint: 0.0 },
        TrimSide::KeepAbove if at >= 0.0 && upper > at && upper.is_finite() => {
            Kept { count: bucket.count * (1.0 - at / upper), midpoint: f64::midpoint(at, upper) }
        }
        TrimSide::KeepBelow | TrimSide::KeepAbove => removed,
    }
}

/// Part of a bucket that ends at +Inf: what is above its lower bound may be anywhere, so that
/// trimming from above removes it all and trimming from below keeps it all.
fn keep_of_highest(side: TrimSide, bucket: &Bucket, at: f64) -> Kept {
    match side {
        TrimSide::KeepAbove if at >= bucket.lower => Kept { count: bucket.count, midpoint: at },
        TrimSide::KeepAbove | TrimSide::KeepBelow => NOTHING,
    }
}

/// Part of the zero bucket. If only one side has observations, the zero bucket is taken to have
/// them on that side too. `populated` says so for the positive and the negative side.
fn keep_of_zero(side: TrimSide, zero: &Bucket, at: f64, populated: [bool; 2]) -> Kept {
    let [positive, negative] = populated;
    let lower = if positive && !negative { 0.0 } else { zero.lower };
    let upper = if negative && !positive { 0.0 } else { zero.upper };
    let whole = Kept { count: zero.count, midpoint: (lower + upper) / 2.0 };
    let width = upper - lower;
    match side {
        TrimSide::KeepBelow if at <= lower => NOTHING,
        TrimSide::KeepBelow if at >= upper => whole,
        TrimSide::KeepBelow => {
            Kept { count: zero.count * ((at - lower) / width), midpoint: (lower + at) / 2.0 }
        }
        TrimSide::KeepAbove if at <= lower => whole,
        TrimSide::KeepAbove if at >= upper => NOTHING,
        TrimSide::KeepAbove => {
            Kept { count: zero.count * ((upper - at) / width), midpoint: (at + upper) / 2.0 }
        }
    }
}

/// Where the middle of evenly spread observations between two bounds is: the arithmetic mean, or
/// the geometric one for exponential buckets. Of a half-open interval the finite end stands in,
/// except that one from -Inf to a positive number is taken to begin at zero.
fn midpoint(lower: f64, upper: f64, within: Within) -> f64 {
    if lower.is_infinite() {
        return match upper {
            u if u.is_infinite() => 0.0,
            u if u > 0.0 => u / 2.0,
            u => u,
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if within.linear {
        return (lower + upper) / 2.0;
    }
    let geometric = (lower * upper).abs().sqrt();
    if within.positive { geometric } else { -geometric }
}
