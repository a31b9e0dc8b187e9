//! The recursion over prepared expressions.

use base::ShardSet;
use model::Labels;

use crate::annotations::Annotations;
use crate::eval::STEPS_MAX;
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::fragments::Place;
use crate::eval::grid::Grid;
use crate::eval::plan::{Node, SubqueryNode};
use crate::eval::tally::{HeldSamples, SubqueryShift, Tally};
use crate::functions::drop_metric_name;
use crate::query::{EngineOptions, EvalContext};
use crate::source::SeriesSource;

/// A float, and its share of the presence bits, generously.
const ROW_BYTES_PER_STEP: u64 = 9;

/// Rows whose labels are built between two checks for cancellation.
pub(crate) const ROWS_PER_CHECK: usize = 128;

/// Two counters.
const TALLY_BYTES_PER_STEP: u64 = 16;

/// One evaluation of one query.
pub(crate) struct Evaluator<'a> {
    pub(crate) options: &'a EngineOptions,
    pub(crate) context: &'a EvalContext,
    pub(crate) source: &'a dyn SeriesSource,
    /// Only series of these shards are selected.
    pub(crate) shards: &'a ShardSet,
    /// Where fragments are evaluated; there are none when the query is evaluated whole.
    pub(crate) places: &'a [Place<'a>],
    /// Whether this evaluates a fragment: see [`Block::origin`].
    pub(crate) tracks_origins: bool,
    pub(crate) lookback_ms: i64,
    pub(crate) annotations: Annotations,
    pub(crate) held: HeldSamples,
    pub(crate) tally: Tally,
}

impl EvalContext {
    /// To be called for each row whose labels were built: charges them and, now and then, looks
    /// whether the query is to stop.
    pub(crate) fn pace(&self, block: &mut Block, row: usize) -> Result<(), EvalError> {
        if row.is_multiple_of(ROWS_PER_CHECK) {
            self.cancel.check()?;
        }
        Ok(block.settle(&self.budget)?)
    }
}

