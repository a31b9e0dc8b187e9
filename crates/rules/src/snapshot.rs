//! What the APIs show of rules and alerts, as plain data.

use std::collections::BTreeMap;

use model::Labels;

use crate::alert::{Alert, AlertState};
use crate::group::{Group, GroupCounters};
use crate::rule::{Body, Rule, RuleHealth};

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSnapshot {
    pub name: String,
    pub file: String,
    pub interval_ms: i64,
    /// 0: none.
    pub limit: u64,
    pub query_offset_ms: i64,
    pub rules: Vec<RuleSnapshot>,
    /// How long the last evaluation took.
    pub evaluation_ns: u64,
    /// The sum over its rules.
    pub rule_evaluations_ns: u64,
    /// Wall clock of the last evaluation.
    pub last_evaluation_ms: Option<i64>,
    /// The slot of the last evaluation.
    pub last_slot_ms: Option<i64>,
    pub counters: GroupCounters,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSnapshot {
    pub name: String,
    /// The expression, printed.
    pub query: String,
    /// Labels of the group and the rule; templates for alerts.
    pub labels: Labels,
    pub health: RuleHealth,
    pub last_error: Option<String>,
    pub evaluation_ns: u64,
    pub last_evaluation_ms: Option<i64>,
    pub kind: RuleSnapshotKind,
}

/// What only one kind of rule has.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleSnapshotKind {
    Recording,
    Alerting {
        state: AlertState,
        for_ms: i64,
        keep_firing_for_ms: i64,
        annotations: BTreeMap<String, String>,
        /// Pending and firing alerts, sorted by labels.
        alerts: Vec<Alert>,
    },
}

pub(crate) fn group(group: &Group) -> GroupSnapshot {
    let last = group.last_iteration();
    GroupSnapshot {
        name: group.key.name.clone(),
        file: group.key.file.clone(),
        interval_ms: group.interval_ms(),
        limit: group.limit(),
        query_offset_ms: group.query_offset_ms(),
        rules: group.rules.iter().map(rule).collect(),
        evaluation_ns: last.duration_ns,
        rule_evaluations_ns: last.rule_durations_ns,
        last_evaluation_ms: last.at_ms,
        last_slot_ms: last.slot_ms,
        counters: group.counters(),
    }
}

fn rule(rule: &Rule) -> RuleSnapshot {
    let kind = match &rule.body {
        Body::Recording(_) => RuleSnapshotKind::Recording,
        Body::Alerting(alerting) => RuleSnapshotKind::Alerting {
            state: rule.alert_state(),
            for_ms: alerting.holds.for_ms,
            keep_firing_for_ms: alerting.holds.keep_firing_for_ms,
            annotations: alerting.annotations.clone(),
            alerts: rule.active_alerts(),
        },
    };
    let last = rule.last.lock();
    RuleSnapshot {
        name: rule.name.clone(),
        query: rule.text.clone(),
        labels: rule.labels.clone(),
        health: last.health,
        last_error: last.error.clone(),
        evaluation_ns: last.duration_ns,
        last_evaluation_ms: last.at_ms,
        kind,
    }
}
