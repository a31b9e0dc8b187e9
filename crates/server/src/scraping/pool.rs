//! One job at run time: discovery feeds it, its targets run, the API reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Metadata};
use parking_lot::{Mutex, RwLock};
use scrape::config::ScrapeConfig;
use scrape::cycle::ScrapeCycle;
use scrape::pool::TargetPool;
use scrape::sd_config::TargetGroup;
use scrape::target::Target;
use tokio::task::JoinHandle;

use super::Surroundings;
use super::fetch::Fetcher;
use super::scheduler::Scheduler;
use super::target_loop::{TargetLoop, TargetStatus};
use crate::discovery::{DiscoverySet, SetId};
use crate::failure_log::FailureLog;

/// Upstream's name of the sets of jobs.
const SET_NAME: &str = "scrape";

/// What the targets of a pool share, replaced as a whole when the job is reconfigured.
pub(super) struct PoolShared {
    fetcher: Fetcher,
    limit_error: RwLock<Option<String>>,
    failure_log: Option<FailureLog>,
}

impl PoolShared {
    fn new(config: &ScrapeConfig, fetcher: Fetcher) -> Arc<Self> {
        let failure_log =
            Some(config.failure_log_file.as_str()).filter(|path| !path.is_empty()).map(FailureLog::new);
        Arc::new(Self { fetcher, limit_error: RwLock::new(None), failure_log })
    }

    pub(super) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    pub(super) fn limit_error(&self) -> Option<String> {
        self.limit_error.read().clone()
    }

    pub(super) fn log_failure(&self, now_ms: i64, target: &Target, error: &str) {
        if let Some(log) = &self.failure_log {
            log.write(now_ms, target.public_labels.get("job").unwrap_or(""), &target.url, error);
        }
    }
}

/// One job.
pub(super) struct Pool {
    around: Arc<Surroundings>,
    scheduler: Arc<Scheduler>,
    state: Mutex<State>,
    feed: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    pool: TargetPool,
    shared: Arc<PoolShared>,
    loops: BTreeMap<u64, Arc<TargetLoop>>,
    groups: Arc<Vec<TargetGroup>>,
    /// More targets than connections that may be kept: said once.
    crowded: bool,
}

/// What the API shows of a pool.
#[derive(Debug, Clone)]
pub struct PoolView {
    pub name: String,
    pub active: Vec<TargetView>,
    pub dropped: Vec<DroppedView>,
    pub n_dropped: usize,
    /// Discovery mechanisms that are configured but do not run yet.
    pub inactive_mechanisms: Vec<&'static str>,
    /// Addresses that could not become targets.
    pub failures: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct TargetView {
    pub target: Arc<Target>,
    pub status: TargetStatus,
}

#[derive(Debug, Clone)]
pub struct DroppedView {
    pub discovered: Labels,
}

impl Pool {
    pub(super) fn start(
        config: Arc<ScrapeConfig>,
        fetcher: Fetcher,
        around: Arc<Surroundings>,
        scheduler: Arc<Scheduler>,
    ) -> Arc<Self> {
        let shared = PoolShared::new(&config, fetcher);
        let state = State {
            pool: TargetPool::new(config),
            shared,
            loops: BTreeMap::new(),
            groups: Arc::default(),
            crowded: false,
        };
        let pool = Arc::new(Self { around, scheduler, state: Mutex::new(state), feed: Mutex::new(None) });
        pool.follow_discovery();
        pool
    }

    pub(super) fn name(&self) -> String {
        self.config().job_name.clone()
    }

    pub(super) fn config(&self) -> Arc<ScrapeConfig> {
        Arc::clone(self.state.lock().pool.config())
    }

    /// The YAML hides secrets, so clients and mechanisms are compared as well.
    pub(super) fn is_configured_as(&self, config: &ScrapeConfig) -> bool {
        let own = self.config();
        own.yaml == config.yaml && own.http == config.http && own.sd == config.sd
    }

    /// Restarts every target under the new configuration; what they knew for staleness is kept.
    pub(super) fn reconfigure(self: &Arc<Self>, config: Arc<ScrapeConfig>, fetcher: Fetcher) {
        self.around.metrics.pool_reloads.inc();
        {
            let mut state = self.state.lock();
            state.shared = PoolShared::new(&config, fetcher);
            state.pool.reconfigure(config);
            let old = std::mem::take(&mut state.loops);
            let groups = Arc::clone(&state.groups);
            state.pool.sync(groups.iter());
            let targets: Vec<Arc<Target>> = state.pool.active().cloned().collect();
            for target in targets {
                let predecessor = old.get(&target.hash);
                self.start_target(&mut state, target, predecessor);
            }
            for (hash, gone) in old {
                if state.loops.contains_key(&hash) {
                    gone.stop();
                } else {
                    self.scheduler.end(gone);
                }
            }
            self.publish(&mut state);
        }
        self.follow_discovery();
    }

    /// Ends the job: its targets stop and their series end.
    pub(super) fn stop(&self) {
        if let Some(feed) = self.feed.lock().take() {
            feed.abort();
        }
        let mut state = self.state.lock();
        for (_, gone) in std::mem::take(&mut state.loops) {
            self.scheduler.end(gone);
        }
        let name = state.pool.config().job_name.clone();
        self.around.metrics.pool_targets.remove(&[&name]);
        self.around.metrics.pool_target_limit.remove(&[&name]);
        self.around.metrics.metadata_entries.remove(&[&name]);
        self.around.metrics.sync_length.remove(&[&name]);
        self.around.metrics.sync_failed.remove(&[&name]);
        self.around.discovery_metrics.discovered.remove(&[SET_NAME, &name]);
    }

