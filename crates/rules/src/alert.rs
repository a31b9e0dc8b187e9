//! One instance of an alerting rule and its life: pending, firing, inactive, gone.

use std::collections::BTreeMap;

use model::Labels;

/// How long a resolved alert is kept, and sent again.
pub const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// The state of an alert or of a whole rule; later ones weigh more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// The rule has not been evaluated yet.
    Unknown,
    Inactive,
    Pending,
    Firing,
}

impl AlertState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert that is or was active. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub state: AlertState,
    pub labels: Labels,
    /// Expanded; an empty text stays.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value at the last evaluation; 0 for a histogram.
    pub value: f64,
    pub active_at_ms: i64,
    pub fired_at_ms: Option<i64>,
    pub resolved_at_ms: Option<i64>,
    pub last_sent_at_ms: Option<i64>,
    pub keep_firing_since_ms: Option<i64>,
}

/// What the alert's rule says about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holds {
    pub(crate) for_ms: i64,
    pub(crate) keep_firing_for_ms: i64,
}

/// What became of an alert in one evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pending or firing.
    Active,
    Inactive,
    /// To be forgotten.
    Gone,
}

impl Alert {
    pub(crate) fn pending(
        labels: Labels,
        annotations: BTreeMap<String, String>,
        value: f64,
        t_ms: i64,
    ) -> Self {
        Self {
            state: AlertState::Pending,
            labels,
            annotations,
            value,
            active_at_ms: t_ms,
            fired_at_ms: None,
            resolved_at_ms: None,
            last_sent_at_ms: None,
            keep_firing_since_ms: None,
        }
    }

    /// Moves the alert to `t_ms`; `present` says whether the expression still gives it.
    pub(crate) fn advance(&mut self, present: bool, t_ms: i64, holds: Holds) -> Step {
        if present {
            self.keep_firing_since_ms = None;
        } else if !self.keeps_firing(t_ms, holds) {
            return self.resolve(t_ms);
        }
        if self.state == AlertState::Pending && t_ms - self.active_at_ms >= holds.for_ms {
            self.state = AlertState::Firing;
            self.fired_at_ms = Some(t_ms);
        }
        // The rule's `for` may have grown in a reload, or restoration moved the beginning.
        if self.state == AlertState::Firing && t_ms - self.active_at_ms < holds.for_ms {
            self.state = AlertState::Pending;
            self.fired_at_ms = None;
            self.last_sent_at_ms = None;
            self.keep_firing_since_ms = None;
        }
        Step::Active
    }

    fn keeps_firing(&mut self, t_ms: i64, holds: Holds) -> bool {
        if self.state != AlertState::Firing || holds.keep_firing_for_ms <= 0 {
            return false;
        }
        let since = *self.keep_firing_since_ms.get_or_insert(t_ms);
        t_ms - since < holds.keep_firing_for_ms
    }

    fn resolve(&mut self, t_ms: i64) -> Step {
        let retained = self.resolved_at_ms.is_none_or(|at| t_ms - at <= RESOLVED_RETENTION_MS);
        if self.state == AlertState::Pending || !retained {
            return Step::Gone;
        }
        if self.state != AlertState::Inactive {
            self.state = AlertState::Inactive;
            self.resolved_at_ms = Some(t_ms);
        }
        Step::Inactive
    }

    /// Whether the Alertmanagers must hear of the alert at `t_ms`.
    pub(crate) fn needs_sending(&self, t_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let Some(sent_ms) = self.last_sent_at_ms else { return true };
        self.resolved_at_ms.is_some_and(|at| at > sent_ms) || sent_ms + resend_delay_ms < t_ms
    }
}
