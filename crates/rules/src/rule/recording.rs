//! Recording rules: a query's result under another name.

use std::collections::BTreeSet;

use super::{Evaluation, Outcome, Rule, RuleError};
use crate::query::RuleSample;

const METRIC_NAME: &str = "__name__";

#[derive(Debug)]
pub(crate) struct RecordingRule;

impl RecordingRule {
    pub(super) fn evaluate(&self, rule: &Rule, evaluation: Evaluation<'_>) -> Result<Outcome, RuleError> {
        let t_ms = evaluation.t_ms - evaluation.query_offset_ms;
        let vector = evaluation.query.instant(&rule.expr, &rule.text, t_ms)?;
        let mut seen = BTreeSet::new();
        let mut samples = Vec::with_capacity(vector.len());
        for sample in vector {
            let mut builder = sample.labels.to_builder();
            builder.set(METRIC_NAME, &rule.name);
            for name in &rule.removed_labels {
                builder.remove(name);
            }
            for (name, value) in &rule.labels {
                builder.set(name, value);
            }
            let labels = builder.build();
            if !seen.insert(labels.clone()) {
                return Err(RuleError::DuplicateRecordingLabels);
            }
            samples.push(RuleSample { labels, t_ms, value: sample.value });
        }
        let limit = evaluation.limit;
        if limit > 0 && samples.len() as u64 > limit {
            return Err(RuleError::Limit { limit, n: samples.len(), what: "series" });
        }
        Ok(Outcome { samples, notifications: Vec::new() })
    }
}
