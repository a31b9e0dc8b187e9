//! `sextant.yml`: our own settings, with pointers to original files.

use std::collections::BTreeMap;

use base::{ByteSize, TenantId};
use wire_core::http_config::Secret;

use crate::decode::{Record, Value, decode_text};
use crate::encode;
use crate::error::{ConfigError, Problem};
use crate::password::PasswordHash;
use crate::path;
use crate::schema::sextant::SEXTANT;

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Personality {
    /// Every HTTP API under its usual path, and the user interface.
    #[default]
    All,
    /// Prometheus's paths only.
    Prometheus,
    /// `POST /v1/metrics` only.
    OtlpHttp,
    /// OTLP's gRPC service only.
    OtlpGrpc,
}

/// One TCP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`.
    pub address: String,
    pub speaks: Personality,
    /// A web.config file for this listener; empty: plain HTTP.
    pub web_config: String,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Tenants they may act for; empty: all.
    pub tenants: Vec<TenantId>,
    /// Deletion, snapshots, reloading, ending the server, profiles.
    pub admin: bool,
}

/// Somebody with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub password_hash: PasswordHash,
    pub rights: Rights,
}

/// A bearer token, known by its digest or kept in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    /// 64 hexadecimal digits; empty when `file` is set.
    pub sha256: Secret,
    pub file: String,
    pub rights: Rights,
}

/// Who may come in. Without users and tokens everybody may, which only loopback listeners allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthConfig {
    pub users: BTreeMap<String, User>,
    pub tokens: Vec<Token>,
    pub insecure_no_auth: bool,
}

/// What one tenant may use. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantLimits {
    pub active_series: u64,
    pub samples_per_second: u64,
    pub label_names_per_series: u64,
    pub label_value_length_bytes: u64,
    /// `None`: the process's own limit.
    pub query_memory: Option<ByteSize>,
    pub query_concurrency: u64,
}

/// Tenants and their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantsConfig {
    /// Off: everything belongs to the tenant `anonymous` and `X-Scope-OrgID` is ignored.
    pub multi_tenant: bool,
    pub limits: TenantLimits,
    /// What an override does not name is as in `limits`.
    pub overrides: BTreeMap<TenantId, TenantLimits>,
}

/// The built-in host collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCollectorConfig {
    pub enabled: bool,
    pub interval_ms: i64,
    pub job_name: String,
    /// Empty: no textfile collector.
    pub textfile_directory: String,
    pub disabled_collectors: Vec<String>,
}

/// How long data is kept. A limit that `prometheus.yml` sets wins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetentionConfig {
    pub time_ms: i64,
    pub size: Option<ByteSize>,
    pub disk_percentage: Option<f64>,
}

/// Memory limits; `None`: derived from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetsConfig {
    pub process_memory: Option<ByteSize>,
    pub query_memory: Option<ByteSize>,
    pub ingest_memory: Option<ByteSize>,
}

/// Query limits, all positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryConfig {
    pub timeout_ms: i64,
    pub max_samples: u64,
    pub max_concurrency: u64,
    pub lookback_delta_ms: i64,
}

/// What is done with OTLP metrics of delta temporality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deltas {
    /// Each is an error.
    #[default]
    Refuse,
    /// Stored as they come.
    Keep,
    /// Added up to cumulative values.
    Convert,
}

/// The receiver of OTLP metrics, besides the section `otlp` of `prometheus.yml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtlpReceiverConfig {
    pub deltas: Deltas,
    /// A stream without deltas for longer than this is forgotten; positive.
    pub delta_max_stale_ms: i64,
    /// For each tenant; positive.
    pub delta_max_streams: u64,
}

/// How severe a message must be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// A whole `sextant.yml`.
#[derive(Debug, Clone)]
pub struct SextantConfig {
    pub data_dir: String,
    /// Empty: derived from the listener and the host's name.
    pub external_url: String,
    pub listeners: Vec<Listener>,
    pub auth: AuthConfig,
    pub tenants: TenantsConfig,
    /// Path of the `prometheus.yml`; `None`: scrape nothing.
    pub prometheus: Option<String>,
    pub host_collector: HostCollectorConfig,
    pub retention: RetentionConfig,
    pub budgets: BudgetsConfig,
    pub query: QueryConfig,
    pub otlp: OtlpReceiverConfig,
    pub log_level: LogLevel,
    pub log_json: bool,
    /// Sections that are accepted and not active yet.
    pub warnings: Vec<Problem>,
    pub(crate) record: Record,
}

