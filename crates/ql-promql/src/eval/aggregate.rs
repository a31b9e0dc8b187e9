//! Aggregations that reduce each group to one series.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use model::histogram::{CounterResetHint, HistogramMean, HistogramSum, IncompatibleSchemas, MergeNotes};
use model::labels::METRIC_NAME;
use model::{FloatHistogram, Labels};

use crate::annotations::{Annotation, Annotations, HistogramOperation};
use crate::ast::{AggregateOp, StringLiteral};
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::matching::rows_by_group;
use crate::eval::plan::{AggregateNode, Node};
use crate::functions::math::{kahan_inc, quantile};
use crate::functions::window::FloatMean;

/// The group of each row.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) of_row: Vec<usize>,
    /// The labels of each group, in the order of their first rows.
    pub(crate) labels: Vec<Labels>,
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

pub(crate) fn group_rows(block: &Block, node: &AggregateNode<'_>) -> Groups {
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut labels = Vec::new();
    let of_row = (0..block.n_rows())
        .map(|row| {
            let key = group_labels(block.labels(row), node);
            *known.entry(key).or_insert_with_key(|key| {
                labels.push(key.clone());
                labels.len() - 1
            })
        })
        .collect();
    Groups { of_row, labels }
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
        let input = self.eval(&node.expr, grid)?;
        let groups = group_rows(&input, node);
        if matches!(
            node.op,
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio
        ) {
            return self.rank(node, input, &groups, &param);
        }
        let mut reduction =
            Reduction { node, input: &input, groups: &groups, annotations: &mut self.annotations };
        let mut out = match node.op {
            AggregateOp::Sum => reduction.sum(),
            AggregateOp::Avg => reduction.avg(),
            AggregateOp::Count => reduction.count(|n| n),
            AggregateOp::Group => reduction.count(|_| 1.0),
            AggregateOp::Max => reduction.extreme(|v, best| v > best),
            AggregateOp::Min => reduction.extreme(|v, best| v < best),
            AggregateOp::Stddev => reduction.variance(f64::sqrt),
            AggregateOp::Stdvar => reduction.variance(|v| v),
            AggregateOp::Quantile => reduction.quantile(&param),
            AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues => unreachable!("these are handled above"),
        };
        for (row, group) in groups.of_row.iter().enumerate() {
            if input.drop_name(row) {
                out.set_drop_name(*group, true);
            }
        }
        out.retain_rows(|block, row| !block.row_is_empty(row));
        Ok(out)
    }

    fn count_values(&mut self, node: &AggregateNode<'_>, grid: Grid) -> Result<Block, EvalError> {
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
        let mut out = Block::new(grid.n_steps);
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        let mut count = |row: usize, step: usize, value: String| {
            let mut builder = input.labels(row).to_builder();
            builder.set(label, &value);
            let named = |name: &str| grouping.binary_search(&name).is_ok();
            builder.retain(
                |name, _| if node.without { name != METRIC_NAME && !named(name) } else { named(name) },
            );
            let to =
                *rows.entry(builder.build()).or_insert_with_key(|labels| out.push_row(labels.clone(), false));
            let before = if out.has_float(to, step) { out.values(to)[step] } else { 0.0 };
            out.set_float(to, step, before + 1.0);
        };
        for row in 0..input.n_rows() {
            for step in (0..grid.n_steps).filter(|step| input.has_float(row, *step)) {
                count(row, step, base::gofloat::format_f(input.values(row)[step]));
            }
            for (step, histogram) in input.histograms(row) {
                count(row, *step as usize, histogram.to_string());
            }
        }
        self.finish_steps(&mut out, grid)?;
        Ok(out)
    }
}

/// One aggregation under way.
struct Reduction<'a> {
    node: &'a AggregateNode<'a>,
    input: &'a Block,
    groups: &'a Groups,
    annotations: &'a mut Annotations,
}

/// Whether a literal may name a label: any UTF-8 text but the empty one.
pub(crate) fn is_label_name(literal: &StringLiteral) -> bool {
    literal.not_utf8.is_none() && !literal.value.is_empty()
}

/// What has been accumulated for each group at each step.
struct Cells<A> {
    n_steps: usize,
    cells: Vec<Option<A>>,
}

impl<A> Cells<A> {
    fn at(&mut self, group: usize, step: usize) -> &mut Option<A> {
        &mut self.cells[group * self.n_steps + step]
    }
}

