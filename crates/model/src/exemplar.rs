//! Exemplars: one observation of a series with the labels of its trace.

use crate::labels::Labels;

/// An observation attached to a series. `t` is in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub value: f64,
    pub t: i64,
    /// Whether the exposition carried a timestamp of its own.
    pub has_t: bool,
}
