//! Reducing groups of series to one each, series by series in any number of batches.

mod merge;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use base::{Budget, BudgetExceeded, Charge};
use model::histogram::{CounterResetHint, HistogramMean, HistogramSum, IncompatibleSchemas, MergeNotes};
use model::{FloatHistogram, Labels};

use crate::annotations::{Annotation, Annotations, HistogramOperation};
use crate::ast::AggregateOp;
use crate::eval::aggregate::GroupIndex;
use crate::eval::block::Block;
use crate::eval::plan::AggregateNode;
use crate::functions::math::kahan_inc;
use crate::functions::window::FloatMean;

/// What has been accumulated of floats, for each group at each step.
#[derive(Debug)]
enum FloatCells {
    /// Sum and compensation.
    Sum(Vec<Option<(f64, f64)>>),
    Mean(Vec<Option<FloatMean>>),
    Count(Vec<Option<f64>>),
    Max(Vec<Option<f64>>),
    Min(Vec<Option<f64>>),
    Variance(Vec<Option<Welford>>),
}

/// An aggregation under way that keeps one running value per group and step.
#[derive(Debug)]
pub(crate) struct Reducer<'a> {
    node: &'a AggregateNode<'a>,
    n_steps: usize,
    groups: GroupIndex,
    drop_name: Vec<bool>,
    /// In a fragment, the first series of each group; see [`Block::origin`].
    origins: Vec<Labels>,
    floats: FloatCells,
    /// Sums and means of histograms, by group and step.
    histograms: BTreeMap<(usize, u32), HistogramCell>,
    remarks: Annotations,
    charge: Option<Charge>,
}

impl<'a> Reducer<'a> {
    /// `None` if the aggregation needs all values of a group at once.
    pub(crate) fn new(node: &'a AggregateNode<'a>, n_steps: usize) -> Option<Self> {
        let floats = match node.op {
            AggregateOp::Sum => FloatCells::Sum(Vec::new()),
            AggregateOp::Avg => FloatCells::Mean(Vec::new()),
            AggregateOp::Count | AggregateOp::Group => FloatCells::Count(Vec::new()),
            AggregateOp::Max => FloatCells::Max(Vec::new()),
            AggregateOp::Min => FloatCells::Min(Vec::new()),
            AggregateOp::Stddev | AggregateOp::Stdvar => FloatCells::Variance(Vec::new()),
            AggregateOp::BottomK
            | AggregateOp::CountValues
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio
            | AggregateOp::Quantile
            | AggregateOp::TopK => return None,
        };
        Some(Self {
            node,
            n_steps,
            groups: GroupIndex::default(),
            drop_name: Vec::new(),
            origins: Vec::new(),
            floats,
            histograms: BTreeMap::new(),
            remarks: Annotations::new(),
            charge: None,
        })
    }

    /// Takes in more series. Sums depend on their order, so it must not vary.
    pub(crate) fn add(&mut self, block: &Block) {
        for row in 0..block.n_rows() {
            let group = self.groups.group_of(block.labels(row), self.node);
            if group == self.drop_name.len() {
                self.drop_name.push(false);
                self.origins.extend(block.origin(row).cloned());
            }
            self.drop_name[group] |= block.drop_name(row);
            self.add_floats(group, block, row);
            self.add_histograms(group, block, row);
        }
    }

    /// Charges what has been accumulated.
    pub(crate) fn settle(&mut self, budget: &Budget) -> Result<(), BudgetExceeded> {
        let cell_bytes = match &self.floats {
            FloatCells::Sum(_) => size_of::<Option<(f64, f64)>>(),
            FloatCells::Mean(_) => size_of::<Option<FloatMean>>(),
            FloatCells::Count(_) | FloatCells::Max(_) | FloatCells::Min(_) => size_of::<Option<f64>>(),
            FloatCells::Variance(_) => size_of::<Option<Welford>>(),
        };
        let floats = self.groups.labels.len() * self.n_steps * cell_bytes;
        let histograms: usize = self.histograms.values().map(HistogramCell::size_bytes).sum();
        let bytes = (floats + histograms + self.groups.label_bytes) as u64;
        match &mut self.charge {
            None => self.charge = Some(budget.charge(bytes)?),
            Some(charge) => charge.grow(bytes.saturating_sub(charge.bytes()))?,
        }
        Ok(())
    }

