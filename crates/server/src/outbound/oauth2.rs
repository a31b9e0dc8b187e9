//! OAuth 2 tokens: client credentials (RFC 6749 §4.4) and JWT bearer (RFC 7523), fetched when the
//! last one is about to expire.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, SystemClock};
use base64::Engine as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Uri};
use tokio::sync::Mutex;
use wire_core::http_config::{HttpClientConfig, JwtBearerGrant, OAuth2, OAuth2Grant};

use super::client::{ClientError, Environment, HttpClient, Outgoing, read_secret};
use super::{form_encoded, jwt};

/// A token is renewed this long before it expires.
const RENEW_BEFORE_MS: i64 = 10_000;
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
const TOKEN_BODY_BYTES_MAX: usize = 1 << 20;
const JWT_LIFETIME_S: i64 = 3600;

/// Fetches and keeps the token of one client.
#[derive(Debug)]
pub(super) struct TokenSource {
    config: OAuth2,
    client: Box<HttpClient>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    kind: String,
    value: String,
    /// 0 when the server named no lifetime: kept for ever.
    expires_ms: i64,
    /// The secret it was obtained with; a rotated secret asks anew.
    secret: String,
}

impl TokenSource {
    pub(super) fn new(config: OAuth2, environment: &Environment) -> Result<Self, ClientError> {
        let client_config = HttpClientConfig {
            tls: config.tls.clone(),
            proxy: config.proxy.clone(),
            ..HttpClientConfig::default()
        };
        let client = Box::new(HttpClient::new(client_config, environment, None)?);
        Ok(Self { config, client, clock: Arc::new(SystemClock::new()), current: Mutex::new(None) })
    }

    /// `(type, token)`, the type as it goes into the header.
    pub(super) async fn token(&self) -> Result<(String, String), ClientError> {
        let secret = match &self.config.grant {
            OAuth2Grant::ClientCredentials { client_secret } => {
                read_secret(client_secret, "oauth2 client secret")?
            }
            OAuth2Grant::JwtBearer(grant) => read_secret(&grant.certificate_key, "oauth2 certificate key")?,
        };
        let mut current = self.current.lock().await;
        let now_ms = self.clock.now_ms();
        let valid =
            |t: &&Token| t.secret == secret && (t.expires_ms == 0 || now_ms < t.expires_ms - RENEW_BEFORE_MS);
        if let Some(token) = current.as_ref().filter(valid) {
            return Ok((token.kind.clone(), token.value.clone()));
        }
        let fresh = self.fetch(secret, now_ms).await?;
        let answer = (fresh.kind.clone(), fresh.value.clone());
        *current = Some(fresh);
        Ok(answer)
    }

    async fn fetch(&self, secret: String, now_ms: i64) -> Result<Token, ClientError> {
        let uri: Uri = self.config.token_url.parse().map_err(|_| {
            ClientError::InvalidUrl(format!("invalid oauth2 token_url {:?}", self.config.token_url))
        })?;
        let mut form: Vec<(String, String)> = Vec::new();
        let mut basic = None;
        match &self.config.grant {
            OAuth2Grant::ClientCredentials { .. } => {
                form.push(("grant_type".to_owned(), "client_credentials".to_owned()));
                let pair = format!("{}:{}", form_encoded(&self.config.client_id), form_encoded(&secret));
                basic = Some(base64::engine::general_purpose::STANDARD.encode(pair));
            }
            OAuth2Grant::JwtBearer(grant) => {
                form.push((
                    "grant_type".to_owned(),
                    "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
                ));
                form.push(("assertion".to_owned(), self.assertion(grant, &secret, now_ms / 1000)?));
            }
        }
        if !self.config.scopes.is_empty() {
            form.push(("scope".to_owned(), self.config.scopes.join(" ")));
        }
        form.extend(self.config.endpoint_params.iter().map(|(k, v)| (k.clone(), v.clone())));
        let body: Vec<String> =
            form.iter().map(|(k, v)| format!("{}={}", form_encoded(k), form_encoded(v))).collect();

        let mut request = Outgoing::post(uri, Bytes::from(body.join("&")), TOKEN_TIMEOUT);
        request.method = Method::POST;
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(CONTENT_TYPE, form_type);
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(basic) = basic {
            let value =
                HeaderValue::from_str(&format!("Basic {basic}")).expect("base64 is a valid header value");
            request.headers.insert(AUTHORIZATION, value);
        }
        let answer = Box::pin(self.client.send(request, TOKEN_BODY_BYTES_MAX)).await?;
        if !answer.status.is_success() {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(ClientError::OAuth2(format!(
                "cannot fetch token: {}\nResponse: {body}",
                answer.status
            )));
        }
        parse_token(&answer.body, secret, now_ms)
    }

    /// A signed JWT that asserts who we are.
    fn assertion(&self, grant: &JwtBearerGrant, key_pem: &str, now_s: i64) -> Result<String, ClientError> {
        let invalid = |cause: String| ClientError::OAuth2(format!("jwt-bearer: {cause}"));
        let or =
            |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let mut header = serde_json::json!({
            "alg": or(&grant.signature_algorithm, "RS256"),
            "typ": "JWT",
        });
        if !grant.certificate_key_id.is_empty() {
            header["kid"] = grant.certificate_key_id.clone().into();
        }
        let mut claims = serde_json::json!({
            "iss": or(&grant.issuer, &self.config.client_id),
            "sub": self.config.client_id,
            "aud": or(&grant.audience, &self.config.token_url),
            "iat": now_s,
            "exp": now_s + JWT_LIFETIME_S,
        });
        if !self.config.scopes.is_empty() {
            claims["scope"] = self.config.scopes.join(" ").into();
        }
        for (name, text) in &grant.claims_json {
            claims[name] = serde_json::from_str(text).map_err(|e| invalid(format!("claim {name}: {e}")))?;
        }
        jwt::sign(key_pem, &header, &claims).map_err(invalid)
    }
}

fn parse_token(body: &[u8], secret: String, now_ms: i64) -> Result<Token, ClientError> {
    let json: serde_json::Value =
        serde_json::from_slice(body).map_err(|e| ClientError::OAuth2(format!("cannot parse json: {e}")))?;
    let value = json["access_token"].as_str().filter(|text| !text.is_empty());
    let Some(value) = value else {
        return Err(ClientError::OAuth2("server response missing access_token".to_owned()));
    };
    // Some servers send the lifetime as a string.
    let lifetime_s =
        json["expires_in"].as_i64().or_else(|| json["expires_in"].as_str()?.parse().ok()).unwrap_or(0);
    let kind = match json["token_type"].as_str().unwrap_or("").to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer".to_owned(),
        "mac" => "MAC".to_owned(),
        "basic" => "Basic".to_owned(),
        _ => json["token_type"].as_str().unwrap_or("Bearer").to_owned(),
    };
    let expires_ms = if lifetime_s > 0 { now_ms + lifetime_s * 1000 } else { 0 };
    Ok(Token { kind, value: value.to_owned(), expires_ms, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_answers_parse() {
        let token =
            parse_token(br#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#, String::new(), 5);
        let token = token.unwrap();
        assert_eq!((token.kind.as_str(), token.value.as_str(), token.expires_ms), ("Bearer", "t", 60_005));
        assert!(parse_token(br#"{"error":"no"}"#, String::new(), 5).is_err());
        assert!(parse_token(b"<html>", String::new(), 5).is_err());
        assert_eq!(form_encoded("a b&c/é"), "a+b%26c%2F%C3%A9");
    }
}
