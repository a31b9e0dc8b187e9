//! Answers to selections and label queries.

use std::sync::Arc;

use base::{Charge, ShardSet};
use model::{Exemplar, Labels, Matcher};

use crate::columns::SampleColumns;
use crate::error::StoreError;
use crate::live::series::LiveSeries;
use crate::part::family::{self, Hidden};
use crate::part::reader::{AtHand, MetricsPart};
use crate::rows;
use crate::store::{Extent, MetricsView};

/// What a selection is about. Times are in milliseconds, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct SelectScope<'a> {
    /// All of them must match.
    pub matchers: &'a [Matcher],
    pub start_ms: i64,
    pub end_ms: i64,
    /// Only series of these virtual shards.
    pub shards: &'a ShardSet,
}

/// A part that some selected series are in, and what is hidden in it.
#[derive(Debug)]
pub(crate) struct SelectedPart {
    pub(crate) part: Arc<MetricsPart>,
    pub(crate) at_hand: AtHand,
    pub(crate) hidden: Vec<Hidden>,
}

/// Where samples of a selected series are: a part (by number in the selection) and the ordinal there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) part: u32,
    pub(crate) ordinal: u32,
}

/// The series that matched, sorted by labels, each once. Shared by reading threads. Holds the view
/// it was made from, so that what it reads stays.
#[derive(Debug)]
pub struct SelectedSeries {
    pub(crate) labels: Vec<Labels>,
    pub(crate) live: Vec<Option<Arc<LiveSeries>>>,
    /// Series `i` is in the parts `sources[source_starts[i]..source_starts[i + 1]]`, in order of time.
    pub(crate) source_starts: Vec<u32>,
    pub(crate) sources: Vec<Source>,
    pub(crate) parts: Vec<SelectedPart>,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) above: u32,
    /// Keeps what is read: see [`MetricsView`].
    pub(crate) view: MetricsView,
    pub(crate) _charge: Charge,
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

    /// What had to be left out so far because it is damaged; see [`MetricsView::warnings`].
    pub fn warnings(&self) -> Vec<String> {
        self.view.warnings()
    }

    /// Replaces the contents of `columns` with the samples of series `idx` within the selection's
    /// time. Damaged pages are left out and give a warning. May be called from several threads at once.
    pub fn read(&self, idx: usize, columns: &mut SampleColumns) -> Result<(), StoreError> {
        columns.clear();
        let sources = self.source_starts[idx] as usize..self.source_starts[idx + 1] as usize;
        for source in &self.sources[sources] {
            let SelectedPart { part, at_hand, hidden } = &self.parts[source.part as usize];
            let read = if hidden.iter().any(|entry| entry.series.contains(source.ordinal)) {
                let mut visible = SampleColumns::default();
                let read = part.read(at_hand, source.ordinal, self.start_ms, self.end_ms, &mut visible);
                family::hide(&mut visible, source.ordinal, hidden);
                rows::append(columns, &visible);
                read
            } else {
                part.read(at_hand, source.ordinal, self.start_ms, self.end_ms, columns)
            };
            read.or_else(|error| self.view.warn(part.meta(), Extent::Block, error.into()))?;
        }
        if let Some(live) = &self.live[idx] {
            live.read(self.above, self.start_ms, self.end_ms, columns);
        }
        rows::normalize(columns);
        Ok(())
    }
}

/// What a label query looks at.
#[derive(Debug, Clone, Copy)]
pub struct LabelScope<'a> {
    /// Selectors as from `match[]`: a series counts when all matchers of any selector hold. Empty:
    /// every series.
    pub selectors: &'a [Vec<Matcher>],
    pub start_ms: i64,
    pub end_ms: i64,
    /// At most this many answers; 0 means no limit.
    pub limit: usize,
}

/// Sorted texts; `truncated` when the limit left some out.
#[derive(Debug)]
pub struct LabelAnswer {
    pub values: Vec<String>,
    pub truncated: bool,
    /// To be held as long as the values are.
    pub charge: Charge,
}

/// Sorted label sets; `truncated` when the limit left some out.
#[derive(Debug)]
pub struct SeriesAnswer {
    pub series: Vec<Labels>,
    pub truncated: bool,
    /// To be held as long as the series are.
    pub charge: Charge,
}

/// Exemplars, sorted by the labels of their series.
#[derive(Debug)]
pub struct ExemplarAnswer {
    pub series: Vec<ExemplarSeries>,
    /// To be held as long as the exemplars are.
    pub charge: Charge,
}

/// The exemplars of one series in time order.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarSeries {
    pub labels: Labels,
    pub exemplars: Vec<Arc<Exemplar>>,
}