    fn follow_discovery(self: &Arc<Self>) {
        let config = self.config();
        let around = &self.around;
        let id = SetId { name: SET_NAME, config: Arc::from(config.job_name.as_str()) };
        let set = DiscoverySet::start(
            &id,
            &config.sd,
            &around.discovery_metrics,
            &around.parse_groups,
            &around.environment,
        );
        let mut groups = set.groups();
        let first = Arc::clone(&groups.borrow_and_update());
        self.sync(first);
        let pool = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            // The set lives as long as this task: dropping it stops the mechanisms.
            let _set = set;
            while groups.changed().await.is_ok() {
                let latest = Arc::clone(&groups.borrow_and_update());
                let Some(pool) = pool.upgrade() else { return };
                pool.sync(latest);
            }
        });
        if let Some(old) = self.feed.lock().replace(task) {
            old.abort();
        }
    }

    fn sync(&self, groups: Arc<Vec<TargetGroup>>) {
        let started_ns = self.around.clock.monotonic_ns();
        let mut state = self.state.lock();
        let change = state.pool.sync(groups.iter());
        state.groups = groups;
        for hash in change.stopped {
            if let Some(gone) = state.loops.remove(&hash) {
                self.scheduler.end(gone);
            }
        }
        for target in change.started {
            self.start_target(&mut state, target, None);
        }
        self.publish(&mut state);
        let took_ns = self.around.clock.monotonic_ns().saturating_sub(started_ns);
        let job = state.pool.config().job_name.as_str();
        self.around.metrics.sync_length.with(&[job]).observe(took_ns as f64 / 1e9);
        self.around.metrics.sync_failed.with(&[job]).add(state.pool.failures().len() as f64);
    }

    /// What is counted only when somebody asks.
    pub(super) fn update_metrics(&self) {
        let n_entries: usize = self.state.lock().loops.values().map(|target| target.n_metadata()).sum();
        self.around.metrics.metadata_entries.with(&[&self.name()]).set(n_entries as f64);
    }

    fn start_target(&self, state: &mut State, target: Arc<Target>, predecessor: Option<&Arc<TargetLoop>>) {
        let tenant = self.around.tenant.clone();
        let config = Arc::clone(state.pool.config());
        let mut cycle = ScrapeCycle::new(tenant, config, Arc::clone(&target), self.around.options);
        if let Some(predecessor) = predecessor {
            predecessor.with_cycle(|old| cycle.inherit(old));
        }
        let hash = target.hash;
        let target_loop = Arc::new(TargetLoop::new(target, Arc::clone(&state.shared), cycle));
        self.scheduler.add(&target_loop);
        state.loops.insert(hash, target_loop);
    }

    fn publish(&self, state: &mut State) {
        let metrics = &self.around.metrics;
        let config = state.pool.config();
        metrics.pool_targets.with(&[&config.job_name]).set(state.pool.n_active() as f64);
        metrics.pool_target_limit.with(&[&config.job_name]).set(config.limits.targets as f64);
        let limit_error = state.pool.limit_error();
        if limit_error.is_some() {
            metrics.pool_exceeded_target_limit.inc();
        }
        *state.shared.limit_error.write() = limit_error;
        let connections_kept_max = self.around.environment.connections.kept_max();
        let crowded = state.pool.n_active() > connections_kept_max;
        if crowded && !state.crowded {
            tracing::warn!(
                pool = config.job_name,
                targets = state.pool.n_active(),
                connections_kept_max,
                "more targets than connections that may be kept open, so that scrapes open them anew; \
                 raise the limit of open files (ulimit -n, or LimitNOFILE= of the unit)"
            );
        }
        state.crowded = crowded;
    }

    pub(super) fn view(&self) -> PoolView {
        let state = self.state.lock();
        let config = state.pool.config();
        let mut active: Vec<TargetView> = state
            .loops
            .values()
            .map(|l| TargetView { target: Arc::clone(l.target()), status: l.status() })
            .collect();
        active.sort_by(|a, b| a.target.url.cmp(&b.target.url));
        let dropped = state.pool.dropped().iter().map(|d| DroppedView { discovered: d.discovered.clone() });
        let inactive = config.sd.iter().filter(|sd| matches!(sd, scrape::sd_config::SdConfig::Inactive(_)));
        PoolView {
            name: config.job_name.clone(),
            active,
            dropped: dropped.collect(),
            n_dropped: state.pool.n_dropped(),
            inactive_mechanisms: inactive.map(scrape::sd_config::SdConfig::mechanism).collect(),
            failures: state.pool.failures().to_vec(),
        }
    }

    pub(super) fn for_each_metadata(
        &self,
        metric: Option<&str>,
        visit: &mut dyn FnMut(&Labels, &str, &Metadata),
    ) {
        let loops: Vec<Arc<TargetLoop>> = self.state.lock().loops.values().cloned().collect();
        for target_loop in loops {
            let labels = target_loop.target().public_labels.clone();
            target_loop.with_cycle(|cycle| {
                for (family, metadata) in cycle.metadata() {
                    if metric.is_none_or(|wanted| wanted == family) {
                        visit(&labels, family, metadata);
                    }
                }
            });
        }
    }
}
