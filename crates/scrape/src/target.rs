//! From discovered labels to a target: defaults, relabelling, checks, URL.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base::duration;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, relabel};

use crate::config::ScrapeConfig;

pub const ADDRESS: &str = "__address__";
pub const SCHEME: &str = "__scheme__";
pub const METRICS_PATH: &str = "__metrics_path__";
pub const SCRAPE_INTERVAL: &str = "__scrape_interval__";
pub const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
pub const UNIX_SOCKET: &str = "__unix_socket__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";
const CONVERT_TO_NHCB: &str = "__convert_classic_histograms_to_nhcb__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const NATIVE_HISTOGRAMS: &str = "__scrape_native_histograms__";

/// Why a discovered address is no target. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("no address")]
    NoAddress,
    #[error("{0:?} is not a valid hostname")]
    InvalidAddress(String),
    #[error("error parsing scrape {what}: {cause}")]
    Duration { what: &'static str, cause: duration::InvalidDuration },
    #[error("scrape {what} cannot be 0")]
    Zero { what: &'static str },
    #[error("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})")]
    TimeoutAboveInterval { timeout: String, interval: String },
    #[error("error parsing {what}: strconv.ParseBool: parsing {value:?}: invalid syntax")]
    Bool { what: &'static str, value: String },
}

/// One address to scrape, with everything its scrapes need.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Labels before relabelling, for the discovery page.
    pub discovered: Labels,
    /// Labels after relabelling, internal ones included.
    pub labels: Labels,
    /// What its series carry: `labels` without the names that start with `__`.
    pub public_labels: Labels,
    pub url: String,
    /// Identifies the target within its pool, and places it within the interval.
    pub hash: u64,
    pub interval_ms: i64,
    pub timeout_ms: i64,
    pub native_histograms: bool,
    pub always_scrape_classic_histograms: bool,
    pub convert_classic_histograms_to_nhcb: bool,
    pub unix_socket: Option<String>,
}

/// The labels a target starts with: its own, its group's, and the job's settings.
pub fn discovered_labels(config: &ScrapeConfig, own: &Labels, group: &Labels) -> LabelsBuilder {
    let mut labels = own.to_builder();
    for (name, value) in group {
        if own.get(name).is_none() {
            labels.set(name, value);
        }
    }
    let defaults = [
        ("job", config.job_name.clone()),
        (SCRAPE_INTERVAL, duration::format_ms(config.interval_ms)),
        (SCRAPE_TIMEOUT, duration::format_ms(config.timeout_ms)),
        (METRICS_PATH, config.metrics_path.clone()),
        (SCHEME, config.scheme.clone()),
        (CONVERT_TO_NHCB, config.convert_classic_histograms_to_nhcb.to_string()),
        (ALWAYS_CLASSIC, config.always_scrape_classic_histograms.to_string()),
        (NATIVE_HISTOGRAMS, config.native_histograms.to_string()),
    ];
    for (name, value) in defaults {
        if labels.get(name).is_empty() {
            labels.set(name, &value);
        }
    }
    for (key, values) in &config.params {
        let name = format!("{PARAM_PREFIX}{key}");
        if let Some(first) = values.first()
            && labels.get(&name).is_empty()
        {
            labels.set(&name, first);
        }
    }
    labels
}

impl Target {
    /// `Ok(None)` when relabelling drops the target.
    pub fn build(config: &ScrapeConfig, own: &Labels, group: &Labels) -> Result<Option<Self>, TargetError> {
        let mut labels = discovered_labels(config, own, group);
        let discovered = labels.build();
        if !relabel::process_builder(&mut labels, &config.relabel) {
            return Ok(None);
        }
        let address = labels.get(ADDRESS).to_owned();
        let unix_socket = Some(labels.get(UNIX_SOCKET).to_owned()).filter(|path| !path.is_empty());
        if address.is_empty() && unix_socket.is_none() {
            return Err(TargetError::NoAddress);
        }
        if address.contains('/') {
            return Err(TargetError::InvalidAddress(address));
        }
        let (interval_ms, timeout_ms) = timing(&labels)?;
        let flag = |name, what| parse_bool(labels.get(name), what);
        let convert = flag(CONVERT_TO_NHCB, "convert classic histograms to nhcb")?;
        let always_classic = flag(ALWAYS_CLASSIC, "always scrape classic histograms")?;
        let native = flag(NATIVE_HISTOGRAMS, "scrape native histograms")?;
        labels.retain(|name, _| !name.starts_with(META_PREFIX));
        if labels.get("instance").is_empty() {
            labels.set("instance", &address);
        }

        let labels = labels.build();
        let url = url_of(config, &labels, &address);
        let hash = identity(&labels, &url);
        let public_labels = labels.without(|name| name.starts_with(RESERVED_PREFIX) && name != METRIC_NAME);
        Ok(Some(Self {
            discovered,
            public_labels,
            url,
            hash,
            interval_ms,
            timeout_ms,
            native_histograms: native.unwrap_or(config.native_histograms),
            always_scrape_classic_histograms: always_classic
                .unwrap_or(config.always_scrape_classic_histograms),
            convert_classic_histograms_to_nhcb: convert.unwrap_or(config.convert_classic_histograms_to_nhcb),
            unix_socket,
            labels,
        }))
    }
}

fn timing(labels: &LabelsBuilder) -> Result<(i64, i64), TargetError> {
    let parse = |name: &str, what: &'static str| {
        let ms =
            duration::parse_ms(labels.get(name)).map_err(|cause| TargetError::Duration { what, cause })?;
        if ms == 0 { Err(TargetError::Zero { what }) } else { Ok(ms) }
    };
    let interval_ms = parse(SCRAPE_INTERVAL, "interval")?;
    let timeout_ms = parse(SCRAPE_TIMEOUT, "timeout")?;
    if timeout_ms > interval_ms {
        return Err(TargetError::TimeoutAboveInterval {
            timeout: labels.get(SCRAPE_TIMEOUT).to_owned(),
            interval: labels.get(SCRAPE_INTERVAL).to_owned(),
        });
    }
    Ok((interval_ms, timeout_ms))
}

