//! All groups: loading and reloading them, and saying which are due.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::prometheus::ExternalUrl;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use ql_promql::parser::ParserOptions;

use crate::alert::Alert;
use crate::config::{RuleFile, RulesGlobal};
use crate::group::{Equipment, Group, GroupDefaults, GroupKey, IterationReport, Tick, stale_sample};
use crate::query::RuleSink;
use crate::rule::{InvalidRule, Rule, RuleSurroundings};
use crate::snapshot::{self, GroupSnapshot};

/// Settings from the command line, the same for the life of the process.
#[derive(Debug, Clone)]
pub struct RuleOptions {
    /// `--rules.alert.for-outage-tolerance`: how old state may be to be restored.
    pub outage_tolerance_ms: i64,
    /// `--rules.alert.for-grace-period`: the least time between restoring and firing.
    pub for_grace_period_ms: i64,
    /// `--rules.alert.resend-delay`
    pub resend_delay_ms: i64,
    /// Whether independent rules of a group may run side by side.
    pub concurrent_evals: bool,
    /// Whether groups that appear in a reload restore their `for` state too.
    pub restore_new_groups: bool,
    pub parser: ParserOptions,
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self {
            outage_tolerance_ms: 3_600_000,
            for_grace_period_ms: 600_000,
            resend_delay_ms: 60_000,
            concurrent_evals: false,
            restore_new_groups: false,
            parser: ParserOptions::default(),
        }
    }
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateReport {
    pub unchanged: usize,
    pub changed: usize,
    pub added: usize,
    pub removed: usize,
}

/// The series of a removed group, marked stale once a renamed rule has had time to write them anew.
#[derive(Debug)]
struct Retired {
    due_ms: i64,
    t_ms: i64,
    series: Vec<Labels>,
}

/// Something to do now.
#[derive(Debug)]
pub enum DueWork {
    Evaluate(GroupEval),
    MarkStale(StaleSeries),
}

/// One evaluation of one group. Until it is run or dropped, the group is not due again.
#[derive(Debug)]
pub struct GroupEval {
    group: Arc<Group>,
    tick: Tick,
}

impl GroupEval {
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The time the evaluation stands for.
    pub fn slot_ms(&self) -> i64 {
        self.tick.slot_ms
    }

    /// Slots that passed unevaluated before this one.
    pub fn missed(&self) -> u64 {
        self.tick.missed
    }

    /// Evaluates the group; blocks until done.
    pub fn run(self, with: Equipment<'_>) -> IterationReport {
        let report = self.group.evaluate(self.tick.slot_ms, with);
        if self.tick.restores {
            self.group.restore_for_state(with.clock.now_ms(), with);
        }
        report
    }
}

impl Drop for GroupEval {
    fn drop(&mut self) {
        self.group.slot_done();
    }
}

/// Series of a group that is gone.
#[derive(Debug)]
pub struct StaleSeries {
    t_ms: i64,
    series: Vec<Labels>,
}

impl StaleSeries {
    /// Writes the staleness markers. Those the store refuses belong to series that live on.
    pub fn run(self, sink: &dyn RuleSink) -> Result<(), crate::query::AppendError> {
        let samples: Vec<_> = self.series.into_iter().map(|labels| stale_sample(labels, self.t_ms)).collect();
        sink.append(&samples).map(|_| ())
    }
}

/// All rule groups of one tenant.
#[derive(Debug)]
pub struct RuleManager {
    options: Arc<RuleOptions>,
    groups: RwLock<BTreeMap<GroupKey, Arc<Group>>>,
    retired: Mutex<Vec<Retired>>,
    /// Whether rules were loaded before, so that their state is in memory and not to be restored.
    loaded: Mutex<bool>,
}

impl RuleManager {
    pub fn new(options: RuleOptions) -> Self {
        Self {
            options: Arc::new(options),
            groups: RwLock::default(),
            retired: Mutex::default(),
            loaded: Mutex::new(false),
        }
    }

