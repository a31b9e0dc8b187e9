//! Credentials of clouds: AWS signatures, and bearer tokens of Azure and Google.
//!
//! Tokens are fetched when a request needs one, kept, and fetched anew before they expire.

mod aws;
mod azure;
mod google;
mod sigv4;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, SystemClock};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use tokio::sync::Mutex;
use wire_core::http_config::{CloudAuth, HttpClientConfig, ProxyConfig};

use super::client::{ClientError, Environment, HttpClient, Outgoing};
use super::form_encoded;
use aws::AwsSigner;
use azure::AzureTokens;
use google::GoogleTokens;

/// The longest that a token or a set of keys may take to be fetched.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of an answer with a token.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Authorizes the requests of one client.
#[derive(Debug)]
pub(super) struct CloudSigner(Signer);

#[derive(Debug)]
enum Signer {
    Aws(Box<AwsSigner>),
    Azure(Box<AzureTokens>),
    Google(Box<GoogleTokens>),
}

impl CloudSigner {
    pub(super) fn new(config: &CloudAuth, environment: &Environment) -> Result<Self, ClientError> {
        let web = Web::new(environment)?;
        Ok(Self(match config {
            CloudAuth::SigV4(sigv4) => Signer::Aws(Box::new(AwsSigner::new(sigv4.clone(), web)?)),
            CloudAuth::AzureAd(azure) => {
                let endpoints = azure::Endpoints::default();
                Signer::Azure(Box::new(AzureTokens::new(azure.clone(), web, endpoints)))
            }
            CloudAuth::GoogleIam(google) => Signer::Google(Box::new(GoogleTokens::new(google.clone(), web))),
        }))
    }

    /// Adds what proves who asks; called when all other headers are there.
    pub(super) async fn authorize(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), ClientError> {
        let token = match &self.0 {
            Signer::Aws(signer) => return signer.authorize(method, uri, headers, body).await,
            Signer::Azure(tokens) => tokens.token().await?,
            Signer::Google(tokens) => tokens.token().await?,
        };
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        headers.insert(AUTHORIZATION, value.map_err(|e| failed(format!("the token is no header: {e}")))?);
        Ok(())
    }
}

fn failed(cause: impl Into<String>) -> ClientError {
    ClientError::Cloud(cause.into())
}

/// A value that expires, fetched by one request while the others wait.
#[derive(Debug)]
struct Cached<T>(Mutex<Option<(T, i64)>>);

impl<T: Clone> Cached<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// `fetch` gives a value and until when it is to be used, in milliseconds.
    async fn get(
        &self,
        now_ms: i64,
        fetch: impl Future<Output = Result<(T, i64), ClientError>>,
    ) -> Result<T, ClientError> {
        let mut kept = self.0.lock().await;
        if let Some((value, until_ms)) = &*kept
            && now_ms < *until_ms
        {
            return Ok(value.clone());
        }
        let fresh = fetch.await?;
        let value = fresh.0.clone();
        *kept = Some(fresh);
        Ok(value)
    }
}

/// What fetching needs: a client of its own, variables, files and the time.
#[derive(Debug)]
struct Web {
    client: Box<HttpClient>,
    environment: Environment,
    clock: Arc<dyn Clock>,
}

impl Web {
    fn new(environment: &Environment) -> Result<Self, ClientError> {
        let proxy = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
        let config = HttpClientConfig { proxy, follow_redirects: false, ..HttpClientConfig::default() };
        let client = Box::new(HttpClient::new(config, environment, None)?);
        Ok(Self { client, environment: environment.clone(), clock: Arc::new(SystemClock::new()) })
    }

    /// A variable that is set and not empty.
    fn var(&self, name: &str) -> Option<String> {
        (self.environment.var)(name).filter(|value| !value.is_empty())
    }

    /// The first of these variables that is set.
    fn first_var(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.var(name))
    }

    async fn get(&self, url: &str, headers: &[(&'static str, &str)]) -> Result<String, ClientError> {
        self.send(Method::GET, url, headers, String::new()).await
    }

    async fn post_form(&self, url: &str, pairs: &[(&str, &str)]) -> Result<String, ClientError> {
        let form = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        self.send(Method::POST, url, &form.map(|(_, value)| ("content-type", value)), form_text(pairs)).await
    }

    /// The body of a successful answer.
    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<String, ClientError> {
        let uri: Uri = url.parse().map_err(|_| ClientError::InvalidUrl(format!("invalid URL {url:?}")))?;
        let mut request = Outgoing::post(uri, Bytes::from(body), FETCH_TIMEOUT);
        request.method = method;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|e| failed(format!("header {name}: {e}")))?;
            request.headers.insert(HeaderName::from_static(name), value);
        }
        self.send_request(request).await
    }

    async fn send_request(&self, request: Outgoing) -> Result<String, ClientError> {
        let shown = format!("{} {}", request.method, request.uri);
        let answer = Box::pin(self.client.send(request, ANSWER_BYTES_MAX)).await;
        let answer = answer.map_err(|e| failed(format!("{shown}: {e}")))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status.is_success() {
            Ok(text)
        } else {
            Err(failed(format!("{shown}: {}: {text}", answer.status)))
        }
    }

    fn read(path: &str) -> Result<String, ClientError> {
        std::fs::read_to_string(path).map_err(|e| failed(format!("{path}: {e}")))
    }
}

fn form_text(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", form_encoded(name), form_encoded(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A token and its lifetime in seconds from an OAuth 2 answer; some servers send the number as a text.
fn parse_token(text: &str) -> Result<(String, i64), ClientError> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|e| failed(format!("cannot parse json: {e}")))?;
    let token = json["access_token"].as_str().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| failed("access token is empty"))?.to_owned();
    let lifetime = &json["expires_in"];
    let lifetime_s = lifetime.as_i64().or_else(|| lifetime.as_str()?.parse().ok());
    let lifetime_s = lifetime_s.filter(|seconds| *seconds > 0);
    Ok((token, lifetime_s.ok_or_else(|| failed("access token expiry is less than the current time"))?))
}

#[cfg(test)]
mod tests;
