//! Alerting rules: each element of a query's result is an alert with a life of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use gotemplate::prometheus::{
    ALERT_PREAMBLE, AlertData, Environment, ExpandError, Prepared, QuerySample, labels_value, prepare,
};
use gotemplate::{CallError, Limits, MissingKey, Value, escape_url_query};
use model::{Labels, Matcher};
use parking_lot::Mutex;
use ql_promql::value::{SampleValue, VectorSample};

use super::{Evaluation, Outcome, Rule, RuleError};
use crate::alert::{Alert, AlertState, Holds, Step};
use crate::query::{Notification, RuleQuery, RuleSample, template_value};

pub(crate) const ALERTS: &str = "ALERTS";
pub(crate) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
pub(crate) const ALERT_NAME: &str = "alertname";
const ALERT_STATE: &str = "alertstate";
const METRIC_NAME: &str = "__name__";

/// Alerts by labels.
pub(crate) type Alerts = BTreeMap<Labels, Alert>;

#[derive(Debug)]
pub(crate) struct AlertingRule {
    pub(crate) holds: Holds,
    /// Templates.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Whether the `for` state of an earlier process has been read back; before that, none is written.
    restored: AtomicBool,
    alerts: Mutex<Alerts>,
}

impl AlertingRule {
    pub(super) fn new(
        for_ms: i64,
        keep_firing_for_ms: i64,
        annotations: &BTreeMap<String, String>,
        restored: bool,
    ) -> Self {
        Self {
            holds: Holds { for_ms, keep_firing_for_ms },
            annotations: annotations.clone(),
            restored: AtomicBool::new(restored),
            alerts: Mutex::default(),
        }
    }

    /// Reads or changes the alerts.
    pub(crate) fn alerts<T>(&self, visit: impl FnOnce(&mut Alerts) -> T) -> T {
        visit(&mut self.alerts.lock())
    }

    pub(crate) fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }

    pub(super) fn evaluate(&self, rule: &Rule, evaluation: Evaluation<'_>) -> Result<Outcome, RuleError> {
        let t_ms = evaluation.t_ms;
        let sample_ms = t_ms - evaluation.query_offset_ms;
        let vector = evaluation.query.instant(&rule.expr, &rule.text, sample_ms)?;
        let present = self.present(rule, &vector, evaluation)?;

        let mut alerts = self.alerts.lock();
        for (labels, new) in &present {
            match alerts.get_mut(labels).filter(|alert| alert.state != AlertState::Inactive) {
                Some(alert) => {
                    alert.value = new.value;
                    alert.annotations = new.annotations.clone();
                }
                None => {
                    alerts.insert(labels.clone(), new.clone());
                }
            }
        }
        let restored = self.restored.load(Ordering::Acquire);
        let mut outcome = Outcome::default();
        let mut n_active = 0;
        alerts.retain(|labels, alert| {
            let step = alert.advance(present.contains_key(labels), t_ms, self.holds);
            if step == Step::Active {
                n_active += 1;
                if restored {
                    outcome.samples.extend(series_of(rule, alert, sample_ms));
                }
            }
            step != Step::Gone
        });
        let limit = evaluation.limit;
        if limit > 0 && n_active as u64 > limit {
            alerts.clear();
            return Err(RuleError::Limit { limit, n: n_active, what: "alerts" });
        }
        outcome.notifications = to_send(rule, &mut alerts, evaluation);
        Ok(outcome)
    }

    /// The alerts that the expression gives now.
    fn present(
        &self,
        rule: &Rule,
        vector: &[VectorSample],
        evaluation: Evaluation<'_>,
    ) -> Result<Alerts, RuleError> {
        let mut present = Alerts::new();
        if vector.is_empty() {
            return Ok(present);
        }
        let query = |text: &str| template_query(evaluation.query, text, evaluation.t_ms);
        let environment = Environment {
            now_ms: evaluation.t_ms,
            query: &query,
            external_url: &evaluation.surroundings.external_url,
            limits: Limits::default(),
        };
        let template_name = format!("__alert_{}", rule.name);
        let prepared = |text| Text::prepare(&template_name, text, environment);
        let labels: Vec<_> = rule.labels.iter().map(|(name, text)| (name, prepared(text))).collect();
        let annotations: Vec<_> =
            self.annotations.iter().map(|(name, text)| (name, prepared(text))).collect();
        for sample in vector {
            let data = template_data(sample, evaluation);
            let mut builder = sample.labels.to_builder();
            builder.remove(METRIC_NAME);
            for name in &rule.removed_labels {
                builder.remove(name);
            }
            for (name, text) in &labels {
                builder.set(name, &text.expand(&data));
            }
            builder.set(ALERT_NAME, &rule.name);
            let annotations =
                annotations.iter().map(|(name, text)| ((*name).clone(), text.expand(&data))).collect();
            let value = match &sample.value {
                SampleValue::Float(v) => *v,
                SampleValue::Histogram(_) => 0.0,
            };
            let labels = builder.build();
            let alert = Alert::pending(labels.clone(), annotations, value, evaluation.t_ms);
            if present.insert(labels, alert).is_some() {
                return Err(RuleError::DuplicateAlertLabels);
            }
        }
        Ok(present)
    }

    /// What finds the rule's `ALERTS_FOR_STATE` series: the labels that no template changes.
    pub(crate) fn for_state_matchers(rule: &Rule) -> Vec<Matcher> {
        let mut builder = rule.labels.to_builder();
        builder.set(METRIC_NAME, ALERTS_FOR_STATE).set(ALERT_NAME, &rule.name);
        let labels = builder.build();
        labels.iter().filter(|(_, v)| !v.contains("{{")).map(|(n, v)| Matcher::equal(n, v)).collect()
    }
}

