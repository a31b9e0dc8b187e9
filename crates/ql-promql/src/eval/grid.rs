//! The times an expression is evaluated at.

/// `n_steps` times from `start_ms`, `step_ms` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) n_steps: usize,
}

impl Grid {
    /// The steps from `start_ms` to at most `end_ms`; none if the end precedes the start.
    pub(crate) fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        debug_assert!(step_ms > 0);
        let span_ms = end_ms.saturating_sub(start_ms);
        let n_steps =
            if span_ms < 0 { 0 } else { usize::try_from(span_ms / step_ms).unwrap_or(usize::MAX - 1) + 1 };
        Self { start_ms, step_ms, n_steps }
    }

    /// A single step, which keeps the distance that following steps would have.
    pub(crate) fn first_step(self) -> Self {
        Self { n_steps: 1, ..self }
    }

    pub(crate) fn time_ms(self, step: usize) -> i64 {
        self.start_ms + step as i64 * self.step_ms
    }

    pub(crate) fn end_ms(self) -> i64 {
        self.time_ms(self.n_steps.saturating_sub(1))
    }

    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.n_steps).map(move |step| self.time_ms(step))
    }

    /// Upstream keeps the order of vectors when there is one step, and sorts otherwise.
    pub(crate) fn is_instant(self) -> bool {
        self.n_steps == 1
    }
}
