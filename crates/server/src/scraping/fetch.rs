//! Fetching one target: headers, decompression, the body limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Budget, Clock};
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT,
};
use http::{StatusCode, Uri};
use parking_lot::Mutex;
use scrape::config::ScrapeConfig;
use scrape::target::Target;
use wire_prom::negotiate::accept_header;

use super::gunzip::{Bounds, gunzip};
use crate::outbound::client::{ClientError, Environment, HttpClient, Outgoing};

/// The limit of bodies where `body_size_limit` names none.
const BODY_BYTES_MAX: usize = 256 << 20;

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// A fetched body.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) body: Bytes,
    pub(super) content_type: String,
    /// The body is still gzip; it has to be unpacked by this time of [`Clock::monotonic_ns`].
    packed_until_ns: Option<u64>,
}

/// Why there is none; `body_too_large` is told apart because a series says so.
#[derive(Debug)]
pub(super) struct FetchFailure {
    pub(super) error: String,
    pub(super) body_too_large: bool,
}

impl FetchFailure {
    pub(super) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), body_too_large: false }
    }
}

/// The clients of one job: one for the network, one per unix socket in use.
pub(super) struct Fetcher {
    config: Arc<ScrapeConfig>,
    environment: Environment,
    client: HttpClient,
    by_socket: Mutex<BTreeMap<String, Arc<HttpClient>>>,
    accept: HeaderValue,
    body_bytes_max: usize,
    budget: Budget,
    clock: Arc<dyn Clock>,
}

impl Fetcher {
    pub(super) fn new(
        config: &Arc<ScrapeConfig>,
        environment: &Environment,
        budget: &Budget,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let client = HttpClient::new(config.http.clone(), environment, None)?;
        let accept = accept_header(&config.protocols, config.name_escaping);
        let accept = HeaderValue::from_str(&accept).expect("media types are valid header values");
        let limit = usize::try_from(config.limits.body_size.0).unwrap_or(usize::MAX);
        let body_bytes_max = if limit == 0 { BODY_BYTES_MAX } else { limit };
        Ok(Self {
            config: Arc::clone(config),
            environment: environment.clone(),
            client,
            by_socket: Mutex::default(),
            accept,
            body_bytes_max,
            budget: budget.clone(),
            clock: Arc::clone(clock),
        })
    }

    pub(super) async fn fetch(&self, target: &Target) -> Result<Page, FetchFailure> {
        let uri: Uri = target
            .url
            .parse()
            .map_err(|e| FetchFailure::new(format!("invalid URL {:?}: {e}", target.url)))?;
        let timeout = Duration::from_millis(target.timeout_ms.unsigned_abs());
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = self.clock.monotonic_ns().saturating_add(timeout_ns);
        let mut request = Outgoing::get(uri, timeout);
        request.headers.insert(ACCEPT, self.accept.clone());
        let encoding = if self.config.enable_compression { "gzip" } else { "identity" };
        request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        request.headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
        let seconds = base::gofloat::format_f(timeout.as_secs_f64());
        let seconds = HeaderValue::from_str(&seconds).expect("a number is a valid header value");
        request.headers.insert(TIMEOUT_HEADER, seconds);

        let answer = match &target.unix_socket {
            None => self.client.send(request, self.body_bytes_max).await,
            Some(path) => self.socket_client(path)?.send(request, self.body_bytes_max).await,
        };
        let answer = answer.map_err(|error| match error {
            ClientError::BodyTooLarge => FetchFailure { error: error.to_string(), body_too_large: true },
            ClientError::Timeout => {
                FetchFailure::new(format!("Get {:?}: context deadline exceeded", target.url))
            }
            other => FetchFailure::new(format!("Get {:?}: {other}", target.url)),
        })?;
        if answer.status != StatusCode::OK {
            return Err(FetchFailure::new(format!("server returned HTTP status {}", answer.status)));
        }
        let header = |name| answer.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let content_type = header(CONTENT_TYPE).to_owned();
        let packed_until_ns = (header(CONTENT_ENCODING) == "gzip").then_some(deadline_ns);
        Ok(Page { body: answer.body, content_type, packed_until_ns })
    }

    /// Blocks: a few kilobytes can unpack for seconds.
    pub(super) fn unpack(&self, page: Page) -> Result<Page, FetchFailure> {
        let Some(deadline_ns) = page.packed_until_ns else { return Ok(page) };
        let (budget, clock) = (&self.budget, &*self.clock);
        let bounds = Bounds { bytes_max: self.body_bytes_max, budget, clock, deadline_ns };
        let body = gunzip(&page.body, &bounds)?;
        Ok(Page { body, packed_until_ns: None, ..page })
    }

    fn socket_client(&self, path: &str) -> Result<Arc<HttpClient>, FetchFailure> {
        let mut clients = self.by_socket.lock();
        if let Some(client) = clients.get(path) {
            return Ok(Arc::clone(client));
        }
        let client = HttpClient::new(self.config.http.clone(), &self.environment, Some(path.to_owned()))
            .map_err(|e| FetchFailure::new(e.to_string()))?;
        let client = Arc::new(client);
        clients.insert(path.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}
