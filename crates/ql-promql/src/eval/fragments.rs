//! Evaluating a query in fragments: each at several places, which hold different shards, and the rest
//! over what was merged.
//!
//! The result is that of a whole evaluation: the same series in the same order, annotations and sample
//! counts, and the same values up to the rounding of sums, means and variances, whose terms are added in
//! another order (so a sum of floats that overflows in one order may not in the other). Series are spread
//! over threads within each fragment, as in a whole evaluation, which does not go through here: the
//! threads' results are joined series by series, so that there the number of threads shows in no bit.

use base::{Budget, Charge, ShardSet};
use hashbrown::HashMap;
use model::Labels;
use ql_core::Span;

use crate::annotations::{Annotation, Annotations};
use crate::ast::AggregateOp;
use crate::eval::aggregate::{Groups, group_rows};
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::matching::rows_by_group;
use crate::eval::plan::{self, AggregateNode, Node};
use crate::eval::ranking::{best_first, keep_cells, usize_of};
use crate::eval::reduce::Reducer;
use crate::eval::split::{FragmentNode, Merge, position, split};
use crate::eval::tally::HeldSamples;
use crate::eval::{run, times_and_grid};
use crate::query::{EngineOptions, EvalContext, QueryOutput, QueryParams};
use crate::source::{SelectRequest, SeriesBuffer, SeriesSet, SeriesSource, SourceError};

/// What one series of a selection over several places takes.
const PLACED_BYTES: u64 = size_of::<(u32, u32)>() as u64;

/// Where fragments are evaluated: a source, and those of its shards that count here. No two places of a
/// query have a shard in common.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a source need not have one")]
pub struct Place<'a> {
    pub source: &'a dyn SeriesSource,
    pub shards: ShardSet,
}

/// One fragment of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Where it stands in the query.
    pub span: Span,
    pub merge: Merge,
}

/// The fragments that a query is split into, in the order in which they are evaluated.
pub fn fragments_of(options: &EngineOptions, params: &QueryParams<'_>) -> Result<Vec<Fragment>, EvalError> {
    let (times, _) = times_and_grid(params)?;
    let node = split(plan::prepare(params.expr, &times)?, options.delayed_name_removal);
    let mut found = Vec::new();
    collect(&node, &mut found);
    Ok(found)
}

fn collect(node: &Node<'_>, found: &mut Vec<Fragment>) {
    match node {
        Node::Fragment(fragment) => {
            found.push(Fragment { span: position(&fragment.node), merge: fragment.merge });
        }
        Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) => {}
        Node::Subquery(subquery) => collect(&subquery.expr, found),
        Node::Negate(inner) | Node::StepInvariant(inner) => collect(inner, found),
        Node::Binary(binary) => {
            collect(&binary.lhs, found);
            collect(&binary.rhs, found);
        }
        Node::Call(call) => call.args.iter().for_each(|arg| collect(arg, found)),
        Node::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| collect(param, found));
            collect(&aggregate.expr, found);
        }
    }
}

