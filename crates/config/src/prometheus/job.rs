//! Scrape jobs and discovery sections: record → struct.

use std::collections::BTreeMap;

use base::ByteSize;
use model::{Labels, LabelsBuilder};
use scrape::config::{NameEscaping, NameValidation, ScrapeConfig, ScrapeLimits, ScrapeProtocol};
use scrape::sd_config::{
    DnsRecordType, DnsSdConfig, FileSdConfig, HttpSdConfig, InactiveSdConfig, SdConfig, TargetGroup,
};

use super::{client, labels_of, relabel};
use crate::decode::{Record, Value};
use crate::encode;
use crate::schema::sd::SD_LISTS;

/// A completed `scrape_configs` entry.
pub(crate) fn scrape_config(job: &Record) -> ScrapeConfig {
    let protocols = job.list("scrape_protocols").iter();
    ScrapeConfig {
        job_name: job.str("job_name").to_owned(),
        honor_labels: job.bool("honor_labels"),
        honor_timestamps: job.bool("honor_timestamps"),
        track_timestamps_staleness: job.bool("track_timestamps_staleness"),
        params: params(job),
        interval_ms: job.int("scrape_interval"),
        timeout_ms: job.int("scrape_timeout"),
        protocols: protocols.filter_map(|value| ScrapeProtocol::parse(value.as_str())).collect(),
        fallback_protocol: ScrapeProtocol::parse(job.str("fallback_scrape_protocol")),
        native_histograms: job.bool("scrape_native_histograms"),
        always_scrape_classic_histograms: job.bool("always_scrape_classic_histograms"),
        convert_classic_histograms_to_nhcb: job.bool("convert_classic_histograms_to_nhcb"),
        extra_scrape_metrics: job.bool("extra_scrape_metrics"),
        failure_log_file: job.str("scrape_failure_log_file").to_owned(),
        metrics_path: job.str("metrics_path").to_owned(),
        scheme: job.str("scheme").to_owned(),
        enable_compression: job.bool("enable_compression"),
        limits: limits(job),
        name_validation: match job.str("metric_name_validation_scheme") {
            "legacy" => NameValidation::Legacy,
            _ => NameValidation::Utf8,
        },
        name_escaping: NameEscaping::parse(job.str("metric_name_escaping_scheme")).unwrap_or_default(),
        http: client::http_client(job),
        sd: sd_configs(job),
        relabel: relabel::relabel_configs(job, "relabel_configs"),
        metric_relabel: relabel::relabel_configs(job, "metric_relabel_configs"),
        yaml: encode::to_yaml(job),
    }
}

fn params(job: &Record) -> BTreeMap<String, Vec<String>> {
    let Value::Map(map) = job.get("params") else { return BTreeMap::new() };
    let texts = |value: &Value| match value {
        Value::List(values) => values.iter().map(|value| value.as_str().to_owned()).collect(),
        _ => Vec::new(),
    };
    map.iter().map(|(name, value)| (name.clone(), texts(value))).collect()
}

fn limits(job: &Record) -> ScrapeLimits {
    ScrapeLimits {
        body_size: ByteSize(job.uint("body_size_limit")),
        samples: job.uint("sample_limit"),
        targets: job.uint("target_limit"),
        labels: job.uint("label_limit"),
        label_name_bytes: job.uint("label_name_length_limit"),
        label_value_bytes: job.uint("label_value_length_limit"),
        native_histogram_buckets: job.uint("native_histogram_bucket_limit"),
        native_histogram_min_bucket_factor: job.float("native_histogram_min_bucket_factor"),
        dropped_targets_kept: job.uint("keep_dropped_targets"),
    }
}

/// Upstream's name of the mechanism behind a list: `file` for `file_sd_configs`.
fn mechanism_of(list: &'static str) -> &'static str {
    list.strip_suffix("_sd_configs").or_else(|| list.strip_suffix("_configs")).unwrap_or(list)
}

/// All discovery sections of a scrape job or an Alertmanager set, in upstream's order.
pub(crate) fn sd_configs(owner: &Record) -> Vec<SdConfig> {
    let mut configs = Vec::new();
    for field in SD_LISTS.fields {
        let mechanism = mechanism_of(field.name);
        let sections = owner.sections(field.name);
        match mechanism {
            "static" => {
                let groups: Vec<TargetGroup> =
                    sections.enumerate().map(|(at, group)| target_group(group, &at.to_string())).collect();
                if !groups.is_empty() {
                    configs.push(SdConfig::Static(groups));
                }
            }
            "file" => configs.extend(sections.map(|file| {
                SdConfig::File(FileSdConfig {
                    files: file.strings("files"),
                    refresh_interval_ms: file.int("refresh_interval"),
                })
            })),
            "http" => configs.extend(sections.map(|http| {
                SdConfig::Http(HttpSdConfig {
                    url: http.str("url").to_owned(),
                    refresh_interval_ms: http.int("refresh_interval"),
                    http: client::http_client(http),
                })
            })),
            "dns" => configs.extend(sections.map(|dns| SdConfig::Dns(dns_config(dns)))),
            _ => configs.extend(sections.map(|section| {
                SdConfig::Inactive(InactiveSdConfig { mechanism, yaml: encode::to_yaml(section) })
            })),
        }
    }
    configs
}

/// The sections of mechanisms that do not run yet, with the mechanism's name.
pub(crate) fn inactive_sections(owner: &Record) -> impl Iterator<Item = (&'static str, &Record)> {
    let lists = SD_LISTS.fields.iter().map(|field| (field.name, mechanism_of(field.name)));
    lists
        .filter(|(_, mechanism)| !matches!(*mechanism, "static" | "file" | "http" | "dns"))
        .flat_map(move |(list, mechanism)| owner.sections(list).map(move |section| (mechanism, section)))
}

fn dns_config(dns: &Record) -> DnsSdConfig {
    DnsSdConfig {
        names: dns.strings("names"),
        refresh_interval_ms: dns.int("refresh_interval"),
        record_type: match dns.str("type").to_uppercase().as_str() {
            "A" => DnsRecordType::A,
            "AAAA" => DnsRecordType::Aaaa,
            "MX" => DnsRecordType::Mx,
            "NS" => DnsRecordType::Ns,
            _ => DnsRecordType::Srv,
        },
        port: u16::try_from(dns.int("port")).unwrap_or(0),
    }
}

/// One group, of `static_configs` or of a discovery file.
pub(crate) fn target_group(group: &Record, source: &str) -> TargetGroup {
    let address = |target: &Value| -> Labels {
        let mut builder = LabelsBuilder::new();
        builder.set("__address__", target.as_str());
        builder.build()
    };
    TargetGroup {
        targets: group.list("targets").iter().map(address).collect(),
        labels: labels_of(group, "labels"),
        source: source.to_owned(),
    }
}
