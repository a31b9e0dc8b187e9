//! The whole of `prometheus.yml`, and its small sections.

use model::validation::is_legacy_label_name;

use super::alerting::{self, ALERTING};
use super::http_client::TLS_FIELD;
use super::relabel::check_list;
use super::remote::{REMOTE_READ, REMOTE_WRITE, RESERVED_HEADERS};
use super::scrape::{self, NAME_VALIDATION, PROTOCOLS, SCRAPE};
use super::{Kind, Preset, Schema, always, opt};
use crate::decode::{Record, Value};
use crate::yaml::SourcePos;

const GLOBAL: Schema = Schema::new(
    "config.plain",
    &[
        opt("scrape_interval", Kind::Duration),
        opt("scrape_timeout", Kind::Duration),
        opt("scrape_protocols", PROTOCOLS),
        opt("evaluation_interval", Kind::Duration),
        opt("rule_query_offset", Kind::Duration),
        opt("query_log_file", Kind::Path),
        opt("scrape_failure_log_file", Kind::Path),
        opt("external_labels", Kind::StrMap),
        opt("body_size_limit", Kind::Bytes),
        opt("sample_limit", Kind::Uint),
        opt("target_limit", Kind::Uint),
        opt("label_limit", Kind::Uint),
        opt("label_name_length_limit", Kind::Uint),
        opt("label_value_length_limit", Kind::Uint),
        opt("keep_dropped_targets", Kind::Uint),
        opt("metric_name_validation_scheme", NAME_VALIDATION),
        opt("metric_name_escaping_scheme", Kind::Str),
        opt("scrape_native_histograms", Kind::MaybeBool),
        opt("convert_classic_histograms_to_nhcb", Kind::Bool),
        opt("always_scrape_classic_histograms", Kind::Bool),
        opt("extra_scrape_metrics", Kind::MaybeBool),
    ],
)
.checked(check_global);

fn check_global(global: &mut Record) -> Result<(), String> {
    if !global.has("metric_name_validation_scheme") {
        global.set("metric_name_validation_scheme", Value::Str("utf8".to_owned()));
    }
    let legacy_names = global.str("metric_name_validation_scheme") == "legacy";
    for name in global.str_map("external_labels").keys() {
        if name.is_empty() || (legacy_names && !is_legacy_label_name(name)) {
            return Err(format!("{name:?} is not a valid label name"));
        }
    }
    if !global.has("scrape_interval") {
        global.set("scrape_interval", Value::DurationMs(60_000));
    }
    let interval_ms = global.int("scrape_interval");
    if global.int("scrape_timeout") > interval_ms {
        return Err("global scrape timeout greater than scrape interval".to_owned());
    }
    if !global.has("scrape_timeout") {
        global.set("scrape_timeout", Value::DurationMs(interval_ms.min(10_000)));
    }
    if !global.has("evaluation_interval") {
        global.set("evaluation_interval", Value::DurationMs(60_000));
    }
    for flag in ["scrape_native_histograms", "extra_scrape_metrics"] {
        if !global.has(flag) {
            global.set(flag, Value::Bool(false));
        }
    }
    if global.has("scrape_protocols") || global.place("scrape_protocols").is_some() {
        scrape::check_protocols(global.list("scrape_protocols"))
            .map_err(|message| format!("{message} for global config"))?;
    }
    Ok(())
}

/// What upstream has without a `global` section.
fn default_global(pos: SourcePos) -> Record {
    let mut global = Record::preset(&GLOBAL, pos);
    check_global(&mut global).expect("an empty global section has nothing to refuse");
    global.set("metric_name_escaping_scheme", Value::Str("allow-utf-8".to_owned()));
    global
}

const RUNTIME: Schema = Schema::new("config.RuntimeConfig", &[opt("gogc", Kind::Int)]);

const RETENTION: Schema = Schema::new(
    "config.plain",
    &[opt("time", Kind::Duration), opt("size", Kind::Bytes), opt("percentage", Kind::Float)],
)
.checked(|retention| {
    let size = retention.int("size");
    if size < 0 {
        let shown = base::ByteSize(size.unsigned_abs());
        return Err(format!(
            "'storage.tsdb.retention.size' must be greater than or equal to 0, got -{shown}"
        ));
    }
    let percentage = retention.float("percentage");
    if !(0.0..=100.0).contains(&percentage) {
        return Err(format!(
            "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {percentage}"
        ));
    }
    Ok(())
});

const CHUNK_ENCODING: Schema = Schema::new("config.ChunkEncodingConfig", &[opt("floats", Kind::Str)]);