/// As [`crate::eval::evaluate`], over what all places hold.
pub fn evaluate_in_fragments(
    options: &EngineOptions,
    params: &QueryParams<'_>,
    places: &[Place<'_>],
    context: &EvalContext,
) -> Result<QueryOutput, EvalError> {
    let everywhere = Everywhere { places, budget: &context.budget };
    run(options, params, &everywhere, places, context)
}

impl Evaluator<'_> {
    pub(crate) fn fragment(&mut self, fragment: &FragmentNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        match (&fragment.node, fragment.merge) {
            (Node::Aggregate(node), Merge::Groups) => self.merged_groups(node, grid),
            (Node::Aggregate(node), Merge::Counts) => self.merged_counts(node, grid),
            (Node::Aggregate(node), Merge::Contenders) => self.merged_contenders(node, grid),
            (node, _) => self.merged_rows(node, grid),
        }
    }

    /// Does the same work at each place, and hands over what came of it.
    fn at_each_place<T>(
        &mut self,
        work: impl Fn(&mut Evaluator<'_>) -> Result<T, EvalError>,
        mut take: impl FnMut(T) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let samples_max = self.options.samples_max.saturating_sub(self.held.current());
        let mut held = 0;
        for place in self.places {
            let mut there = Evaluator {
                options: self.options,
                context: self.context,
                source: place.source,
                shards: &place.shards,
                places: &[],
                tracks_origins: true,
                lookback_ms: self.lookback_ms,
                annotations: Annotations::new(),
                held: HeldSamples::new(samples_max),
                tally: self.tally.sibling(),
            };
            let done = work(&mut there)?;
            self.annotations.merge(there.annotations);
            self.tally.absorb(&there.tally);
            held += there.held.peak();
            self.held.touch(held)?;
            take(done)?;
        }
        Ok(())
    }

    fn merged_rows(&mut self, node: &Node<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut all = Block::new(grid.n_steps);
        self.at_each_place(
            |there| there.eval(node, grid),
            |rows| {
                all.append(rows);
                Ok(())
            },
        )?;
        all.order_by_origin();
        Ok(all)
    }

    fn merged_groups(&mut self, node: &AggregateNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut merged: Option<Reducer<'_>> = None;
        let budget = self.context.budget.clone();
        self.at_each_place(
            |there| {
                let reducer = Reducer::new(node, grid.n_steps)
                    .ok_or_else(|| EvalError::Execution(format!("{} has no groups", node.op.as_str())))?;
                there.reduce(node, reducer, grid)
            },
            |groups| {
                match &mut merged {
                    None => merged = Some(groups),
                    Some(merged) => merged.merge(groups),
                }
                merged.as_mut().map_or(Ok(()), |merged| Ok(merged.settle(&budget)?))
            },
        )?;
        Ok(merged.map_or_else(|| Block::new(grid.n_steps), |merged| merged.finish(&mut self.annotations)))
    }

    fn merged_counts(&mut self, node: &AggregateNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let mut all = Block::tracking(grid.n_steps, true);
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        self.at_each_place(
            |there| there.counts_of_values(node, grid),
            |counts| {
                for row in 0..counts.n_rows() {
                    let Some(to) = rows.get(counts.labels(row)).copied() else {
                        rows.insert(counts.labels(row).clone(), all.copy_row(&counts, row));
                        continue;
                    };
                    if counts.origin(row) < all.origin(to) {
                        all.set_origin(to, counts.origin(row));
                    }
                    for step in (0..grid.n_steps).filter(|step| counts.has_float(row, *step)) {
                        let before = if all.has_float(to, step) { all.values(to)[step] } else { 0.0 };
                        all.set_float(to, step, before + counts.values(row)[step]);
                    }
                }
                Ok(())
            },
        )?;
        all.settle(&self.context.budget)?;
        all.order_by_origin();
        self.finish_steps(&mut all, grid)?;
        Ok(all)
    }

    fn merged_contenders(&mut self, node: &AggregateNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let param = match &node.param {
            Some(param) => self.scalar(param, grid)?,
            None => Vec::new(),
        };
        let tally_before = self.tally.clone();
        let mut all = Block::new(grid.n_steps);
        let mut first_series: HashMap<Labels, Labels> = HashMap::new();
        self.at_each_place(
            |there| there.contenders(node, &param, grid),
            |(rows, firsts)| {
                all.append(rows);
                for (group, first) in firsts {
                    let known = first_series.entry(group).or_insert_with(|| first.clone());
                    if first < *known {
                        *known = first;
                    }
                }
                Ok(())
            },
        )?;
        all.order_by_origin();
        let groups = group_rows(&all, node);
        if is_undecided(node, &all, &groups, &param) {
            self.tally = tally_before;
            let all = self.merged_rows(&node.expr, grid)?;
            let groups = group_rows(&all, node);
            return self.rank(node, all, &groups, &param);
        }
        self.rank(node, all, &in_order_of(&groups, &first_series), &param)
    }

    /// The rows among which those are that the aggregation chooses, for one place, and the first series
    /// of every group there.
    fn contenders(
        &mut self,
        node: &AggregateNode<'_>,
        param: &[f64],
        grid: Grid,
    ) -> Result<(Block, Vec<(Labels, Labels)>), EvalError> {
        let mut input = self.eval(&node.expr, grid)?;
        let groups = group_rows(&input, node);
        let rows = rows_by_group(&groups.of_row, groups.labels.len());
        let firsts = groups
            .labels
            .iter()
            .zip(&rows)
            .filter_map(|(labels, rows)| Some((labels.clone(), input.origin(*rows.first()?)?.clone())));
        let firsts = firsts.collect();
        if matches!(node.op, AggregateOp::LimitK | AggregateOp::LimitRatio) {
            return Ok((self.rank(node, input, &groups, param)?, firsts));
        }
        if !self.check_param(node, param)? {
            return Ok((Block::new(grid.n_steps), firsts));
        }
        let mut kept = vec![vec![0u64; grid.n_steps.div_ceil(64)]; input.n_rows()];
        let mut saw_histogram = false;
        for (step, k) in param.iter().enumerate() {
            self.context.cancel.check()?;
            let k = usize_of(*k, input.n_rows());
            for rows in &rows {
                saw_histogram |= k > 0 && rows.iter().any(|row| input.histogram(*row, step).is_some());
                for row in best_with_ties(node.op, &input, rows, step, k) {
                    kept[row][step / 64] |= 1 << (step % 64);
                }
            }
        }
        if saw_histogram {
            let aggregation = node.op.as_str();
            self.annotations.add(Annotation::HistogramIgnoredInAggregation { aggregation }, node.position);
        }
        for (row, kept) in kept.iter().enumerate() {
            keep_cells(&mut input, row, kept);
            input.take_histograms(row);
        }
        input.retain_rows(|block, row| !block.row_is_empty(row));
        Ok((input, firsts))
    }
}

/// The rows of a group with one of the `k` best values at a step.
fn best_with_ties(op: AggregateOp, block: &Block, rows: &[usize], step: usize, k: usize) -> Vec<usize> {
    let mut present: Vec<usize> = rows.iter().copied().filter(|row| block.has_float(*row, step)).collect();
    if k == 0 || present.len() <= k {
        present.truncate(k);
        return present;
    }
    let value = |row: usize| block.values(row)[step];
    best_first(&mut present, op, value);
    let last = value(present[k - 1]);
    let n_tied = present[k..].iter().take_while(|row| same_rank(value(**row), last)).count();
    present.truncate(k + n_tied);
    present
}

fn same_rank(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// Whether the choice or, where it shows, its order depends on which of several equal values came first
/// among all that there were.
fn is_undecided(node: &AggregateNode<'_>, block: &Block, groups: &Groups, param: &[f64]) -> bool {
    if matches!(node.op, AggregateOp::LimitK | AggregateOp::LimitRatio) {
        return false;
    }
    let n_rows = block.n_rows();
    let rows = rows_by_group(&groups.of_row, groups.labels.len());
    param.iter().enumerate().any(|(step, k)| {
        let k = usize_of(*k, n_rows);
        rows.iter().any(|rows| {
            let value = |row: usize| block.values(row)[step];
            let mut present: Vec<usize> =
                rows.iter().copied().filter(|row| block.has_float(*row, step)).collect();
            best_first(&mut present, node.op, value);
            let shows = if block.n_steps() == 1 { 0 } else { k.saturating_sub(1) };
            let mut pairs = present.windows(2).skip(shows).take(k.saturating_sub(shows));
            pairs.any(|pair| same_rank(value(pair[0]), value(pair[1])))
        })
    })
}

/// The groups in the order of their first series, whether those were chosen or not.
fn in_order_of(groups: &Groups, first_series: &HashMap<Labels, Labels>) -> Groups {
    let mut order: Vec<usize> = (0..groups.labels.len()).collect();
    order.sort_by_key(|group| first_series.get(&groups.labels[*group]));
    let mut place = vec![0; order.len()];
    for (to, from) in order.iter().enumerate() {
        place[*from] = to;
    }
    Groups {
        of_row: groups.of_row.iter().map(|group| place[*group]).collect(),
        labels: order.iter().map(|group| groups.labels[*group].clone()).collect(),
    }
}

/// The series of all places, for what is not split.
struct Everywhere<'a> {
    places: &'a [Place<'a>],
    budget: &'a Budget,
}

