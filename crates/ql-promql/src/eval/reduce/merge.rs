//! Joining what several fragments have accumulated of the same groups.
//!
//! Counts, minima, maxima and which groups there are come out as if all series had been added to one
//! reducer. Sums, means and variances do as well up to rounding, since addition is associated otherwise;
//! the compensations of the sums are added too, so that what they saved is not lost again.

use std::collections::btree_map::Entry;

use model::histogram::{IncompatibleSchemas, MergeNotes};

use super::{FloatCells, HistogramCell, HistogramState, Reducer, Welford};
use crate::annotations::Annotation;
use crate::functions::math::kahan_inc;
use crate::functions::window::FloatMean;

impl Reducer<'_> {
    /// Takes in what another reducer of the same aggregation has accumulated of other series.
    pub(crate) fn merge(&mut self, mut other: Self) {
        let to = self.merge_groups(&mut other);
        self.merge_floats(other.floats, &to);
        for ((theirs, step), cell) in other.histograms {
            let mine = to[theirs].group;
            match self.histograms.entry((mine, step)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(cell);
                }
                Entry::Occupied(mut known) => {
                    // The earlier series speak first, so that the remark names the later ones.
                    let later =
                        if to[theirs].is_earlier { &known.get().labels } else { &cell.labels }.clone();
                    if !known.get_mut().merge(cell) {
                        let metric = later.metric_name().to_owned();
                        let annotation = Annotation::MixedExponentialCustomHistograms { metric };
                        self.remarks.add(annotation, self.node.expr_position);
                    }
                }
            }
        }
        self.remarks.merge(other.remarks);
    }

    /// Where each group of `other` is here.
    fn merge_groups(&mut self, other: &mut Self) -> Vec<Place> {
        let mut origins = std::mem::take(&mut other.origins).into_iter();
        let groups = other.groups.labels.iter().zip(&other.drop_name);
        let place = |(labels, drop_name): (&model::Labels, &bool)| {
            let group = self.groups.group_named(labels.clone());
            let origin = origins.next();
            if group == self.drop_name.len() {
                self.drop_name.push(*drop_name);
                self.origins.extend(origin);
                return Place { group, is_earlier: false };
            }
            self.drop_name[group] |= drop_name;
            let earlier = origin.filter(|origin| *origin < self.origins[group]);
            let is_earlier = earlier.is_some();
            if let Some(earlier) = earlier {
                self.origins[group] = earlier;
            }
            Place { group, is_earlier }
        };
        groups.map(place).collect()
    }

    fn merge_floats(&mut self, theirs: FloatCells, to: &[Place]) {
        let n_steps = self.n_steps;
        match (&mut self.floats, theirs) {
            (FloatCells::Sum(mine), FloatCells::Sum(theirs)) => {
                join(mine, theirs, n_steps, to, |(sum, c), (their_sum, their_c)| {
                    (*sum, *c) = kahan_inc(their_sum, *sum, *c);
                    *c += their_c;
                });
            }
            (FloatCells::Mean(mine), FloatCells::Mean(theirs)) => {
                join(mine, theirs, n_steps, to, FloatMean::merge);
            }
            (FloatCells::Count(mine), FloatCells::Count(theirs)) => {
                join(mine, theirs, n_steps, to, |n, more| *n += more);
            }
            (FloatCells::Max(mine), FloatCells::Max(theirs)) => {
                join(mine, theirs, n_steps, to, |best, v| {
                    if v > *best || best.is_nan() {
                        *best = v;
                    }
                });
            }
            (FloatCells::Min(mine), FloatCells::Min(theirs)) => {
                join(mine, theirs, n_steps, to, |best, v| {
                    if v < *best || best.is_nan() {
                        *best = v;
                    }
                });
            }
            (FloatCells::Variance(mine), FloatCells::Variance(theirs)) => {
                join(mine, theirs, n_steps, to, Welford::merge);
            }
            _ => debug_assert!(false, "both reduce the same aggregation"),
        }
    }
}

/// Where a group of another reducer is in this one.
struct Place {
    group: usize,
    /// Its first series there comes before the first one here.
    is_earlier: bool,
}

fn join<A>(
    mine: &mut Vec<Option<A>>,
    theirs: Vec<Option<A>>,
    n_steps: usize,
    to: &[Place],
    add: impl Fn(&mut A, A),
) {
    for (idx, cell) in theirs.into_iter().enumerate() {
        let Some(cell) = cell else { continue };
        let at = to[idx / n_steps].group * n_steps + idx % n_steps;
        if mine.len() <= at {
            mine.resize_with(at + 1, || None);
        }
        match &mut mine[at] {
            Some(accumulator) => add(accumulator, cell),
            empty => *empty = Some(cell),
        }
    }
}

impl Welford {
    fn merge(&mut self, other: Self) {
        let n = self.n + other.n;
        let delta = other.mean - self.mean;
        self.sum += other.sum + delta * delta * (self.n * other.n / n);
        self.mean += delta * (other.n / n);
        self.n = n;
    }
}

impl HistogramState {
    fn merge(&mut self, other: Self) -> Result<MergeNotes, IncompatibleSchemas> {
        match (self, other) {
            (Self::Sum(mine), Self::Sum(theirs)) => mine.merge(theirs),
            (Self::Mean(mine), Self::Mean(theirs)) => mine.merge(theirs),
            _ => Err(IncompatibleSchemas),
        }
    }
}

impl HistogramCell {
    /// False if the histograms of the two do not mix; what did not mix before has been said.
    fn merge(&mut self, other: Self) -> bool {
        self.reset |= other.reset;
        self.not_reset |= other.not_reset;
        self.bounds_reconciled |= other.bounds_reconciled;
        let (Some(mine), Some(theirs)) = (&mut self.state, other.state) else {
            self.state = None;
            return true;
        };
        match mine.merge(theirs) {
            Ok(notes) => self.bounds_reconciled |= notes.bounds_reconciled,
            Err(IncompatibleSchemas) => self.state = None,
        }
        self.state.is_some()
    }
}
