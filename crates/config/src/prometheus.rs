//! `prometheus.yml`: read strictly, completed with upstream's defaults, given out as the components'
//! own structs.

use std::collections::BTreeMap;

use base::ByteSize;
use model::{Labels, LabelsBuilder};
use rules::config::{AlertingConfig, AlertmanagerConfig, RulesGlobal};
use scrape::config::ScrapeConfig;
use scrape::sd_config::SdConfig;

use crate::decode::{Record, Value, decode_text};
use crate::encode;
use crate::error::{ConfigError, DecodeError, Problem};
use crate::path;
use crate::schema::scrape::SCRAPE_FILE;
use crate::schema::top::{self, PROMETHEUS};

mod env;
pub mod otlp;
pub mod remote;

pub(crate) mod client;
mod cloud;
pub(crate) mod job;
pub(crate) mod relabel;

use otlp::{OtlpConfig, TracingConfig};
use remote::{RemoteReadConfig, RemoteWriteConfig};

/// How long samples are kept without any setting, as upstream's flag default: 15 days.
pub const RETENTION_DEFAULT_MS: i64 = 15 * 24 * 3_600_000;

/// The `global` section. Durations in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalConfig {
    pub scrape_interval_ms: i64,
    pub scrape_timeout_ms: i64,
    pub evaluation_interval_ms: i64,
    pub rule_query_offset_ms: i64,
    /// Empty: queries are not logged.
    pub query_log_file: String,
    pub scrape_failure_log_file: String,
    /// Environment variables are expanded already.
    pub external_labels: Labels,
    /// Names outside the legacy alphabet are refused everywhere.
    pub legacy_names: bool,
}

/// The `storage` section.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    pub out_of_order_time_window_ms: i64,
    pub stale_series_compaction_threshold: f64,
    /// `None`: not configured here, the flag or the default decides.
    pub retention_time_ms: Option<i64>,
    pub retention_size: Option<ByteSize>,
    /// Of the disk, in percent.
    pub retention_percentage: Option<f64>,
    /// `xor`, `xor2` or empty. Accepted for compatibility; Sextant chooses encodings itself.
    pub float_chunk_encoding: String,
    /// `None`: not configured here. 0 or less switches exemplars off.
    pub max_exemplars: Option<i64>,
}

/// A whole `prometheus.yml`.
#[derive(Debug, Clone)]
pub struct PrometheusConfig {
    pub global: GlobalConfig,
    /// Patterns, joined with the file's directory; the last element may hold `*`.
    pub rule_files: Vec<String>,
    /// Patterns of files that hold more scrape jobs; see [`PrometheusConfig::parse_scrape_file`].
    pub scrape_config_files: Vec<String>,
    pub scrape_configs: Vec<ScrapeConfig>,
    pub alerting: AlertingConfig<SdConfig>,
    pub remote_write: Vec<RemoteWriteConfig>,
    pub remote_read: Vec<RemoteReadConfig>,
    pub storage: StorageConfig,
    pub otlp: OtlpConfig,
    /// `None`: no tracing section.
    pub tracing: Option<TracingConfig>,
    /// What is accepted but deserves a word: empty environment variables, mechanisms not active yet.
    pub warnings: Vec<Problem>,
    record: Record,
    /// Every job by name, those of scrape files included.
    job_records: BTreeMap<String, Record>,
}

/// Looks environment variables up. `config` reads the environment through this only.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a file is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Server,
    /// Agent mode refuses `alerting`, `rule_files` and `remote_read`.
    Agent,
}

impl PrometheusConfig {
    /// Reads the text of the file at `path`. Relative paths inside are joined with its directory.
    pub fn parse(
        text: &str,
        path: &str,
        environment: Environment<'_>,
        mode: Mode,
    ) -> Result<Self, ConfigError> {
        let mut record = decode_text(text, &PROMETHEUS).map_err(|err| err.in_file(path))?;
        top::fill_defaults(&mut record);
        let mut warnings = Vec::new();
        expand_external_labels(&mut record, environment, &mut warnings);
        check_translation(&record).map_err(|err| err.in_file(path))?;
        if mode == Mode::Agent {
            check_agent(&record, path)?;
        }
        record.join_paths(&path::directory_of(path));
        Ok(Self::assemble(record, warnings))
    }

