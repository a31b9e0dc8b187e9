//! `remote_read`: queries read other servers beside the store.
//!
//! Duty: one client per remote, its requests, and taking answers apart within the query's budget. Not its
//! duty: when a remote is asked and how answers are joined (`engine::remote`), the messages (`wire-prom`).

mod client;
mod gather;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, TenantId};
use config::PrometheusConfig;
use config::prometheus::remote::RemoteReadConfig;
use engine::{QueryEngine, Remote};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use model::Labels;
use ring::digest;

use crate::outbound::client::{ClientError, Environment, HttpClient};
use crate::telemetry::{Counter, Gauge, Histogram, Labelled, Registry};

use client::RemoteClient;

const DURATION_BOUNDS_S: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// What a [`RemoteReading`] is built from.
#[derive(Debug)]
pub struct RemoteReadingParts {
    pub engine: Arc<QueryEngine>,
    pub clock: Arc<dyn Clock>,
    pub environment: Environment,
    /// Whose queries read the remotes; remotes know no tenants.
    pub tenant: TenantId,
}

/// Why a configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("duplicate remote read configs are not allowed, found duplicate for URL: {0}")]
    Duplicate(String),
    #[error("remote_read {url}: {cause}")]
    Url { url: String, cause: http::uri::InvalidUri },
    #[error("remote_read {url}: {cause}")]
    Client { url: String, cause: Box<ClientError> },
}

/// The remotes of a configuration whose clients work.
#[derive(Debug)]
pub struct PreparedRemotes(Vec<Remote>);

/// All remotes that are read.
#[derive(Debug)]
pub struct RemoteReading {
    parts: RemoteReadingParts,
    metrics: ReadMetrics,
}

#[derive(Debug)]
struct ReadMetrics {
    in_flight: Labelled<Gauge>,
    queries: Labelled<Counter>,
    duration: Labelled<Histogram>,
}

impl RemoteReading {
    pub fn new(parts: RemoteReadingParts, registry: &Registry) -> Self {
        let metrics = ReadMetrics {
            in_flight: registry.gauges(
                "prometheus_remote_read_client_queries",
                "The number of in-flight remote read queries.",
                &["remote_name", "url"],
            ),
            queries: registry.counters(
                "prometheus_remote_read_client_queries_total",
                "The total number of remote read queries.",
                &["remote_name", "url", "response_type", "code"],
            ),
            duration: registry.histograms(
                "prometheus_remote_read_client_request_duration_seconds",
                "Histogram of the latency for remote read requests. Note that for streamed responses this is only the duration of the initial call and does not include the processing of the stream.",
                &["remote_name", "url", "response_type"],
                DURATION_BOUNDS_S,
            ),
        };
        Self { parts, metrics }
    }

    /// Builds the clients; what is in force stays. Must be called within a runtime, which will do the
    /// reading.
    pub fn prepare(&self, config: &PrometheusConfig) -> Result<PreparedRemotes, PrepareError> {
        let mut known = BTreeSet::new();
        let mut remotes = Vec::new();
        for remote in &config.remote_read {
            if !known.insert(&remote.yaml) {
                return Err(PrepareError::Duplicate(remote.url.clone()));
            }
            let external_labels =
                if remote.filter_external_labels { &config.global.external_labels } else { &Labels::empty() };
            remotes.push(Remote {
                source: Arc::new(self.client(remote)?),
                external_labels: external_labels.clone(),
                required_matchers: remote.required_matchers.clone().into_iter().collect(),
                read_recent: remote.read_recent,
            });
        }
        Ok(PreparedRemotes(remotes))
    }

    /// Queries that begin from now on read these.
    pub fn apply(&self, prepared: PreparedRemotes) {
        self.parts.engine.set_remotes(self.parts.tenant.clone(), prepared.0);
    }

    fn client(&self, config: &RemoteReadConfig) -> Result<RemoteClient, PrepareError> {
        let url = || config.url.clone();
        let uri = config.url.parse().map_err(|cause| PrepareError::Url { url: url(), cause })?;
        let http = HttpClient::new(config.http.clone(), &self.parts.environment, None)
            .map_err(|cause| PrepareError::Client { url: url(), cause: Box::new(cause) })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        let name = if config.name.is_empty() { hash_text(&config.yaml) } else { config.name.clone() };
        let of = |response_type: &str| [name.clone(), config.url.clone(), response_type.to_owned()];
        Ok(RemoteClient {
            http: Arc::new(http),
            uri,
            headers,
            timeout: Duration::from_millis(config.timeout_ms.max(1).unsigned_abs()),
            frame_bytes_max: usize::try_from(config.chunked_read_limit_bytes).unwrap_or(usize::MAX),
            clock: Arc::clone(&self.parts.clock),
            runtime: tokio::runtime::Handle::current(),
            in_flight: self.metrics.in_flight.with(&[&name, &config.url]),
            queries: self.metrics.queries.clone(),
            duration: self.metrics.duration.clone(),
            labels_of: ["sampled", "chunked", "unsupported"].map(of),
        })
    }
}

/// As remote write names its targets.
fn hash_text(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}
