//! All collectors together: options, the table of collectors, one collection.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base::Clock;
use parking_lot::Mutex;
use regex::Regex;
use thiserror::Error;

use crate::cpu::CpuMemory;
use crate::family::Families;
use crate::filesystem::MountProber;
use crate::page::{Failure, Page};
use crate::source::{CollectError, Roots};

/// The metrics of one collection: at least one per family, and their failures.
type Collect = fn(&Host<'_>, &mut Families) -> Result<(), CollectError>;

/// Every collector by the name that node_exporter gives it.
const COLLECTORS: [(&str, Collect); 19] = [
    ("conntrack", crate::conntrack::collect),
    ("cpu", crate::cpu::collect),
    ("diskstats", crate::diskstats::collect),
    ("filefd", crate::filefd::collect),
    ("filesystem", crate::filesystem::collect),
    ("hwmon", crate::hwmon::collect),
    ("loadavg", crate::loadavg::collect),
    ("meminfo", crate::meminfo::collect),
    ("netdev", crate::netdev::collect),
    ("netstat", crate::netstat::collect),
    ("os", crate::os_release::collect),
    ("pressure", crate::pressure::collect),
    ("sockstat", crate::sockstat::collect),
    ("stat", crate::stat::collect),
    ("textfile", crate::textfile::collect),
    ("thermal_zone", crate::thermal_zone::collect),
    ("time", crate::time::collect),
    ("uname", crate::uname::collect),
    ("vmstat", crate::vmstat::collect),
];

/// The names that [`HostOptions::disabled`] may hold.
pub const COLLECTOR_NAMES: [&str; COLLECTORS.len()] = {
    let mut names = [""; COLLECTORS.len()];
    let mut idx = 0;
    while idx < names.len() {
        names[idx] = COLLECTORS[idx].0;
        idx += 1;
    }
    names
};

/// Where the host's files are, and what not to collect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// Normally `/proc`.
    pub proc_root: PathBuf,
    /// Normally `/sys`.
    pub sys_root: PathBuf,
    /// Where the host's `/` is mounted: mount points and `/etc/os-release` are looked for below it.
    pub root_fs: PathBuf,
    /// Its `*.prom` files are read.
    pub textfile_directory: Option<PathBuf>,
    /// Of [`COLLECTOR_NAMES`].
    pub disabled: Vec<String>,
}

impl Default for HostOptions {
    /// The host that we run on, every collector.
    fn default() -> Self {
        Self {
            proc_root: "/proc".into(),
            sys_root: "/sys".into(),
            root_fs: "/".into(),
            textfile_directory: None,
            disabled: Vec::new(),
        }
    }
}

/// Why options are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    #[error("unknown host collector {name:?}; there are {}", COLLECTOR_NAMES.join(", "))]
    UnknownCollector { name: String },
}

/// What a collector may look at.
#[derive(Debug)]
pub(crate) struct Host<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) textfile_directory: Option<&'a std::path::Path>,
    pub(crate) filters: &'a Filters,
    pub(crate) cpus: &'a Mutex<CpuMemory>,
    pub(crate) mounts: &'a Mutex<MountProber>,
    pub(crate) clock: &'a dyn Clock,
}

/// node_exporter's default filters.
#[derive(Debug)]
pub(crate) struct Filters {
    pub(crate) mount_points_excluded: Regex,
    pub(crate) fs_types_excluded: Regex,
    pub(crate) disks_excluded: Regex,
    pub(crate) netstat_fields: Regex,
    pub(crate) vmstat_fields: Regex,
}

impl Filters {
    fn new() -> Self {
        let constant = |pattern| Regex::new(pattern).expect("the pattern is a constant that tests compile");
        Self {
            mount_points_excluded: constant(crate::filesystem::MOUNT_POINTS_EXCLUDED),
            fs_types_excluded: constant(crate::filesystem::FS_TYPES_EXCLUDED),
            disks_excluded: constant(crate::diskstats::DEVICES_EXCLUDED),
            netstat_fields: constant(crate::netstat::FIELDS),
            vmstat_fields: constant(crate::vmstat::FIELDS),
        }
    }
}

/// Collects from one host. Keeps what counters must remember between collections.
#[derive(Debug)]
pub struct HostCollector {
    roots: Roots,
    textfile_directory: Option<PathBuf>,
    enabled: Vec<(&'static str, Collect)>,
    filters: Filters,
    cpus: Mutex<CpuMemory>,
    mounts: Mutex<MountProber>,
}

impl HostCollector {
    pub fn new(options: HostOptions) -> Result<Self, OptionsError> {
        let disabled: BTreeSet<&str> = options.disabled.iter().map(String::as_str).collect();
        if let Some(name) = disabled.iter().find(|name| !COLLECTOR_NAMES.contains(name)) {
            return Err(OptionsError::UnknownCollector { name: (*name).to_owned() });
        }
        let enabled = COLLECTORS.into_iter().filter(|(name, _)| !disabled.contains(name)).collect();
        Ok(Self {
            roots: Roots { proc: options.proc_root, sys: options.sys_root, root: options.root_fs },
            textfile_directory: options.textfile_directory,
            enabled,
            filters: Filters::new(),
            cpus: Mutex::default(),
            mounts: Mutex::new(MountProber::new(crate::filesystem::statfs)),
        })
    }

    /// Reads everything once. Blocks on the files of the kernel, and up to five seconds on a
    /// network mount that does not answer. Collections do not overlap usefully: call one at a time.
    pub fn collect(&self, clock: &dyn Clock) -> Page {
        let host = Host {
            roots: &self.roots,
            textfile_directory: self.textfile_directory.as_deref(),
            filters: &self.filters,
            cpus: &self.cpus,
            mounts: &self.mounts,
            clock,
        };
        let mut families = Families::default();
        let mut failures = Vec::new();
        for &(name, collect) in &self.enabled {
            let started_ns = clock.monotonic_ns();
            let outcome = collect(&host, &mut families);
            let seconds = clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
            families
                .gauge("node_scrape_collector_duration_seconds", "How long a collector took.")
                .push(&[("collector", name)], seconds);
            families
                .gauge("node_scrape_collector_success", "1 if a collector gave all it has, else 0.")
                .push(&[("collector", name)], if outcome.is_ok() { 1.0 } else { 0.0 });
            let errors = families.take_complaints().into_iter().chain(outcome.err());
            failures.extend(errors.map(|error| Failure { collector: name, error }));
        }
        families
            .gauge("sextant_host_collector_build_info", "The version of the built-in host collector.")
            .push(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        Page::new(families, failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_collectors_can_be_disabled() {
        for (disabled, expected) in [
            ("cpu", None),
            (
                "cpux",
                Some(
                    "unknown host collector \"cpux\"; there are conntrack, cpu, diskstats, filefd, filesystem, \
                     hwmon, loadavg, meminfo, netdev, netstat, os, pressure, sockstat, stat, textfile, \
                     thermal_zone, time, uname, vmstat",
                ),
            ),
        ] {
            let options = HostOptions { disabled: vec![disabled.to_owned()], ..HostOptions::default() };
            let error = HostCollector::new(options).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), expected);
        }
    }
}
