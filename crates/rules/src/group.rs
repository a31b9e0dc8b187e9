//! A group: rules that are evaluated together, one after the other unless they are independent.

mod dependencies;
mod restore;
mod timing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::Clock;
use model::{Labels, stale_nan};
use parking_lot::Mutex;
use ql_promql::value::SampleValue;

use crate::config::{RuleFile, RuleGroupConfig};
use crate::query::{Hands, RuleQuery, RuleSample, RuleSink};
use crate::rule::{Body, Evaluation, InvalidRule, Outcome, Rule, RuleHealth, RuleSurroundings};
use crate::ruler::RuleOptions;
use timing::Timing;

pub(crate) use timing::Tick;

/// Names a group: file and group name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    pub file: String,
    pub name: String,
}

impl GroupKey {
    /// `file;name`, the label of the group's metrics.
    pub fn metric_label(&self) -> String {
        format!("{};{}", self.file, self.name)
    }
}

/// What the group's metrics show. Counters since the group was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupCounters {
    pub evaluations: u64,
    pub evaluation_failures: u64,
    pub iterations_scheduled: u64,
    pub iterations_missed: u64,
    /// Samples of the last evaluation.
    pub last_samples: u64,
    pub last_restore_duration_ns: Option<u64>,
    /// Samples that the store refused, since the group was loaded.
    pub refused_samples: u64,
}

/// The last evaluation of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LastIteration {
    pub(crate) duration_ns: u64,
    pub(crate) rule_durations_ns: u64,
    /// Wall clock at its start.
    pub(crate) at_ms: Option<i64>,
    /// The time slot it stood for.
    pub(crate) slot_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct State {
    /// Series of rules that are gone, to be marked stale.
    stale: Vec<Labels>,
    last: LastIteration,
    counters: GroupCounters,
}

/// What two versions of a group must agree in to be the same.
#[derive(Debug, Clone, PartialEq)]
struct Definition {
    config: RuleGroupConfig,
    interval_ms: i64,
    query_offset_ms: i64,
    surroundings: Arc<RuleSurroundings>,
}

/// How an evaluation is equipped.
#[derive(Clone, Copy)]
pub struct Equipment<'a> {
    pub query: &'a dyn RuleQuery,
    pub sink: &'a dyn RuleSink,
    pub hands: &'a dyn Hands,
    pub clock: &'a dyn Clock,
}

impl std::fmt::Debug for Equipment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Equipment").finish_non_exhaustive()
    }
}

/// What one evaluation of a group took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IterationReport {
    pub duration_ns: u64,
    pub rule_durations_ns: Vec<u64>,
    /// (rule name, error) of those that failed, for the log.
    pub failures: Vec<(String, String)>,
}

/// Rules evaluated together.
#[derive(Debug)]
pub struct Group {
    pub(crate) key: GroupKey,
    definition: Definition,
    pub(crate) rules: Vec<Rule>,
    /// Rules that may run side by side, batch after batch; empty: one after the other.
    batches: Vec<Vec<usize>>,
    timing: Timing,
    options: Arc<RuleOptions>,
    /// Held while the group is evaluated.
    running: Mutex<()>,
    stopped: AtomicBool,
    state: Mutex<State>,
}

/// The largest number of series kept to be marked stale for rules that are gone.
const STALE_SERIES_MAX: usize = 1_000_000;

