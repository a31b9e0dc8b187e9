//! What rules read and write: queries through the engine, samples into the store, alerts to the
//! senders, and threads for rules that may run side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{CancelToken, ShardSet, TenantId};
use engine::{QueryEngine, QueryError as EngineError, QueryOrigin, QueryRequest, StoreSource};
use model::{BatchSeries, FloatSample, HistogramSample, Matcher, SeriesBatch};
use ql_promql::ast::Expr;
use ql_promql::eval::EvalError;
use ql_promql::query::QueryKind;
use ql_promql::source::{SelectRequest, SeriesBuffer, SeriesSource as _};
use ql_promql::value::SampleValue;
use rules::query::{
    AppendError, Hands, LastSample, Notification, QueryError, RefusedSample, RuleQuery, RuleSample, RuleSink,
    RuleVector, rule_vector,
};
use store_metrics::AppendOptions;

use super::Notifying;
use crate::ingest::Ingest;

/// Queries of rules, through the same admission and budgets as everybody's.
pub(super) struct StoreQuery {
    pub(super) engine: Arc<QueryEngine>,
    pub(super) tenant: TenantId,
    /// The group that asks.
    pub(super) origin: QueryOrigin,
}

impl StoreQuery {
    fn request(&self, text: &str, t_ms: i64) -> QueryRequest {
        QueryRequest {
            tenant: self.tenant.clone(),
            text: Arc::from(text),
            kind: QueryKind::Instant { t_ms },
            timeout: None,
            lookback_delta_ms: 0,
            per_step_stats: false,
            cancel: CancelToken::unbounded(),
            origin: self.origin.clone(),
        }
    }
}

impl RuleQuery for StoreQuery {
    fn instant(&self, expr: &Expr, text: &str, t_ms: i64) -> Result<RuleVector, QueryError> {
        let answer = self.engine.run_parsed(expr, &self.request(text, t_ms)).map_err(|e| query_error(&e))?;
        rule_vector(answer.output.value)
    }

    fn text(&self, text: &str, t_ms: i64) -> Result<RuleVector, QueryError> {
        let answer = self.engine.run(&self.request(text, t_ms)).map_err(|e| query_error(&e))?;
        rule_vector(answer.output.value)
    }

    fn last_samples(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<LastSample>, QueryError> {
        let (_share, budget) = self.engine.share_of(&self.tenant, "rule restore");
        let source = StoreSource {
            view: self.engine.store().view(),
            tenant: self.tenant.clone(),
            budget,
            cancel: CancelToken::unbounded(),
        };
        let request = SelectRequest {
            matchers,
            start_ms,
            end_ms,
            with_start_timestamps: false,
            shards: &ShardSet::ALL,
        };
        let set = source.select(&request).map_err(|e| QueryError::new(e.to_string()))?;
        let mut buffer = SeriesBuffer::default();
        let mut found = Vec::with_capacity(set.len());
        for idx in 0..set.len() {
            set.read(idx, &mut buffer).map_err(|e| QueryError::new(e.to_string()))?;
            if let (Some(&t_ms), Some(&value)) = (buffer.float_ts.last(), buffer.float_values.last()) {
                found.push(LastSample { labels: set.labels(idx).clone(), t_ms, value });
            }
        }
        Ok(found)
    }
}

fn query_error(error: &EngineError) -> QueryError {
    let cancelled = matches!(error, EngineError::Eval(EvalError::Cancelled));
    QueryError { text: error.to_string(), cancelled }
}

/// Where rules write.
pub(super) struct StoreSink {
    pub(super) ingest: Arc<Ingest>,
    pub(super) tenant: TenantId,
    pub(super) notifying: Arc<Notifying>,
}

impl RuleSink for StoreSink {
    fn append(&self, samples: &[RuleSample]) -> Result<Vec<RefusedSample>, AppendError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = SeriesBatch::new(self.tenant.clone());
        for sample in samples {
            let series_idx = batch.add_series(BatchSeries::new(&self.tenant, sample.labels.clone()));
            match &sample.value {
                SampleValue::Float(v) => {
                    batch.floats.push(FloatSample { series_idx, st: 0, t: sample.t_ms, v: *v });
                }
                SampleValue::Histogram(h) => {
                    let h = Arc::clone(h);
                    batch.histograms.push(HistogramSample { series_idx, st: 0, t: sample.t_ms, h });
                }
            }
        }
        // A slow rule must not overwrite what came later, as upstream's in-order head would refuse.
        let outcome =
            self.ingest.append(&batch, AppendOptions::default()).map_err(|e| AppendError(e.to_string()))?;
        let refused = outcome.first_rejected.map(|(series_idx, _, reason)| RefusedSample {
            idx: series_idx as usize,
            text: reason.to_string(),
        });
        Ok(refused.into_iter().collect())
    }

    fn notify(&self, alerts: Vec<Notification>) {
        self.notifying.send(&alerts);
    }
}

/// Threads for the rules of one group that do not depend on each other.
pub(super) struct ScopedHands {
    pub(super) threads_max: usize,
}

impl Hands for ScopedHands {
    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let take = || {
            loop {
                let idx = next.fetch_add(1, Ordering::Relaxed);
                if idx >= n {
                    return;
                }
                work(idx);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads_max.min(n) {
                scope.spawn(take);
            }
            take();
        });
    }
}
