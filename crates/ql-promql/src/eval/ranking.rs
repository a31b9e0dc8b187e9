//! Aggregations that choose series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use crate::annotations::Annotation;
use crate::ast::AggregateOp;
use crate::eval::aggregate::{Groups, out_of_range, param_bounds};
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::matching::rows_by_group;
use crate::eval::plan::AggregateNode;

/// Upstream's bounds of what it converts to an integer.
const INT64_MAX: f64 = 9_223_372_036_854_774_784.0;
const INT64_MIN: f64 = -9_223_372_036_854_775_808.0;

/// The rows chosen at one step, group by group, best first.
type Chosen = Vec<usize>;

impl Evaluator<'_> {
    /// Keeps the samples that the aggregation chooses; over a single step also their order.
    pub(crate) fn rank(
        &mut self,
        node: &AggregateNode<'_>,
        mut input: Block,
        groups: &Groups,
        param: &[f64],
    ) -> Result<Block, EvalError> {
        if !self.check_param(node, param)? {
            return Ok(Block::new(input.n_steps()));
        }
        let groups = rows_by_group(&groups.of_row, groups.labels.len());
        let offsets: Vec<f64> = match node.op {
            // The share of all hashes that lies below the hash of the series.
            AggregateOp::LimitRatio => {
                (0..input.n_rows()).map(|row| input.labels(row).hash64() as f64 / u64::MAX as f64).collect()
            }
            _ => Vec::new(),
        };
        let n_rows = input.n_rows();
        let mut kept = vec![vec![0u64; input.n_steps().div_ceil(64)]; n_rows];
        let mut chosen = Chosen::new();
        let mut saw_histogram = false;
        for (step, param) in param.iter().enumerate() {
            self.context.cancel.check()?;
            chosen.clear();
            for rows in &groups {
                let present = rows.iter().copied().filter(|row| input.has_cell(*row, step));
                match node.op {
                    AggregateOp::LimitRatio => {
                        chosen.extend(present.filter(|row| in_ratio(offsets[*row], *param)));
                    }
                    AggregateOp::LimitK => chosen.extend(present.take(usize_of(*param, n_rows))),
                    op => {
                        let k = usize_of(*param, n_rows);
                        let start = chosen.len();
                        for row in present {
                            if !input.has_float(row, step) {
                                saw_histogram |= k > 0;
                            } else if k > 0 {
                                let value = |row: usize| input.values(row)[step];
                                let heap = Heap { start, k, worst_first: worst_first(op) };
                                heap.offer(&mut chosen, row, value);
                            }
                        }
                        best_first(&mut chosen[start..], op, |row| input.values(row)[step]);
                    }
                }
            }
            for row in &chosen {
                kept[*row][step / 64] |= 1 << (step % 64);
            }
        }
        if saw_histogram {
            let aggregation = node.op.as_str();
            self.annotations.add(Annotation::HistogramIgnoredInAggregation { aggregation }, node.position);
        }
        if input.n_steps() == 1 {
            input.reorder(&chosen);
            return Ok(input);
        }
        for (row, kept) in kept.iter().enumerate() {
            keep_cells(&mut input, row, kept);
        }
        input.retain_rows(|block, row| !block.row_is_empty(row));
        Ok(input)
    }

    /// Refuses parameters that make no sense; false if nothing will be chosen at any step.
    pub(crate) fn check_param(&mut self, node: &AggregateNode<'_>, param: &[f64]) -> Result<bool, EvalError> {
        let (min, max) = param_bounds(param);
        let any_nan = param.iter().any(|value| value.is_nan());
        if node.op == AggregateOp::LimitRatio {
            if min == 0.0 && max == 0.0 && !any_nan {
                return Ok(false);
            }
            if any_nan {
                return Err(EvalError::Execution("Ratio value is NaN".to_owned()));
            }
            for (ratio, capped_to) in [(max, 1.0), (min, -1.0)] {
                if (capped_to > 0.0 && ratio > capped_to) || (capped_to < 0.0 && ratio < capped_to) {
                    self.annotations.add(Annotation::InvalidRatio { ratio, capped_to }, node.param_position);
                }
            }
            return Ok(true);
        }
        if max < 1.0 && !any_nan {
            return Ok(false);
        }
        if any_nan {
            return Err(EvalError::Execution("Parameter value is NaN".to_owned()));
        }
        if min <= INT64_MIN {
            return Err(out_of_range(min, "underflows"));
        }
        if max >= INT64_MAX {
            return Err(out_of_range(max, "overflows"));
        }
        Ok(true)
    }
}

pub(crate) fn usize_of(k: f64, n_rows: usize) -> usize {
    if k < 1.0 { 0 } else { (k as usize).min(n_rows) }
}

/// A negative ratio chooses what the positive complement leaves out.
fn in_ratio(offset: f64, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

/// Whether the first value leaves the chosen ones before the second; NaN leaves first.
fn worst_first(op: AggregateOp) -> fn(f64, f64) -> bool {
    if op == AggregateOp::TopK { |a, b| a.is_nan() || a < b } else { |a, b| a.is_nan() || a > b }
}

pub(crate) fn best_first(rows: &mut [usize], op: AggregateOp, value: impl Fn(usize) -> f64) {
    rows.sort_by(|a, b| {
        let (a, b) = (value(*a), value(*b));
        let order = if op == AggregateOp::TopK { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
        order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
}

/// The best `k` rows seen so far, as a binary heap with the worst on top, so that of equal values
/// the same ones are kept as by upstream.
struct Heap {
    /// Where the heap begins in the list of chosen rows.
    start: usize,
    k: usize,
    worst_first: fn(f64, f64) -> bool,
}

impl Heap {
    fn offer(&self, chosen: &mut Vec<usize>, row: usize, value: impl Fn(usize) -> f64) {
        if chosen.len() - self.start < self.k {
            chosen.push(row);
            self.sift_up(&mut chosen[self.start..], &value);
            return;
        }
        let top = value(chosen[self.start]);
        let new = value(row);
        let better = !new.is_nan() && (top.is_nan() || (self.worst_first)(top, new));
        if better {
            chosen[self.start] = row;
            self.sift_down(&mut chosen[self.start..], &value);
        }
    }

    fn sift_up(&self, heap: &mut [usize], value: &impl Fn(usize) -> f64) {
        let mut child = heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !(self.worst_first)(value(heap[child]), value(heap[parent])) {
                break;
            }
            heap.swap(child, parent);
            child = parent;
        }
    }

    fn sift_down(&self, heap: &mut [usize], value: &impl Fn(usize) -> f64) {
        let mut parent = 0;
        loop {
            let mut child = 2 * parent + 1;
            if child >= heap.len() {
                return;
            }
            if child + 1 < heap.len() && (self.worst_first)(value(heap[child + 1]), value(heap[child])) {
                child += 1;
            }
            if !(self.worst_first)(value(heap[child]), value(heap[parent])) {
                return;
            }
            heap.swap(parent, child);
            parent = child;
        }
    }
}

pub(crate) fn keep_cells(block: &mut Block, row: usize, kept: &[u64]) {
    for (word, kept) in block.present_mut(row).iter_mut().zip(kept) {
        *word &= kept;
    }
    let mut cells = block.take_histograms(row);
    cells.retain(|(step, _)| kept[*step as usize / 64] >> (step % 64) & 1 == 1);
    block.set_histograms(row, cells);
}
