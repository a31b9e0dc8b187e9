//! Scraping at run time: one scheduler for all targets, a short task per scrape in flight, and the
//! pools that discovery keeps current.
//!
//! A target that waits for its next scrape costs a heap entry, not a task.

mod fetch;
mod gunzip;
mod metrics;
mod pool;
mod scheduler;
mod target_loop;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Budget, Clock, TenantId};
use model::{Labels, Metadata};
use parking_lot::RwLock;
use scrape::config::ScrapeConfig;
use scrape::cycle::CycleOptions;

use crate::discovery::{DiscoveryMetrics, GroupParser};
use crate::ingest::Ingest;
use crate::outbound::client::{ClientError, Environment};
use crate::shutdown::Shutdown;
use crate::telemetry::Registry;

pub(crate) use metrics::ScrapeMetrics;
pub use pool::{DroppedView, PoolView, TargetView};
pub use target_loop::{Health, TargetStatus};

use pool::Pool;
use scheduler::Scheduler;

/// What every scrape needs.
pub(crate) struct Surroundings {
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tenant: TenantId,
    pub(crate) metrics: ScrapeMetrics,
    pub(crate) discovery_metrics: DiscoveryMetrics,
    pub(crate) parse_groups: GroupParser,
    pub(crate) environment: Environment,
    pub(crate) options: CycleOptions,
    pub(crate) budget: Budget,
    pub(crate) shutdown: Shutdown,
}

/// All scrape pools.
pub struct Scraping {
    around: Arc<Surroundings>,
    scheduler: Arc<Scheduler>,
    pools: RwLock<BTreeMap<String, Arc<Pool>>>,
    host_name: String,
}

impl std::fmt::Debug for Scraping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraping").field("pools", &self.pools.read().len()).finish_non_exhaustive()
    }
}

/// Jobs with their clients, ready for [`Scraping::apply`].
pub struct PreparedPools(Vec<(Arc<ScrapeConfig>, fetch::Fetcher)>);

/// What [`Scraping::new`] is built from.
pub struct ScrapingParts {
    pub ingest: Arc<Ingest>,
    pub clock: Arc<dyn Clock>,
    pub tenant: TenantId,
    pub parse_groups: GroupParser,
    pub environment: Environment,
    pub options: CycleOptions,
    /// What bodies may take while they are unpacked.
    pub budget: Budget,
    pub shutdown: Shutdown,
    /// Part of the seed that spreads scrapes, so that two servers scrape at different moments.
    pub host_name: String,
}

impl Scraping {
    /// Starts the scheduler; pools come with [`Scraping::apply`].
    pub fn new(parts: ScrapingParts, registry: &Registry) -> Arc<Self> {
        let around = Arc::new(Surroundings {
            ingest: parts.ingest,
            metrics: ScrapeMetrics::new(registry, &parts.clock),
            clock: parts.clock,
            tenant: parts.tenant,
            discovery_metrics: DiscoveryMetrics::new(registry),
            parse_groups: parts.parse_groups,
            environment: parts.environment,
            options: parts.options,
            budget: parts.budget,
            shutdown: parts.shutdown,
        });
        let scheduler = Scheduler::start(Arc::clone(&around));
        Arc::new(Self { around, scheduler, pools: RwLock::new(BTreeMap::new()), host_name: parts.host_name })
    }

    fn fetcher(&self, config: &Arc<ScrapeConfig>) -> Result<fetch::Fetcher, ClientError> {
        fetch::Fetcher::new(config, &self.around.environment, &self.around.budget, &self.around.clock)
    }

    /// Builds the clients of a configuration, so that one that cannot work changes nothing.
    pub fn prepare(&self, configs: &[Arc<ScrapeConfig>]) -> Result<PreparedPools, ClientError> {
        let prepare = |config: &Arc<ScrapeConfig>| Ok((Arc::clone(config), self.fetcher(config)?));
        configs.iter().map(prepare).collect::<Result<Vec<_>, _>>().map(PreparedPools)
    }

    /// Makes the running pools equal to the configuration.
    pub fn apply(&self, prepared: PreparedPools, external_labels: &Labels) {
        self.scheduler.set_offset_seed(scrape::target::offset_seed(&self.host_name, external_labels));
        let mut pools = self.pools.write();
        pools.retain(|name, pool| {
            let kept = prepared.0.iter().any(|(config, _)| config.job_name == *name);
            if !kept {
                pool.stop();
            }
            kept
        });
        for (config, fetcher) in prepared.0 {
            match pools.get(&config.job_name) {
                Some(pool) if pool.is_configured_as(&config) => {}
                Some(pool) => pool.reconfigure(config, fetcher),
                None => {
                    let pool =
                        Pool::start(config, fetcher, Arc::clone(&self.around), Arc::clone(&self.scheduler));
                    pools.insert(pool.name(), pool);
                }
            }
        }
        self.around.metrics.pools.set(pools.len() as f64);
    }

    pub(crate) fn update_metrics(&self) {
        self.pools.read().values().for_each(|pool| pool.update_metrics());
    }

    /// The pools in name order.
    pub fn pools(&self) -> Vec<PoolView> {
        self.pools.read().values().map(|pool| pool.view()).collect()
    }

    /// Whom scraped samples belong to.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.around.tenant
    }

    /// The configuration of one pool, as YAML with defaults and without secrets.
    pub fn pool_config(&self, name: &str) -> Option<Arc<ScrapeConfig>> {
        self.pools.read().get(name).map(|pool| pool.config())
    }

    /// Calls with every active target's labels, family and metadata; only of `metric` if given.
    pub fn for_each_metadata(&self, metric: Option<&str>, visit: &mut dyn FnMut(&Labels, &str, &Metadata)) {
        for pool in self.pools.read().values() {
            pool.for_each_metadata(metric, visit);
        }
    }
}
