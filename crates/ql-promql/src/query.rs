//! What the caller says about a query, and what it gets back.

use base::{Budget, CancelToken};

use crate::annotations::{Annotations, Severity};
use crate::ast::Expr;
use crate::value::Value;

/// Settings of the engine, the same for all queries.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back a selector looks for a sample.
    pub lookback_delta_ms: i64,
    /// Samples a query may hold at once; a histogram counts by its size.
    pub samples_max: usize,
    /// The step of subqueries that give none.
    pub no_step_subquery_interval_ms: i64,
    /// Keep metric names until the end of the query, so that annotations and `label_replace` see them.
    pub delayed_name_removal: bool,
    /// Let `rate`, `irate`, `increase` and `resets` use start timestamps.
    pub use_start_timestamps: bool,
    /// Whether metrics carry `__type__`, which then says what is a counter.
    pub type_and_unit_labels: bool,
    /// Count samples per step where a query asks for it.
    pub per_step_stats: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta_ms: 300_000,
            samples_max: 50_000_000,
            no_step_subquery_interval_ms: 60_000,
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            per_step_stats: false,
        }
    }
}

/// When to evaluate. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    Instant {
        t_ms: i64,
    },
    /// From `start_ms` to at most `end_ms`, every `step_ms` (more than 0).
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
}

/// One query.
#[derive(Debug, Clone, Copy)]
pub struct QueryParams<'a> {
    pub expr: &'a Expr,
    pub kind: QueryKind,
    /// Replaces the engine's lookback if positive.
    pub lookback_delta_ms: i64,
    /// Whether to count samples per step, if the engine allows it.
    pub per_step_stats: bool,
}

impl<'a> QueryParams<'a> {
    pub fn instant(expr: &'a Expr, t_ms: i64) -> Self {
        Self { expr, kind: QueryKind::Instant { t_ms }, lookback_delta_ms: 0, per_step_stats: false }
    }

    pub fn range(expr: &'a Expr, start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let kind = QueryKind::Range { start_ms, end_ms, step_ms };
        Self { expr, kind, lookback_delta_ms: 0, per_step_stats: false }
    }
}

/// What an evaluation may use.
#[derive(Debug, Clone)]
pub struct EvalContext {
    /// Checked every few series and thousand samples.
    pub cancel: CancelToken,
    /// Memory of intermediate and final results is charged here while the evaluation runs.
    pub budget: Budget,
    /// Threads that may read and reduce series side by side, the calling one included.
    pub threads: usize,
}

impl EvalContext {
    /// No deadline, no limit, one thread: for tests and tools.
    pub fn unbounded() -> Self {
        Self { cancel: CancelToken::unbounded(), budget: Budget::unlimited(), threads: 1 }
    }
}

/// What the query cost, as `stats=all` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at; a step that looks at a sample again counts it again.
    pub total_queryable_samples: i64,
    /// (step time, samples), if asked for.
    pub total_queryable_samples_per_step: Vec<(i64, i64)>,
    /// Samples read, each once.
    pub samples_read: i64,
    pub samples_read_per_step: Vec<(i64, i64)>,
    /// The most samples held at once.
    pub peak_samples: usize,
}

/// The value of a query with what the evaluation remarked.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryOutput {
    pub value: Value,
    pub annotations: Annotations,
    pub stats: QueryStats,
}

impl QueryOutput {
    /// Rendered warnings with positions in `query`; at most `shown_max` (0 for all) and a count of the rest.
    pub fn warnings(&self, query: &str, shown_max: usize) -> Vec<String> {
        self.annotations.rendered(Severity::Warning, query, shown_max)
    }

    /// As [`QueryOutput::warnings`], for infos.
    pub fn infos(&self, query: &str, shown_max: usize) -> Vec<String> {
        self.annotations.rendered(Severity::Info, query, shown_max)
    }
}