/// `ALERTS` and `ALERTS_FOR_STATE` of an active alert.
fn series_of(rule: &Rule, alert: &Alert, t_ms: i64) -> [RuleSample; 2] {
    let mut builder = rule.labels.to_builder();
    for (name, value) in &alert.labels {
        builder.set(name, value);
    }
    builder.set(METRIC_NAME, ALERTS_FOR_STATE).set(ALERT_NAME, &rule.name);
    #[expect(clippy::cast_precision_loss, reason = "seconds of any real date are exact in a float")]
    let since = alert.active_at_ms.div_euclid(1000) as f64;
    let for_state = RuleSample { labels: builder.build(), t_ms, value: SampleValue::Float(since) };
    builder.set(METRIC_NAME, ALERTS).set(ALERT_STATE, alert.state.as_str());
    let state = RuleSample { labels: builder.build(), t_ms, value: SampleValue::Float(1.0) };
    [state, for_state]
}

fn to_send(rule: &Rule, alerts: &mut Alerts, evaluation: Evaluation<'_>) -> Vec<Notification> {
    let t_ms = evaluation.t_ms;
    let mut notifications = Vec::new();
    for alert in alerts.values_mut() {
        if !alert.needs_sending(t_ms, evaluation.resend_delay_ms) {
            continue;
        }
        alert.last_sent_at_ms = Some(t_ms);
        // Two evaluations or two sends may fail before the Alertmanager takes the alert for resolved.
        let valid_until_ms = t_ms + 4 * evaluation.interval_ms.max(evaluation.resend_delay_ms);
        let expr = escape_url_query(&rule.text);
        notifications.push(Notification {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at_ms: alert.fired_at_ms.unwrap_or(alert.active_at_ms),
            ends_at_ms: alert.resolved_at_ms.unwrap_or(valid_until_ms),
            generator_url: format!(
                "{}/graph?g0.expr={expr}&g0.tab=1",
                evaluation.surroundings.external_url.url
            ),
        });
    }
    notifications
}

/// What the templates of one alert see.
fn template_data(sample: &VectorSample, evaluation: Evaluation<'_>) -> Value {
    let surroundings = evaluation.surroundings;
    Value::object(AlertData {
        labels: labels_value(&sample.labels),
        external_labels: labels_value(&surroundings.external_labels),
        external_url: surroundings.external_url.url.clone(),
        value: template_value(&sample.value),
    })
}

/// A label or annotation, parsed once for all alerts of an evaluation.
enum Text<'t> {
    Plain(&'t str),
    Template(Box<Prepared<'t>>),
    Broken(String),
}

impl<'t> Text<'t> {
    fn prepare(name: &str, text: &'t str, environment: Environment<'t>) -> Self {
        if !text.contains("{{") {
            return Self::Plain(text);
        }
        match prepare(name, &format!("{ALERT_PREAMBLE}{text}"), environment, MissingKey::Zero) {
            Ok(prepared) => Self::Template(Box::new(prepared)),
            Err(error) => Self::Broken(failed(&error)),
        }
    }

    fn expand(&self, data: &Value) -> String {
        match self {
            Self::Plain(text) => (*text).to_owned(),
            Self::Template(prepared) => prepared.expand(data).unwrap_or_else(|error| failed(&error)),
            Self::Broken(text) => text.clone(),
        }
    }
}

/// A text that fails to expand says so in its place: better a clumsy alert than none.
fn failed(error: &ExpandError) -> String {
    format!("<error expanding template: {error}>")
}

fn template_query(query: &dyn RuleQuery, text: &str, t_ms: i64) -> Result<Vec<QuerySample>, CallError> {
    let vector = query.text(text, t_ms).map_err(|error| CallError::new(error.text))?;
    let sample = |s: VectorSample| QuerySample { labels: s.labels, value: template_value(&s.value) };
    Ok(vector.into_iter().map(sample).collect())
}
