//! Where AWS keys come from, in the order of the SDK that upstream uses: configuration, environment,
//! web identity, profile, container, machine. Then, where configured, a role that is assumed with them.
//!
//! Not done: keys by single sign-on and by an external process. A profile that asks for them is an error
//! that says so.

mod profile;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Uri};
use jiff::Timestamp;
use wire_core::http_config::{Secret, SigV4};

use super::sigv4::{AwsKeys, Scope, sign};
use super::{Cached, FETCH_TIMEOUT, Web, failed, form_text};
use crate::outbound::client::{ClientError, Outgoing};
use profile::{Profile, Profiles};

/// Keys are fetched anew this long before they expire.
const RENEW_BEFORE_MS: i64 = 30_000;

/// How long keys of an assumed role are good for, as the SDK asks.
const ROLE_LIFETIME_S: &str = "900";

/// Profiles that name each other as their source are followed this far.
const PROFILE_CHAIN_MAX: usize = 8;

const STS_VERSION: &str = "2011-06-15";
const MACHINE_METADATA: &str = "http://169.254.169.254";
const CONTAINER_HOST: &str = "http://169.254.170.2";
const MACHINE_TOKEN_TTL_S: &str = "21600";

/// Plain HTTP may carry keys to these only: the machine itself, and the agents of ECS and EKS.
const CONTAINER_HOSTS: [&str; 6] =
    ["127.0.0.1", "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// The service of Prometheus's managed storage, unless another is configured.
const SERVICE_DEFAULT: &str = "aps";

/// Signs the requests of one client.
#[derive(Debug)]
pub(super) struct AwsSigner {
    config: SigV4,
    web: Web,
    region: String,
    keys: Cached<AwsKeys>,
    role_keys: Cached<AwsKeys>,
}

/// Keys, and when they expire if they do.
type Fetched = (AwsKeys, Option<i64>);

impl AwsSigner {
    /// Reads the profile for its region. Keys are looked for when they are needed.
    pub(super) fn new(config: SigV4, web: Web) -> Result<Self, ClientError> {
        let profiles = Profiles::new(&web, &config.profile);
        let region = [config.region.clone()]
            .into_iter()
            .find(|region| !region.is_empty())
            .or_else(|| web.first_var(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
            .or_else(|| profiles.load().ok()?.selected().region.clone());
        let region =
            region.ok_or_else(|| failed("region not configured in sigv4 or in default credentials chain"))?;
        if config.access_key.is_empty()
            && let Some(way) = profiles.load().ok().and_then(|file| file.selected().unsupported())
        {
            tracing::warn!(
                profile = profiles.selected,
                way,
                "this profile gets its AWS keys in a way that is not supported"
            );
        }
        Ok(Self { config, web, region, keys: Cached::new(), role_keys: Cached::new() })
    }

    pub(super) async fn authorize(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), ClientError> {
        let keys = self.keys().await.map_err(|e| failed(format!("error retrieving credentials: {e}")))?;
        let service =
            if self.config.service_name.is_empty() { SERVICE_DEFAULT } else { &self.config.service_name };
        let scope = Scope { region: &self.region, service, now_ms: self.web.clock.now_ms() };
        sign(method, uri, headers, body, &keys, scope)
            .map_err(|e| failed(format!("failed to sign request: {e}")))
    }

    async fn keys(&self) -> Result<AwsKeys, ClientError> {
        let now_ms = self.web.clock.now_ms();
        if self.config.role_arn.is_empty() {
            return self.keys.get(now_ms, async { Ok(until(self.own_keys().await?)) }).await;
        }
        let fetch = async {
            let own = self.keys.get(now_ms, async { Ok(until(self.own_keys().await?)) }).await?;
            let (role, external) = (&self.config.role_arn, &self.config.external_id);
            Ok(until(self.assume(&own, role, external, "").await?))
        };
        self.role_keys.get(now_ms, fetch).await
    }

    async fn own_keys(&self) -> Result<Fetched, ClientError> {
        let SigV4 { access_key, secret_key, profile, .. } = &self.config;
        if !access_key.is_empty() {
            let keys = AwsKeys {
                access_key: access_key.clone(),
                secret_key: secret_key.clone(),
                session_token: Secret::default(),
            };
            return Ok((keys, None));
        }
        if profile.is_empty() {
            if let Some(keys) = self.environment_keys() {
                return Ok((keys, None));
            }
            if let Some(file) = self.web.var("AWS_WEB_IDENTITY_TOKEN_FILE") {
                let role = self.web.var("AWS_ROLE_ARN").ok_or_else(|| failed("role ARN is not set"))?;
                let session = self.web.var("AWS_ROLE_SESSION_NAME").unwrap_or_default();
                return self.assume_by_token(&file, &role, &session).await;
            }
        }
        let profiles = Profiles::new(&self.web, profile).load()?;
        self.profile_keys(profiles.selected(), &profiles, 0).await
    }

    fn environment_keys(&self) -> Option<AwsKeys> {
        Some(AwsKeys {
            access_key: self.web.first_var(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?,
            secret_key: Secret::new(self.web.first_var(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?),
            session_token: Secret::new(self.web.var("AWS_SESSION_TOKEN").unwrap_or_default()),
        })
    }

    async fn profile_keys(
        &self,
        profile: &Profile,
        all: &profile::Loaded,
        depth: usize,
    ) -> Result<Fetched, ClientError> {
        if let Some(way) = profile.unsupported() {
            return Err(failed(format!("the profile gets its keys by {way}, which is not supported")));
        }
        let own = if let Some(source) = profile.source_profile.as_ref().filter(|_| profile.role_arn.is_some())
        {
            if depth == PROFILE_CHAIN_MAX {
                return Err(failed(format!(
                    "more than {PROFILE_CHAIN_MAX} profiles name each other as source"
                )));
            }
            let source =
                all.named(source).ok_or_else(|| failed(format!("there is no profile {source:?}")))?;
            if std::ptr::eq(source, profile) {
                (profile.keys.clone().ok_or_else(|| failed("the profile has no keys"))?, None)
            } else {
                Box::pin(self.profile_keys(source, all, depth + 1)).await?
            }
        } else if let Some(keys) = &profile.keys {
            (keys.clone(), None)
        } else if let Some(source) = &profile.credential_source {
            match source.as_str() {
                "Environment" => (
                    self.environment_keys().ok_or_else(|| failed("there are no keys in the environment"))?,
                    None,
                ),
                "Ec2InstanceMetadata" => self.machine_keys().await?,
                "EcsContainer" => {
                    self.container_keys().await?.ok_or_else(|| failed("this is no container"))?
                }
                other => return Err(failed(format!("unknown credential_source {other:?}"))),
            }
        } else if let Some(file) = &profile.web_identity_token_file {
            let role = profile.role_arn.as_deref().ok_or_else(|| failed("role ARN is not set"))?;
            return self
                .assume_by_token(file, role, profile.role_session_name.as_deref().unwrap_or(""))
                .await;
        } else if let Some(keys) = self.container_keys().await? {
            keys
        } else {
            self.machine_keys().await?
        };
        match &profile.role_arn {
            Some(role) => {
                let external = profile.external_id.as_deref().unwrap_or("");
                self.assume(&own.0, role, external, profile.role_session_name.as_deref().unwrap_or("")).await
            }
            None => Ok(own),
        }
    }

    fn sts_url(&self) -> String {
        let region = &self.region;
        let of_region = || {
            let fips = if self.config.use_fips_sts_endpoint { "-fips" } else { "" };
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://sts{fips}.{region}.amazonaws.com{china}")
        };
        self.web.first_var(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"]).unwrap_or_else(of_region)
    }

    fn session_name(&self, configured: &str) -> String {
        if configured.is_empty() {
            format!("sextant-{}", self.web.clock.now_ms())
        } else {
            configured.to_owned()
        }
    }

    async fn assume(
        &self,
        own: &AwsKeys,
        role: &str,
        external_id: &str,
        session: &str,
    ) -> Result<Fetched, ClientError> {
        let session = self.session_name(session);
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("DurationSeconds", ROLE_LIFETIME_S),
            ("RoleArn", role),
            ("RoleSessionName", &session),
            ("Version", STS_VERSION),
        ];
        if !external_id.is_empty() {
            form.push(("ExternalId", external_id));
        }
        let body = form_text(&form);
        let url = self.sts_url();
        let uri: Uri = url.parse().map_err(|_| ClientError::InvalidUrl(format!("invalid URL {url:?}")))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let scope = Scope { region: &self.region, service: "sts", now_ms: self.web.clock.now_ms() };
        sign(&Method::POST, &uri, &mut headers, body.as_bytes(), own, scope).map_err(failed)?;
        let mut request = Outgoing::post(uri, body.into(), FETCH_TIMEOUT);
        request.headers = headers;
        parse_sts(&self.web.send_request(request).await?)
    }

    async fn assume_by_token(&self, file: &str, role: &str, session: &str) -> Result<Fetched, ClientError> {
        let token = Web::read(file)?;
        let session = self.session_name(session);
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", role),
            ("RoleSessionName", &session),
            ("Version", STS_VERSION),
            ("WebIdentityToken", token.trim()),
        ];
        parse_sts(&self.web.post_form(&self.sts_url(), &form).await?)
    }

    /// `None` outside of containers.
    async fn container_keys(&self) -> Result<Option<Fetched>, ClientError> {
        let url = match self.web.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            Some(path) => format!("{CONTAINER_HOST}{path}"),
            None => match self.web.var("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
                Some(url) => url,
                None => return Ok(None),
            },
        };
        let uri: Uri = url.parse().map_err(|_| ClientError::InvalidUrl(format!("invalid URL {url:?}")))?;
        if uri.scheme_str() != Some("https") && !CONTAINER_HOSTS.contains(&uri.host().unwrap_or_default()) {
            return Err(failed(format!("{url}: keys are not fetched over plain HTTP from elsewhere")));
        }
        let token = match self.web.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(Web::read(&file)?.trim().to_owned()),
            None => self.web.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let headers: Vec<(&str, &str)> =
            token.iter().map(|token| ("authorization", token.as_str())).collect();
        debug_assert_eq!(AUTHORIZATION.as_str(), "authorization");
        parse_agent(&self.web.get(&url, &headers).await?).map(Some)
    }

    /// The role of the machine, by version 2 of its metadata service.
    async fn machine_keys(&self) -> Result<Fetched, ClientError> {
        if self.web.var("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(failed("no keys were found, and asking the machine's metadata is disabled"));
        }
        let base = self.web.var("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.as_deref().unwrap_or(MACHINE_METADATA).trim_end_matches('/');
        let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", MACHINE_TOKEN_TTL_S)];
        let token =
            self.web.send(Method::PUT, &format!("{base}/latest/api/token"), &ttl, String::new()).await?;
        let headers = [("x-aws-ec2-metadata-token", token.trim())];
        let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
        let listed = self.web.get(&roles, &headers).await?;
        let role = listed.lines().next().unwrap_or_default().trim();
        if role.is_empty() {
            return Err(failed("the machine has no role"));
        }
        parse_agent(&self.web.get(&format!("{roles}{role}"), &headers).await?)
    }
}

/// Until when keys are used.
fn until((keys, expires_ms): Fetched) -> (AwsKeys, i64) {
    (keys, expires_ms.map_or(i64::MAX, |at_ms| at_ms - RENEW_BEFORE_MS))
}

fn instant_ms(text: &str) -> Result<i64, ClientError> {
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|e| failed(format!("expiration {text:?}: {e}")))
}

/// What the agents of containers and machines answer.
fn parse_agent(text: &str) -> Result<Fetched, ClientError> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|e| failed(format!("cannot parse json: {e}")))?;
    let code = json["Code"].as_str().unwrap_or("Success");
    if !code.eq_ignore_ascii_case("success") {
        return Err(failed(format!("{code}: {}", json["Message"].as_str().unwrap_or_default())));
    }
    let field = |name: &str| {
        let value = json[name].as_str().filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or_else(|| failed(format!("the answer has no {name}")))
    };
    let keys = AwsKeys {
        access_key: field("AccessKeyId")?,
        secret_key: Secret::new(field("SecretAccessKey")?),
        session_token: Secret::new(json["Token"].as_str().unwrap_or_default()),
    };
    let expires_ms = json["Expiration"].as_str().map(instant_ms).transpose()?;
    Ok((keys, expires_ms))
}

/// The `Credentials` of an answer of the token service, whose values hold nothing that XML escapes.
fn parse_sts(text: &str) -> Result<Fetched, ClientError> {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim().to_owned())
    };
    let needed = |name: &str| element(name).ok_or_else(|| failed(format!("the answer of STS has no {name}")));
    let keys = AwsKeys {
        access_key: needed("AccessKeyId")?,
        secret_key: Secret::new(needed("SecretAccessKey")?),
        session_token: Secret::new(needed("SessionToken")?),
    };
    Ok((keys, Some(instant_ms(&needed("Expiration")?)?)))
}
