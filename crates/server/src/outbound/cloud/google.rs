//! Tokens of Google, for writing metrics: from a service account's key, or by default credentials.
//!
//! Not done: default credentials of other clouds (`external_account`) and of impersonation.

use serde_json::Value;
use wire_core::http_config::GoogleIam;

use super::{Cached, Web, failed, parse_token};
use crate::outbound::client::ClientError;
use crate::outbound::jwt;

const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const JWT_LIFETIME_S: i64 = 3600;
/// A token is fetched anew this long before it expires, as Google's library does.
const RENEW_BEFORE_S: i64 = 225;
/// Kinds of default credentials.
const SUPPORTED: [&str; 2] = ["service_account", "authorized_user"];
const METADATA_HOST: &str = "169.254.169.254";

/// Fetches and keeps the token of one client.
#[derive(Debug)]
pub(super) struct GoogleTokens {
    config: GoogleIam,
    web: Web,
    current: Cached<String>,
}

impl GoogleTokens {
    /// Says at once which credentials will not do.
    pub(super) fn new(config: GoogleIam, web: Web) -> Self {
        let tokens = Self { config, web, current: Cached::new() };
        if tokens.config.credentials_file.is_empty()
            && let Some(file) = tokens.default_file()
            && let Ok(found) = read_json(&file)
            && !SUPPORTED.contains(&found["type"].as_str().unwrap_or_default())
        {
            let kind = found["type"].to_string();
            tracing::warn!(file, kind, "default credentials of this kind are not supported");
        }
        tokens
    }

    /// The file of the default credentials, where there is one.
    fn default_file(&self) -> Option<String> {
        let home = self.web.var("HOME").unwrap_or_default();
        let well_known = format!("{home}/.config/gcloud/application_default_credentials.json");
        let named = self.web.var("GOOGLE_APPLICATION_CREDENTIALS");
        named.or_else(|| std::fs::exists(&well_known).unwrap_or(false).then_some(well_known))
    }

    pub(super) async fn token(&self) -> Result<String, ClientError> {
        let now_ms = self.web.clock.now_ms();
        let fetch = async {
            let (token, lifetime_s) = self.fetch(now_ms / 1000).await?;
            Ok((token, now_ms.saturating_add((lifetime_s - RENEW_BEFORE_S).saturating_mul(1000))))
        };
        self.current.get(now_ms, fetch).await
    }

    async fn fetch(&self, now_s: i64) -> Result<(String, i64), ClientError> {
        if !self.config.credentials_file.is_empty() {
            let key = read_json(&self.config.credentials_file)?;
            if key["type"] != "service_account" {
                return Err(failed(format!(
                    "credentials type is {}, expected \"service_account\"",
                    key["type"]
                )));
            }
            return self.by_service_account(&key, now_s).await;
        }
        let Some(file) = self.default_file() else { return self.by_metadata().await };
        let found = read_json(&file)?;
        match found["type"].as_str() {
            Some("service_account") => self.by_service_account(&found, now_s).await,
            Some("authorized_user") => self.by_refresh_token(&found).await,
            other => Err(failed(format!("{file}: credentials of type {other:?} are not supported"))),
        }
    }

    async fn by_service_account(&self, key: &Value, now_s: i64) -> Result<(String, i64), ClientError> {
        let token_url = key["token_uri"].as_str().filter(|url| !url.is_empty()).unwrap_or(TOKEN_URL);
        let mut header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = key["private_key_id"].as_str().filter(|id| !id.is_empty()) {
            header["kid"] = id.into();
        }
        let claims = serde_json::json!({
            "iss": needed(key, "client_email")?,
            "scope": SCOPE,
            "aud": token_url,
            "iat": now_s,
            "exp": now_s + JWT_LIFETIME_S,
        });
        let assertion = jwt::sign(needed(key, "private_key")?, &header, &claims)
            .map_err(|e| failed(format!("private_key: {e}")))?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        parse_token(&self.web.post_form(token_url, &form).await?)
    }

    async fn by_refresh_token(&self, user: &Value) -> Result<(String, i64), ClientError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", needed(user, "client_id")?),
            ("client_secret", needed(user, "client_secret")?),
            ("refresh_token", needed(user, "refresh_token")?),
        ];
        let token_url = user["token_uri"].as_str().unwrap_or(TOKEN_URL);
        parse_token(&self.web.post_form(token_url, &form).await?)
    }

    async fn by_metadata(&self) -> Result<(String, i64), ClientError> {
        let host = self.web.var("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.to_owned());
        let query = super::form_text(&[("scopes", SCOPE)]);
        let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token?{query}");
        let answer = self.web.get(&url, &[("metadata-flavor", "Google")]).await;
        parse_token(&answer.map_err(|e| failed(format!("error finding default Google credentials: {e}")))?)
    }
}

fn read_json(path: &str) -> Result<Value, ClientError> {
    serde_json::from_str(&Web::read(path)?).map_err(|e| failed(format!("{path}: {e}")))
}

fn needed<'a>(json: &'a Value, name: &str) -> Result<&'a str, ClientError> {
    json[name].as_str().ok_or_else(|| failed(format!("the credentials have no {name}")))
}