/// Where `sextant serve` listens without a configuration: the one port, and Prometheus's.
pub const LISTENERS_DEFAULT: [(&str, Personality); 2] =
    [("127.0.0.1:3000", Personality::All), ("127.0.0.1:9090", Personality::Prometheus)];

impl SextantConfig {
    /// Reads the text of the file at `path`; relative paths are joined with its directory. An empty
    /// text gives the defaults.
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let mut record = decode_text(text, &SEXTANT).map_err(|err| err.prefixed(path))?;
        record.join_paths(&path::directory_of(path));
        Ok(Self::assemble(record))
    }

    fn assemble(record: Record) -> Self {
        let mut warnings = Vec::new();
        for name in ["alertmanager", "loki", "jaeger", "grafana"] {
            if record.has(name) {
                let message = format!("section {name} is not active yet: the file it names is not read");
                warnings.push(Problem { pos: record.place(name), message });
            }
        }
        let retention = record.section("retention");
        let log = record.section("log");
        Self {
            data_dir: record.str("data_dir").to_owned(),
            external_url: record.str("external_url").to_owned(),
            listeners: listeners(&record),
            auth: record.section("auth").map(auth_config).unwrap_or_default(),
            tenants: tenants_config(&record),
            prometheus: record.has("prometheus").then(|| record.str("prometheus").to_owned()),
            host_collector: host_collector(&record),
            retention: RetentionConfig {
                time_ms: retention.map_or(0, |retention| retention.int("time")),
                size: retention.and_then(|retention| size_of(retention, "size")),
                disk_percentage: retention
                    .filter(|retention| retention.has("disk_percentage"))
                    .map(|retention| retention.float("disk_percentage")),
            },
            budgets: record.section("budgets").map(budgets_config).unwrap_or_default(),
            query: query_config(&record),
            otlp: otlp_config(&record),
            log_level: match log.map_or("", |log| log.str("level")) {
                "debug" => LogLevel::Debug,
                "warn" => LogLevel::Warn,
                "error" => LogLevel::Error,
                _ => LogLevel::Info,
            },
            log_json: log.is_some_and(|log| log.str("format") == "json"),
            warnings,
            record,
        }
    }

    /// The configuration with defaults filled and secrets hidden.
    pub fn to_yaml(&self) -> String {
        encode::to_yaml(&self.record)
    }
}

fn size_of(record: &Record, name: &str) -> Option<ByteSize> {
    record.has(name).then(|| ByteSize(record.uint(name)))
}

fn listeners(record: &Record) -> Vec<Listener> {
    let configured: Vec<Listener> = record
        .sections("listeners")
        .map(|listener| Listener {
            address: listener.str("address").to_owned(),
            speaks: match listener.str("speaks") {
                "prometheus" => Personality::Prometheus,
                "otlp-http" => Personality::OtlpHttp,
                "otlp-grpc" => Personality::OtlpGrpc,
                _ => Personality::All,
            },
            web_config: listener.str("web_config").to_owned(),
        })
        .collect();
    if !configured.is_empty() {
        return configured;
    }
    let default = |(address, speaks): (&str, Personality)| Listener {
        address: address.to_owned(),
        speaks,
        web_config: String::new(),
    };
    LISTENERS_DEFAULT.into_iter().map(default).collect()
}

fn auth_config(auth: &Record) -> AuthConfig {
    // The schema has checked hashes and tenants.
    let user = |(name, value): (&String, &Value)| {
        let user = value.as_section()?;
        let password_hash = PasswordHash::parse(user.str("password_hash")).ok()?;
        Some((name.clone(), User { password_hash, rights: rights(user) }))
    };
    let users = match auth.get("users") {
        Value::Map(map) => map.iter().filter_map(user).collect(),
        _ => BTreeMap::new(),
    };
    let tokens = auth.sections("tokens").map(|token| Token {
        name: token.str("name").to_owned(),
        sha256: Secret::new(token.str("sha256")),
        file: token.str("file").to_owned(),
        rights: rights(token),
    });
    AuthConfig { users, tokens: tokens.collect(), insecure_no_auth: auth.bool("insecure_no_auth") }
}

