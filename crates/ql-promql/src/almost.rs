//! Equality of floats up to rounding.

use model::is_stale_nan;

/// Whether two floats are equal within a relative error. All NaNs are equal, except that a
/// staleness marker equals only another.
pub fn almost_equal(a: f64, b: f64, relative_error_max: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let difference = (a - b).abs();
    let size = a.abs() + b.abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < relative_error_max * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < relative_error_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_relative_and_knows_stale_markers() {
        let stale = model::stale_nan();
        for (a, b, equal) in [
            (1.0, 1.0000001, true),
            (1.0, 1.00001, false),
            (0.0, 1e-300, false),
            (0.0, -0.0, true),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, stale, false),
            (stale, stale, true),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, false),
            (f64::INFINITY, 1.0, false),
            (f64::MAX, f64::MAX / 2.0, false),
        ] {
            assert_eq!(almost_equal(a, b, 1e-6), equal, "{a} and {b}");
            assert_eq!(almost_equal(b, a, 1e-6), equal, "{b} and {a}");
        }
    }
}
