//! Series in the notation of unit tests (promtool's and upstream's own):
//! `up{job="a"} 1 0x3 1+2x5 _ _x3 stale {{schema:1 sum:3 buckets:[1 2]}}+{{sum:1}}x4`.
//!
//! Value `i` of the result belongs to time `i * interval`. `axN` gives N + 1 values, `_xN` gives N.
//! The companion sequences of `metric@st` lines belong to the test runner.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::parser::{ParseErrors, parse_series_tokens};

/// The most values one description may stand for.
pub const SERIES_VALUES_MAX: usize = 1 << 22;

/// One place in the sequence of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample.
    Omitted,
    /// A float; `stale` is [`model::stale_nan`].
    Float(f64),
    Histogram {
        histogram: Arc<FloatHistogram>,
        /// Whether `counter_reset_hint:` was written (of `a+bxN`: in `b`), so that an expectation
        /// without it can leave the hint open.
        reset_hint_given: bool,
    },
}

/// Reads a metric and its values.
pub fn parse_series_desc(input: &str) -> Result<(Labels, Vec<SequenceValue>), ParseErrors> {
    parse_series_tokens(input)
}

#[cfg(test)]
mod tests;