impl Reduction<'_> {
    /// Folds the floats of each group at each step, in the order of rows.
    fn fold<A>(&self, first: impl Fn(f64) -> A, more: impl Fn(&mut A, f64)) -> Cells<A> {
        let n_steps = self.input.n_steps();
        let mut cells = Vec::new();
        cells.resize_with(self.groups.labels.len() * n_steps, || None);
        for (row, group) in self.groups.of_row.iter().enumerate() {
            let accumulators = &mut cells[group * n_steps..(group + 1) * n_steps];
            let values = self.input.values(row);
            for (word_idx, word) in self.input.present(row).iter().enumerate() {
                let mut rest = *word;
                while rest != 0 {
                    let step = word_idx * 64 + rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    match &mut accumulators[step] {
                        Some(accumulator) => more(accumulator, values[step]),
                        empty => *empty = Some(first(values[step])),
                    }
                }
            }
        }
        Cells { n_steps, cells }
    }

    fn to_block<A>(&self, cells: Cells<A>, finish: impl Fn(A) -> f64) -> Block {
        let n_steps = cells.n_steps;
        let mut out = Block::new(n_steps);
        for labels in &self.groups.labels {
            out.push_row(labels.clone(), false);
        }
        for (idx, cell) in cells.cells.into_iter().enumerate() {
            if let Some(accumulator) = cell {
                out.set_float(idx / n_steps, idx % n_steps, finish(accumulator));
            }
        }
        out
    }

    fn annotate(&mut self, annotation: Annotation) {
        self.annotations.add(annotation, self.node.expr_position);
    }

    fn note_ignored_histograms(&mut self) {
        if self.input.has_histograms() {
            let aggregation = self.node.op.as_str();
            self.annotate(Annotation::HistogramIgnoredInAggregation { aggregation });
        }
    }

    fn sum(&mut self) -> Block {
        let cells = self.fold(|v| (v, 0.0), |(sum, c), v| (*sum, *c) = kahan_inc(v, *sum, *c));
        let floats = self.to_block(cells, |(sum, c)| sum + c);
        self.with_histograms(floats, HistogramReduction::Sum)
    }

    fn avg(&mut self) -> Block {
        let cells = self.fold(FloatMean::new, FloatMean::add);
        let floats = self.to_block(cells, FloatMean::finish);
        self.with_histograms(floats, HistogramReduction::Mean)
    }

    fn count(&mut self, finish: impl Fn(f64) -> f64) -> Block {
        let mut cells = self.fold(|_| 1.0, |n, _| *n += 1.0);
        for (row, group) in self.groups.of_row.iter().enumerate() {
            for (step, _) in self.input.histograms(row) {
                *cells.at(*group, *step as usize).get_or_insert(0.0) += 1.0;
            }
        }
        self.to_block(cells, finish)
    }

    fn extreme(&mut self, better: impl Fn(f64, f64) -> bool) -> Block {
        self.note_ignored_histograms();
        let cells = self.fold(
            |v| v,
            |best, v| {
                if better(v, *best) || best.is_nan() {
                    *best = v;
                }
            },
        );
        self.to_block(cells, |best| best)
    }

    fn variance(&mut self, finish: impl Fn(f64) -> f64) -> Block {
        self.note_ignored_histograms();
        let start = |v: f64| Welford { n: 1.0, mean: v, sum: if v.is_finite() { 0.0 } else { f64::NAN } };
        let cells = self.fold(start, Welford::add);
        self.to_block(cells, |state| finish(state.sum / state.n))
    }

    fn quantile(&mut self, q: &[f64]) -> Block {
        self.annotate_quantiles(q);
        self.note_ignored_histograms();
        let n_steps = self.input.n_steps();
        let mut out = Block::new(n_steps);
        let mut values = Vec::new();
        for (rows, labels) in
            rows_by_group(&self.groups.of_row, self.groups.labels.len()).iter().zip(&self.groups.labels)
        {
            let to = out.push_row(labels.clone(), false);
            for (step, q) in q.iter().enumerate() {
                values.clear();
                let present = rows.iter().filter(|row| self.input.has_float(**row, step));
                values.extend(present.map(|row| self.input.values(*row)[step]));
                if !values.is_empty() {
                    out.set_float(to, step, quantile(*q, &mut values));
                }
            }
        }
        out
    }

    fn annotate_quantiles(&mut self, q: &[f64]) {
        let max = q.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = q.iter().copied().fold(f64::INFINITY, f64::min);
        let position = self.node.param_position;
        if q.iter().any(|q| q.is_nan()) {
            self.annotations.add(Annotation::InvalidQuantile { quantile: f64::NAN }, position);
        }
        for quantile in [(max > 1.0).then_some(max), (min < 0.0).then_some(min)].into_iter().flatten() {
            self.annotations.add(Annotation::InvalidQuantile { quantile }, position);
        }
    }

    /// Adds to the reduced floats the reduced histograms. A cell that has both is dropped.
    fn with_histograms(&mut self, mut out: Block, kind: HistogramReduction) -> Block {
        if !self.input.has_histograms() {
            return out;
        }
        let mut cells: BTreeMap<(usize, u32), HistogramCell> = BTreeMap::new();
        for (row, group) in self.groups.of_row.iter().enumerate() {
            for (step, histogram) in self.input.histograms(row) {
                match cells.entry((*group, *step)) {
                    std::collections::btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(HistogramCell::new(kind, histogram));
                    }
                    std::collections::btree_map::Entry::Occupied(mut cell) => {
                        let cell = cell.get_mut();
                        let was_compatible = cell.state.is_some();
                        cell.add(histogram);
                        if was_compatible && cell.state.is_none() {
                            let metric = self.input.labels(row).metric_name().to_owned();
                            let annotation = Annotation::MixedExponentialCustomHistograms { metric };
                            self.annotations.add(annotation, self.node.expr_position);
                        }
                    }
                }
            }
        }
        for ((group, step), cell) in cells {
            let step = step as usize;
            if out.has_float(group, step) {
                out.clear_float(group, step);
                self.annotate(Annotation::MixedFloatsHistogramsAggregation);
                continue;
            }
            if cell.bounds_reconciled {
                let operation = HistogramOperation::Aggregation;
                self.annotate(Annotation::MismatchedCustomBuckets { operation });
            }
            let collision = cell.reset && cell.not_reset;
            let Some(mut histogram) = cell.finish() else { continue };
            if collision {
                let operation = HistogramOperation::Aggregation;
                self.annotate(Annotation::HistogramCounterResetCollision { operation });
            }
            histogram.compact(0);
            out.set_histogram(group, step, Arc::new(histogram));
        }
        out
    }
}

