//! Aggregations that reduce each group to one series.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::Labels;
use model::labels::METRIC_NAME;

use crate::annotations::Annotation;
use crate::ast::{AggregateOp, StringLiteral};
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::{Evaluator, ROWS_PER_CHECK};
use crate::eval::grid::Grid;
use crate::eval::matching::rows_by_group;
use crate::eval::plan::{AggregateNode, Node};
use crate::eval::reduce::Reducer;
use crate::functions::math::quantile;

/// The groups of series that have been met.
#[derive(Debug, Default)]
pub(crate) struct GroupIndex {
    known: HashMap<Labels, usize>,
    /// The labels of each group, in the order of their first series.
    pub(crate) labels: Vec<Labels>,
    /// Of those labels.
    pub(crate) label_bytes: usize,
}

impl GroupIndex {
    /// The group of a series.
    pub(crate) fn group_of(&mut self, labels: &Labels, node: &AggregateNode<'_>) -> usize {
        self.group_named(group_labels(labels, node))
    }

    /// The group of these labels.
    pub(crate) fn group_named(&mut self, labels: Labels) -> usize {
        *self.known.entry(labels).or_insert_with_key(|key| {
            self.label_bytes += key.heap_bytes();
            self.labels.push(key.clone());
            self.labels.len() - 1
        })
    }
}

/// The labels a series keeps in its group.
fn group_labels(labels: &Labels, node: &AggregateNode<'_>) -> Labels {
    let named = |name: &str| node.grouping.binary_search(&name).is_ok();
    if node.without {
        labels.without(|name| name == METRIC_NAME || named(name))
    } else if node.grouping.is_empty() {
        Labels::empty()
    } else {
        labels.without(|name| !named(name))
    }
}

/// The group of each row of a block.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) of_row: Vec<usize>,
    pub(crate) labels: Vec<Labels>,
}

pub(crate) fn group_rows(block: &Block, node: &AggregateNode<'_>) -> Groups {
    let mut index = GroupIndex::default();
    let of_row = (0..block.n_rows()).map(|row| index.group_of(block.labels(row), node)).collect();
    Groups { of_row, labels: index.labels }
}