struct EverywhereSet {
    sets: Vec<Box<dyn SeriesSet>>,
    /// (place, series there), sorted by labels.
    series: Vec<(u32, u32)>,
    _charge: Charge,
}

impl SeriesSource for Everywhere<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SourceError> {
        let mut sets = Vec::with_capacity(self.places.len());
        let mut series = Vec::new();
        let mut charge = self.budget.charge(0)?;
        for (number, place) in (0..).zip(self.places) {
            let shards = place.shards.iter().filter(|shard| request.shards.contains(*shard)).collect();
            let set = place.source.select(&SelectRequest { shards: &shards, ..*request })?;
            charge.grow(set.len() as u64 * PLACED_BYTES)?;
            series.extend((0..set.len()).map(|idx| (number, idx as u32)));
            sets.push(set);
        }
        let labels = |(place, idx): &(u32, u32)| sets[*place as usize].labels(*idx as usize);
        // Each set is sorted, so this merges a few runs.
        series.sort_by(|a, b| labels(a).cmp(labels(b)));
        Ok(Box::new(EverywhereSet { sets, series, _charge: charge }))
    }
}

impl SeriesSet for EverywhereSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, idx: usize) -> &Labels {
        let (place, idx) = self.series[idx];
        self.sets[place as usize].labels(idx as usize)
    }

    fn read(&self, idx: usize, buffer: &mut SeriesBuffer) -> Result<(), SourceError> {
        let (place, idx) = self.series[idx];
        self.sets[place as usize].read(idx as usize, buffer)
    }
}
