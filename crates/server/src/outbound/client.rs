//! Requests with credentials, redirects and limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wire_core::http_config::{Authorization, BasicAuth, HttpClientConfig, ProxyConfig, SecretSource};

use super::cloud::CloudSigner;
use super::connect::{ConnectSettings, Connector, proxy_credentials};
use super::connections::Connections;
use super::oauth2::TokenSource;
use super::proxy::{ProxyRules, parse_no_proxy, parse_proxy_url};
use super::tls::{ClientTls, TlsSetupError};

/// As in Go's client.
const REDIRECTS_MAX: usize = 10;

/// Idle connections are closed after this long, as upstream does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Connections kept open to one host while idle.
const IDLE_PER_HOST_MAX: usize = 8;

/// Looks up an environment variable.
pub type EnvironmentLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where a client finds what it may not read itself.
#[derive(Clone)]
pub struct Environment {
    /// Reads an environment variable.
    pub var: EnvironmentLookup,
    /// Shared by all clients of the process.
    pub connections: Connections,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Why a request failed. The texts follow Go's, since users search for them.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("context deadline exceeded")]
    Timeout,
    #[error("{0}")]
    Transport(String),
    #[error("{0}")]
    InvalidUrl(String),
    #[error("unable to read {what}: {cause}")]
    Credentials { what: &'static str, cause: String },
    #[error("stopped after {REDIRECTS_MAX} redirects")]
    TooManyRedirects,
    #[error("oauth2: {0}")]
    OAuth2(String),
    #[error("{0}")]
    Cloud(String),
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    #[error("body size limit exceeded")]
    BodyTooLarge,
    #[error("gzip: {0}")]
    Decompress(String),
}

/// One request to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub timeout: Duration,
}

impl Outgoing {
    pub fn get(uri: Uri, timeout: Duration) -> Self {
        Self { method: Method::GET, uri, headers: HeaderMap::new(), body: Bytes::new(), timeout }
    }

    pub fn post(uri: Uri, body: Bytes, timeout: Duration) -> Self {
        Self { method: Method::POST, uri, headers: HeaderMap::new(), body, timeout }
    }
}

/// What came back, body read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A pooled client with one configuration.
#[derive(Debug)]
pub struct HttpClient {
    config: HttpClientConfig,
    pool: Client<Connector, Full<Bytes>>,
    settings: Arc<ConnectSettings>,
    proxy: ProxyRules,
    tokens: Option<TokenSource>,
    cloud: Option<CloudSigner>,
}

impl HttpClient {
    /// `unix_socket` sends every request there, whatever its host.
    pub fn new(
        config: HttpClientConfig,
        environment: &Environment,
        unix_socket: Option<String>,
    ) -> Result<Self, ClientError> {
        let proxy = proxy_rules(&config.proxy, environment)?;
        let tls = ClientTls::new(config.tls.clone(), config.enable_http2);
        tls.check()?;
        let mut connect_header_lines = Vec::new();
        for (name, values) in &config.proxy.connect_headers {
            connect_header_lines.extend(values.iter().map(|value| format!("{name}: {}", value.expose())));
        }
        let settings = Arc::new(ConnectSettings {
            tls,
            proxy: proxy.clone(),
            connect_header_lines,
            unix_socket,
            connections: environment.connections.clone(),
        });
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build(Connector(Arc::clone(&settings)));
        let tokens = match &config.oauth2 {
            Some(oauth2) => Some(TokenSource::new((**oauth2).clone(), environment)?),
            None => None,
        };
        let cloud = match &config.cloud_auth {
            Some(cloud) => Some(CloudSigner::new(cloud, environment)?),
            None => None,
        };
        Ok(Self { config, pool, settings, proxy, tokens, cloud })
    }

    /// Sends, follows redirects where configured, and reads the body up to `body_bytes_max`.
    pub async fn send(&self, request: Outgoing, body_bytes_max: usize) -> Result<Answer, ClientError> {
        let timeout = request.timeout;
        tokio::time::timeout(timeout, self.send_unhurried(request, body_bytes_max))
            .await
            .map_err(|_| ClientError::Timeout)?
    }

