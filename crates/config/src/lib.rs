//! Configuration files read strictly, with positions in errors. The only reader of YAML.
//!
//! Duty: turn the text of `prometheus.yml`, rule files, unit-test files, web configuration and
//! `sextant.yml` into the plain structs that `scrape`, `rules` and `wire-core` own; say what is wrong
//! in upstream's words with file, line and column; print a configuration back with defaults filled
//! and secrets hidden; compare two configurations for a reload.
//!
//! Non-duty: it opens no file, reads no environment variable and starts nothing. Whoever calls it
//! passes texts and look-ups in.

pub mod yaml;

mod decode;
mod encode;
mod schema;
mod suggest;

pub mod check;
pub mod error;
pub mod password;
pub mod path;
pub mod prometheus;
pub mod reload;
pub mod rule_files;
pub mod sextant;
pub mod target_groups;
pub mod url;
pub mod web;

pub use error::{ConfigError, Problem};
pub use password::PasswordHash;
pub use prometheus::client::parse_http_client_file;
pub use prometheus::{Environment, Mode, PrometheusConfig};
pub use rule_files::{RuleFileOptions, parse_rule_file, parse_unit_test_file};
pub use sextant::SextantConfig;
pub use target_groups::{parse_target_file, parse_target_groups};
pub use web::WebConfig;
