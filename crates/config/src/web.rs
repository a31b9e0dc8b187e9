//! `web.config`: TLS, basic auth, headers and rate limit of our own listeners.

use std::collections::BTreeMap;

use wire_core::http_config::{PemSource, Secret, TlsVersion};

use crate::decode::{Record, Value, decode_text};
use crate::error::ConfigError;
use crate::path;
use crate::prometheus::client;
use crate::schema::web::{WEB, parse_go_duration_ms, tls_enabled};

/// What is asked of clients during the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    #[default]
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// The server's side of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsServerConfig {
    /// Never `None`; files are read again when they change.
    pub certificate: PemSource,
    pub key: PemSource,
    pub client_ca: PemSource,
    pub client_auth: ClientAuth,
    /// Go's names; empty: the library's choice.
    pub cipher_suites: Vec<String>,
    /// `CurveP256`, `CurveP384`, `CurveP521`, `X25519`; empty: the library's choice.
    pub curve_preferences: Vec<String>,
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
    pub prefer_server_cipher_suites: bool,
    /// When given, a client's certificate must carry one of these names; an empty list lets nobody in.
    pub client_allowed_sans: Option<Vec<String>>,
}

/// At most `burst` requests at once, then one each `interval_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub burst: u64,
    pub interval_ms: i64,
}

/// A whole web configuration. The default is plain HTTP for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    pub tls: Option<TlsServerConfig>,
    pub http2: bool,
    /// Added to every response.
    pub headers: BTreeMap<String, String>,
    /// bcrypt hashes by user name; empty: no authentication.
    pub basic_auth_users: BTreeMap<String, Secret>,
    pub rate_limit: Option<RateLimit>,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            tls: None,
            http2: true,
            headers: BTreeMap::new(),
            basic_auth_users: BTreeMap::new(),
            rate_limit: None,
        }
    }
}

impl WebConfig {
    /// Reads the text of the file at `path`; an empty file is the default. Certificate files are not
    /// opened: [`WebConfig::files`] names what must exist.
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let mut record = decode_text(text, &WEB).map_err(|err| err.prefixed(path))?;
        record.join_paths(&path::directory_of(path));
        let http = record.section("http_server_config");
        let rate = record.section("rate_limit");
        let interval_ms = rate.and_then(|rate| parse_go_duration_ms(rate.str("interval"))).unwrap_or(0);
        Ok(Self {
            tls: record.section("tls_server_config").filter(|tls| tls_enabled(tls)).map(tls_server),
            http2: http.is_some_and(|http| http.bool("http2")),
            headers: http.map(|http| http.str_map("headers")).unwrap_or_default(),
            basic_auth_users: users(&record),
            rate_limit: rate
                .filter(|_| interval_ms > 0)
                .map(|rate| RateLimit { burst: rate.uint("burst"), interval_ms }),
        })
    }

    /// The files that must be readable for this configuration to work.
    pub fn files(&self) -> Vec<&str> {
        let sources = self.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key, &tls.client_ca]);
        let paths = sources.filter_map(|source| match source {
            PemSource::File(path) => Some(path.as_str()),
            _ => None,
        });
        paths.collect()
    }
}

fn users(record: &Record) -> BTreeMap<String, Secret> {
    let Value::Map(users) = record.get("basic_auth_users") else { return BTreeMap::new() };
    users.iter().map(|(name, hash)| (name.clone(), Secret::new(hash.as_str()))).collect()
}

fn tls_server(tls: &Record) -> TlsServerConfig {
    TlsServerConfig {
        // The file wins over the text, as upstream has it.
        certificate: file_first(tls, "cert"),
        key: file_first(tls, "key"),
        client_ca: file_first(tls, "client_ca"),
        client_auth: match tls.str("client_auth_type") {
            "RequestClientCert" => ClientAuth::Request,
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            _ => ClientAuth::None,
        },
        cipher_suites: tls.strings("cipher_suites"),
        curve_preferences: tls.strings("curve_preferences"),
        min_version: TlsVersion::parse(tls.str("min_version")),
        max_version: TlsVersion::parse(tls.str("max_version")),
        prefer_server_cipher_suites: tls.bool("prefer_server_cipher_suites"),
        // Upstream tells a list that is there from one that is not, and so must what keeps people out.
        client_allowed_sans: tls.place("client_allowed_sans").map(|_| tls.strings("client_allowed_sans")),
    }
}

fn file_first(tls: &Record, name: &str) -> PemSource {
    let file = tls.str(&format!("{name}_file"));
    if file.is_empty() { client::pem_source(tls, name) } else { PemSource::File(file.to_owned()) }
}
