//! Which elements of two vectors belong together, and what their result is called.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder};

use crate::ast::{BinaryOp, MatchCardinality, VectorMatching};
use crate::eval::block::Block;
use crate::functions::is_metadata_label;

/// The rows of both sides of a binary operation by match group.
#[derive(Debug)]
pub(crate) struct MatchGroups {
    /// The group of each left row.
    pub(crate) of_left: Vec<usize>,
    pub(crate) of_right: Vec<usize>,
    pub(crate) n_groups: usize,
}

/// Reduces labels to those that decide which elements match.
pub(crate) fn match_labels(labels: &Labels, matching: &VectorMatching) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.without(|name| !named(name))
    } else {
        labels.without(|name| name == METRIC_NAME || named(name))
    }
}

pub(crate) fn match_groups(left: &Block, right: &Block, matching: &VectorMatching) -> MatchGroups {
    let mut groups: HashMap<Labels, usize> = HashMap::with_capacity(left.n_rows());
    let mut group_rows = |block: &Block| -> Vec<usize> {
        (0..block.n_rows())
            .map(|row| {
                let next = groups.len();
                *groups.entry(match_labels(block.labels(row), matching)).or_insert(next)
            })
            .collect()
    };
    let (of_left, of_right) = (group_rows(left), group_rows(right));
    MatchGroups { of_left, of_right, n_groups: groups.len() }
}

/// Rows by group.
pub(crate) fn rows_by_group(of_row: &[usize], n_groups: usize) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); n_groups];
    for (row, group) in of_row.iter().enumerate() {
        rows[*group].push(row);
    }
    rows
}

/// Whether the result no longer is what the metric name says.
pub(crate) fn changes_meaning(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

/// The labels of the result for an element of the "many" side (or the left) and one of the "one" side.
pub(crate) fn result_labels(
    many: &Labels,
    one: &Labels,
    op: BinaryOp,
    matching: &VectorMatching,
    drop_name: bool,
) -> Labels {
    let mut builder: LabelsBuilder = many.to_builder();
    if drop_name || changes_meaning(op) {
        builder.retain(|name, _| !is_metadata_label(name));
    }
    if matching.cardinality == MatchCardinality::OneToOne {
        builder.retain(|name, _| matching.labels.iter().any(|label| label == name) == matching.on);
    }
    for name in &matching.include {
        builder.set(name, one.get(name).unwrap_or(""));
    }
    builder.build()
}
