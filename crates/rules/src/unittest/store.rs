//! A store in memory that rules read from and write to.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ShardSet;
use model::histogram::CounterResetHint;
use model::{FloatHistogram, Labels, Matcher};
use parking_lot::{Mutex, RwLock};
use ql_promql::ast::Expr;
use ql_promql::eval::evaluate;
use ql_promql::memory_source::MemorySource;
use ql_promql::parser::{ParserOptions, parse_expr};
use ql_promql::query::{EngineOptions, EvalContext, QueryParams};
use ql_promql::source::{SelectRequest, SeriesBuffer, SeriesSource as _};
use ql_promql::value::SampleValue;

use crate::query::{
    AppendError, LastSample, Notification, QueryError, RefusedSample, RuleQuery, RuleSample, RuleSink,
    RuleVector, rule_vector,
};

pub(crate) struct TestStore {
    source: RwLock<MemorySource>,
    /// The last histogram of each series, to know counter resets as a storage does.
    last_histograms: Mutex<BTreeMap<Labels, Arc<FloatHistogram>>>,
    engine: EngineOptions,
    parser: ParserOptions,
}

impl TestStore {
    pub(crate) fn new(engine: EngineOptions, parser: ParserOptions) -> Self {
        Self { source: RwLock::new(MemorySource::new()), last_histograms: Mutex::default(), engine, parser }
    }

    pub(crate) fn put(&self, labels: &Labels, t_ms: i64, value: &SampleValue) {
        match value {
            SampleValue::Float(v) => self.source.write().append_float(labels, t_ms, *v, 0),
            SampleValue::Histogram(h) => {
                let hinted = self.with_reset_hint(labels, h);
                self.source.write().append_histogram(labels, t_ms, hinted, 0);
            }
        }
    }

    /// The histogram as it would be read back from a storage, which compares it with the one before.
    fn with_reset_hint(&self, labels: &Labels, histogram: &Arc<FloatHistogram>) -> FloatHistogram {
        let mut hinted = FloatHistogram::clone(histogram);
        if histogram.counter_reset_hint == CounterResetHint::Gauge {
            return hinted;
        }
        let mut last = self.last_histograms.lock();
        if histogram.is_stale_marker() {
            last.remove(labels);
            return hinted;
        }
        if let Some(previous) = last.insert(labels.clone(), Arc::clone(histogram)) {
            hinted.counter_reset_hint = if histogram.detect_reset(&previous) {
                CounterResetHint::Reset
            } else {
                CounterResetHint::NotReset
            };
        }
        hinted
    }
}

impl RuleQuery for TestStore {
    fn instant(&self, expr: &Expr, _text: &str, t_ms: i64) -> Result<RuleVector, QueryError> {
        let params = QueryParams::instant(expr, t_ms);
        let source = self.source.read();
        let output = evaluate(&self.engine, &params, &*source, &EvalContext::unbounded())
            .map_err(|error| QueryError::new(error.to_string()))?;
        rule_vector(output.value)
    }

    fn text(&self, text: &str, t_ms: i64) -> Result<RuleVector, QueryError> {
        let expr = parse_expr(text, &self.parser).map_err(|error| QueryError::new(error.to_string()))?;
        self.instant(&expr, text, t_ms)
    }

    fn last_samples(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<LastSample>, QueryError> {
        let request = SelectRequest {
            matchers,
            start_ms,
            end_ms,
            with_start_timestamps: false,
            shards: &ShardSet::ALL,
        };
        let failed = |error: ql_promql::source::SourceError| QueryError::new(error.to_string());
        let series = self.source.read().select(&request).map_err(failed)?;
        let mut buffer = SeriesBuffer::default();
        let mut samples = Vec::new();
        for idx in 0..series.len() {
            series.read(idx, &mut buffer).map_err(failed)?;
            if let (Some(t_ms), Some(value)) = (buffer.float_ts.last(), buffer.float_values.last()) {
                samples.push(LastSample { labels: series.labels(idx).clone(), t_ms: *t_ms, value: *value });
            }
        }
        Ok(samples)
    }
}

impl RuleSink for TestStore {
    fn append(&self, samples: &[RuleSample]) -> Result<Vec<RefusedSample>, AppendError> {
        for sample in samples {
            self.put(&sample.labels, sample.t_ms, &sample.value);
        }
        Ok(Vec::new())
    }

    fn notify(&self, _alerts: Vec<Notification>) {}
}
