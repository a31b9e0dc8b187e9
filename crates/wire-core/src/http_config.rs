//! How an HTTP client is to behave: credentials, TLS, proxies, headers, redirects. Plain data with
//! upstream's defaults; `config` fills it from YAML, the client in `server` obeys it.

use std::collections::BTreeMap;
use std::fmt;

/// A value that is never printed: `Debug` and `Display` show `<secret>`.
#[derive(Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Call it only where the value leaves for the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a credential comes from. Files are read again at each use, so that rotation needs no reload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SecretSource {
    #[default]
    None,
    Inline(Secret),
    /// Path of a file, already joined with the configuration's directory. Surrounding whitespace is cut.
    File(String),
    /// A name within a secret manager. No secret manager exists yet: using it is an error at request time.
    Reference(String),
}

impl SecretSource {
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// `basic_auth`. The user name may come from a file too; it is treated like a secret for uniformity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BasicAuth {
    pub username: SecretSource,
    pub password: SecretSource,
}

/// `authorization`: the header is `<scheme> <credentials>`. `bearer_token` ends up here too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `Bearer` unless configured.
    pub scheme: String,
    pub credentials: SecretSource,
}

/// Which OAuth 2 flow fetches the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OAuth2Grant {
    ClientCredentials { client_secret: SecretSource },
    JwtBearer(Box<JwtBearerGrant>),
}

/// The RFC 7523 flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtBearerGrant {
    pub certificate_key: SecretSource,
    pub certificate_key_id: String,
    /// `RS256` (the default), `RS384` or `RS512`.
    pub signature_algorithm: String,
    /// Empty: the client id.
    pub issuer: String,
    /// Empty: the token URL.
    pub audience: String,
    /// Claims as compact JSON texts by name.
    pub claims_json: BTreeMap<String, String>,
}

/// `oauth2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    pub client_id: String,
    pub grant: OAuth2Grant,
    pub scopes: Vec<String>,
    pub token_url: String,
    pub endpoint_params: BTreeMap<String, String>,
    pub tls: TlsClientConfig,
    pub proxy: ProxyConfig,
}

/// A TLS version that configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

impl TlsVersion {
    /// `TLS10`, `TLS11`, `TLS12` or `TLS13`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "TLS10" => Some(Self::Tls10),
            "TLS11" => Some(Self::Tls11),
            "TLS12" => Some(Self::Tls12),
            "TLS13" => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// PEM text in place, or the path of a PEM file that is read again when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PemSource {
    #[default]
    None,
    Inline(Secret),
    File(String),
}

impl PemSource {
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// `tls_config` of a client. The default trusts the system's roots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsClientConfig {
    pub ca: PemSource,
    pub certificate: PemSource,
    pub key: PemSource,
    /// Overrides the name that is verified and sent as SNI; empty: the host of the URL.
    pub server_name: String,
    pub insecure_skip_verify: bool,
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
}

/// Which proxy, if any, requests go through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyConfig {
    /// Empty: no proxy of our own.
    pub proxy_url: String,
    /// Comma separated hosts, domains, IPs and CIDRs that bypass `proxy_url`.
    pub no_proxy: String,
    /// Read `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` instead. Excludes the two fields above.
    pub from_environment: bool,
    /// Sent with `CONNECT` only.
    pub connect_headers: BTreeMap<String, Vec<Secret>>,
}

/// The values of one injected header, sent in this order: plain, secret, then the files' contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderValues {
    pub values: Vec<String>,
    pub secrets: Vec<Secret>,
    pub files: Vec<String>,
}

/// Credentials of a cloud, of which a client has at most one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudAuth {
    SigV4(SigV4),
    AzureAd(AzureAd),
    GoogleIam(GoogleIam),
}

/// `sigv4`: AWS signatures. What is empty comes from where AWS's tools look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SigV4 {
    pub region: String,
    pub access_key: String,
    pub secret_key: Secret,
    pub profile: String,
    pub role_arn: String,
    pub external_id: String,
    pub use_fips_sts_endpoint: bool,
    /// Empty: `aps`.
    pub service_name: String,
}

/// One of Azure's separate clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AzureCloud {
    #[default]
    Public,
    Government,
    China,
}

/// `azuread`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureAd {
    pub cloud: AzureCloud,
    /// Empty: that of the cloud's metrics.
    pub scope: String,
    pub method: AzureMethod,
}

/// How a token of Azure is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureMethod {
    /// An empty id means the identity that the system assigned.
    ManagedIdentity {
        client_id: String,
    },
    /// An empty file means the one that the environment names.
    WorkloadIdentity {
        client_id: String,
        tenant_id: String,
        token_file: String,
    },
    OAuth {
        client_id: String,
        client_secret: Secret,
        tenant_id: String,
    },
    /// Paths of PEM files; an empty `key` means that the certificate's file holds it too.
    Certificate {
        client_id: String,
        tenant_id: String,
        certificate: String,
        key: String,
        password: Secret,
        send_chain: bool,
    },
    Sdk {
        tenant_id: String,
    },
}

/// `google_iam`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoogleIam {
    /// Empty: the default credentials.
    pub credentials_file: String,
}

/// Everything an HTTP client needs to know besides the URL and the timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpClientConfig {
    /// At most one of `basic_auth`, `authorization` and `oauth2` is set.
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub oauth2: Option<Box<OAuth2>>,
    pub tls: TlsClientConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    pub proxy: ProxyConfig,
    pub headers: BTreeMap<String, HeaderValues>,
    /// Excludes the other credentials.
    pub cloud_auth: Option<Box<CloudAuth>>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls: TlsClientConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            headers: BTreeMap::new(),
            cloud_auth: None,
        }
    }
}
