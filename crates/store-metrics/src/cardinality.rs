//! Cardinality statistics of the live store, as `/api/v1/status/tsdb` shows them.

/// A name and a number, for a top list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub name: String,
    pub value: u64,
}

/// The live store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadStats {
    pub n_series: u64,
    pub n_label_pairs: u64,
    pub chunk_count: u64,
    /// `i64::MAX` when the live store is empty, as upstream.
    pub min_time_ms: i64,
    /// `i64::MIN` when the live store is empty, as upstream.
    pub max_time_ms: i64,
}

/// Top lists in falling order of value, ties by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CardinalityStats {
    pub head: HeadStats,
    pub series_by_metric_name: Vec<Count>,
    pub values_by_label_name: Vec<Count>,
    pub memory_bytes_by_label_name: Vec<Count>,
    /// Named `name=value`.
    pub series_by_label_pair: Vec<Count>,
}