    fn add_floats(&mut self, group: usize, block: &Block, row: usize) {
        let at = group * self.n_steps..(group + 1) * self.n_steps;
        let (values, present) = (block.values(row), block.present(row));
        match &mut self.floats {
            FloatCells::Sum(cells) => fold(
                cells,
                at,
                values,
                present,
                |v| (v, 0.0),
                |(sum, c), v| {
                    (*sum, *c) = kahan_inc(v, *sum, *c);
                },
            ),
            FloatCells::Mean(cells) => fold(cells, at, values, present, FloatMean::new, FloatMean::add),
            FloatCells::Count(cells) => fold(cells, at, values, present, |_| 1.0, |n, _| *n += 1.0),
            FloatCells::Max(cells) => fold(
                cells,
                at,
                values,
                present,
                |v| v,
                |best, v| {
                    if v > *best || best.is_nan() {
                        *best = v;
                    }
                },
            ),
            FloatCells::Min(cells) => fold(
                cells,
                at,
                values,
                present,
                |v| v,
                |best, v| {
                    if v < *best || best.is_nan() {
                        *best = v;
                    }
                },
            ),
            FloatCells::Variance(cells) => fold(cells, at, values, present, Welford::new, Welford::add),
        }
    }

    fn add_histograms(&mut self, group: usize, block: &Block, row: usize) {
        let cells = block.histograms(row);
        if cells.is_empty() {
            return;
        }
        let kind = match &mut self.floats {
            FloatCells::Sum(_) => HistogramReduction::Sum,
            FloatCells::Mean(_) => HistogramReduction::Mean,
            FloatCells::Count(counts) => {
                for (step, _) in cells {
                    *counts[group * self.n_steps + *step as usize].get_or_insert(0.0) += 1.0;
                }
                return;
            }
            FloatCells::Max(_) | FloatCells::Min(_) | FloatCells::Variance(_) => {
                let aggregation = self.node.op.as_str();
                self.remark(Annotation::HistogramIgnoredInAggregation { aggregation });
                return;
            }
        };
        for (step, histogram) in cells {
            match self.histograms.entry((group, *step)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(HistogramCell::new(kind, block.labels(row), histogram));
                }
                Entry::Occupied(mut cell) => {
                    if !cell.get_mut().add(histogram) {
                        let metric = block.labels(row).metric_name().to_owned();
                        let annotation = Annotation::MixedExponentialCustomHistograms { metric };
                        self.remarks.add(annotation, self.node.expr_position);
                    }
                }
            }
        }
    }

    fn remark(&mut self, annotation: Annotation) {
        self.remarks.add(annotation, self.node.expr_position);
    }

    /// One row per group that has any sample.
    pub(crate) fn finish(mut self, annotations: &mut Annotations) -> Block {
        let mut out = Block::new(self.n_steps);
        for (labels, drop_name) in self.groups.labels.iter().zip(&self.drop_name) {
            out.push_built_row(labels.clone(), *drop_name);
        }
        let op = self.node.op;
        match std::mem::replace(&mut self.floats, FloatCells::Count(Vec::new())) {
            FloatCells::Sum(cells) => put(&mut out, cells, |(sum, c)| sum + c),
            FloatCells::Mean(cells) => put(&mut out, cells, FloatMean::finish),
            FloatCells::Count(cells) if op == AggregateOp::Group => put(&mut out, cells, |_| 1.0),
            FloatCells::Count(cells) | FloatCells::Max(cells) | FloatCells::Min(cells) => {
                put(&mut out, cells, |value| value);
            }
            FloatCells::Variance(cells) if op == AggregateOp::Stddev => {
                put(&mut out, cells, |state| state.variance().sqrt());
            }
            FloatCells::Variance(cells) => put(&mut out, cells, Welford::variance),
        }
        self.put_histograms(&mut out);
        if !self.origins.is_empty() {
            let mut order: Vec<usize> = (0..self.origins.len()).collect();
            order.sort_by(|a, b| self.origins[*a].cmp(&self.origins[*b]));
            out.reorder(&order);
        }
        out.retain_rows(|block, row| !block.row_is_empty(row));
        annotations.merge(self.remarks);
        out
    }

    /// Adds the reduced histograms. A cell that has floats as well is dropped.
    fn put_histograms(&mut self, out: &mut Block) {
        let operation = HistogramOperation::Aggregation;
        for ((group, step), cell) in std::mem::take(&mut self.histograms) {
            if cell.bounds_reconciled {
                self.remark(Annotation::MismatchedCustomBuckets { operation });
            }
            let step = step as usize;
            if out.has_float(group, step) {
                out.clear_float(group, step);
                self.remark(Annotation::MixedFloatsHistogramsAggregation);
                continue;
            }
            let collision = cell.reset && cell.not_reset;
            let Some(mut histogram) = cell.finish() else { continue };
            if collision {
                self.remark(Annotation::HistogramCounterResetCollision { operation });
            }
            histogram.compact(0);
            out.set_histogram(group, step, Arc::new(histogram));
        }
    }
}

