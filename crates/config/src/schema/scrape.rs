//! `scrape_configs`.

use scrape::config::{NameEscaping, ScrapeProtocol};

use super::relabel::{check_list, refuse_null, relabel_list};
use super::sd::{self, SD_LISTS};
use super::{Kind, Preset, Schema, always, http_client, inline, opt};
use crate::decode::{Record, Value};
use crate::schema::http_client::HTTP_CLIENT;

pub(crate) const NAME_VALIDATION: Kind = Kind::Word("model.ValidationScheme", |text| match text {
    "" | "utf8" | "legacy" => Ok(text.to_owned()),
    _ => Err(format!("unrecognized ValidationScheme: {text:?}")),
});

pub(crate) const PROTOCOLS: Kind = Kind::List(&Kind::Str);

pub(crate) const SCRAPE: Schema = Schema::new(
    "config.ScrapeConfig",
    &[
        always("job_name", Kind::Str),
        opt("honor_labels", Kind::Bool),
        always("honor_timestamps", Kind::Bool).preset(Preset::Bool(true)),
        always("track_timestamps_staleness", Kind::Bool),
        opt("params", Kind::MapOf(&Kind::List(&Kind::Str))),
        opt("scrape_interval", Kind::Duration),
        opt("scrape_timeout", Kind::Duration),
        opt("scrape_protocols", PROTOCOLS),
        opt("fallback_scrape_protocol", Kind::Str),
        opt("scrape_native_histograms", Kind::MaybeBool),
        opt("always_scrape_classic_histograms", Kind::MaybeBool),
        opt("convert_classic_histograms_to_nhcb", Kind::MaybeBool),
        opt("scrape_failure_log_file", Kind::Path),
        opt("metrics_path", Kind::Str).preset(Preset::Str("/metrics")),
        opt("scheme", Kind::Str).preset(Preset::Str("http")),
        always("enable_compression", Kind::Bool).preset(Preset::Bool(true)),
        opt("body_size_limit", Kind::Bytes),
        opt("sample_limit", Kind::Uint),
        opt("target_limit", Kind::Uint),
        opt("label_limit", Kind::Uint),
        opt("label_name_length_limit", Kind::Uint),
        opt("label_value_length_limit", Kind::Uint),
        opt("native_histogram_bucket_limit", Kind::Uint),
        opt("native_histogram_min_bucket_factor", Kind::Float),
        opt("keep_dropped_targets", Kind::Uint),
        opt("metric_name_validation_scheme", NAME_VALIDATION),
        opt("metric_name_escaping_scheme", Kind::Str),
        opt("extra_scrape_metrics", Kind::MaybeBool),
        inline(&HTTP_CLIENT),
        relabel_list("relabel_configs"),
        relabel_list("metric_relabel_configs"),
        inline(&SD_LISTS),
    ],
)
.checked(|job| {
    for field in SD_LISTS.fields {
        refuse_null(job, field.name, &format!("empty or null section in {}", field.name))?;
    }
    if !job.has("job_name") {
        return Err("job_name is empty".to_owned());
    }
    http_client::check(job)?;
    sd::check(job)?;
    refuse_null(job, "relabel_configs", "empty or null target relabeling rule in scrape config")?;
    refuse_null(job, "metric_relabel_configs", "empty or null metric relabeling rule in scrape config")
});

/// A file that `scrape_config_files` names.
pub(crate) const SCRAPE_FILE: Schema =
    Schema::new("config.ScrapeConfigs", &[opt("scrape_configs", Kind::List(&Kind::MaybeSection(&SCRAPE)))]);

/// Upstream's order of `[a b c]` in messages.
fn go_list(values: &[Value]) -> String {
    let words: Vec<&str> = values.iter().map(Value::as_str).collect();
    format!("[{}]", words.join(" "))
}

fn unknown_protocol(text: &str) -> String {
    let mut supported: Vec<&str> = ScrapeProtocol::ALL.iter().map(|protocol| protocol.as_str()).collect();
    supported.sort_unstable();
    format!("unknown scrape protocol {text}, supported: [{}]", supported.join(" "))
}

/// Protocols must be known and named once.
pub(crate) fn check_protocols(values: &[Value]) -> Result<(), String> {
    if values.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    let mut seen = Vec::new();
    for value in values {
        let lower = value.as_str().to_lowercase();
        if seen.contains(&lower) {
            return Err(format!("duplicated protocol in scrape_protocols, got {}", go_list(values)));
        }
        if ScrapeProtocol::parse(value.as_str()).is_none() {
            return Err(format!("scrape_protocols: {}", unknown_protocol(value.as_str())));
        }
        seen.push(lower);
    }
    Ok(())
}

