//! The conformance files of upstream: what must load, what must fail, and how.

mod client_files;
mod own_files;
mod prometheus_files;
mod prometheus_values;
mod rule_files;
mod shared;
mod web_files;
