//! Remote write and read as structs.

use std::collections::BTreeMap;

use model::relabel::RelabelConfig;
use wire_core::http_config::HttpClientConfig;

use super::{client, relabel};
use crate::decode::Record;
use crate::encode;

/// The message sent by remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemoteWriteMessage {
    /// `prometheus.WriteRequest`
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// The queue of one remote write target. All numbers are positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Samples per shard before the reader waits.
    pub capacity: u64,
    pub max_shards: u64,
    pub min_shards: u64,
    pub max_samples_per_send: u64,
    pub batch_send_deadline_ms: i64,
    pub min_backoff_ms: i64,
    pub max_backoff_ms: i64,
    pub retry_on_http_429: bool,
    /// Older samples are dropped; 0: none are.
    pub sample_age_limit_ms: i64,
}

/// One entry of `remote_write`.
#[derive(Debug, Clone)]
pub struct RemoteWriteConfig {
    pub url: String,
    pub timeout_ms: i64,
    pub headers: BTreeMap<String, String>,
    pub relabel: Vec<RelabelConfig>,
    /// Empty: named by the hash of its settings.
    pub name: String,
    pub send_exemplars: bool,
    pub send_native_histograms: bool,
    pub round_robin_dns: bool,
    pub message: RemoteWriteMessage,
    pub failed_request_logging: bool,
    pub http: HttpClientConfig,
    pub queue: QueueConfig,
    pub send_metadata: bool,
    pub metadata_interval_ms: i64,
    pub metadata_max_samples_per_send: u64,
    /// The entry with defaults filled and secrets hidden; also what the default name is made from.
    pub yaml: String,
}

/// One entry of `remote_read`.
#[derive(Debug, Clone)]
pub struct RemoteReadConfig {
    pub url: String,
    pub timeout_ms: i64,
    pub chunked_read_limit_bytes: u64,
    pub headers: BTreeMap<String, String>,
    pub read_recent: bool,
    pub name: String,
    pub http: HttpClientConfig,
    pub required_matchers: BTreeMap<String, String>,
    pub filter_external_labels: bool,
    /// The entry with defaults filled and secrets hidden; also what the default name is made from.
    pub yaml: String,
}

pub(super) fn remote_write(remote: &Record) -> RemoteWriteConfig {
    let metadata = remote.section("metadata_config");
    RemoteWriteConfig {
        url: remote.str("url").to_owned(),
        timeout_ms: remote.int("remote_timeout"),
        headers: remote.str_map("headers"),
        relabel: relabel::relabel_configs(remote, "write_relabel_configs"),
        name: remote.str("name").to_owned(),
        send_exemplars: remote.bool("send_exemplars"),
        send_native_histograms: remote.bool("send_native_histograms"),
        round_robin_dns: remote.bool("round_robin_dns"),
        message: match remote.str("protobuf_message") {
            "io.prometheus.write.v2.Request" => RemoteWriteMessage::V2,
            _ => RemoteWriteMessage::V1,
        },
        failed_request_logging: remote.bool("failed_request_logging"),
        http: client::http_client(remote),
        queue: queue_config(remote),
        send_metadata: metadata.is_some_and(|metadata| metadata.bool("send")),
        metadata_interval_ms: metadata.map_or(0, |metadata| metadata.int("send_interval")),
        metadata_max_samples_per_send: metadata.map_or(0, |metadata| metadata.uint("max_samples_per_send")),
        yaml: encode::to_yaml(remote),
    }
}

fn queue_config(remote: &Record) -> QueueConfig {
    let queue = remote.section("queue_config");
    let number = |name: &str| queue.map_or(0, |queue| queue.uint(name));
    let duration_ms = |name: &str| queue.map_or(0, |queue| queue.int(name));
    QueueConfig {
        capacity: number("capacity"),
        max_shards: number("max_shards"),
        min_shards: number("min_shards"),
        max_samples_per_send: number("max_samples_per_send"),
        batch_send_deadline_ms: duration_ms("batch_send_deadline"),
        min_backoff_ms: duration_ms("min_backoff"),
        max_backoff_ms: duration_ms("max_backoff"),
        retry_on_http_429: queue.is_some_and(|queue| queue.bool("retry_on_http_429")),
        sample_age_limit_ms: duration_ms("sample_age_limit"),
    }
}

pub(super) fn remote_read(remote: &Record) -> RemoteReadConfig {
    RemoteReadConfig {
        url: remote.str("url").to_owned(),
        timeout_ms: remote.int("remote_timeout"),
        chunked_read_limit_bytes: remote.uint("chunked_read_limit"),
        headers: remote.str_map("headers"),
        read_recent: remote.bool("read_recent"),
        name: remote.str("name").to_owned(),
        http: client::http_client(remote),
        required_matchers: remote.str_map("required_matchers"),
        filter_external_labels: remote.bool("filter_external_labels"),
        yaml: encode::to_yaml(remote),
    }
}