/// Welford's running variance.
#[derive(Debug, Clone, Copy)]
struct Welford {
    n: f64,
    mean: f64,
    /// The sum of squared differences from the mean.
    sum: f64,
}

impl Welford {
    fn add(&mut self, v: f64) {
        self.n += 1.0;
        let delta = v - self.mean;
        self.mean += delta / self.n;
        self.sum += delta * (v - self.mean);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistogramReduction {
    Sum,
    Mean,
}

#[derive(Debug)]
enum HistogramState {
    Sum(HistogramSum),
    Mean(HistogramMean),
}

impl HistogramState {
    fn add(&mut self, histogram: &FloatHistogram) -> Result<MergeNotes, IncompatibleSchemas> {
        match self {
            Self::Sum(sum) => sum.add(histogram),
            Self::Mean(mean) => mean.add(histogram),
        }
    }
}

/// The histograms of a group at a step.
#[derive(Debug)]
struct HistogramCell {
    /// `None` once exponential and custom buckets met.
    state: Option<HistogramState>,
    reset: bool,
    not_reset: bool,
    bounds_reconciled: bool,
}

impl HistogramCell {
    fn new(kind: HistogramReduction, first: &FloatHistogram) -> Self {
        let state = match kind {
            HistogramReduction::Sum => HistogramState::Sum(HistogramSum::new(first.clone())),
            HistogramReduction::Mean => HistogramState::Mean(HistogramMean::new(first.clone())),
        };
        let mut cell = Self { state: Some(state), reset: false, not_reset: false, bounds_reconciled: false };
        cell.track(first);
        cell
    }

    fn track(&mut self, histogram: &FloatHistogram) {
        match histogram.counter_reset_hint {
            CounterResetHint::Reset => self.reset = true,
            CounterResetHint::NotReset => self.not_reset = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }

    fn add(&mut self, histogram: &FloatHistogram) {
        let Some(state) = &mut self.state else { return };
        match state.add(histogram) {
            Ok(notes) => self.bounds_reconciled |= notes.bounds_reconciled,
            Err(IncompatibleSchemas) => self.state = None,
        }
        self.track(histogram);
    }

    fn finish(self) -> Option<FloatHistogram> {
        Some(match self.state? {
            HistogramState::Sum(sum) => sum.finish(),
            HistogramState::Mean(mean) => mean.finish(),
        })
    }
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