fn rights(whose: &Record) -> Rights {
    let tenants = whose.strings("tenants");
    Rights {
        tenants: tenants.iter().filter_map(|id| TenantId::new(id).ok()).collect(),
        admin: whose.bool("admin"),
    }
}

/// What the file does not name comes from `base`, or is the preset.
fn tenant_limits(limits: &Record, base: Option<&TenantLimits>) -> TenantLimits {
    let number = |name: &str, of: fn(&TenantLimits) -> u64| match base {
        Some(base) if limits.place(name).is_none() => of(base),
        _ => limits.uint(name),
    };
    TenantLimits {
        active_series: number("active_series", |base| base.active_series),
        samples_per_second: number("samples_per_second", |base| base.samples_per_second),
        label_names_per_series: number("label_names_per_series", |base| base.label_names_per_series),
        label_value_length_bytes: number("label_value_length", |base| base.label_value_length_bytes),
        query_memory: match base {
            Some(base) if limits.place("query_memory").is_none() => base.query_memory,
            _ => size_of(limits, "query_memory"),
        },
        query_concurrency: number("query_concurrency", |base| base.query_concurrency),
    }
}

fn tenants_config(record: &Record) -> TenantsConfig {
    let tenants = record.section("tenants");
    let limits = tenants.and_then(|tenants| tenants.section("limits"));
    let limits = limits.map(|limits| tenant_limits(limits, None)).unwrap_or_default();
    let overrides = match tenants.map(|tenants| tenants.get("overrides")) {
        Some(Value::Map(map)) => {
            let of = |(id, value): (&String, &Value)| {
                Some((TenantId::new(id).ok()?, tenant_limits(value.as_section()?, Some(&limits))))
            };
            map.iter().filter_map(of).collect()
        }
        _ => BTreeMap::new(),
    };
    TenantsConfig {
        multi_tenant: tenants.is_some_and(|tenants| tenants.bool("multi_tenant")),
        limits,
        overrides,
    }
}

fn host_collector(record: &Record) -> HostCollectorConfig {
    let collector = record.section("host_collector");
    let text = |name: &str| collector.map_or_else(String::new, |collector| collector.str(name).to_owned());
    HostCollectorConfig {
        enabled: collector.is_some_and(|collector| collector.bool("enabled")),
        interval_ms: collector.map_or(0, |collector| collector.int("interval")),
        job_name: text("job_name"),
        textfile_directory: text("textfile_directory"),
        disabled_collectors: collector
            .map(|collector| collector.strings("disabled_collectors"))
            .unwrap_or_default(),
    }
}

fn budgets_config(budgets: &Record) -> BudgetsConfig {
    BudgetsConfig {
        process_memory: size_of(budgets, "process_memory"),
        query_memory: size_of(budgets, "query_memory"),
        ingest_memory: size_of(budgets, "ingest_memory"),
    }
}

fn query_config(record: &Record) -> QueryConfig {
    let query = record.section("query");
    QueryConfig {
        timeout_ms: query.map_or(0, |query| query.int("timeout")),
        max_samples: query.map_or(0, |query| query.uint("max_samples")),
        max_concurrency: query.map_or(0, |query| query.uint("max_concurrency")),
        lookback_delta_ms: query.map_or(0, |query| query.int("lookback_delta")),
    }
}

fn otlp_config(record: &Record) -> OtlpReceiverConfig {
    let otlp = record.section("otlp");
    OtlpReceiverConfig {
        deltas: match otlp.map_or("", |otlp| otlp.str("deltas")) {
            "keep" => Deltas::Keep,
            "convert" => Deltas::Convert,
            _ => Deltas::Refuse,
        },
        delta_max_stale_ms: otlp.map_or(0, |otlp| otlp.int("delta_max_stale")),
        delta_max_streams: otlp.map_or(0, |otlp| otlp.uint("delta_max_streams")),
    }
}
