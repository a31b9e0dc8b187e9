//! Where targets come from. Static, file, HTTP and DNS discovery are active; every other upstream
//! mechanism is known by name, checked when it is read, and shown as "not active yet".

use model::Labels;
use wire_core::http_config::HttpClientConfig;

/// Addresses that share labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetGroup {
    /// One label set per target; each holds at least `__address__`.
    pub targets: Vec<Labels>,
    /// Common to all targets; a target's own label wins.
    pub labels: Labels,
    /// Identifies the group within its provider: an update replaces the group with the same source.
    pub source: String,
}

/// `file_sd_configs`: JSON or YAML files of target groups, followed live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSdConfig {
    /// Paths whose last element may hold `*`, already joined with the configuration's directory.
    pub files: Vec<String>,
    pub refresh_interval_ms: i64,
}

/// `http_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSdConfig {
    pub url: String,
    pub refresh_interval_ms: i64,
    pub http: HttpClientConfig,
}

/// The record types `dns_sd_configs` can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsRecordType {
    A,
    Aaaa,
    Srv,
    Mx,
    Ns,
}

/// `dns_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSdConfig {
    pub names: Vec<String>,
    pub refresh_interval_ms: i64,
    pub record_type: DnsRecordType,
    /// Required (non-zero) for every type but SRV.
    pub port: u16,
}

/// A mechanism that is read and checked but does not run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InactiveSdConfig {
    /// Upstream's name of the mechanism, as in `<name>_sd_configs`: `kubernetes`, `consul`, …
    pub mechanism: &'static str,
    /// The section with defaults filled and secrets hidden, as YAML.
    pub yaml: String,
}

/// One entry of one `*_sd_configs` list.
#[expect(clippy::large_enum_variant, reason = "a job has a few of them, made once a reload")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SdConfig {
    /// All groups of `static_configs`; the i-th has source `i`.
    Static(Vec<TargetGroup>),
    File(FileSdConfig),
    Http(HttpSdConfig),
    Dns(DnsSdConfig),
    Inactive(InactiveSdConfig),
}

impl SdConfig {
    /// Upstream's name of the mechanism: `static`, `file`, `http`, `dns`, `kubernetes`, …
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Static(_) => "static",
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Inactive(inactive) => inactive.mechanism,
        }
    }
}
