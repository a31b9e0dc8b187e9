//! Rules against a store in memory, evaluated at chosen times.

mod alerting;
mod groups;
mod restoring;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ManualClock;
use model::{Labels, Matcher, is_stale_nan};
use parking_lot::Mutex;
use ql_promql::ast::Expr;
use ql_promql::query::EngineOptions;
use ql_promql::series_desc::{SequenceValue, parse_series_desc};
use ql_promql::value::SampleValue;

use super::*;
use crate::config::{RuleConfig, RuleGroupConfig, RuleKind, SourcePos};
use crate::query::{
    AppendError, LastSample, Notification, OneHand, QueryError, RefusedSample, RuleQuery, RuleSample,
    RuleVector,
};
use crate::unittest::store::TestStore;

pub(super) const MINUTE_MS: i64 = 60_000;

/// Everything around the rules: a store, a clock, and ears for what they say.
pub(super) struct World {
    store: TestStore,
    clock: ManualClock,
    written: Mutex<Vec<String>>,
    sent: Mutex<Vec<Notification>>,
    refuse: Mutex<Option<String>>,
}

impl RuleQuery for World {
    fn instant(&self, expr: &Expr, text: &str, t_ms: i64) -> Result<RuleVector, QueryError> {
        self.store.instant(expr, text, t_ms)
    }

    fn text(&self, text: &str, t_ms: i64) -> Result<RuleVector, QueryError> {
        self.store.text(text, t_ms)
    }

    fn last_samples(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<LastSample>, QueryError> {
        self.store.last_samples(matchers, start_ms, end_ms)
    }
}

impl RuleSink for World {
    fn append(&self, samples: &[RuleSample]) -> Result<Vec<RefusedSample>, AppendError> {
        if let Some(text) = self.refuse.lock().clone() {
            return Err(AppendError(text));
        }
        for sample in samples {
            self.store.put(&sample.labels, sample.t_ms, &sample.value);
            let value = match &sample.value {
                SampleValue::Float(v) if is_stale_nan(*v) => "stale".to_owned(),
                SampleValue::Float(v) => v.to_string(),
                SampleValue::Histogram(h) => h.to_string(),
            };
            self.written.lock().push(format!("{} {value}", series_text(&sample.labels)));
        }
        Ok(Vec::new())
    }

    fn notify(&self, alerts: Vec<Notification>) {
        self.sent.lock().extend(alerts);
    }
}

/// `name{a="1"}`
fn series_text(labels: &Labels) -> String {
    let rest = labels.without(|name| name == "__name__");
    let name = labels.metric_name();
    if rest.is_empty() { name.to_owned() } else { format!("{name}{rest}") }
}

impl World {
    pub(super) fn new(step_ms: i64, series: &[&str]) -> Self {
        let world = Self {
            store: TestStore::new(EngineOptions::default(), ParserOptions::all()),
            clock: ManualClock::new(0),
            written: Mutex::default(),
            sent: Mutex::default(),
            refuse: Mutex::default(),
        };
        for text in series {
            let (labels, values) = parse_series_desc(text).unwrap();
            for (t_ms, value) in (0..).step_by(usize::try_from(step_ms).unwrap()).zip(values) {
                if let SequenceValue::Float(v) = value {
                    world.store.put(&labels, t_ms, &SampleValue::Float(v));
                }
            }
        }
        world
    }

    pub(super) fn equipment(&self) -> Equipment<'_> {
        Equipment { query: self, sink: self, hands: &OneHand, clock: &self.clock }
    }

    /// Evaluates a group at `t_ms`; what it wrote, sorted, and the errors.
    pub(super) fn evaluate(&self, group: &Group, t_ms: i64) -> (Vec<String>, Vec<String>) {
        self.clock.set_ms(t_ms);
        self.written.lock().clear();
        let report = group.evaluate(t_ms, self.equipment());
        let mut written = std::mem::take(&mut *self.written.lock());
        written.sort();
        (written, report.failures.into_iter().map(|(_, error)| error).collect())
    }

    pub(super) fn sent(&self) -> Vec<Notification> {
        std::mem::take(&mut *self.sent.lock())
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

pub(super) fn record(name: &str, expr: &str, labels: &[(&str, &str)]) -> RuleConfig {
    RuleConfig {
        kind: RuleKind::Recording { record: name.to_owned() },
        expr: expr.to_owned(),
        labels: map(labels),
        pos: SourcePos::default(),
        expr_pos: SourcePos::default(),
    }
}

/// What an alerting rule says besides its name and expression.
#[derive(Default, Clone, Copy)]
pub(super) struct AlertSpec<'a> {
    pub(super) for_ms: i64,
    pub(super) keep_firing_for_ms: i64,
    pub(super) labels: &'a [(&'a str, &'a str)],
    pub(super) annotations: &'a [(&'a str, &'a str)],
}

pub(super) fn alert(name: &str, expr: &str, spec: AlertSpec<'_>) -> RuleConfig {
    RuleConfig {
        kind: RuleKind::Alerting {
            alert: name.to_owned(),
            for_ms: spec.for_ms,
            keep_firing_for_ms: spec.keep_firing_for_ms,
            annotations: map(spec.annotations),
        },
        ..record(name, expr, spec.labels)
    }
}

pub(super) fn group(name: &str, rules: Vec<RuleConfig>) -> RuleGroupConfig {
    RuleGroupConfig { name: name.to_owned(), rules, ..RuleGroupConfig::default() }
}

pub(super) fn file(groups: Vec<RuleGroupConfig>) -> Vec<RuleFile> {
    vec![RuleFile { path: "rules.yml".to_owned(), groups }]
}

pub(super) fn global() -> RulesGlobal {
    RulesGlobal {
        evaluation_interval_ms: MINUTE_MS,
        query_offset_ms: 0,
        external_labels: Labels::from_pairs([("region", "eu")]),
    }
}

pub(super) fn options() -> RuleOptions {
    RuleOptions {
        outage_tolerance_ms: 30 * MINUTE_MS,
        for_grace_period_ms: 10 * MINUTE_MS,
        parser: ParserOptions::all(),
        ..RuleOptions::default()
    }
}

pub(super) fn load(manager: &RuleManager, groups: Vec<RuleGroupConfig>, now_ms: i64) -> UpdateReport {
    manager.update(&file(groups), &global(), "http://h:9090/p", now_ms).unwrap()
}

/// A manager that takes its state for restored, and its first group.
pub(super) fn running(config: RuleGroupConfig) -> (RuleManager, Arc<Group>) {
    let manager = RuleManager::new(options());
    load(&manager, Vec::new(), 0);
    load(&manager, vec![config], 0);
    let group = manager.group_handles().remove(0);
    (manager, group)
}