/// Folds the present floats of one row into the accumulators of its group.
fn fold<A>(
    cells: &mut Vec<Option<A>>,
    at: std::ops::Range<usize>,
    values: &[f64],
    present: &[u64],
    first: impl Fn(f64) -> A,
    more: impl Fn(&mut A, f64),
) {
    if cells.len() < at.end {
        cells.resize_with(at.end, || None);
    }
    let accumulators = &mut cells[at];
    for (word_idx, word) in present.iter().enumerate() {
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

fn put<A>(out: &mut Block, cells: Vec<Option<A>>, finish: impl Fn(A) -> f64) {
    let n_steps = out.n_steps();
    for (idx, cell) in cells.into_iter().enumerate() {
        if let Some(accumulator) = cell {
            out.set_float(idx / n_steps, idx % n_steps, finish(accumulator));
        }
    }
}

/// Welford's running variance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Welford {
    n: f64,
    mean: f64,
    /// The sum of squared differences from the mean.
    sum: f64,
}

impl Welford {
    fn new(first: f64) -> Self {
        Self { n: 1.0, mean: first, sum: if first.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn variance(self) -> f64 {
        self.sum / self.n
    }

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
    /// Of the series of the first histogram.
    labels: Labels,
    /// Of the first histogram; the others are taken to be alike.
    histogram_bytes: usize,
    reset: bool,
    not_reset: bool,
    bounds_reconciled: bool,
}

impl HistogramCell {
    fn new(kind: HistogramReduction, labels: &Labels, first: &FloatHistogram) -> Self {
        let state = match kind {
            HistogramReduction::Sum => HistogramState::Sum(HistogramSum::new(first.clone())),
            HistogramReduction::Mean => HistogramState::Mean(HistogramMean::new(first.clone())),
        };
        let mut cell = Self {
            state: Some(state),
            labels: labels.clone(),
            histogram_bytes: first.size_bytes(),
            reset: false,
            not_reset: false,
            bounds_reconciled: false,
        };
        cell.track(first);
        cell
    }

    /// The sum and its compensation.
    fn size_bytes(&self) -> usize {
        2 * self.histogram_bytes
    }

    fn track(&mut self, histogram: &FloatHistogram) {
        match histogram.counter_reset_hint {
            CounterResetHint::Reset => self.reset = true,
            CounterResetHint::NotReset => self.not_reset = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }

    /// False if the histograms do not mix, which is said once.
    fn add(&mut self, histogram: &FloatHistogram) -> bool {
        let Some(state) = &mut self.state else { return true };
        let merged = state.add(histogram);
        self.track(histogram);
        match merged {
            Ok(notes) => self.bounds_reconciled |= notes.bounds_reconciled,
            Err(IncompatibleSchemas) => self.state = None,
        }
        self.state.is_some()
    }

    fn finish(self) -> Option<FloatHistogram> {
        Some(match self.state? {
            HistogramState::Sum(sum) => sum.finish(),
            HistogramState::Mean(mean) => mean.finish(),
        })
    }
}
