//! Reading the `for` state of alerts back after a restart, from the `ALERTS_FOR_STATE` series.

use std::collections::BTreeMap;

use model::{Labels, is_stale_nan};

use super::{Equipment, Group};
use crate::alert::Alert;
use crate::query::{LastSample, RuleQuery};
use crate::rule::{AlertingRule, Rule};
use crate::ruler::RuleOptions;

impl Group {
    /// Restores the alerts of all rules at `now_ms`. Failures leave a rule as new: it will fire
    /// later than it could.
    pub(crate) fn restore_for_state(&self, now_ms: i64, with: Equipment<'_>) {
        let started_ns = with.clock.monotonic_ns();
        for rule in &self.rules {
            if let Some(alerting) = rule.alerting() {
                restore_rule(rule, alerting, now_ms, with.query, &self.options);
                alerting.set_restored();
            }
        }
        let duration_ns = with.clock.monotonic_ns().saturating_sub(started_ns);
        self.state.lock().counters.last_restore_duration_ns = Some(duration_ns);
    }

    /// Gives the slot back, so that the next one may be taken.
    pub(crate) fn slot_done(&self) {
        self.timing.done();
    }
}

fn restore_rule(
    rule: &Rule,
    alerting: &AlertingRule,
    now_ms: i64,
    query: &dyn RuleQuery,
    options: &RuleOptions,
) {
    // A rule that holds for less than the grace period is left to hold for that long.
    if alerting.holds.for_ms < options.for_grace_period_ms {
        return;
    }
    let matchers = AlertingRule::for_state_matchers(rule);
    let start_ms = now_ms - options.outage_tolerance_ms;
    let Ok(samples) = query.last_samples(&matchers, start_ms, now_ms) else { return };
    let by_labels: BTreeMap<Labels, LastSample> = samples
        .into_iter()
        .map(|sample| (sample.labels.without(|name| name == "__name__"), sample))
        .collect();
    alerting.alerts(|alerts| {
        for (labels, alert) in alerts {
            if let Some(sample) = by_labels.get(labels) {
                restore_alert(alert, sample, alerting.holds.for_ms, now_ms, options.for_grace_period_ms);
            }
        }
    });
}

fn restore_alert(alert: &mut Alert, last: &LastSample, for_ms: i64, now_ms: i64, grace_ms: i64) {
    if is_stale_nan(last.value) {
        return;
    }
    let down_at_ms = last.t_ms.div_euclid(1000) * 1000;
    #[expect(clippy::cast_possible_truncation, reason = "the series holds whole seconds")]
    let was_active_at_ms = (last.value as i64).saturating_mul(1000);
    let remaining_ms = for_ms - (down_at_ms - was_active_at_ms);
    alert.active_at_ms = if remaining_ms <= 0 {
        // It was firing; the next evaluation lets it fire again.
        was_active_at_ms
    } else if remaining_ms < grace_ms {
        // It would fire at once: give it the grace period to go away.
        now_ms + grace_ms - for_ms
    } else {
        // The time spent down does not count.
        was_active_at_ms + (now_ms - down_at_ms)
    };
}
