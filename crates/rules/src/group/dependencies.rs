//! Which rules of a group read what others write, and so which may run side by side.

use std::collections::BTreeSet;

use model::Matcher;
use ql_promql::ast::VectorSelector;

use crate::rule::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE, Rule};

const METRIC_NAME: &str = "__name__";

/// Pairs (writer, reader) of rules. `None` if a selector without a name may read anything.
fn edges(rules: &[Rule]) -> Option<BTreeSet<(usize, usize)>> {
    let mut edges = BTreeSet::new();
    for (reader, rule) in rules.iter().enumerate() {
        for selector in rule.expr.selectors() {
            let name = name_matcher(selector)?;
            let reads_alerts = name.matches(ALERTS) || name.matches(ALERTS_FOR_STATE);
            let alert = selector.matchers.iter().find(|m| m.name == ALERT_NAME);
            // Rules further down are read at their last evaluation in any case.
            for (writer, other) in rules[..reader].iter().enumerate() {
                let reads_alert = reads_alerts
                    && other.alerting().is_some()
                    && alert.is_none_or(|matcher| matcher.matches(&other.name));
                if name.matches(&other.name) || reads_alert {
                    edges.insert((writer, reader));
                }
            }
        }
    }
    Some(edges)
}

fn name_matcher(selector: &VectorSelector) -> Option<Matcher> {
    if !selector.name.is_empty() {
        return Some(Matcher::equal(METRIC_NAME, &selector.name));
    }
    selector.matchers.iter().find(|m| m.name == METRIC_NAME).cloned()
}

/// First all rules that read no other, side by side; then those in the middle, one by one; then
/// those that nobody reads, side by side. Empty if nothing is known.
pub(super) fn batches(rules: &[Rule]) -> Vec<Vec<usize>> {
    let known = if rules.len() <= 1 { Some(BTreeSet::new()) } else { edges(rules) };
    let Some(edges) = known else { return Vec::new() };
    let reads = |idx: usize| edges.iter().any(|(_, reader)| *reader == idx);
    let is_read = |idx: usize| edges.iter().any(|(writer, _)| *writer == idx);
    let all = 0..rules.len();
    let first: Vec<usize> = all.clone().filter(|idx| !reads(*idx)).collect();
    let last: Vec<usize> = all.clone().filter(|idx| reads(*idx) && !is_read(*idx)).collect();
    let middle = all.filter(|idx| reads(*idx) && is_read(*idx)).map(|idx| vec![idx]);
    std::iter::once(first)
        .chain(middle)
        .chain(std::iter::once(last))
        .filter(|batch| !batch.is_empty())
        .collect()
}