    /// As [`HttpClient::send`], for whoever reads the body piece by piece and minds the time.
    pub async fn open(&self, request: Outgoing) -> Result<Response<Incoming>, ClientError> {
        self.settings.tls.check_files()?;
        self.follow(request).await
    }

    async fn send_unhurried(&self, request: Outgoing, body_bytes_max: usize) -> Result<Answer, ClientError> {
        let response = self.open(request).await?;
        let (parts, body) = response.into_parts();
        let body = read_limited(body, body_bytes_max).await?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn follow(&self, request: Outgoing) -> Result<Response<Incoming>, ClientError> {
        let first_host = request.uri.authority().cloned();
        let (mut method, mut uri, mut body) = (request.method, request.uri, request.body);
        let mut headers = request.headers;
        for _ in 0..=REDIRECTS_MAX {
            let same_host = uri.authority() == first_host.as_ref();
            let response = self.once(&method, &uri, &headers, &body, same_host).await?;
            let Some(next) = self.redirect_target(&response, &uri)? else { return Ok(response) };
            if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                if method != Method::HEAD {
                    method = Method::GET;
                }
                body = Bytes::new();
            }
            if next.authority() != first_host.as_ref() {
                headers.remove(AUTHORIZATION);
            }
            uri = next;
        }
        Err(ClientError::TooManyRedirects)
    }

    fn redirect_target(&self, response: &Response<Incoming>, from: &Uri) -> Result<Option<Uri>, ClientError> {
        if !self.config.follow_redirects || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        {
            return Ok(None);
        }
        let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) else {
            return Ok(None);
        };
        resolve(from, location)
            .map(Some)
            .ok_or_else(|| ClientError::InvalidUrl(format!("failed to parse Location header {location:?}")))
    }

    /// Credentials are added only while the host is the one that was asked for.
    async fn once(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
        with_credentials: bool,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        if with_credentials {
            self.add_credentials(request.headers_mut()).await?;
            if let Some(cloud) = &self.cloud {
                cloud.authorize(method, uri, request.headers_mut(), body).await?;
            }
        }
        if uri.scheme_str() == Some("http")
            && let Some(credentials) = self.proxy.proxy_for(uri).and_then(proxy_credentials)
        {
            insert(request.headers_mut(), PROXY_AUTHORIZATION, &format!("Basic {credentials}"))?;
        }
        if self.settings.connections.are_crowded() {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.pool.request(request).await.map_err(|error| ClientError::Transport(innermost(&error)))
    }

    async fn add_credentials(&self, headers: &mut HeaderMap) -> Result<(), ClientError> {
        for (name, values) in &self.config.headers {
            let name = HeaderName::try_from(name.as_str())
                .map_err(|e| ClientError::Credentials { what: "http_headers", cause: e.to_string() })?;
            let mut all = values.values.clone();
            all.extend(values.secrets.iter().map(|secret| secret.expose().to_owned()));
            for path in &values.files {
                all.push(read_file(path, "http_headers file")?);
            }
            headers.remove(&name);
            for value in all {
                headers.append(name.clone(), header_value(&value)?);
            }
        }
        if headers.contains_key(AUTHORIZATION) {
            return Ok(());
        }
        if let Some(BasicAuth { username, password }) = &self.config.basic_auth {
            let pair =
                format!("{}:{}", read_secret(username, "username")?, read_secret(password, "password")?);
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            insert(headers, AUTHORIZATION, &format!("Basic {encoded}"))?;
        }
        if let Some(Authorization { scheme, credentials }) = &self.config.authorization {
            let credentials = read_secret(credentials, "authorization credentials")?;
            insert(headers, AUTHORIZATION, &format!("{scheme} {credentials}"))?;
        }
        if let Some(tokens) = &self.tokens {
            let (kind, token) = tokens.token().await?;
            insert(headers, AUTHORIZATION, &format!("{kind} {token}"))?;
        }
        Ok(())
    }
}

