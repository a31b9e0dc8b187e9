//! Tokens of Azure, by the ways that upstream's configuration names.
//!
//! Not done: certificates in PFX files, and in `sdk` the command line tools of developers, which come
//! last in its order. Managed identities are those of virtual machines and of App Service.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wire_core::http_config::{AzureAd, AzureCloud, AzureMethod, Secret};

use super::{Cached, Web, failed, parse_token};
use crate::outbound::client::ClientError;
use crate::outbound::jwt;

/// How long an assertion that a certificate signs is good for.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(600);

const JWT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where the token is that Kubernetes projects, unless the configuration or the environment says.
const PROJECTED_TOKEN: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// Addresses that are the same everywhere in Azure.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    /// Replaces the cloud's own, where it is not empty.
    authority: String,
    machine: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { authority: String::new(), machine: "http://169.254.169.254".to_owned() }
    }
}

/// Fetches and keeps the token of one client.
#[derive(Debug)]
pub(super) struct AzureTokens {
    config: AzureAd,
    web: Web,
    endpoints: Endpoints,
    current: Cached<String>,
}

impl AzureTokens {
    pub(super) fn new(config: AzureAd, web: Web, endpoints: Endpoints) -> Self {
        Self { config, web, endpoints, current: Cached::new() }
    }

    pub(super) async fn token(&self) -> Result<String, ClientError> {
        let now_ms = self.web.clock.now_ms();
        let fetch = async {
            let (token, lifetime_s) =
                self.fetch().await.map_err(|e| failed(format!("Failed to get access token: {e}")))?;
            // As upstream, at half of its life.
            Ok((token, now_ms.saturating_add(lifetime_s.saturating_mul(500))))
        };
        self.current.get(now_ms, fetch).await
    }

    fn scope(&self) -> &str {
        match (self.config.scope.as_str(), self.config.cloud) {
            ("", AzureCloud::Public) => "https://monitor.azure.com//.default",
            ("", AzureCloud::Government) => "https://monitor.azure.us//.default",
            ("", AzureCloud::China) => "https://monitor.azure.cn//.default",
            (scope, _) => scope,
        }
    }

    fn token_url(&self, tenant: &str) -> String {
        let authority = match (self.endpoints.authority.as_str(), self.config.cloud) {
            ("", AzureCloud::Public) => "https://login.microsoftonline.com",
            ("", AzureCloud::Government) => "https://login.microsoftonline.us",
            ("", AzureCloud::China) => "https://login.chinacloudapi.cn",
            (authority, _) => authority,
        };
        format!("{authority}/{tenant}/oauth2/v2.0/token")
    }

    async fn fetch(&self) -> Result<(String, i64), ClientError> {
        match &self.config.method {
            AzureMethod::ManagedIdentity { client_id } => self.managed_identity(client_id).await,
            AzureMethod::WorkloadIdentity { client_id, tenant_id, token_file } => {
                self.workload_identity(client_id, tenant_id, token_file).await
            }
            AzureMethod::OAuth { client_id, client_secret, tenant_id } => {
                self.by_secret(client_id, client_secret, tenant_id).await
            }
            AzureMethod::Certificate { client_id, tenant_id, certificate, key, password, send_chain } => {
                if !password.is_empty() {
                    return Err(failed("certificates with a password are not supported"));
                }
                let certificate = Certificate { certificate, key, send_chain: *send_chain };
                self.by_certificate(client_id, tenant_id, certificate).await
            }
            AzureMethod::Sdk { tenant_id } => self.by_environment(tenant_id).await,
        }
    }

    async fn by_secret(
        &self,
        client: &str,
        secret: &Secret,
        tenant: &str,
    ) -> Result<(String, i64), ClientError> {
        self.by_credentials(client, tenant, &[("client_secret", secret.expose())]).await
    }

    async fn by_credentials(
        &self,
        client: &str,
        tenant: &str,
        proof: &[(&str, &str)],
    ) -> Result<(String, i64), ClientError> {
        let mut form =
            vec![("client_id", client), ("grant_type", "client_credentials"), ("scope", self.scope())];
        form.extend(proof);
        parse_token(&self.web.post_form(&self.token_url(tenant), &form).await?)
    }