    fn assemble(record: Record, mut warnings: Vec<Problem>) -> Self {
        let scrape_configs: Vec<ScrapeConfig> =
            record.sections("scrape_configs").map(job::scrape_config).collect();
        warn_inactive(&record, &mut warnings);
        Self {
            global: global_config(top::global_of(&record)),
            rule_files: record.strings("rule_files"),
            scrape_config_files: record.strings("scrape_config_files"),
            scrape_configs,
            alerting: record.section("alerting").map(alerting_config).unwrap_or_default(),
            remote_write: record.sections("remote_write").map(remote::remote_write).collect(),
            remote_read: record.sections("remote_read").map(remote::remote_read).collect(),
            storage: storage_config(&record),
            otlp: otlp::otlp_config(&record),
            tracing: record.section("tracing").filter(|tracing| !tracing.is_zero()).map(otlp::tracing_config),
            warnings,
            job_records: by_name(record.sections("scrape_configs")),
            record,
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn job_records(&self) -> &BTreeMap<String, Record> {
        &self.job_records
    }

    /// The configuration as `/api/v1/status/config` shows it: defaults filled, secrets hidden.
    pub fn to_yaml(&self) -> String {
        encode::to_yaml(&self.record)
    }

    /// Reads one file that `scrape_config_files` matched, with this configuration's globals.
    /// Job names must also be unique across files, which is for the caller of several files:
    /// [`PrometheusConfig::add_scrape_file`].
    pub fn parse_scrape_file(&self, text: &str, path: &str) -> Result<Vec<ScrapeConfig>, ConfigError> {
        let file = self.decode_scrape_file(text, path)?;
        Ok(file.sections("scrape_configs").map(job::scrape_config).collect())
    }

    fn decode_scrape_file(&self, text: &str, path: &str) -> Result<Record, ConfigError> {
        let refuse = |err: DecodeError| {
            let text = format!("{path:?}: {}", err.upstream_text());
            ConfigError::new(path, err.problems(), text)
        };
        let mut file = decode_text(text, &SCRAPE_FILE).map_err(refuse)?;
        let global = top::global_of(&self.record).clone();
        if file.list("scrape_configs").contains(&Value::Null) {
            let message = "empty or null scrape config section".to_owned();
            return Err(refuse(DecodeError::Semantic(Problem { pos: Some(file.pos), message })));
        }
        let directory = path::directory_of(path);
        for job in file.sections_mut("scrape_configs") {
            crate::schema::scrape::complete(job, &global).map_err(|message| {
                let pos = Some(job.blamed_pos(&message));
                refuse(DecodeError::Semantic(Problem { pos, message }))
            })?;
            // The global log file is joined with the main file's directory already.
            job.join_paths(&directory);
        }
        Ok(file)
    }

    /// Adds the jobs of one more file; refuses names that are taken.
    pub fn add_scrape_file(&mut self, text: &str, path: &str) -> Result<(), ConfigError> {
        let file = self.decode_scrape_file(text, path)?;
        for section in file.sections("scrape_configs") {
            let name = section.str("job_name");
            if self.job_records.contains_key(name) {
                let message = format!("found multiple scrape configs with job name {name:?}");
                let text = format!("{path:?}: {message}");
                let pos = section.place("job_name");
                return Err(ConfigError::new(path, vec![Problem { pos, message }], text));
            }
            self.job_records.insert(name.to_owned(), section.clone());
            self.scrape_configs.push(job::scrape_config(section));
        }
        Ok(())
    }

    /// What rule evaluation takes from the `global` section.
    pub fn rules_global(&self) -> RulesGlobal {
        RulesGlobal {
            evaluation_interval_ms: self.global.evaluation_interval_ms,
            query_offset_ms: self.global.rule_query_offset_ms,
            external_labels: self.global.external_labels.clone(),
        }
    }
}

fn by_name<'a>(jobs: impl Iterator<Item = &'a Record>) -> BTreeMap<String, Record> {
    jobs.map(|job| (job.str("job_name").to_owned(), job.clone())).collect()
}

fn expand_external_labels(record: &mut Record, environment: Environment<'_>, warnings: &mut Vec<Problem>) {
    let Some(Value::Section(global)) = record.get_mut("global") else { return };
    let place = global.place("external_labels");
    let Some(Value::StrMap(labels)) = global.get_mut("external_labels") else { return };
    for value in labels.values_mut() {
        let expansion = env::expand(value, environment);
        for name in expansion.empty_names {
            warnings.push(Problem { pos: place, message: format!("Empty environment variable {name:?}") });
        }
        *value = expansion.text;
    }
}

/// OTLP translation must be known, and must not ask for UTF-8 names where they are refused.
fn check_translation(record: &Record) -> Result<(), DecodeError> {
    let legacy = top::global_of(record).str("metric_name_validation_scheme") == "legacy";
    let Some(otlp) = record.section("otlp") else { return Ok(()) };
    let strategy = otlp.str("translation_strategy");
    let message = match strategy {
        "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => return Ok(()),
        "NoTranslation" | "NoUTF8EscapingWithSuffixes" if !legacy => return Ok(()),
        "NoTranslation" | "NoUTF8EscapingWithSuffixes" => {
            format!("OTLP translation strategy {strategy:?} is not allowed when UTF8 is disabled")
        }
        _ => format!("unsupported OTLP translation strategy {strategy:?}"),
    };
    Err(DecodeError::Semantic(Problem { pos: otlp.place("translation_strategy"), message }))
}

fn check_agent(record: &Record, path: &str) -> Result<(), ConfigError> {
    let alerting = record.section("alerting").is_some_and(|alerting| !alerting.is_zero());
    for (refused, field) in [
        (alerting, "alerting"),
        (record.has("rule_files"), "rule_files"),
        (record.has("remote_read"), "remote_read"),
    ] {
        if refused {
            let message = format!("field {field} is not allowed in agent mode");
            let problem = Problem { pos: record.place(field), message: message.clone() };
            return Err(ConfigError::new(path, vec![problem], message));
        }
    }
    Ok(())
}

fn warn_inactive(record: &Record, warnings: &mut Vec<Problem>) {
    for remote in record.sections("remote_write") {
        let message = cloud::unsupported(remote).map(str::to_owned);
        warnings.extend(message.map(|message| Problem { pos: Some(remote.pos), message }));
    }
    let alertmanagers =
        record.section("alerting").into_iter().flat_map(|alerting| alerting.sections("alertmanagers"));
    for owner in record.sections("scrape_configs").chain(alertmanagers) {
        for (mechanism, section) in job::inactive_sections(owner) {
            let message = format!("service discovery by {mechanism} is not active yet: it finds no targets");
            warnings.push(Problem { pos: Some(section.pos), message });
        }
    }
}

fn global_config(global: &Record) -> GlobalConfig {
    GlobalConfig {
        scrape_interval_ms: global.int("scrape_interval"),
        scrape_timeout_ms: global.int("scrape_timeout"),
        evaluation_interval_ms: global.int("evaluation_interval"),
        rule_query_offset_ms: global.int("rule_query_offset"),
        query_log_file: global.str("query_log_file").to_owned(),
        scrape_failure_log_file: global.str("scrape_failure_log_file").to_owned(),
        external_labels: labels_of(global, "external_labels"),
        legacy_names: global.str("metric_name_validation_scheme") == "legacy",
    }
}

pub(crate) fn labels_of(record: &Record, name: &str) -> Labels {
    let mut builder = LabelsBuilder::new();
    for (label, value) in record.str_map(name) {
        builder.set(&label, &value);
    }
    builder.build()
}

fn storage_config(record: &Record) -> StorageConfig {
    let storage = record.section("storage");
    let tsdb = storage.and_then(|storage| storage.section("tsdb"));
    let retention = tsdb.and_then(|tsdb| tsdb.section("retention"));
    let set = |name: &str| retention.filter(|retention| retention.has(name));
    let exemplars = storage.and_then(|storage| storage.section("exemplars"));
    StorageConfig {
        out_of_order_time_window_ms: tsdb.map_or(0, |tsdb| tsdb.int("out_of_order_time_window")),
        stale_series_compaction_threshold: tsdb
            .map_or(0.0, |tsdb| tsdb.float("stale_series_compaction_threshold")),
        retention_time_ms: set("time").map(|retention| retention.int("time")),
        retention_size: set("size").map(|retention| ByteSize(retention.uint("size"))),
        retention_percentage: set("percentage").map(|retention| retention.float("percentage")),
        float_chunk_encoding: tsdb
            .and_then(|tsdb| tsdb.section("chunk_encoding"))
            .map_or_else(String::new, |encoding| encoding.str("floats").to_owned()),
        max_exemplars: exemplars.map(|exemplars| exemplars.int("max_exemplars")),
    }
}

fn alerting_config(alerting: &Record) -> AlertingConfig<SdConfig> {
    AlertingConfig {
        alert_relabel: relabel::relabel_configs(alerting, "alert_relabel_configs"),
        alertmanagers: alerting.sections("alertmanagers").map(alertmanager_config).collect(),
    }
}

fn alertmanager_config(alertmanager: &Record) -> AlertmanagerConfig<SdConfig> {
    AlertmanagerConfig {
        sd: job::sd_configs(alertmanager),
        http: client::http_client(alertmanager),
        scheme: alertmanager.str("scheme").to_owned(),
        path_prefix: alertmanager.str("path_prefix").to_owned(),
        timeout_ms: alertmanager.int("timeout"),
        relabel: relabel::relabel_configs(alertmanager, "relabel_configs"),
        alert_relabel: relabel::relabel_configs(alertmanager, "alert_relabel_configs"),
    }
}