fn proxy_rules(config: &ProxyConfig, environment: &Environment) -> Result<ProxyRules, ClientError> {
    if config.from_environment {
        return Ok(ProxyRules::from_environment(&*environment.var));
    }
    if config.proxy_url.is_empty() {
        return Ok(ProxyRules::default());
    }
    let uri = parse_proxy_url(&config.proxy_url)
        .ok_or_else(|| ClientError::InvalidUrl(format!("invalid proxy_url {:?}", config.proxy_url)))?;
    Ok(ProxyRules {
        for_http: Some(uri.clone()),
        for_https: Some(uri),
        exempt: parse_no_proxy(&config.no_proxy),
        spares_loopback: !config.no_proxy.is_empty(),
    })
}

/// Reads a body to its end, refusing more than `bytes_max`.
pub async fn read_limited(mut body: Incoming, bytes_max: usize) -> Result<Bytes, ClientError> {
    let mut out = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Transport(innermost(&error)))?;
        if let Some(data) = frame.data_ref() {
            if out.len() + data.len() > bytes_max {
                return Err(ClientError::BodyTooLarge);
            }
            out.extend_from_slice(data);
        }
    }
    Ok(out.freeze())
}

pub(super) fn read_secret(source: &SecretSource, what: &'static str) -> Result<String, ClientError> {
    match source {
        SecretSource::None => Ok(String::new()),
        SecretSource::Inline(secret) => Ok(secret.expose().to_owned()),
        SecretSource::File(path) => read_file(path, what),
        SecretSource::Reference(name) => Err(ClientError::Credentials {
            what,
            cause: format!("no secret manager is configured that knows {name:?}"),
        }),
    }
}

fn read_file(path: &str, what: &'static str) -> Result<String, ClientError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(ClientError::Credentials { what, cause: format!("{path}: {error}") }),
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), ClientError> {
    headers.insert(name, header_value(value)?);
    Ok(())
}

fn header_value(value: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(value)
        .map_err(|e| ClientError::Credentials { what: "header value", cause: e.to_string() })
}

/// An absolute URL from a `Location` that may be relative to `from`.
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let scheme = from.scheme_str()?;
    let authority = from.authority()?;
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}").parse().ok();
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{location}").parse().ok()
}

/// The cause at the bottom of an error chain, where the sentence a person needs is.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use wire_core::http_config::{PemSource, TlsVersion};

    use super::*;

    #[tokio::test]
    async fn tls_files_that_are_missing_fail_requests_and_not_the_client() {
        let environment = Environment { var: Arc::new(|_| None), connections: Connections::within(1024) };
        let mut config = HttpClientConfig::default();
        config.tls.ca = PemSource::File("/nowhere/ca.crt".to_owned());
        let client = HttpClient::new(config.clone(), &environment, None).unwrap();
        for url in ["http://127.0.0.1:1/", "https://127.0.0.1:1/"] {
            let request = Outgoing::get(url.parse().unwrap(), Duration::from_secs(5));
            let error = client.send(request, 100).await.unwrap_err().to_string();
            assert!(error.contains("CA cert /nowhere/ca.crt"), "{url}: {error}");
        }
        config.tls.min_version = Some(TlsVersion::Tls13);
        config.tls.max_version = Some(TlsVersion::Tls12);
        assert!(HttpClient::new(config, &environment, None).is_err(), "no version is left");
    }

    #[test]
    fn locations_resolve_against_the_request() {
        let from: Uri = "http://a:1/x/y?z=1".parse().unwrap();
        for (location, expected) in [
            ("https://b/c", "https://b/c"),
            ("//b/c", "http://b/c"),
            ("/c", "http://a:1/c"),
            ("c", "http://a:1/x/c"),
        ] {
            assert_eq!(resolve(&from, location).unwrap().to_string(), expected);
        }
    }
}
