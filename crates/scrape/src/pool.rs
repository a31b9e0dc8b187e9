//! The targets of one job: what discovery found, what relabelling left, what starts and what stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;

use crate::config::ScrapeConfig;
use crate::sd_config::TargetGroup;
use crate::target::{Target, TargetError, discovered_labels};

/// An address that relabelling dropped, for the discovery page.
#[derive(Debug, Clone, PartialEq)]
pub struct DroppedTarget {
    pub discovered: Labels,
}

/// The state of one job after its last synchronisation.
#[derive(Debug)]
pub struct TargetPool {
    config: Arc<ScrapeConfig>,
    active: BTreeMap<u64, Arc<Target>>,
    dropped: Vec<DroppedTarget>,
    n_dropped: usize,
    failures: Vec<String>,
}

/// What a synchronisation changed: loops to start and loops to stop.
#[derive(Debug, Default)]
pub struct PoolChange {
    pub started: Vec<Arc<Target>>,
    /// Hashes of targets that are gone.
    pub stopped: Vec<u64>,
}

impl TargetPool {
    pub fn new(config: Arc<ScrapeConfig>) -> Self {
        Self { config, active: BTreeMap::new(), dropped: Vec::new(), n_dropped: 0, failures: Vec::new() }
    }

    pub fn config(&self) -> &Arc<ScrapeConfig> {
        &self.config
    }

    /// Takes the job's new configuration; the next [`TargetPool::sync`] applies it.
    pub fn reconfigure(&mut self, config: Arc<ScrapeConfig>) {
        self.config = config;
    }

    /// Builds targets from all groups of all mechanisms and compares with what runs.
    pub fn sync<'a>(&mut self, groups: impl IntoIterator<Item = &'a TargetGroup>) -> PoolChange {
        let mut wanted: BTreeMap<u64, Arc<Target>> = BTreeMap::new();
        self.dropped.clear();
        self.n_dropped = 0;
        self.failures.clear();
        for group in groups {
            for (idx, own) in group.targets.iter().enumerate() {
                match Target::build(&self.config, own, &group.labels) {
                    Ok(Some(target)) => {
                        wanted.entry(target.hash).or_insert_with(|| Arc::new(target));
                    }
                    Ok(None) => self.drop_target(own, &group.labels),
                    Err(error) => self.fail_target(idx, &group.source, &error),
                }
            }
        }
        let mut change = PoolChange::default();
        change.stopped.extend(self.active.keys().filter(|hash| !wanted.contains_key(hash)));
        change.started.extend(
            wanted.iter().filter(|(hash, _)| !self.active.contains_key(hash)).map(|(_, t)| Arc::clone(t)),
        );
        self.active = wanted;
        change
    }

    fn drop_target(&mut self, own: &Labels, group: &Labels) {
        self.n_dropped += 1;
        let kept_max = self.config.limits.dropped_targets_kept;
        if kept_max == 0 || (self.dropped.len() as u64) < kept_max {
            let discovered = discovered_labels(&self.config, own, group).build();
            self.dropped.push(DroppedTarget { discovered });
        }
    }

    fn fail_target(&mut self, idx: usize, source: &str, error: &TargetError) {
        self.failures.push(format!("instance {idx} in group {source}: {error}"));
    }

    /// Sorted by hash, so that answers are stable.
    pub fn active(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.active.values()
    }

    pub fn n_active(&self) -> usize {
        self.active.len()
    }

    pub fn dropped(&self) -> &[DroppedTarget] {
        &self.dropped
    }

    /// All that were dropped, also those no longer remembered one by one.
    pub fn n_dropped(&self) -> usize {
        self.n_dropped
    }

    /// Addresses that could not become targets, with the reason.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The error every target of the job reports while there are more than `target_limit`.
    pub fn limit_error(&self) -> Option<String> {
        let (n_active, limit) = (self.active.len() as u64, self.config.limits.targets);
        (limit > 0 && n_active > limit)
            .then(|| format!("target_limit exceeded (number of targets: {n_active}, limit: {limit})"))
    }
}