/// Upstream's `ScrapeConfig.Validate`: takes from the global section what the job leaves open, then
/// checks.
pub(crate) fn complete(job: &mut Record, global: &Record) -> Result<(), String> {
    let name = job.str("job_name").to_owned();
    inherit(job, global, &["scrape_interval"]);
    let interval_ms = job.int("scrape_interval");
    if job.int("scrape_timeout") > interval_ms {
        return Err(format!(
            "scrape timeout greater than scrape interval for scrape config with job name {name:?}"
        ));
    }
    if !job.has("scrape_timeout") {
        let timeout_ms = global.int("scrape_timeout").min(interval_ms);
        job.set("scrape_timeout", Value::DurationMs(timeout_ms));
    }
    inherit(
        job,
        global,
        &[
            "body_size_limit",
            "sample_limit",
            "target_limit",
            "label_limit",
            "label_name_length_limit",
            "label_value_length_limit",
            "keep_dropped_targets",
            "scrape_failure_log_file",
            "scrape_native_histograms",
            "extra_scrape_metrics",
        ],
    );
    complete_protocols(job, global, &name)?;
    complete_names(job, global)?;
    for flag in ["convert_classic_histograms_to_nhcb", "always_scrape_classic_histograms"] {
        if !job.has(flag) {
            job.set(flag, Value::Bool(global.bool(flag)));
        }
    }
    let legacy_names = job.str("metric_name_validation_scheme") == "legacy";
    check_list(job, "relabel_configs", legacy_names)?;
    check_list(job, "metric_relabel_configs", legacy_names)
}

fn inherit(job: &mut Record, global: &Record, names: &[&str]) {
    for name in names {
        if !job.has(name) {
            job.set(name, global.get(name).clone());
        }
    }
}

fn complete_protocols(job: &mut Record, global: &Record, name: &str) -> Result<(), String> {
    if job.list("scrape_protocols").is_empty() && job.place("scrape_protocols").is_none() {
        let names = |protocols: &[ScrapeProtocol]| {
            Value::List(protocols.iter().map(|protocol| Value::Str(protocol.as_str().to_owned())).collect())
        };
        let protocols = if global.has("scrape_protocols") {
            global.get("scrape_protocols").clone()
        } else if job.bool("scrape_native_histograms") {
            names(&ScrapeProtocol::DEFAULT_PROTO_FIRST)
        } else {
            names(&ScrapeProtocol::DEFAULT)
        };
        job.set("scrape_protocols", protocols);
    }
    check_protocols(job.list("scrape_protocols"))
        .map_err(|message| format!("{message} for scrape config with job name {name:?}"))?;
    let fallback = job.str("fallback_scrape_protocol");
    if !fallback.is_empty() && ScrapeProtocol::parse(fallback).is_none() {
        return Err(format!(
            "invalid fallback_scrape_protocol for scrape config with job name {name:?}: {}",
            unknown_protocol(fallback)
        ));
    }
    Ok(())
}

const ESCAPING_CHOICES: &str = "must be one of 'allow-utf-8', 'underscores', 'dots', or 'values'";

fn complete_names(job: &mut Record, global: &Record) -> Result<(), String> {
    let validation_unset = !job.has("metric_name_validation_scheme");
    inherit(job, global, &["metric_name_validation_scheme"]);
    let default_for = |scheme: &str| if scheme == "legacy" { "underscores" } else { "allow-utf-8" };
    let global_escaping = match global.str("metric_name_escaping_scheme") {
        "" => default_for(global.str("metric_name_validation_scheme")),
        text if NameEscaping::parse(text).is_some() => text,
        text => {
            return Err(format!(
                "unknown global name escaping method specified, {ESCAPING_CHOICES}, got {text:?}"
            ));
        }
    };
    let validation = job.str("metric_name_validation_scheme").to_owned();
    if !job.has("metric_name_escaping_scheme") {
        let escaping = if validation_unset { global_escaping } else { default_for(&validation) };
        job.set("metric_name_escaping_scheme", Value::Str(escaping.to_owned()));
    }
    match job.str("metric_name_escaping_scheme") {
        "allow-utf-8" if validation != "utf8" => {
            Err("utf8 metric names requested but validation scheme is not set to UTF8".to_owned())
        }
        text if NameEscaping::parse(text).is_some() => Ok(()),
        text => Err(format!(
            "unknown scrape config name escaping method specified, {ESCAPING_CHOICES}, got {text:?}"
        )),
    }
}
