//! The `otlp` and `tracing` sections as structs.

use std::collections::BTreeMap;

use wire_core::http_config::TlsClientConfig;

use super::client;
use crate::decode::Record;

/// How OTLP names become Prometheus names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TranslationStrategy {
    #[default]
    UnderscoreEscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    NoUtf8EscapingWithSuffixes,
    NoTranslation,
}

/// The `otlp` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    pub promote_all_resource_attributes: bool,
    pub promote_resource_attributes: Vec<String>,
    /// Only with `promote_all_resource_attributes`.
    pub ignore_resource_attributes: Vec<String>,
    pub translation_strategy: TranslationStrategy,
    pub keep_identifying_resource_attributes: bool,
    pub convert_histograms_to_nhcb: bool,
    pub promote_scope_metadata: bool,
    pub label_name_underscore_sanitization: bool,
    pub label_name_preserve_multiple_underscores: bool,
}

/// How traces of our own are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// OTLP over HTTP rather than gRPC.
    pub http: bool,
    pub endpoint: String,
    /// From 0 to 1.
    pub sampling_fraction: f64,
    pub insecure: bool,
    pub tls: TlsClientConfig,
    pub headers: BTreeMap<String, String>,
    pub gzip: bool,
    /// 0: the exporter's default.
    pub timeout_ms: i64,
}

pub(super) fn otlp_config(top: &Record) -> OtlpConfig {
    let section = top.section("otlp");
    let flag = |name: &str| section.is_some_and(|otlp| otlp.bool(name));
    let names = |name: &str| section.map(|otlp| otlp.strings(name)).unwrap_or_default();
    OtlpConfig {
        promote_all_resource_attributes: flag("promote_all_resource_attributes"),
        promote_resource_attributes: names("promote_resource_attributes"),
        ignore_resource_attributes: names("ignore_resource_attributes"),
        translation_strategy: match section.map_or("", |otlp| otlp.str("translation_strategy")) {
            "UnderscoreEscapingWithoutSuffixes" => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
            "NoUTF8EscapingWithSuffixes" => TranslationStrategy::NoUtf8EscapingWithSuffixes,
            "NoTranslation" => TranslationStrategy::NoTranslation,
            _ => TranslationStrategy::UnderscoreEscapingWithSuffixes,
        },
        keep_identifying_resource_attributes: flag("keep_identifying_resource_attributes"),
        convert_histograms_to_nhcb: flag("convert_histograms_to_nhcb"),
        promote_scope_metadata: flag("promote_scope_metadata"),
        label_name_underscore_sanitization: flag("label_name_underscore_sanitization"),
        label_name_preserve_multiple_underscores: flag("label_name_preserve_multiple_underscores"),
    }
}

pub(super) fn tracing_config(tracing: &Record) -> TracingConfig {
    TracingConfig {
        http: tracing.str("client_type") == "http",
        endpoint: tracing.str("endpoint").to_owned(),
        sampling_fraction: tracing.float("sampling_fraction"),
        insecure: tracing.bool("insecure"),
        tls: client::tls_client(tracing),
        headers: tracing.str_map("headers"),
        gzip: tracing.str("compression") == "gzip",
        timeout_ms: tracing.int("timeout"),
    }
}
