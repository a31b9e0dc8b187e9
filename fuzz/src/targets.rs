//! The list of targets, by what they decode.

mod api;
mod codec;
mod compression;
mod config;
mod exposition;
mod otlp;
mod promql;
mod prost_write;
mod regex;
mod remote;
mod storage;
mod template;
mod words;

use crate::Target;

/// Targets that one test runs.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub name: &'static str,
    pub targets: &'static [Target],
}

/// Every target there is.
pub const GROUPS: &[Group] = &[
    Group { name: "api", targets: api::TARGETS },
    Group { name: "codec", targets: codec::TARGETS },
    Group { name: "compression", targets: compression::TARGETS },
    Group { name: "config", targets: config::TARGETS },
    Group { name: "exposition", targets: exposition::TARGETS },
    Group { name: "otlp", targets: otlp::TARGETS },
    Group { name: "promql", targets: promql::TARGETS },
    Group { name: "regex", targets: regex::TARGETS },
    Group { name: "remote", targets: remote::TARGETS },
    Group { name: "storage", targets: storage::TARGETS },
    Group { name: "template", targets: template::TARGETS },
    Group { name: "words", targets: words::TARGETS },
];

/// The targets of all groups.
pub fn all() -> impl Iterator<Item = &'static Target> {
    GROUPS.iter().flat_map(|group| group.targets)
}

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    all().find(|target| target.name == name)
}
