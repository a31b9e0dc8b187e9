//! A rule of either kind: its definition, its evaluation and what is known of the last one.

mod alerting;
mod recording;

use std::collections::BTreeMap;

use gotemplate::prometheus::ExternalUrl;
use model::Labels;
use parking_lot::Mutex;
use ql_promql::ast::Expr;
use ql_promql::parser::{ParserOptions, parse_expr};

use crate::alert::{Alert, AlertState};
use crate::config::{RuleConfig, RuleKind};
use crate::query::{Notification, QueryError, RuleQuery, RuleSample};

pub(crate) use alerting::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE, AlertingRule};
pub(crate) use recording::RecordingRule;

/// Whether the last evaluation succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuleHealth {
    /// Not evaluated yet.
    #[default]
    Unknown,
    Good,
    Bad,
}

impl RuleHealth {
    /// As the API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad => "err",
        }
    }
}

/// Why a rule gave nothing. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    DuplicateRecordingLabels,
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateAlertLabels,
    #[error("exceeded limit of {limit} with {n} {what}")]
    Limit { limit: u64, n: usize, what: &'static str },
}

/// What all rules of a configuration share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RuleSurroundings {
    pub external_labels: Labels,
    pub external_url: ExternalUrl,
}

/// What one evaluation is given.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<'a> {
    pub(crate) t_ms: i64,
    pub(crate) query_offset_ms: i64,
    /// 0: no limit.
    pub(crate) limit: u64,
    pub(crate) resend_delay_ms: i64,
    pub(crate) interval_ms: i64,
    pub(crate) query: &'a dyn RuleQuery,
    pub(crate) surroundings: &'a RuleSurroundings,
}

/// What one evaluation gave.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) samples: Vec<RuleSample>,
    pub(crate) notifications: Vec<Notification>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Recording(RecordingRule),
    Alerting(AlertingRule),
}

/// The last evaluation.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastEvaluation {
    pub(crate) health: RuleHealth,
    pub(crate) error: Option<String>,
    pub(crate) at_ms: Option<i64>,
    pub(crate) duration_ns: u64,
    /// Series written last time, to be marked stale when they vanish.
    pub(crate) series: Vec<Labels>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) expr: Expr,
    /// The expression as users see it.
    pub(crate) text: String,
    pub(crate) labels: Labels,
    /// Labels that the rule gives no value: those of a series are taken away.
    pub(crate) removed_labels: Vec<String>,
    pub(crate) body: Body,
    pub(crate) last: Mutex<LastEvaluation>,
}

/// An expression of a rule file is no PromQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: group {group:?}, rule {rule:?}: {error}")]
pub struct InvalidRule {
    pub file: String,
    pub group: String,
    pub rule: String,
    pub error: String,
}

impl Rule {
    /// `group_labels` yield to the rule's own. `restored` is false for alerts whose `for` state is
    /// still to be read back.
    pub(crate) fn new(
        config: &RuleConfig,
        group_labels: &BTreeMap<String, String>,
        parser: &ParserOptions,
        restored: bool,
    ) -> Result<Self, String> {
        let expr = parse_expr(&config.expr, parser).map_err(|error| error.to_string())?;
        let merged: BTreeMap<&str, &str> =
            group_labels.iter().chain(&config.labels).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let empty = merged.iter().filter(|(_, value)| value.is_empty());
        let removed_labels = empty.map(|(name, _)| (*name).to_owned()).collect();
        let labels = Labels::from_pairs(merged);
        let body = match &config.kind {
            RuleKind::Recording { .. } => Body::Recording(RecordingRule),
            RuleKind::Alerting { for_ms, keep_firing_for_ms, annotations, .. } => {
                Body::Alerting(AlertingRule::new(*for_ms, *keep_firing_for_ms, annotations, restored))
            }
        };
        let text = expr.to_string();
        let name = config.name().to_owned();
        Ok(Self { name, expr, text, labels, removed_labels, body, last: Mutex::default() })
    }

    pub(crate) fn alerting(&self) -> Option<&AlertingRule> {
        match &self.body {
            Body::Alerting(rule) => Some(rule),
            Body::Recording(_) => None,
        }
    }

    /// Rules of two versions of a group are the same rule if these agree.
    pub(crate) fn identity(&self) -> (&str, &Labels) {
        (&self.name, &self.labels)
    }

    pub(crate) fn evaluate(&self, evaluation: Evaluation<'_>) -> Result<Outcome, RuleError> {
        match &self.body {
            Body::Recording(rule) => rule.evaluate(self, evaluation),
            Body::Alerting(rule) => rule.evaluate(self, evaluation),
        }
    }

    /// The gravest state of the rule's alerts.
    pub(crate) fn alert_state(&self) -> AlertState {
        if self.last.lock().at_ms.is_none() {
            return AlertState::Unknown;
        }
        let alerting = self.alerting();
        alerting.map_or(AlertState::Inactive, |rule| {
            rule.alerts(|alerts| alerts.values().map(|a| a.state).max().unwrap_or(AlertState::Inactive))
        })
    }

    /// Alerts that have not resolved.
    pub(crate) fn active_alerts(&self) -> Vec<Alert> {
        let alerting = self.alerting();
        alerting.map_or_else(Vec::new, |rule| {
            rule.alerts(|alerts| alerts.values().filter(|a| a.resolved_at_ms.is_none()).cloned().collect())
        })
    }
}
