//! The functions of PromQL as kernels over columns.
//!
//! A kernel over instant vectors takes its input `Block` and gives a block with as many steps; a
//! kernel over range vectors ([`window`]) takes one window of one series and gives one value.
//! Scalars arrive as one float per step.

pub(crate) mod date;
pub(crate) mod elementwise;
pub(crate) mod extended;
pub(crate) mod histogram;
pub(crate) mod math;
pub(crate) mod natural;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod window;

use model::Labels;
use ql_core::Span;

use crate::annotations::Annotations;
use crate::eval::grid::Grid;

/// What a kernel over instant vectors knows of its call.
#[derive(Debug)]
pub(crate) struct CallContext<'a> {
    pub(crate) grid: Grid,
    pub(crate) annotations: &'a mut Annotations,
    /// Where each argument stands in the query, for annotations.
    pub(crate) arg_positions: &'a [Span],
    /// Names stay in the labels and rows are marked (`Block::set_drop_name`) if true; else the
    /// kernel removes them with [`drop_metric_name`]. Rows that thereby become equal are the caller's
    /// to merge.
    pub(crate) delayed_name_removal: bool,
}

/// `__name__`, `__type__` and `__unit__` describe a metric, and no longer hold of what is computed from it.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    matches!(name, "__name__" | "__type__" | "__unit__")
}

/// The labels without those that describe the metric.
pub(crate) fn drop_metric_name(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata_label(name)) {
        labels.without(is_metadata_label)
    } else {
        labels.clone()
    }
}
