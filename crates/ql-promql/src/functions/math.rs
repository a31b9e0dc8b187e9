//! Arithmetic with Go's conventions: compensated sums, quantiles, minima with NaN.

use model::histogram::kahan_add;

/// One step of a compensated sum: the new sum and compensation.
#[inline]
pub(crate) fn kahan_inc(inc: f64, mut sum: f64, mut c: f64) -> (f64, f64) {
    kahan_add(inc, &mut sum, &mut c);
    (sum, c)
}

/// Go's `math.Min`: NaN if either is, and -0 below 0.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// Go's `math.Max`: NaN if either is (unless one is +Inf), and 0 above -0.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The `q`-quantile of `values`, which are sorted in place, NaN lowest; between two values, weighted.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// Ascending with NaN before everything.
pub(crate) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compensated_sums_do_not_lose_small_terms() {
        let (sum, c) = [1e100, 1.0, -1e100].iter().fold((0.0, 0.0), |(sum, c), v| kahan_inc(*v, sum, c));
        assert_eq!(sum + c, 1.0);
        assert_eq!(kahan_inc(f64::INFINITY, 1.0, 5.0), (f64::INFINITY, 0.0));
    }

    #[test]
    fn quantiles_are_weighted_between_neighbours() {
        for (q, values, expected) in [
            (0.5, vec![3.0, 1.0, 2.0], 2.0),
            (0.25, vec![0.0, 1.0], 0.25),
            (1.0, vec![5.0], 5.0),
            (-0.1, vec![5.0], f64::NEG_INFINITY),
            (1.1, vec![5.0], f64::INFINITY),
        ] {
            assert_eq!(quantile(q, &mut values.clone()), expected, "{q} of {values:?}");
        }
        assert!(quantile(0.5, &mut []).is_nan() && quantile(f64::NAN, &mut [1.0]).is_nan());
        assert_eq!(quantile(1.0, &mut [f64::NAN, 1.0]), 1.0);
    }

    #[test]
    fn minima_and_maxima_treat_nan_and_zero_as_go_does() {
        assert!(go_min(f64::NAN, 1.0).is_nan() && go_max(1.0, f64::NAN).is_nan());
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(go_min(0.0, -0.0).is_sign_negative() && go_max(-0.0, 0.0).is_sign_positive());
    }
}
