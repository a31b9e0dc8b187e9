//! Sample values: floats with the staleness marker.

/// The NaN payload that marks a series as stale. Any other NaN is a value.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The NaN that upstream stores for values that are "not a number".
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

pub fn is_stale_nan(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}
