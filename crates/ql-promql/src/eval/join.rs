//! Arithmetic and comparisons between vectors: partners are found by match group.

use base::{Budget, BudgetExceeded};
use hashbrown::HashMap;
use model::Labels;

use crate::ast::{BinaryOp, MatchCardinality, VectorMatching};
use crate::eval::arithmetic::{Outcome, Remarks, combine, combine_floats};
use crate::eval::binary::{bit, merge_bits};
use crate::eval::block::{Block, Cell};
use crate::eval::error::EvalError;
use crate::eval::matching::{MatchGroups, match_labels, result_labels, rows_by_group};
use crate::eval::plan::BinaryNode;
use crate::query::EvalContext;

/// A vector-vector operation under way. The "one" side may not repeat a match group; for
/// one-to-one matching the "many" side is the left one, and may not either.
pub(crate) struct Join<'a> {
    node: &'a BinaryNode<'a>,
    matching: &'a VectorMatching,
    many: &'a Block,
    one: &'a Block,
    /// The sides are swapped (`group_right`).
    swapped: bool,
    many_rows: Vec<Vec<usize>>,
    one_rows: Vec<Vec<usize>>,
    many_fill: Option<f64>,
    one_fill: Option<f64>,
    /// Steps at which a side has any element: an operation on an empty side is empty.
    many_any: Vec<u64>,
    one_any: Vec<u64>,
    drops_name_now: bool,
    out: Block,
    /// For each row of `out`, where upstream would put it: after the elements of the "many" side
    /// come those that only the "one" side has.
    places: Vec<(bool, usize)>,
    pub(crate) remarks: Remarks,
}

impl<'a> Join<'a> {
    pub(crate) fn new(
        node: &'a BinaryNode<'a>,
        left: &'a Block,
        right: &'a Block,
        matching: &'a VectorMatching,
        groups: &MatchGroups,
        immediate_name_removal: bool,
    ) -> Self {
        let swapped = matching.cardinality == MatchCardinality::OneToMany;
        let left_rows = rows_by_group(&groups.of_left, groups.n_groups);
        let right_rows = rows_by_group(&groups.of_right, groups.n_groups);
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (many_rows, one_rows) = if swapped { (right_rows, left_rows) } else { (left_rows, right_rows) };
        // Upstream applies the fill values after it has swapped the sides, by side, not by operand.
        let (many_fill, one_fill) = (matching.fill_left, matching.fill_right);
        let any = |block: &Block| {
            let mut words = Vec::new();
            (0..block.n_rows()).for_each(|row| merge_bits(&mut words, &block.occupied(row)));
            words
        };
        Self {
            node,
            matching,
            many,
            one,
            swapped,
            many_rows,
            one_rows,
            many_fill,
            one_fill,
            many_any: any(many),
            one_any: any(one),
            drops_name_now: immediate_name_removal && node.return_bool,
            out: Block::new(left.n_steps()),
            places: Vec::new(),
            remarks: Remarks::default(),
        }
    }

    /// The result, whose rows are in upstream's order if there is a single step.
    pub(crate) fn finish(mut self) -> Block {
        if self.out.n_steps() == 1 {
            let mut order: Vec<usize> = (0..self.out.n_rows()).collect();
            order.sort_by_key(|row| self.places[*row]);
            self.out.reorder(&order);
        }
        self.out
    }

    pub(crate) fn settle(&mut self, budget: &Budget) -> Result<(), BudgetExceeded> {
        self.out.settle(budget)
    }

    fn fills(&self) -> bool {
        self.many_fill.is_some() || self.one_fill.is_some()
    }

    pub(crate) fn group(&mut self, group: usize, context: &EvalContext) -> Result<(), EvalError> {
        let (many_rows, one_rows) =
            (std::mem::take(&mut self.many_rows[group]), std::mem::take(&mut self.one_rows[group]));
        let one_to_one = self.matching.cardinality == MatchCardinality::OneToOne;
        if one_rows.len() == 1 && !self.fills() && (many_rows.len() == 1 || !one_to_one) {
            return self.columns(&many_rows, one_rows[0], context);
        }
        if many_rows.is_empty() && one_rows.len() < 2 && self.many_fill.is_none() {
            return Ok(());
        }
        if one_rows.is_empty() && self.one_fill.is_none() {
            return Ok(());
        }
        self.steps(&many_rows, &one_rows, context)
    }