    /// Loads rules, replacing what was loaded. Equal groups go on undisturbed; changed ones keep
    /// the state of the rules they share with their predecessor. An error changes nothing. Waits
    /// for running evaluations of groups that change.
    pub fn update(
        &self,
        files: &[RuleFile],
        global: &RulesGlobal,
        external_url: &str,
        now_ms: i64,
    ) -> Result<UpdateReport, InvalidRule> {
        let mut loaded = self.loaded.lock();
        let defaults = GroupDefaults {
            interval_ms: global.evaluation_interval_ms,
            query_offset_ms: global.query_offset_ms,
            surroundings: Arc::new(RuleSurroundings {
                external_labels: global.external_labels.clone(),
                external_url: ExternalUrl::new(external_url),
            }),
            now_ms,
        };
        let must_restore = !*loaded || self.options.restore_new_groups;
        let mut new = BTreeMap::new();
        for file in files {
            for config in &file.groups {
                let group = Group::new(file, config, &defaults, must_restore, &self.options)?;
                new.insert(group.key().clone(), Arc::new(group));
            }
        }
        *loaded = true;
        let mut old = self.groups.read().clone();
        let mut report = UpdateReport::default();
        for (key, group) in &mut new {
            match old.remove(key) {
                Some(known) if known.is_same_as(group) => {
                    *group = known;
                    report.unchanged += 1;
                }
                Some(known) => {
                    known.stop();
                    group.copy_state(&known);
                    report.changed += 1;
                }
                None => report.added += 1,
            }
        }
        report.removed = old.len();
        for group in old.into_values() {
            group.stop();
            let due_ms = now_ms + 2 * group.interval_ms();
            let t_ms = now_ms - group.query_offset_ms();
            self.retired.lock().push(Retired { due_ms, t_ms, series: group.take_written() });
        }
        *self.groups.write() = new;
        Ok(report)
    }

    /// Stops all groups and forgets them without marking anything stale, as at shutdown: after a
    /// restart the series go on. Waits for running evaluations.
    pub fn shut_down(&self) {
        let groups = std::mem::take(&mut *self.groups.write());
        for group in groups.values() {
            group.stop();
        }
        self.retired.lock().clear();
    }

    /// What is to be done at `now_ms`, sorted by file and name.
    pub fn due(&self, now_ms: i64) -> Vec<DueWork> {
        let groups = self.groups.read();
        let taken = groups.values().filter_map(|group| {
            let tick = group.take_tick(now_ms)?;
            Some(DueWork::Evaluate(GroupEval { group: Arc::clone(group), tick }))
        });
        let mut work: Vec<DueWork> = taken.collect();
        let mut retired = self.retired.lock();
        let (due, later) = retired.drain(..).partition(|gone: &Retired| gone.due_ms <= now_ms);
        *retired = later;
        work.extend(
            due.into_iter()
                .filter(|gone| !gone.series.is_empty())
                .map(|gone| DueWork::MarkStale(StaleSeries { t_ms: gone.t_ms, series: gone.series })),
        );
        work
    }

    /// When something will be due, if anything ever.
    pub fn next_due_ms(&self) -> Option<i64> {
        let groups = self.groups.read();
        let next_group = groups.values().filter_map(|group| group.next_ms()).min();
        let next_retired = self.retired.lock().iter().map(|gone| gone.due_ms).min();
        next_group.into_iter().chain(next_retired).min()
    }

    /// All groups, sorted by file and name.
    pub fn groups(&self) -> Vec<GroupSnapshot> {
        self.groups.read().values().map(|group| snapshot::group(group)).collect()
    }

    /// All pending and firing alerts.
    pub fn active_alerts(&self) -> Vec<Alert> {
        let groups = self.groups.read();
        groups.values().flat_map(|group| group.rules.iter().flat_map(Rule::active_alerts)).collect()
    }

    /// The groups themselves, for runners that evaluate at times of their own.
    pub fn group_handles(&self) -> Vec<Arc<Group>> {
        self.groups.read().values().map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests;
