//! What a reload has to touch: two configurations in, the difference out.

use std::collections::{BTreeMap, BTreeSet};

use crate::decode::Record;
use crate::prometheus::PrometheusConfig;
use crate::sextant::SextantConfig;

/// What differs between two `prometheus.yml`. Secrets count; layout and comments do not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Job names, sorted.
    pub jobs_added: Vec<String>,
    pub jobs_removed: Vec<String>,
    pub jobs_changed: Vec<String>,
    /// External labels, intervals or another global that rules and remote writes read.
    pub global: bool,
    /// The list of patterns. Rule files change on their own too: read them at every reload.
    pub rule_files: bool,
    pub alerting: bool,
    pub remote_write: bool,
    pub remote_read: bool,
    pub storage: bool,
    pub otlp: bool,
    pub tracing: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations.
pub fn diff(old: &PrometheusConfig, new: &PrometheusConfig) -> Changes {
    let (old_record, new_record) = (old.record(), new.record());
    let differs = |name: &str| old_record.get(name) != new_record.get(name);
    let jobs = job_changes(old.job_records(), new.job_records());
    Changes {
        global: differs("global"),
        rule_files: differs("rule_files"),
        alerting: differs("alerting"),
        remote_write: differs("remote_write"),
        remote_read: differs("remote_read"),
        storage: differs("storage"),
        otlp: differs("otlp"),
        tracing: differs("tracing"),
        ..jobs
    }
}

fn job_changes(old: &BTreeMap<String, Record>, new: &BTreeMap<String, Record>) -> Changes {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Changes::default();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, _) => changes.jobs_added.push(name.clone()),
            (_, None) => changes.jobs_removed.push(name.clone()),
            (Some(old), Some(new)) if old != new => changes.jobs_changed.push(name.clone()),
            _ => {}
        }
    }
    changes
}

/// What differs between two `sextant.yml`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SextantChanges {
    /// Keys that take effect at once, sorted.
    pub live: Vec<&'static str>,
    /// Keys that need a restart: the reload keeps the old value and says so.
    pub restart: Vec<&'static str>,
}

/// Keys that only a restart can change.
const RESTART_KEYS: [&str; 3] = ["budgets", "data_dir", "listeners"];

/// Compares two configurations key by key.
pub fn diff_sextant(old: &SextantConfig, new: &SextantConfig) -> SextantChanges {
    let mut changes = SextantChanges::default();
    for field in old.record.schema.fields {
        if old.record.get(field.name) == new.record.get(field.name) {
            continue;
        }
        let list = if RESTART_KEYS.contains(&field.name) { &mut changes.restart } else { &mut changes.live };
        list.push(field.name);
    }
    changes.live.sort_unstable();
    changes.restart.sort_unstable();
    changes
}