    fn labels_of(&self, many: &Labels, one: &Labels) -> Labels {
        result_labels(many, one, self.node.op, self.matching, self.drops_name_now)
    }

    /// Each row of the "many" side with the only row of the "one" side, column by column.
    fn columns(
        &mut self,
        many_rows: &[usize],
        one_row: usize,
        context: &EvalContext,
    ) -> Result<(), EvalError> {
        // Equal results within a group are an error even where a comparison filters them out.
        let mut taken: HashMap<Labels, Vec<u64>> = HashMap::new();
        for (idx, many_row) in many_rows.iter().enumerate() {
            context.pace(&mut self.out, idx)?;
            let labels = self.labels_of(self.many.labels(*many_row), self.one.labels(one_row));
            if many_rows.len() > 1 {
                self.check_unique(&mut taken, &labels, *many_row, one_row)?;
            }
            let row = self.out.push_built_row(labels, self.node.return_bool);
            self.places.push((false, *many_row));
            if self.many.histograms(*many_row).is_empty()
                && self.one.histograms(one_row).is_empty()
                && !self.trims()
            {
                self.float_columns(row, *many_row, one_row);
            } else {
                for step in 0..self.out.n_steps() {
                    if let (Some(many), Some(one)) =
                        (self.many.cell(*many_row, step), self.one.cell(one_row, step))
                    {
                        self.put(row, step, many, one);
                    }
                }
            }
            if self.out.row_is_empty(row) {
                self.out.pop_row();
                self.places.pop();
            }
        }
        Ok(())
    }

    fn check_unique(
        &self,
        taken: &mut HashMap<Labels, Vec<u64>>,
        labels: &Labels,
        many_row: usize,
        one_row: usize,
    ) -> Result<(), EvalError> {
        let mut both = self.many.occupied(many_row);
        for (word, one) in both.iter_mut().zip(self.one.occupied(one_row)) {
            *word &= one;
        }
        let before = taken.entry(labels.clone()).or_default();
        if before.iter().zip(&both).any(|(a, b)| a & b != 0) {
            return Err(not_unique());
        }
        merge_bits(before, &both);
        Ok(())
    }

