//! Host metrics under node_exporter's names, labels and types.
//!
//! Reads `/proc` and `/sys` through roots it is given, so that a container can look at its host and
//! a test at a folder of files. Parsing is apart from reading: each collector's file has pure
//! functions from text to numbers, and one that reads and names them.
//!
//! Does not schedule, store, serve or log: whoever asks for a page gets families and failures.

mod collector;
mod family;
mod page;
mod source;

mod conntrack;
mod cpu;
mod diskstats;
mod filefd;
mod filesystem;
mod hwmon;
mod loadavg;
mod meminfo;
mod netdev;
mod netstat;
mod os_release;
mod pressure;
mod sockstat;
mod stat;
mod textfile;
mod thermal_zone;
mod time;
mod uname;
mod vmstat;

pub use collector::{COLLECTOR_NAMES, HostCollector, HostOptions, OptionsError};
pub use family::{MetricFamily, Sample, SampleLabels};
pub use page::{Failure, Page};
pub use source::CollectError;