impl Evaluator<'_> {
    /// Evaluates a node that gives a scalar or an instant vector.
    pub(crate) fn eval(&mut self, node: &Node<'_>, grid: Grid) -> Result<Block, EvalError> {
        self.context.cancel.check()?;
        if grid.n_steps == 0 {
            return Ok(Block::new(0));
        }
        // Room for one row, before anything allocates rows that no sample may fill.
        let _room = self.context.budget.charge(grid.n_steps as u64 * ROW_BYTES_PER_STEP)?;
        let held_before = self.held.current();
        // One `?` for all: the stack of deep expressions is as large as this frame is.
        let evaluated = match node {
            Node::Number(value) => Ok(Block::scalar(grid.n_steps, *value)),
            Node::Vector(selector) => self.instant_selector(selector, grid),
            Node::Negate(inner) => self.negate(inner, grid),
            Node::Binary(binary) => self.binary(binary, grid),
            Node::Call(call) => self.call(call, grid),
            Node::Aggregate(aggregate) => self.aggregate(aggregate, grid),
            Node::StepInvariant(inner) => self.step_invariant(inner, grid),
            Node::Fragment(fragment) => self.fragment(fragment, grid),
            Node::String(_) | Node::Matrix(_) | Node::Subquery(_) => Err(EvalError::Execution(
                "a range vector or string stands where a vector is needed".to_owned(),
            )),
        };
        let mut block = evaluated?;
        block.settle(&self.context.budget)?;
        self.held.set(held_before + block.n_samples())?;
        Ok(block)
    }

    /// The value of a scalar node at each step.
    pub(crate) fn scalar(&mut self, node: &Node<'_>, grid: Grid) -> Result<Vec<f64>, EvalError> {
        if let Node::Number(value) = node {
            self.held.add(grid.n_steps)?;
            return Ok(vec![*value; grid.n_steps]);
        }
        let block = self.eval(node, grid)?;
        if block.is_empty() {
            return Ok(vec![f64::NAN; grid.n_steps]);
        }
        Ok(block.values(0).to_vec())
    }

    fn step_invariant(&mut self, inner: &Node<'_>, grid: Grid) -> Result<Block, EvalError> {
        let child_tally = self.tally.sibling();
        let outer_tally = std::mem::replace(&mut self.tally, child_tally);
        let once = self.eval(inner, grid.first_step());
        let part = std::mem::replace(&mut self.tally, outer_tally);
        self.tally.absorb_invariant(&part, grid.n_steps);
        let once = once?;
        Ok(if grid.is_instant() { once } else { once.broadcast(grid.n_steps) })
    }

    fn negate(&mut self, inner: &Node<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut block = self.eval(inner, grid)?;
        for row in 0..block.n_rows() {
            for value in block.values_mut(row) {
                *value = -*value;
            }
            let mut cells = block.take_histograms(row);
            for (_, histogram) in &mut cells {
                let mut negated = (**histogram).clone();
                negated.mul(-1.0);
                *histogram = std::sync::Arc::new(negated);
            }
            block.set_histograms(row, cells);
        }
        self.drop_names(&mut block);
        if !self.options.delayed_name_removal {
            block.merge_duplicates()?;
        }
        Ok(block)
    }

    /// Evaluates the inside of a subquery at its own steps, as seen from `grid`.
    pub(crate) fn subquery(
        &mut self,
        subquery: &SubqueryNode<'_>,
        grid: Grid,
        counts_again: bool,
    ) -> Result<(Block, Grid), EvalError> {
        let step_ms =
            if subquery.step_ms > 0 { subquery.step_ms } else { self.options.no_step_subquery_interval_ms };
        let before_ms = subquery.reference_ms(grid.start_ms).saturating_sub(subquery.range_ms);
        // The first multiple of the step after the start of the first window.
        let mut start_ms = step_ms * (before_ms / step_ms);
        if start_ms <= before_ms {
            start_ms = start_ms.saturating_add(step_ms);
        }
        let inner = Grid::new(start_ms, subquery.reference_ms(grid.end_ms()), step_ms);
        if inner.n_steps > STEPS_MAX {
            return Err(EvalError::TooManySamples);
        }
        // Which step of the caller reads a sample matters only if it has several.
        let per_step = grid.n_steps > 1;
        let tally_bytes = if per_step { inner.n_steps as u64 * TALLY_BYTES_PER_STEP } else { 0 };
        let _room = self.context.budget.charge(tally_bytes)?;
        let child_tally = Tally::new(per_step, inner.n_steps);
        let outer_tally = std::mem::replace(&mut self.tally, child_tally);
        let block = self.eval(&subquery.expr, inner);
        let part = std::mem::replace(&mut self.tally, outer_tally);
        let shift = if counts_again {
            SubqueryShift { offset_ms: subquery.offset_ms, range_ms: subquery.range_ms, with_total: false }
        } else {
            SubqueryShift { offset_ms: 0, range_ms: 0, with_total: true }
        };
        self.tally.absorb_subquery(&part, inner, grid, shift);
        Ok((block?, inner))
    }

    /// Removes the names of all rows, now or at the end of the query.
    pub(crate) fn drop_names(&self, block: &mut Block) {
        for row in 0..block.n_rows() {
            let labels = self.without_name(block.labels(row));
            block.set_labels(row, labels);
            block.set_drop_name(row, true);
        }
    }

    /// The labels of a row whose name is to be dropped: as they are, if that is for later.
    pub(crate) fn without_name(&self, labels: &Labels) -> Labels {
        if self.options.delayed_name_removal { labels.clone() } else { drop_metric_name(labels) }
    }

    /// What upstream does after it has evaluated each step for itself: rows without samples go, and
    /// equal labels are an error or, over a range where they do not overlap, one series.
    pub(crate) fn finish_steps(&self, block: &mut Block, grid: Grid) -> Result<(), EvalError> {
        block.retain_rows(|block, row| !block.row_is_empty(row));
        if !grid.is_instant() {
            return block.merge_duplicates();
        }
        if !self.options.delayed_name_removal && block.has_duplicate_labels() {
            return Err(EvalError::duplicate_labelset());
        }
        Ok(())
    }
}