    fn trims(&self) -> bool {
        matches!(self.node.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    fn float_columns(&mut self, row: usize, many_row: usize, one_row: usize) {
        let op = self.node.op;
        let words: Vec<u64> =
            self.many.present(many_row).iter().zip(self.one.present(one_row)).map(|(a, b)| a & b).collect();
        let (many, one) = (self.many.values(many_row), self.one.values(one_row));
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        if op.is_comparison() {
            for step in (0..left.len()).filter(|step| bit(&words, *step)) {
                let (value, keep) = combine_floats(op, left[step], right[step]);
                if self.node.return_bool {
                    self.out.set_float(row, step, f64::from(u8::from(keep)));
                } else if keep {
                    self.out.set_float(row, step, value);
                }
            }
            return;
        }
        for ((out, left), right) in self.out.values_mut(row).iter_mut().zip(left).zip(right) {
            *out = combine_floats(op, *left, *right).0;
        }
        self.out.present_mut(row).copy_from_slice(&words);
    }

    /// Stores the result of two samples.
    fn put(&mut self, row: usize, step: usize, many: Cell<'_>, one: Cell<'_>) {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let outcome = combine(self.node.op, left, right, &mut self.remarks);
        match outcome {
            Outcome::Nothing => {}
            Outcome::Float(_, keep) | Outcome::Histogram(_, keep) if self.node.return_bool => {
                self.out.set_float(row, step, f64::from(u8::from(keep)));
            }
            Outcome::Float(value, true) => self.out.set_float(row, step, value),
            Outcome::Histogram(histogram, true) => self.out.set_histogram(row, step, histogram),
            Outcome::Float(_, false) | Outcome::Histogram(_, false) => {}
        }
    }

    /// The general case: finds the partners anew at each step.
    fn steps(
        &mut self,
        many_rows: &[usize],
        one_rows: &[usize],
        context: &EvalContext,
    ) -> Result<(), EvalError> {
        let mut rows = ResultRows::default();
        for step in 0..self.out.n_steps() {
            context.pace(&mut self.out, 0)?;
            let both_sides = bit(&self.many_any, step) && bit(&self.one_any, step);
            if !both_sides && !self.fills() {
                continue;
            }
            let present: Vec<usize> =
                one_rows.iter().copied().filter(|row| self.one.has_cell(*row, step)).collect();
            if let [first, second, ..] = present[..] {
                return Err(self.duplicate_series(first, second));
            }
            let one = present.first().copied();
            let mut matched: Vec<Labels> = Vec::new();
            for many_row in many_rows.iter().copied().filter(|row| self.many.has_cell(*row, step)) {
                self.pair(&mut rows, &mut matched, (Some(many_row), one), step)?;
            }
            if matched.is_empty() && one.is_some() && self.many_fill.is_some() {
                self.pair(&mut rows, &mut matched, (None, one), step)?;
            }
        }
        Ok(())
    }

    /// The result of one pair at one step, where either side may be filled.
    fn pair(
        &mut self,
        rows: &mut ResultRows,
        matched: &mut Vec<Labels>,
        (many_row, one_row): (Option<usize>, Option<usize>),
        step: usize,
    ) -> Result<(), EvalError> {
        let (many_block, one_block) = (self.many, self.one);
        let many = many_row.map_or(self.many_fill.map(Cell::Float), |row| many_block.cell(row, step));
        let one = one_row.map_or(self.one_fill.map(Cell::Float), |row| one_block.cell(row, step));
        let (Some(many), Some(one)) = (many, one) else { return Ok(()) };
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        if matches!(combine(self.node.op, left, right, &mut self.remarks), Outcome::Nothing) {
            return Ok(());
        }
        let row = match rows.by_pair.get(&(many_row, one_row)) {
            Some(row) => *row,
            None => {
                let labels = self.pair_labels(many_row, one_row);
                let row = self.out.push_built_row(labels, self.node.return_bool);
                self.places.push(many_row.map_or((true, one_row.unwrap_or(0)), |many| (false, many)));
                rows.by_pair.insert((many_row, one_row), row);
                row
            }
        };
        let labels = self.out.labels(row).clone();
        if self.matching.cardinality == MatchCardinality::OneToOne {
            if !matched.is_empty() {
                let text = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                return Err(EvalError::Execution(text.to_owned()));
            }
        } else if matched.contains(&labels) {
            return Err(not_unique());
        }
        matched.push(labels);
        self.put(row, step, many, one);
        Ok(())
    }

    fn pair_labels(&self, many_row: Option<usize>, one_row: Option<usize>) -> Labels {
        match (many_row, one_row) {
            (Some(many), Some(one)) => self.labels_of(self.many.labels(many), self.one.labels(one)),
            (Some(many), None) => {
                let many = self.many.labels(many);
                self.labels_of(many, &match_labels(many, self.matching))
            }
            (None, Some(one)) => {
                let one = self.one.labels(one);
                self.labels_of(&match_labels(one, self.matching), one)
            }
            (None, None) => Labels::empty(),
        }
    }

    fn duplicate_series(&self, first: usize, second: usize) -> EvalError {
        let side = if self.swapped { "left" } else { "right" };
        let mut texts = [self.one.labels(first).to_string(), self.one.labels(second).to_string()];
        texts.sort_unstable();
        EvalError::Execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}]\
             ;many-to-many matching not allowed: matching labels must be unique on one side",
            match_labels(self.one.labels(first), self.matching),
            texts[0],
            texts[1]
        ))
    }
}

/// The result row of each pair of rows within a group; `None` stands for a fill value.
#[derive(Debug, Default)]
struct ResultRows {
    by_pair: HashMap<(Option<usize>, Option<usize>), usize>,
}

fn not_unique() -> EvalError {
    EvalError::Execution("multiple matches for labels: grouping labels must ensure unique matches".to_owned())
}
