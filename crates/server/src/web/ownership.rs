//! Targets, rules and alerts are the server's own: they belong to the tenant it scrapes and evaluates
//! for, and whoever acts for another tenant has none.

use std::sync::Arc;

use model::{Labels, Metadata};
use rules::alert::Alert;
use rules::snapshot::GroupSnapshot;
use scrape::config::ScrapeConfig;

use super::App;
use super::access::Caller;
use crate::scraping::PoolView;

impl App {
    fn is_home_of(&self, caller: &Caller) -> bool {
        caller.tenant == *self.scraping.tenant()
    }

    pub(crate) fn pools_of(&self, caller: &Caller) -> Vec<PoolView> {
        if self.is_home_of(caller) { self.scraping.pools() } else { Vec::new() }
    }

    pub(crate) fn pool_config_of(&self, caller: &Caller, name: &str) -> Option<Arc<ScrapeConfig>> {
        self.scraping.pool_config(name).filter(|_| self.is_home_of(caller))
    }

    /// Metadata that targets expose.
    pub(crate) fn for_each_metadata_of(
        &self,
        caller: &Caller,
        metric: Option<&str>,
        each: &mut dyn FnMut(&Labels, &str, &Metadata),
    ) {
        if self.is_home_of(caller) {
            self.scraping.for_each_metadata(metric, each);
        }
    }

    pub(crate) fn rule_groups_of(&self, caller: &Caller) -> Vec<GroupSnapshot> {
        if self.is_home_of(caller) { self.ruling.rules.groups() } else { Vec::new() }
    }

    pub(crate) fn alerts_of(&self, caller: &Caller) -> Vec<Alert> {
        if self.is_home_of(caller) { self.ruling.rules.active_alerts() } else { Vec::new() }
    }
}