    async fn workload_identity(
        &self,
        client: &str,
        tenant: &str,
        file: &str,
    ) -> Result<(String, i64), ClientError> {
        let projected =
            || self.web.var("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_else(|| PROJECTED_TOKEN.to_owned());
        let file = if file.is_empty() { projected() } else { file.to_owned() };
        let assertion = Web::read(&file)?;
        let proof = [("client_assertion", assertion.trim()), ("client_assertion_type", JWT_ASSERTION)];
        self.by_credentials(client, tenant, &proof).await
    }

    async fn by_certificate(
        &self,
        client: &str,
        tenant: &str,
        files: Certificate<'_>,
    ) -> Result<(String, i64), ClientError> {
        let certificate = Web::read(files.certificate)?;
        let key = if files.key.is_empty() { certificate.clone() } else { Web::read(files.key)? };
        let chain: Vec<CertificateDer<'_>> =
            CertificateDer::pem_slice_iter(certificate.as_bytes()).flatten().collect();
        let first =
            chain.first().ok_or_else(|| failed("failed to parse certificate data: no certificate in it"))?;
        let thumbprint = digest::digest(&digest::SHA256, first);
        let mut header = serde_json::json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint.as_ref()),
        });
        if files.send_chain {
            header["x5c"] = chain.iter().map(|one| STANDARD.encode(one)).collect();
        }
        let now_s = self.web.clock.now_ms() / 1000;
        let claims = serde_json::json!({
            "aud": self.token_url(tenant),
            "exp": now_s + ASSERTION_LIFETIME.as_secs().cast_signed(),
            "iss": client,
            "jti": random_uuid()?,
            "nbf": now_s,
            "sub": client,
        });
        let assertion = jwt::sign(&key, &header, &claims).map_err(|e| failed(format!("certificate: {e}")))?;
        let proof = [("client_assertion", assertion.as_str()), ("client_assertion_type", JWT_ASSERTION)];
        self.by_credentials(client, tenant, &proof).await
    }

    /// The agent of App Service where there is one, else that of virtual machines.
    async fn managed_identity(&self, client: &str) -> Result<(String, i64), ClientError> {
        let resource = self.scope().strip_suffix("/.default").unwrap_or(self.scope());
        let app_service = self.web.var("IDENTITY_ENDPOINT").zip(self.web.var("IDENTITY_HEADER"));
        let (url, version, header) = match &app_service {
            Some((url, secret)) => (url.clone(), "2019-08-01", ("x-identity-header", secret.as_str())),
            None => {
                let url = format!("{}/metadata/identity/oauth2/token", self.endpoints.machine);
                (url, "2018-02-01", ("metadata", "true"))
            }
        };
        let mut query = vec![("api-version", version), ("resource", resource)];
        if !client.is_empty() {
            query.push(("client_id", client));
        }
        let text = self.web.get(&format!("{url}?{}", super::form_text(&query)), &[header]).await?;
        if app_service.is_none() {
            return parse_token(&text);
        }
        // App Service names the time of expiry, in seconds since 1970.
        let mut json: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| failed(format!("cannot parse json: {e}")))?;
        let expires_s = json["expires_on"].as_i64().or_else(|| json["expires_on"].as_str()?.parse().ok());
        if let Some(expires_s) = expires_s {
            json["expires_in"] = (expires_s - self.web.clock.now_ms() / 1000).into();
        }
        parse_token(&json.to_string())
    }

    /// The order of the SDK's default: what the environment names, a workload identity, a managed one.
    async fn by_environment(&self, tenant: &str) -> Result<(String, i64), ClientError> {
        let var = |name: &str| self.web.var(name).unwrap_or_default();
        let (client, own_tenant) = (var("AZURE_CLIENT_ID"), var("AZURE_TENANT_ID"));
        let certificate = var("AZURE_CLIENT_CERTIFICATE_PATH");
        if !client.is_empty() && !own_tenant.is_empty() {
            if let Some(secret) = self.web.var("AZURE_CLIENT_SECRET") {
                return self.by_secret(&client, &Secret::new(secret), &own_tenant).await;
            }
            if !certificate.is_empty() {
                let files = Certificate { certificate: &certificate, key: "", send_chain: false };
                return self.by_certificate(&client, &own_tenant, files).await;
            }
            if let Some(file) = self.web.var("AZURE_FEDERATED_TOKEN_FILE") {
                let tenant = if tenant.is_empty() { &own_tenant } else { tenant };
                return self.workload_identity(&client, tenant, &file).await;
            }
        }
        self.managed_identity(&client).await
    }
}

struct Certificate<'a> {
    certificate: &'a str,
    key: &'a str,
    send_chain: bool,
}

fn random_uuid() -> Result<String, ClientError> {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| failed("the system has no random numbers"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
impl Endpoints {
    pub(super) fn all_at(url: &str) -> Self {
        Self { authority: url.to_owned(), machine: url.to_owned() }
    }
}
