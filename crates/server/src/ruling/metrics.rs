//! Self metrics of rules, under upstream's names.

use rules::group::IterationReport;
use rules::snapshot::GroupSnapshot;

use crate::telemetry::{Counter, Gauge, Histogram, Labelled, Registry};

const BOUNDS_S: &[f64] = &[0.0001, 0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

#[derive(Debug)]
pub(super) struct RuleMetrics {
    evaluations: Labelled<Counter>,
    failures: Labelled<Counter>,
    iterations: Labelled<Counter>,
    missed: Labelled<Counter>,
    last_duration: Labelled<Gauge>,
    last_evaluation: Labelled<Gauge>,
    last_samples: Labelled<Gauge>,
    interval: Labelled<Gauge>,
    rules: Labelled<Gauge>,
    group_duration: Histogram,
    rule_duration: Histogram,
}

impl RuleMetrics {
    pub(super) fn new(r: &Registry) -> Self {
        let by_group = &["rule_group"];
        Self {
            evaluations: r.counters(
                "prometheus_rule_evaluations_total",
                "The total number of rule evaluations.",
                by_group,
            ),
            failures: r.counters(
                "prometheus_rule_evaluation_failures_total",
                "The total number of rule evaluation failures.",
                by_group,
            ),
            iterations: r.counters(
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
                by_group,
            ),
            missed: r.counters(
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
                by_group,
            ),
            last_duration: r.gauges(
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
                by_group,
            ),
            last_evaluation: r.gauges(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
                by_group,
            ),
            last_samples: r.gauges(
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
                by_group,
            ),
            interval: r.gauges(
                "prometheus_rule_group_interval_seconds",
                "The interval of a rule group.",
                by_group,
            ),
            rules: r.gauges("prometheus_rule_group_rules", "The number of rules.", by_group),
            group_duration: r.histogram(
                "prometheus_rule_group_duration_histogram_seconds",
                "The duration of rule group evaluations.",
                BOUNDS_S,
            ),
            rule_duration: r.histogram(
                "prometheus_rule_evaluation_duration_histogram_seconds",
                "The duration for a rule to execute.",
                BOUNDS_S,
            ),
        }
    }

    pub(super) fn observe(&self, report: &IterationReport) {
        self.group_duration.observe(report.duration_ns as f64 / 1e9);
        for ns in &report.rule_durations_ns {
            self.rule_duration.observe(*ns as f64 / 1e9);
        }
    }

    pub(super) fn update(&self, groups: &[GroupSnapshot]) {
        for group in groups {
            let key = format!("{};{}", group.file, group.name);
            let labels = &[key.as_str()];
            self.evaluations.with(labels).set(group.counters.evaluations as f64);
            self.failures.with(labels).set(group.counters.evaluation_failures as f64);
            self.iterations.with(labels).set(group.counters.iterations_scheduled as f64);
            self.missed.with(labels).set(group.counters.iterations_missed as f64);
            self.last_duration.with(labels).set(group.evaluation_ns as f64 / 1e9);
            self.last_evaluation.with(labels).set(group.last_evaluation_ms.unwrap_or(0) as f64 / 1000.0);
            self.last_samples.with(labels).set(group.counters.last_samples as f64);
            self.interval.with(labels).set(group.interval_ms as f64 / 1000.0);
            self.rules.with(labels).set(group.rules.len() as f64);
        }
    }
}