/// Go's `strconv.ParseBool`; an absent label says nothing.
fn parse_bool(value: &str, what: &'static str) -> Result<Option<bool>, TargetError> {
    match value {
        "" => Ok(None),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Some(true)),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Some(false)),
        _ => Err(TargetError::Bool { what, value: value.to_owned() }),
    }
}

/// The URL with the job's parameters, the first value of each replaced by its `__param_` label.
fn url_of(config: &ScrapeConfig, labels: &Labels, address: &str) -> String {
    let mut params: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, values) in &config.params {
        params.insert(key, values.iter().map(String::as_str).collect());
    }
    for (name, value) in labels {
        if let Some(key) = name.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(key).or_default();
            match values.first_mut() {
                Some(first) => *first = value,
                None => values.push(value),
            }
        }
    }
    let host = if address.is_empty() { "localhost" } else { address };
    let path = labels.get(METRICS_PATH).unwrap_or("");
    let slash = if path.starts_with('/') || path.is_empty() { "" } else { "/" };
    let mut url = format!("{}://{host}{slash}{}", labels.get(SCHEME).unwrap_or("http"), escape_path(path));
    let mut separator = '?';
    for (key, values) in params {
        for value in values {
            url.push(separator);
            url.push_str(&escape_query(key));
            url.push('=');
            url.push_str(&escape_query(value));
            separator = '&';
        }
    }
    url
}

/// Go's `url.QueryEscape`.
fn escape_query(text: &str) -> String {
    escape(text, b"-_.~", true)
}

fn escape_path(text: &str) -> String {
    escape(text, b"-_.~$&+,/:;=@!'()*%", false)
}

fn escape(text: &str, kept: &[u8], space_as_plus: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' && space_as_plus {
            out.push('+');
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    out
}

/// FNV-1a over the label hash and the URL.
fn identity(labels: &Labels, url: &str) -> u64 {
    let mut hash = Fnv1a::new();
    hash.write(format!("{:016}", labels.hash64()).as_bytes());
    hash.write(url.as_bytes());
    hash.finish()
}

/// The seed that tells two servers' schedules apart: host name and external labels.
pub fn offset_seed(host_name: &str, external_labels: &Labels) -> u64 {
    let mut hash = Fnv1a::new();
    hash.write(host_name.as_bytes());
    hash.write(external_labels.to_string().as_bytes());
    hash.finish()
}

struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