const TSDB: Schema = Schema::new(
    "config.plain",
    &[
        opt("out_of_order_time_window", Kind::Duration),
        opt("stale_series_compaction_threshold", Kind::Float),
        opt("chunk_encoding", Kind::Section(&CHUNK_ENCODING)),
        opt("retention", Kind::MaybeSection(&RETENTION)),
    ],
)
.checked(|tsdb| {
    let floats = tsdb.section("chunk_encoding").map_or("", |encoding| encoding.str("floats"));
    if !matches!(floats, "" | "xor" | "xor2") {
        return Err(format!(
            "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {floats:?}"
        ));
    }
    if !tsdb.has("retention") {
        tsdb.set("retention", Value::Section(Box::new(Record::zero(&RETENTION, tsdb.pos))));
    }
    Ok(())
});

const EXEMPLARS: Schema = Schema::new("config.ExemplarsConfig", &[opt("max_exemplars", Kind::Int)]);

const STORAGE: Schema = Schema::new(
    "config.StorageConfig",
    &[opt("tsdb", Kind::MaybeSection(&TSDB)), opt("exemplars", Kind::MaybeSection(&EXEMPLARS))],
);

const TRACING: Schema = Schema::new(
    "config.plain",
    &[
        opt("client_type", Kind::Word("config.TracingClientType", parse_tracing_client))
            .preset(Preset::Str("grpc")),
        opt("endpoint", Kind::Str),
        opt("sampling_fraction", Kind::Float),
        opt("insecure", Kind::Bool),
        TLS_FIELD,
        opt("headers", Kind::StrMap),
        opt("compression", Kind::Str),
        opt("timeout", Kind::Duration),
    ],
)
.checked(|tracing| {
    for name in tracing.str_map("headers").keys() {
        let lower = name.to_lowercase();
        if lower == "authorization" {
            return Err("custom authorization header configuration is not yet supported".to_owned());
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            return Err(format!("{name} is a reserved header. It must not be changed"));
        }
    }
    if !tracing.has("endpoint") {
        return Err("tracing endpoint must be set".to_owned());
    }
    match tracing.str("compression") {
        "" | "gzip" => Ok(()),
        other => Err(format!("invalid compression type {other} provided, valid options: gzip")),
    }
});

fn parse_tracing_client(text: &str) -> Result<String, String> {
    match text {
        "http" | "grpc" => Ok(text.to_owned()),
        _ => Err(format!("expected tracing client type to be to be http or grpc, but got {text}")),
    }
}

const OTLP: Schema = Schema::new(
    "config.plain",
    &[
        opt("promote_all_resource_attributes", Kind::Bool),
        opt("promote_resource_attributes", Kind::List(&Kind::Str)),
        opt("ignore_resource_attributes", Kind::List(&Kind::Str)),
        opt("translation_strategy", Kind::Str).preset(Preset::Str("UnderscoreEscapingWithSuffixes")),
        opt("keep_identifying_resource_attributes", Kind::Bool),
        opt("convert_histograms_to_nhcb", Kind::Bool),
        opt("promote_scope_metadata", Kind::Bool),
        opt("label_name_underscore_sanitization", Kind::Bool).preset(Preset::Bool(true)),
        opt("label_name_preserve_multiple_underscores", Kind::Bool).preset(Preset::Bool(true)),
    ],
)
.checked(|otlp| {
    if otlp.bool("promote_all_resource_attributes") {
        if otlp.has("promote_resource_attributes") {
            return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured \
                        simultaneously"
                .to_owned());
        }
        return trim_attributes(otlp, "ignore_resource_attributes", "ignored");
    }
    if otlp.has("ignore_resource_attributes") {
        return Err(
            "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true"
                .to_owned(),
        );
    }
    trim_attributes(otlp, "promote_resource_attributes", "promoted")
});

/// Cuts spaces off attribute names; empty and repeated ones are refused, all in one message.
fn trim_attributes(otlp: &mut Record, list: &str, adjective: &str) -> Result<(), String> {
    let mut seen: Vec<String> = Vec::new();
    let mut complaints = Vec::new();
    for name in otlp.strings(list) {
        let name = name.trim();
        if name.is_empty() {
            complaints.push(format!("empty {adjective} OTel resource attribute"));
        } else if seen.iter().any(|known| known == name) {
            complaints.push(format!("duplicated {adjective} OTel resource attribute {name:?}"));
        } else {
            seen.push(name.to_owned());
        }
    }
    if !complaints.is_empty() {
        return Err(format!("invalid '{list}': {}", complaints.join("\n")));
    }
    otlp.set(list, Value::List(seen.into_iter().map(Value::Str).collect()));
    Ok(())
}

