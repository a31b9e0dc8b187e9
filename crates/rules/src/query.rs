//! What rules ask of the rest of the program: queries, writes, notifications, helping hands.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::CallError;
use gotemplate::prometheus::QuerySample;
use model::{FloatHistogram, Labels, Matcher};
use ql_promql::ast::Expr;
use ql_promql::value::{SampleValue, Value, VectorSample};

/// The result of a rule's query.
pub type RuleVector = Vec<VectorSample>;

/// Why a query gave no vector. The text is what users see as the rule's last error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct QueryError {
    pub text: String,
    /// The query was cancelled, as happens at shutdown; not worth a log line.
    pub cancelled: bool,
}

impl QueryError {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), cancelled: false }
    }
}

/// The last sample of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct LastSample {
    pub labels: Labels,
    pub t_ms: i64,
    pub value: f64,
}

/// Where rules read.
pub trait RuleQuery: Sync {
    /// Evaluates a parsed expression at `t_ms`. `text` is its printed form.
    fn instant(&self, expr: &Expr, text: &str, t_ms: i64) -> Result<RuleVector, QueryError>;
    /// Parses and evaluates the argument of a template's `query`.
    fn text(&self, text: &str, t_ms: i64) -> Result<RuleVector, QueryError>;
    /// The last float sample, staleness markers included, of every series that matches, within
    /// `start_ms..=end_ms`.
    fn last_samples(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<LastSample>, QueryError>;
}

/// The value of an instant query as rules take it: a scalar becomes a vector of one.
pub fn rule_vector(value: Value) -> Result<RuleVector, QueryError> {
    match value {
        Value::Vector { samples, .. } => Ok(samples),
        Value::Scalar { value, .. } => {
            Ok(vec![VectorSample { labels: Labels::empty(), value: SampleValue::Float(value) }])
        }
        Value::String { .. } | Value::Matrix(_) => {
            Err(QueryError::new("rule result is not a vector or scalar"))
        }
    }
}

/// One sample a rule writes.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSample {
    pub labels: Labels,
    pub t_ms: i64,
    pub value: SampleValue,
}

/// A sample the store would not take, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSample {
    /// Index into the samples given.
    pub idx: usize,
    pub text: String,
}

/// The store took none of the samples.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppendError(pub String);

/// An alert on its way to the Alertmanagers.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    pub labels: Labels,
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire, milliseconds since the Unix epoch.
    pub starts_at_ms: i64,
    /// When it resolved, or until when it is to be taken for active.
    pub ends_at_ms: i64,
    pub generator_url: String,
}

/// Where rules write. Called from several threads where rules of a group run side by side.
pub trait RuleSink: Sync {
    /// Writes the samples of one rule in one go, and says which were refused.
    fn append(&self, samples: &[RuleSample]) -> Result<Vec<RefusedSample>, AppendError>;
    /// Hands over the alerts of one rule that are to be sent. Must not block.
    fn notify(&self, alerts: Vec<Notification>);
}

/// Runs pieces of work, perhaps side by side.
pub trait Hands: Sync {
    /// Calls `work` once with each number below `n` and returns when all calls have.
    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync));
}

/// One after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneHand;

impl Hands for OneHand {
    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        for idx in 0..n {
            work(idx);
        }
    }
}

/// A native histogram as templates print it.
#[derive(Debug)]
struct HistogramObject(Arc<FloatHistogram>);

impl gotemplate::Object for HistogramObject {
    fn type_name(&self) -> &str {
        "*histogram.FloatHistogram"
    }

    fn fields(&self) -> Vec<(&'static str, gotemplate::Value)> {
        vec![("Count", gotemplate::Value::Float(self.0.count)), ("Sum", gotemplate::Value::Float(self.0.sum))]
    }

    fn to_text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The result of a template's query, as its functions take it.
pub fn template_samples(value: Value) -> Result<Vec<QuerySample>, CallError> {
    let vector = rule_vector(value).map_err(|error| CallError::new(error.text))?;
    let sample = |s: VectorSample| QuerySample { labels: s.labels, value: template_value(&s.value) };
    Ok(vector.into_iter().map(sample).collect())
}

/// A sample's value for templates.
pub(crate) fn template_value(value: &SampleValue) -> gotemplate::Value {
    match value {
        SampleValue::Float(v) => gotemplate::Value::Float(*v),
        SampleValue::Histogram(h) => gotemplate::Value::object(HistogramObject(Arc::clone(h))),
    }
}