impl Group {
    /// Builds a group at `now_ms`. `must_restore` says whether `for` state is to be read back.
    pub(crate) fn new(
        file: &RuleFile,
        config: &RuleGroupConfig,
        defaults: &GroupDefaults,
        must_restore: bool,
        options: &Arc<RuleOptions>,
    ) -> Result<Self, InvalidRule> {
        let mut rules = Vec::with_capacity(config.rules.len());
        for rule in &config.rules {
            let built = Rule::new(rule, &config.labels, &options.parser, !must_restore);
            rules.push(built.map_err(|error| InvalidRule {
                file: file.path.clone(),
                group: config.name.clone(),
                rule: rule.name().to_owned(),
                error,
            })?);
        }
        let key = GroupKey { file: file.path.clone(), name: config.name.clone() };
        let interval_ms = config.interval_ms.filter(|ms| *ms > 0).unwrap_or(defaults.interval_ms).max(1);
        let batches = if options.concurrent_evals { dependencies::batches(&rules) } else { Vec::new() };
        Ok(Self {
            timing: Timing::new(&key, interval_ms, defaults.now_ms, must_restore),
            definition: Definition {
                config: config.clone(),
                interval_ms,
                query_offset_ms: config.query_offset_ms.unwrap_or(defaults.query_offset_ms),
                surroundings: Arc::clone(&defaults.surroundings),
            },
            key,
            rules,
            batches,
            options: Arc::clone(options),
            running: Mutex::new(()),
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    pub fn key(&self) -> &GroupKey {
        &self.key
    }

    pub fn file(&self) -> &str {
        &self.key.file
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    pub fn interval_ms(&self) -> i64 {
        self.definition.interval_ms
    }

    pub(crate) fn limit(&self) -> u64 {
        self.definition.config.limit
    }

    pub(crate) fn query_offset_ms(&self) -> i64 {
        self.definition.query_offset_ms
    }

    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.definition == other.definition
    }

    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.timing.next_ms()
    }

    pub(crate) fn take_tick(&self, now_ms: i64) -> Option<Tick> {
        let tick = self.timing.take(now_ms)?;
        let counters = &mut self.state.lock().counters;
        counters.iterations_missed += tick.missed;
        counters.iterations_scheduled += tick.missed + 1;
        Some(tick)
    }

    /// Lets a running evaluation end after its current rule, and waits for that.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        drop(self.running.lock());
    }

    pub(crate) fn counters(&self) -> GroupCounters {
        self.state.lock().counters
    }

    pub(crate) fn last_iteration(&self) -> LastIteration {
        self.state.lock().last
    }

    /// All series that would turn stale if the group vanished.
    pub(crate) fn take_written(&self) -> Vec<Labels> {
        let mut series = std::mem::take(&mut self.state.lock().stale);
        for rule in &self.rules {
            series.append(&mut rule.last.lock().series);
        }
        series
    }

    /// Takes over alerts and written series from an older version of the group. Rules are matched
    /// by name and labels, the first with the first, the second with the second.
    pub(crate) fn copy_state(&self, from: &Self) {
        let mut unmatched: BTreeMap<_, VecDeque<&Rule>> = BTreeMap::new();
        for rule in &from.rules {
            unmatched.entry(rule.identity()).or_default().push_back(rule);
        }
        for rule in &self.rules {
            let Some(old) = unmatched.get_mut(&rule.identity()).and_then(VecDeque::pop_front) else {
                continue;
            };
            rule.last.lock().series = std::mem::take(&mut old.last.lock().series);
            if let (Some(new), Some(old)) = (rule.alerting(), old.alerting()) {
                let alerts = old.alerts(|alerts| alerts.clone());
                new.alerts(|own| own.extend(alerts));
            }
        }
        let mut state = self.state.lock();
        let old = from.state.lock();
        state.last = old.last;
        state.stale.clone_from(&old.stale);
        for rule in unmatched.into_values().flatten() {
            state.stale.append(&mut rule.last.lock().series);
        }
        state.stale.truncate(STALE_SERIES_MAX);
    }

    /// Evaluates all rules at `slot_ms`.
    pub fn evaluate(&self, slot_ms: i64, with: Equipment<'_>) -> IterationReport {
        let _running = self.running.lock();
        // The work may have waited for a thread while a reload replaced the group.
        if self.stopped.load(Ordering::Acquire) {
            return IterationReport::default();
        }
        let started_ns = with.clock.monotonic_ns();
        let at_ms = with.clock.now_ms();
        let samples = AtomicU64::new(0);
        let failures = Mutex::new(Vec::new());
        let evaluate = |idx: usize| {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            match self.evaluate_rule(&self.rules[idx], slot_ms, with) {
                Ok(n) => {
                    samples.fetch_add(n, Ordering::Relaxed);
                }
                Err(error) => failures.lock().push((self.rules[idx].name.clone(), error)),
            }
        };
        if self.batches.is_empty() {
            (0..self.rules.len()).for_each(evaluate);
        }
        for batch in &self.batches {
            match batch.as_slice() {
                [single] => evaluate(*single),
                many => with.hands.run(many.len(), &|at| evaluate(many[at])),
            }
        }
        self.mark_gone_series_stale(slot_ms, with.sink);

        let rule_durations_ns: Vec<u64> =
            self.rules.iter().map(|rule| rule.last.lock().duration_ns).collect();
        let duration_ns = with.clock.monotonic_ns().saturating_sub(started_ns);
        let mut state = self.state.lock();
        state.counters.last_samples = samples.into_inner();
        state.last = LastIteration {
            duration_ns,
            rule_durations_ns: rule_durations_ns.iter().sum(),
            at_ms: Some(at_ms),
            slot_ms: Some(slot_ms),
        };
        IterationReport { duration_ns, rule_durations_ns, failures: failures.into_inner() }
    }

    /// Evaluates one rule and writes what it gives; the number of samples or the error.
    fn evaluate_rule(&self, rule: &Rule, slot_ms: i64, with: Equipment<'_>) -> Result<u64, String> {
        let started_ns = with.clock.monotonic_ns();
        let at_ms = with.clock.now_ms();
        self.state.lock().counters.evaluations += 1;
        let evaluation = Evaluation {
            t_ms: slot_ms,
            query_offset_ms: self.query_offset_ms(),
            limit: self.limit(),
            resend_delay_ms: self.options.resend_delay_ms,
            interval_ms: self.interval_ms(),
            query: with.query,
            surroundings: &self.definition.surroundings,
        };
        let written = match rule.evaluate(evaluation) {
            Ok(outcome) => self.write(rule, outcome, slot_ms, with.sink),
            Err(error) => Err(error.to_string()),
        };
        let mut last = rule.last.lock();
        last.duration_ns = with.clock.monotonic_ns().saturating_sub(started_ns);
        last.at_ms = Some(at_ms);
        match written {
            Ok((n, None)) => {
                last.health = RuleHealth::Good;
                last.error = None;
                Ok(n)
            }
            // What the store refused is lost, the rest is written: the rule is ill but did evaluate.
            Ok((n, Some(refused))) => {
                last.health = RuleHealth::Bad;
                last.error = Some(refused);
                Ok(n)
            }
            Err(error) => {
                last.health = RuleHealth::Bad;
                last.error = Some(error.clone());
                self.state.lock().counters.evaluation_failures += 1;
                Err(error)
            }
        }
    }

    /// Sends notifications, writes samples and the staleness of series that vanished. Gives the
    /// number of samples and the last refusal.
    fn write(
        &self,
        rule: &Rule,
        outcome: Outcome,
        slot_ms: i64,
        sink: &dyn RuleSink,
    ) -> Result<(u64, Option<String>), String> {
        if let Body::Alerting(_) = rule.body
            && !outcome.notifications.is_empty()
        {
            sink.notify(outcome.notifications);
        }
        let mut samples = outcome.samples;
        let n = samples.len();
        let returned: BTreeSet<&Labels> = samples.iter().map(|sample| &sample.labels).collect();
        let previous = rule.last.lock().series.clone();
        let vanished: Vec<Labels> =
            previous.into_iter().filter(|series| !returned.contains(series)).collect();
        let t_ms = slot_ms - self.query_offset_ms();
        samples.extend(vanished.into_iter().map(|labels| stale_sample(labels, t_ms)));
        if samples.is_empty() {
            rule.last.lock().series = Vec::new();
            return Ok((0, None));
        }
        let refused = sink.append(&samples).map_err(|error| error.to_string())?;
        // Staleness markers may be refused when another rule writes the series: expected.
        let refused: BTreeMap<usize, String> =
            refused.into_iter().filter(|r| r.idx < n).map(|r| (r.idx, r.text)).collect();
        self.state.lock().counters.refused_samples += refused.len() as u64;
        samples.truncate(n);
        let written = samples.into_iter().enumerate().filter(|(idx, _)| !refused.contains_key(idx));
        rule.last.lock().series = written.map(|(_, sample)| sample.labels).collect();
        Ok((n as u64, refused.into_values().last()))
    }

    fn mark_gone_series_stale(&self, slot_ms: i64, sink: &dyn RuleSink) {
        let stale = std::mem::take(&mut self.state.lock().stale);
        if stale.is_empty() {
            return;
        }
        let t_ms = slot_ms - self.query_offset_ms();
        let samples: Vec<RuleSample> = stale.into_iter().map(|labels| stale_sample(labels, t_ms)).collect();
        if sink.append(&samples).is_err() {
            self.state.lock().stale = samples.into_iter().map(|sample| sample.labels).collect();
        }
    }
}

/// What a group takes from the configuration around it.
#[derive(Debug, Clone)]
pub(crate) struct GroupDefaults {
    pub(crate) interval_ms: i64,
    pub(crate) query_offset_ms: i64,
    pub(crate) surroundings: Arc<RuleSurroundings>,
    pub(crate) now_ms: i64,
}

pub(crate) fn stale_sample(labels: Labels, t_ms: i64) -> RuleSample {
    RuleSample { labels, t_ms, value: SampleValue::Float(stale_nan()) }
}

#[cfg(test)]
impl Group {
    pub(crate) fn batches(&self) -> &[Vec<usize>] {
        &self.batches
    }
}
