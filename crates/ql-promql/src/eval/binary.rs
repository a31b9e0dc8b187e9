//! Binary expressions.

use crate::ast::{BinaryOp, VectorMatching};
use crate::eval::arithmetic::{Outcome, Remarks, combine, combine_floats, combine_scalars};
use crate::eval::block::{Block, Cell};
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::join::Join;
use crate::eval::matching::{changes_meaning, match_groups};
use crate::eval::plan::{BinaryNode, Operands};

/// Between two checks for cancellation.
const GROUPS_PER_CHECK: usize = 256;

impl Evaluator<'_> {
    pub(crate) fn binary(&mut self, node: &BinaryNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut block = match node.operands {
            Operands::ScalarScalar => {
                let (left, right) = (self.scalar(&node.lhs, grid)?, self.scalar(&node.rhs, grid)?);
                let values =
                    left.into_iter().zip(right).map(|(l, r)| combine_scalars(node.op, l, r)).collect();
                return Ok(Block::scalar_steps(values));
            }
            Operands::VectorScalar => {
                let vector = self.eval(&node.lhs, grid)?;
                let scalar = self.scalar(&node.rhs, grid)?;
                self.vector_scalar(node, vector, &scalar, ScalarSide::Right)
            }
            Operands::ScalarVector => {
                let scalar = self.scalar(&node.lhs, grid)?;
                let vector = self.eval(&node.rhs, grid)?;
                self.vector_scalar(node, vector, &scalar, ScalarSide::Left)
            }
            Operands::VectorVector(matching) => {
                let (left, right) = (self.eval(&node.lhs, grid)?, self.eval(&node.rhs, grid)?);
                match node.op {
                    BinaryOp::And | BinaryOp::Unless => set_filter(left, &right, matching, node.op),
                    BinaryOp::Or => set_or(left, right, matching),
                    _ => self.vector_vector(node, &left, &right, matching)?,
                }
            }
        };
        self.finish_steps(&mut block, grid)?;
        Ok(block)
    }

    fn vector_scalar(
        &mut self,
        node: &BinaryNode<'_>,
        mut block: Block,
        scalar: &[f64],
        side: ScalarSide,
    ) -> Block {
        let op = node.op;
        let mut remarks = Remarks::default();
        let trims = matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        for row in 0..block.n_rows() {
            let histograms = block.take_histograms(row);
            if trims {
                scalar_trims_nothing(&mut block, row, scalar, op, &mut remarks);
            } else {
                scalar_with_floats(&mut block, row, scalar, node, side);
            }
            for (step, histogram) in histograms {
                let step = step as usize;
                let (vector, scalar) = (Cell::Histogram(&histogram), Cell::Float(scalar[step]));
                let (left, right) = side.order(vector, scalar);
                let outcome = combine(op, left, right, &mut remarks);
                let keep = match &outcome {
                    Outcome::Float(_, keep) | Outcome::Histogram(_, keep) => *keep,
                    Outcome::Nothing => continue,
                };
                if node.return_bool {
                    block.set_float(row, step, f64::from(u8::from(keep)));
                } else if keep && let Outcome::Histogram(histogram, _) = outcome {
                    block.set_histogram(row, step, histogram);
                }
            }
        }
        if changes_meaning(op) || node.return_bool {
            self.drop_names(&mut block);
        }
        remarks.annotate(op, &mut self.annotations, node.position);
        block
    }

    fn vector_vector(
        &mut self,
        node: &BinaryNode<'_>,
        left: &Block,
        right: &Block,
        matching: &VectorMatching,
    ) -> Result<Block, EvalError> {
        let groups = match_groups(left, right, matching);
        let mut join = Join::new(node, left, right, matching, &groups, !self.options.delayed_name_removal);
        for group in 0..groups.n_groups {
            if group % GROUPS_PER_CHECK == 0 {
                self.context.cancel.check()?;
                join.settle(&self.context.budget)?;
            }
            join.group(group, self.context)?;
        }
        join.remarks.annotate(node.op, &mut self.annotations, node.position);
        Ok(join.finish())
    }
}

/// Which operand of a vector-scalar operation is the scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScalarSide {
    Left,
    Right,
}

impl ScalarSide {
    fn order<T>(self, vector: T, scalar: T) -> (T, T) {
        match self {
            Self::Left => (scalar, vector),
            Self::Right => (vector, scalar),
        }
    }
}

fn scalar_with_floats(
    block: &mut Block,
    row: usize,
    scalar: &[f64],
    node: &BinaryNode<'_>,
    side: ScalarSide,
) {
    let op = node.op;
    if !op.is_comparison() {
        for (value, scalar) in block.values_mut(row).iter_mut().zip(scalar) {
            let (left, right) = side.order(*value, *scalar);
            *value = combine_floats(op, left, right).0;
        }
        return;
    }
    for (step, scalar) in scalar.iter().enumerate() {
        if !block.has_float(row, step) {
            continue;
        }
        let (left, right) = side.order(block.values(row)[step], *scalar);
        let keep = combine_floats(op, left, right).1;
        if node.return_bool {
            block.set_float(row, step, f64::from(u8::from(keep)));
        } else if !keep {
            block.clear_float(row, step);
        }
    }
}

fn scalar_trims_nothing(block: &mut Block, row: usize, scalar: &[f64], op: BinaryOp, remarks: &mut Remarks) {
    for (step, scalar) in scalar.iter().enumerate() {
        if block.has_float(row, step) {
            let value = block.values(row)[step];
            combine(op, Cell::Float(value), Cell::Float(*scalar), remarks);
            block.clear_float(row, step);
        }
    }
}

/// The presence of any row of each group.
fn group_presence(block: &Block, of_row: &[usize], n_groups: usize) -> Vec<Vec<u64>> {
    let mut presence = vec![Vec::new(); n_groups];
    for (row, group) in of_row.iter().enumerate() {
        merge_bits(&mut presence[*group], &block.occupied(row));
    }
    presence
}

pub(crate) fn merge_bits(all: &mut Vec<u64>, more: &[u64]) {
    all.resize(more.len().max(all.len()), 0);
    for (all, more) in all.iter_mut().zip(more) {
        *all |= more;
    }
}

pub(crate) fn bit(words: &[u64], step: usize) -> bool {
    words.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1)
}

/// Keeps the cells of a row for which `keep` holds.
fn filter_row(block: &mut Block, row: usize, keep: impl Fn(usize) -> bool) {
    for step in 0..block.n_steps() {
        if !keep(step) {
            block.clear_float(row, step);
        }
    }
    let mut cells = block.take_histograms(row);
    cells.retain(|(step, _)| keep(*step as usize));
    block.set_histograms(row, cells);
}

/// `and`, `unless`.
fn set_filter(mut left: Block, right: &Block, matching: &VectorMatching, op: BinaryOp) -> Block {
    let groups = match_groups(&left, right, matching);
    let present = group_presence(right, &groups.of_right, groups.n_groups);
    for (row, group) in groups.of_left.iter().enumerate() {
        filter_row(&mut left, row, |step| bit(&present[*group], step) == (op == BinaryOp::And));
    }
    left
}

fn set_or(mut left: Block, mut right: Block, matching: &VectorMatching) -> Block {
    let groups = match_groups(&left, &right, matching);
    let present = group_presence(&left, &groups.of_left, groups.n_groups);
    for (row, group) in groups.of_right.iter().enumerate() {
        filter_row(&mut right, row, |step| !bit(&present[*group], step));
    }
    right.retain_rows(|block, row| !block.row_is_empty(row));
    left.append(right);
    left
}