impl Evaluator<'_> {
    pub(crate) fn aggregate(&mut self, node: &AggregateNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        if node.op == AggregateOp::CountValues {
            return self.count_values(node, grid);
        }
        let param = match &node.param {
            Some(param) => self.scalar(param, grid)?,
            None => Vec::new(),
        };
        if let Some(reducer) = Reducer::new(node, grid.n_steps) {
            let reducer = self.reduce(node, reducer, grid)?;
            return Ok(reducer.finish(&mut self.annotations));
        }
        let input = self.eval(&node.expr, grid)?;
        let groups = group_rows(&input, node);
        if node.op != AggregateOp::Quantile {
            return self.rank(node, input, &groups, &param);
        }
        self.annotate_quantiles(node, &param);
        if input.has_histograms() {
            let aggregation = node.op.as_str();
            self.annotations
                .add(Annotation::HistogramIgnoredInAggregation { aggregation }, node.expr_position);
        }
        Ok(quantiles(&input, &groups, &param))
    }

    /// Reduces series to their groups as they are read, if they come from a selector, so that they
    /// need not be held all at once.
    pub(crate) fn reduce<'n>(
        &mut self,
        node: &AggregateNode<'_>,
        mut reducer: Reducer<'n>,
        grid: Grid,
    ) -> Result<Reducer<'n>, EvalError> {
        let budget = self.context.budget.clone();
        let streamed = self.stream(&node.expr, grid, &mut |block| {
            reducer.add(&block);
            Ok(reducer.settle(&budget)?)
        })?;
        if !streamed {
            let input = self.eval(&node.expr, grid)?;
            reducer.add(&input);
            reducer.settle(&budget)?;
        }
        Ok(reducer)
    }

    fn annotate_quantiles(&mut self, node: &AggregateNode<'_>, q: &[f64]) {
        let (min, max) = param_bounds(q);
        let any_nan = q.iter().any(|q| q.is_nan());
        let odd = [any_nan.then_some(f64::NAN), (max > 1.0).then_some(max), (min < 0.0).then_some(min)];
        for quantile in odd.into_iter().flatten() {
            self.annotations.add(Annotation::InvalidQuantile { quantile }, node.param_position);
        }
    }

    fn count_values(&mut self, node: &AggregateNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut counts = self.counts_of_values(node, grid)?;
        self.finish_steps(&mut counts, grid)?;
        Ok(counts)
    }

    /// A row per group and value.
    pub(crate) fn counts_of_values(
        &mut self,
        node: &AggregateNode<'_>,
        grid: Grid,
    ) -> Result<Block, EvalError> {
        let Some(Node::String(literal)) = node.param else {
            return Err(EvalError::Execution("count_values needs a label name".to_owned()));
        };
        if !is_label_name(literal) {
            return Err(EvalError::Execution(format!("invalid label name {}", literal.quoted())));
        }
        let label = literal.value.as_str();
        let mut grouping = node.grouping.clone();
        if !node.without
            && let Err(at) = grouping.binary_search(&label)
        {
            grouping.insert(at, label);
        }
        let input = self.eval(&node.expr, grid)?;
        let mut out = input.sibling(grid.n_steps);
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        let context = self.context;
        let mut count = |row: usize, step: usize, value: String| -> Result<(), EvalError> {
            let mut builder = input.labels(row).to_builder();
            builder.set(label, &value);
            let named = |name: &str| grouping.binary_search(&name).is_ok();
            builder.retain(
                |name, _| if node.without { name != METRIC_NAME && !named(name) } else { named(name) },
            );
            let to = match rows.entry(builder.build()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let to = out.push_built_row(new.key().clone(), false);
                    out.set_origin(to, input.origin(row));
                    context.pace(&mut out, to)?;
                    *new.insert(to)
                }
            };
            let before = if out.has_float(to, step) { out.values(to)[step] } else { 0.0 };
            out.set_float(to, step, before + 1.0);
            Ok(())
        };
        for row in 0..input.n_rows() {
            if row.is_multiple_of(ROWS_PER_CHECK) {
                context.cancel.check()?;
            }
            for step in (0..grid.n_steps).filter(|step| input.has_float(row, *step)) {
                count(row, step, base::gofloat::format_f(input.values(row)[step]))?;
            }
            for (step, histogram) in input.histograms(row) {
                count(row, *step as usize, histogram.to_string())?;
            }
        }
        Ok(out)
    }
}

/// Whether a literal may name a label: any UTF-8 text but the empty one.
pub(crate) fn is_label_name(literal: &StringLiteral) -> bool {
    literal.not_utf8.is_none() && !literal.value.is_empty()
}

/// The `q`-quantile of the floats of each group at each step.
fn quantiles(input: &Block, groups: &Groups, q: &[f64]) -> Block {
    let mut out = Block::new(input.n_steps());
    let mut values = Vec::new();
    for (rows, labels) in rows_by_group(&groups.of_row, groups.labels.len()).iter().zip(&groups.labels) {
        let drop_name = rows.iter().any(|row| input.drop_name(*row));
        let to = out.push_built_row(labels.clone(), drop_name);
        for (step, q) in q.iter().enumerate() {
            values.clear();
            let present = rows.iter().filter(|row| input.has_float(**row, step));
            values.extend(present.map(|row| input.values(*row)[step]));
            if !values.is_empty() {
                out.set_float(to, step, quantile(*q, &mut values));
            }
        }
        if out.row_is_empty(to) {
            out.pop_row();
        }
    }
    out
}

/// The smallest and largest parameter that are no NaN.
pub(crate) fn param_bounds(param: &[f64]) -> (f64, f64) {
    let min = param.iter().copied().fold(f64::INFINITY, f64::min);
    let max = param.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (min, max)
}

/// The error of a parameter that fits no integer.
pub(crate) fn out_of_range(value: f64, how: &str) -> EvalError {
    EvalError::Execution(format!("Scalar value {} {how} int64", base::gofloat::format_g(value)))
}