/// `prometheus.yml`.
pub(crate) const PROMETHEUS: Schema = Schema::new(
    "config.plain",
    &[
        always("global", Kind::Section(&GLOBAL)),
        opt("runtime", Kind::Section(&RUNTIME)),
        opt("alerting", Kind::Section(&ALERTING)),
        opt("rule_files", Kind::List(&Kind::Path)),
        opt("scrape_config_files", Kind::List(&Kind::Path)),
        opt("scrape_configs", Kind::List(&Kind::MaybeSection(&SCRAPE))),
        opt("storage", Kind::Section(&STORAGE)),
        opt("tracing", Kind::Section(&TRACING)),
        opt("remote_write", Kind::List(&Kind::MaybeSection(&REMOTE_WRITE))),
        opt("remote_read", Kind::List(&Kind::MaybeSection(&REMOTE_READ))),
        opt("otlp", Kind::Section(&OTLP)).preset(Preset::Section),
    ],
)
.checked(check_top);

/// What upstream uses for `runtime.gogc` without a setting; Sextant shows it and has no use for it.
const GOGC_DEFAULT: i64 = 75;

/// Fills what absent or empty sections have; also for an empty document, where no check runs.
pub(crate) fn fill_defaults(top: &mut Record) {
    let pos = top.pos;
    if top.section("global").is_none_or(Record::is_zero) {
        top.set("global", Value::Section(Box::new(default_global(pos))));
    }
    if let Some(Value::Section(runtime)) = top.get_mut("runtime")
        && !runtime.has("gogc")
    {
        runtime.set("gogc", Value::Int(GOGC_DEFAULT));
    }
    if let Some(Value::Section(storage)) = top.get_mut("storage")
        && !storage.has("tsdb")
    {
        let mut tsdb = Record::zero(&TSDB, pos);
        tsdb.set("retention", Value::Section(Box::new(Record::zero(&RETENTION, pos))));
        storage.set("tsdb", Value::Section(Box::new(tsdb)));
    }
}

fn check_top(top: &mut Record) -> Result<(), String> {
    fill_defaults(top);
    for (list, what) in [("rule_files", "rule file"), ("scrape_config_files", "scrape config file")] {
        if let Some(path) = top.strings(list).iter().find(|path| !is_file_pattern(path)) {
            return Err(format!("invalid {what} path {path:?}"));
        }
    }
    complete_jobs(top)?;
    let legacy_names = global_of(top).str("metric_name_validation_scheme") == "legacy";
    if let Some(alerting) = top.section("alerting") {
        alerting::check_names(alerting, legacy_names)?;
    }
    check_remote_names(top, "remote_write", "remote write")?;
    for remote in top.sections("remote_write") {
        check_list(remote, "write_relabel_configs", legacy_names)?;
    }
    check_remote_names(top, "remote_read", "remote read")
}

/// The global section, which [`fill_defaults`] guarantees.
pub(crate) fn global_of(top: &Record) -> &Record {
    top.section("global").expect("fill_defaults sets the global section")
}

fn complete_jobs(top: &mut Record) -> Result<(), String> {
    if top.list("scrape_configs").contains(&Value::Null) {
        return Err("empty or null scrape config section".to_owned());
    }
    let global = global_of(top).clone();
    let mut names: Vec<String> = Vec::new();
    for job in top.sections_mut("scrape_configs") {
        scrape::complete(job, &global)?;
        let name = job.str("job_name").to_owned();
        if names.contains(&name) {
            return Err(format!("found multiple scrape configs with job name {name:?}"));
        }
        names.push(name);
    }
    Ok(())
}

fn check_remote_names(top: &Record, list: &str, what: &str) -> Result<(), String> {
    let mut names: Vec<&str> = Vec::new();
    for value in top.list(list) {
        let Some(remote) = value.as_section() else {
            return Err(format!("empty or null {what} config section"));
        };
        let name = remote.str("name");
        if !name.is_empty() && names.contains(&name) {
            return Err(format!("found multiple {what} configs with job name {name:?}"));
        }
        names.push(name);
    }
    Ok(())
}

/// `^[^*]*(\*[^/]*)?$`: a star only in the last element of a path.
fn is_file_pattern(path: &str) -> bool {
    path.find('*').is_none_or(|star| !path[star..].contains('/'))
}
