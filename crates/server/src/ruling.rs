//! Rules at run time: a ticker that finds groups that are due, workers that evaluate them, and the
//! senders that bring alerts to the Alertmanagers.

mod metrics;
mod notifying;
mod store_access;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, TenantId};
use engine::{QueryEngine, QueryOrigin};
use model::Labels;
use parking_lot::RwLock;
use rules::config::{AlertingConfig, RuleFile, RulesGlobal};
use rules::group::Equipment;
use rules::notify::NotifierOptions;
use rules::rule::InvalidRule;
use rules::ruler::{DueWork, RuleManager, RuleOptions, UpdateReport};
use scrape::sd_config::SdConfig;
use tokio::sync::{Notify, Semaphore};

use crate::discovery::{DiscoveryMetrics, GroupParser};
use crate::ingest::Ingest;
use crate::outbound::client::{ClientError, Environment};
use crate::shutdown::Shutdown;
use crate::telemetry::Registry;

use metrics::RuleMetrics;
pub use notifying::Notifying;
use store_access::{ScopedHands, StoreQuery, StoreSink};

/// Groups that are evaluated at the same time.
const GROUPS_AT_ONCE_MAX: usize = 16;

/// The longest sleep of the ticker, so that a clock that jumps is noticed.
const SLEEP_MAX_MS: i64 = 1000;

/// What a [`Ruling`] is built from.
pub struct RulingParts {
    pub engine: Arc<QueryEngine>,
    pub ingest: Arc<Ingest>,
    pub clock: Arc<dyn Clock>,
    pub tenant: TenantId,
    pub options: RuleOptions,
    /// `--rules.max-concurrent-evals`
    pub concurrent_evals_max: usize,
    pub notifier: NotifierOptions,
    pub external_url: String,
    pub parse_groups: GroupParser,
    pub environment: Environment,
    pub discovery_metrics: DiscoveryMetrics,
    pub shutdown: Shutdown,
}

/// The rules of the server.
pub struct Ruling {
    pub rules: RuleManager,
    pub notifying: Arc<Notifying>,
    engine: Arc<QueryEngine>,
    tenant: TenantId,
    sink: StoreSink,
    hands: ScopedHands,
    clock: Arc<dyn Clock>,
    external_url: String,
    metrics: RuleMetrics,
    changed: Notify,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
    external_labels: RwLock<Labels>,
}

impl std::fmt::Debug for Ruling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ruling").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Ruling {
    /// Builds and starts the ticker; rules come with [`Ruling::apply`].
    pub fn start(parts: RulingParts, registry: &Registry) -> Arc<Self> {
        let notifying = Notifying::start(
            parts.notifier,
            parts.environment,
            parts.parse_groups,
            parts.discovery_metrics,
            Arc::clone(&parts.clock),
            parts.shutdown.clone(),
            registry,
        );
        let ruling = Arc::new(Self {
            rules: RuleManager::new(parts.options),
            engine: parts.engine,
            tenant: parts.tenant.clone(),
            sink: StoreSink { ingest: parts.ingest, tenant: parts.tenant, notifying: Arc::clone(&notifying) },
            hands: ScopedHands { threads_max: parts.concurrent_evals_max.max(1) },
            notifying,
            clock: parts.clock,
            external_url: parts.external_url,
            metrics: RuleMetrics::new(registry),
            changed: Notify::new(),
            places: Arc::new(Semaphore::new(GROUPS_AT_ONCE_MAX)),
            shutdown: parts.shutdown,
            external_labels: RwLock::new(Labels::empty()),
        });
        let ticker = Arc::clone(&ruling);
        tokio::spawn(async move { ticker.run().await });
        ruling
    }

    /// Replaces rules and Alertmanagers. An error changes nothing.
    pub fn apply(
        &self,
        files: &[RuleFile],
        global: &RulesGlobal,
        alerting: &AlertingConfig<SdConfig>,
    ) -> Result<UpdateReport, ApplyError> {
        let prepared = self.notifying.prepare(alerting)?;
        let report = self.rules.update(files, global, &self.external_url, self.clock.now_ms())?;
        self.engine.set_no_step_subquery_interval_ms(global.evaluation_interval_ms);
        *self.external_labels.write() = global.external_labels.clone();
        self.notifying.apply(global.external_labels.clone(), alerting, prepared);
        self.changed.notify_one();
        Ok(report)
    }

    async fn run(self: Arc<Self>) {
        loop {
            let now_ms = self.clock.now_ms();
            for work in self.rules.due(now_ms) {
                let (ruling, places) = (Arc::clone(&self), Arc::clone(&self.places));
                tokio::spawn(async move {
                    let Ok(_place) = places.acquire_owned().await else { return };
                    if let Err(panic) = tokio::task::spawn_blocking(move || ruling.work(work)).await {
                        tracing::error!(%panic, "evaluating a rule group ended in a panic");
                    }
                });
            }
            self.metrics.update(&self.rules.groups());
            let next_ms = self.rules.next_due_ms().map_or(SLEEP_MAX_MS, |at_ms| at_ms - self.clock.now_ms());
            let pause_ms = next_ms.clamp(1, SLEEP_MAX_MS).unsigned_abs();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                () = self.changed.notified() => {}
                () = self.shutdown.begun() => return,
            }
        }
    }

    fn work(&self, work: DueWork) {
        match work {
            DueWork::Evaluate(eval) => {
                let group = eval.group().key().clone();
                let origin = QueryOrigin::RuleGroup { file: group.file.clone(), name: group.name.clone() };
                let (engine, tenant) = (Arc::clone(&self.engine), self.tenant.clone());
                let query = StoreQuery { engine, tenant, origin };
                let equipment =
                    Equipment { query: &query, sink: &self.sink, hands: &self.hands, clock: &*self.clock };
                let report = eval.run(equipment);
                self.metrics.observe(&report);
                for (rule, error) in report.failures {
                    tracing::warn!(
                        file = group.file,
                        group = group.name,
                        rule,
                        error,
                        "evaluating rule failed"
                    );
                }
            }
            DueWork::MarkStale(stale) => {
                if let Err(error) = stale.run(&self.sink) {
                    tracing::warn!(%error, "staleness markers of removed rules were not stored");
                }
            }
        }
    }

    /// Lets running evaluations end and brings what is queued to the Alertmanagers.
    pub async fn finish(self: Arc<Self>) {
        let ruling = Arc::clone(&self);
        if let Err(panic) = tokio::task::spawn_blocking(move || ruling.rules.shut_down()).await {
            tracing::error!(%panic, "stopping the rules ended in a panic");
        }
        self.notifying.drain().await;
    }
}

/// Why rules or Alertmanagers were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Rule(#[from] InvalidRule),
    #[error("alertmanager client: {0}")]
    Client(#[from] ClientError),
}
