//! Counting samples: the limit on those held at once, and the statistics of a query.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::eval::error::EvalError;
use crate::eval::grid::Grid;
use crate::query::QueryStats;

/// Samples held at this moment, shared by the threads of an evaluation.
#[derive(Debug)]
pub(crate) struct HeldSamples {
    current: AtomicUsize,
    peak: AtomicUsize,
    max: usize,
}

impl HeldSamples {
    pub(crate) fn new(max: usize) -> Self {
        Self { current: AtomicUsize::new(0), peak: AtomicUsize::new(0), max }
    }

    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Holds `n` more samples.
    pub(crate) fn add(&self, n: usize) -> Result<(), EvalError> {
        let now = self.current.fetch_add(n, Ordering::Relaxed) + n;
        self.note(now)
    }

    /// Notes that `n` samples were held for a moment on top.
    pub(crate) fn touch(&self, n: usize) -> Result<(), EvalError> {
        self.note(self.current() + n)
    }

    /// After a node is done with its inputs: what is held now.
    pub(crate) fn set(&self, current: usize) -> Result<(), EvalError> {
        self.current.store(current, Ordering::Relaxed);
        self.note(current)
    }

    fn note(&self, held: usize) -> Result<(), EvalError> {
        self.peak.fetch_max(held, Ordering::Relaxed);
        if held > self.max { Err(EvalError::TooManySamples) } else { Ok(()) }
    }
}

/// Samples looked at and read, in all and per step of one grid.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) total: i64,
    pub(crate) read: i64,
    /// Empty if steps are not told apart.
    total_per_step: Vec<i64>,
    read_per_step: Vec<i64>,
}

impl Tally {
    pub(crate) fn new(per_step: bool, n_steps: usize) -> Self {
        let steps = if per_step { vec![0; n_steps] } else { Vec::new() };
        Self { total: 0, read: 0, total_per_step: steps.clone(), read_per_step: steps }
    }

    /// An empty tally that tells as many steps apart.
    pub(crate) fn sibling(&self) -> Self {
        Self::new(!self.total_per_step.is_empty(), self.total_per_step.len())
    }

    /// Counts samples looked at (`total`), and those among them not read before (`read`).
    pub(crate) fn count(&mut self, step: usize, total: usize, read: usize) {
        self.total += total as i64;
        self.read += read as i64;
        if let Some(at) = self.total_per_step.get_mut(step) {
            *at += total as i64;
            self.read_per_step[step] += read as i64;
        }
    }

    /// Adds what another thread counted over the same steps.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.total += other.total;
        self.read += other.read;
        for (mine, theirs) in self.total_per_step.iter_mut().zip(&other.total_per_step) {
            *mine += theirs;
        }
        for (mine, theirs) in self.read_per_step.iter_mut().zip(&other.read_per_step) {
            *mine += theirs;
        }
    }

    /// Adds a step-invariant part, which was read once and counts at each of `n_steps`.
    pub(crate) fn absorb_invariant(&mut self, part: &Self, n_steps: usize) {
        self.total += part.total * n_steps as i64;
        self.read += part.read;
        for at in &mut self.total_per_step {
            *at += part.total;
        }
        if let Some(at) = self.read_per_step.first_mut() {
            *at += part.read;
        }
    }

    /// Adds what a subquery read; `with_total` if its samples are not counted again by its caller.
    /// `shift_ms` and `range_ms` say which step of `outer` first sees an inner step.
    pub(crate) fn absorb_subquery(&mut self, part: &Self, inner: Grid, outer: Grid, shift: SubqueryShift) {
        if shift.with_total {
            self.total += part.total;
            if let Some(at) = self.total_per_step.last_mut() {
                *at += part.total;
            }
        }
        if outer.n_steps <= 1 {
            self.read += part.read;
            if let Some(at) = self.read_per_step.first_mut() {
                *at += part.read;
            }
            return;
        }
        for (step, read) in part.read_per_step.iter().enumerate().filter(|(_, read)| **read > 0) {
            let at_ms = inner.time_ms(step).saturating_add(shift.offset_ms);
            let Some(target) = step_seeing(outer, at_ms, shift.range_ms) else { continue };
            self.read += read;
            if let Some(at) = self.read_per_step.get_mut(target) {
                *at += read;
            }
        }
    }

    pub(crate) fn into_stats(self, grid: Grid, peak_samples: usize) -> QueryStats {
        let per_step = |counts: &[i64]| grid.times().zip(counts.iter().copied()).collect();
        QueryStats {
            total_queryable_samples: self.total,
            total_queryable_samples_per_step: per_step(&self.total_per_step),
            samples_read: self.read,
            samples_read_per_step: per_step(&self.read_per_step),
            peak_samples,
        }
    }
}

/// How the steps of a subquery relate to those of its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubqueryShift {
    pub(crate) offset_ms: i64,
    /// The caller's window; 0 if every inner step is used.
    pub(crate) range_ms: i64,
    pub(crate) with_total: bool,
}

/// The first step of `outer` at or after `at_ms`, or its last, if that step's window of `range_ms`
/// (0 for any) holds `at_ms`.
fn step_seeing(outer: Grid, at_ms: i64, range_ms: i64) -> Option<usize> {
    let behind_ms = at_ms.saturating_sub(outer.start_ms);
    let step = if behind_ms <= 0 { 0 } else { (behind_ms + outer.step_ms - 1) / outer.step_ms };
    let step = usize::try_from(step).ok()?.min(outer.n_steps.saturating_sub(1));
    (range_ms == 0 || at_ms > outer.time_ms(step) - range_ms).then_some(step)
}
