//! TLS of a listener, read again when the files of `web.config` change: a renewed certificate is
//! in use with the next connection.

use std::sync::Arc;
use std::time::SystemTime;

use config::web::{ClientAuth, TlsServerConfig};
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{NamedGroup, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wire_core::http_config::{PemSource, TlsVersion};

use super::client_certs::{AllowedSans, AnyClient};

/// Why a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    #[error("cannot read {path}: {cause}")]
    File { path: String, cause: std::io::Error },
    #[error("{what}: {cause}")]
    Pem { what: &'static str, cause: String },
    /// Upstream's text, from Go's HTTP/2 server.
    #[error(
        "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher (need at least one of {} or {})",
        HTTP2_CIPHERS[0],
        HTTP2_CIPHERS[1]
    )]
    Http2Cipher,
    #[error("none of curve_preferences is offered here: {0}")]
    NoCurve(String),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// The TLS side of one listener.
#[derive(Debug)]
pub struct ServerTls {
    config: TlsServerConfig,
    http2: bool,
    current: Mutex<(Vec<Option<SystemTime>>, Arc<ServerConfig>)>,
}

impl ServerTls {
    pub fn new(config: TlsServerConfig, http2: bool) -> Result<Self, ServerTlsError> {
        let built = Arc::new(build(&config, http2)?);
        let stamps = stamps(&config);
        Ok(Self { config, http2, current: Mutex::new((stamps, built)) })
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current()).accept(stream).await
    }

    /// A file that has become unusable leaves the last good configuration in force.
    fn current(&self) -> Arc<ServerConfig> {
        let stamps = stamps(&self.config);
        let mut current = self.current.lock();
        if current.0 != stamps {
            match build(&self.config, self.http2) {
                Ok(built) => *current = (stamps, Arc::new(built)),
                Err(error) => {
                    tracing::error!(%error, "the changed TLS files cannot be used; the old ones stay");
                }
            }
        }
        Arc::clone(&current.1)
    }
}

fn stamps(config: &TlsServerConfig) -> Vec<Option<SystemTime>> {
    let sources = [&config.certificate, &config.key, &config.client_ca];
    let modified = |path: &str| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    sources
        .into_iter()
        .map(|source| match source {
            PemSource::File(path) => modified(path),
            PemSource::None | PemSource::Inline(_) => None,
        })
        .collect()
}

fn read(source: &PemSource) -> Result<Vec<u8>, ServerTlsError> {
    match source {
        PemSource::None => Ok(Vec::new()),
        PemSource::Inline(text) => Ok(text.expose().as_bytes().to_vec()),
        PemSource::File(path) => {
            std::fs::read(path).map_err(|cause| ServerTlsError::File { path: path.clone(), cause })
        }
    }
}

/// HTTP/2 asks for one of these below TLS 1.3.
const HTTP2_CIPHERS: [&str; 2] =
    ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];

fn build(config: &TlsServerConfig, http2: bool) -> Result<ServerConfig, ServerTlsError> {
    let provider = Arc::new(provider(config, http2)?);
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&read(&config.certificate)?).flatten().collect();
    if chain.is_empty() {
        return Err(ServerTlsError::Pem { what: "cert_file", cause: "no certificate in it".to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&config.key)?)
        .map_err(|e| ServerTlsError::Pem { what: "key_file", cause: e.to_string() })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(config))?;
    let builder = match client_verifier(config, provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut built = builder.with_single_cert(chain, key)?;
    built.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        built.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(built)
}

/// Upstream's default lower bound is TLS 1.2, which is also the least that rustls speaks.
fn versions(config: &TlsServerConfig) -> Vec<&'static SupportedProtocolVersion> {
    let allows = |version: TlsVersion| {
        config.min_version.is_none_or(|min| version >= min)
            && config.max_version.is_none_or(|max| version <= max)
    };
    let known = [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)];
    known.into_iter().filter(|(version, _)| allows(*version)).map(|(_, version)| version).collect()
}

/// The suites and curves that the configuration leaves. As in Go, the suites of TLS 1.3 are not for
/// choosing, and the order of the lists has no meaning.
fn provider(config: &TlsServerConfig, http2: bool) -> Result<CryptoProvider, ServerTlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    let wanted = &config.cipher_suites;
    if !wanted.is_empty() {
        let is_below_13 = config.min_version.is_none_or(|min| min < TlsVersion::Tls13);
        if http2 && is_below_13 && !HTTP2_CIPHERS.iter().any(|name| wanted.iter().any(|w| w == name)) {
            return Err(ServerTlsError::Http2Cipher);
        }
        let offered: Vec<&str> = provider.cipher_suites.iter().filter_map(|s| s.suite().as_str()).collect();
        let is_of_13 = |name: &str| !name.contains("_WITH_");
        warn_of_absent("cipher_suites", wanted, |name| is_of_13(name) || offered.contains(&name));
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some()
                || suite.suite().as_str().is_some_and(|name| wanted.iter().any(|wanted| wanted == name))
        });
    }
    let wanted = &config.curve_preferences;
    if !wanted.is_empty() {
        let is_wanted = |group: NamedGroup| wanted.iter().any(|name| group_of(name) == Some(group));
        let offered: Vec<NamedGroup> = provider.kx_groups.iter().map(|group| group.name()).collect();
        warn_of_absent("curve_preferences", wanted, |name| {
            group_of(name).is_some_and(|group| offered.contains(&group))
        });
        provider.kx_groups.retain(|group| is_wanted(group.name()));
        if provider.kx_groups.is_empty() {
            return Err(ServerTlsError::NoCurve(wanted.join(", ")));
        }
    }
    Ok(provider)
}

fn warn_of_absent(option: &str, wanted: &[String], is_offered: impl Fn(&str) -> bool) {
    let absent: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| !is_offered(name)).collect();
    if !absent.is_empty() {
        tracing::warn!(option, absent = absent.join(", "), "these are not offered by this program");
    }
}

/// Go's name of a curve.
fn group_of(name: &str) -> Option<NamedGroup> {
    match name {
        "X25519" => Some(NamedGroup::X25519),
        "CurveP256" => Some(NamedGroup::secp256r1),
        "CurveP384" => Some(NamedGroup::secp384r1),
        "CurveP521" => Some(NamedGroup::secp521r1),
        _ => None,
    }
}

/// Who checks the certificates of clients; `None`: they are not asked for one.
fn client_verifier(
    config: &TlsServerConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ServerTlsError> {
    let verifier: Arc<dyn ClientCertVerifier> = match config.client_auth {
        ClientAuth::None => {
            if config.client_allowed_sans.is_some() {
                tracing::warn!("client_allowed_sans has no effect without client_auth_type");
            }
            return Ok(None);
        }
        ClientAuth::Request => Arc::new(AnyClient { provider, mandatory: false }),
        ClientAuth::RequireAny => Arc::new(AnyClient { provider, mandatory: true }),
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
            let mut roots = RootCertStore::empty();
            for cert in CertificateDer::pem_slice_iter(&read(&config.client_ca)?).flatten() {
                roots.add(cert)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match config.client_auth {
                ClientAuth::VerifyIfGiven => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            verifier
                .build()
                .map_err(|e| ServerTlsError::Pem { what: "client_ca_file", cause: e.to_string() })?
        }
    };
    Ok(Some(match &config.client_allowed_sans {
        None => verifier,
        Some(allowed) => Arc::new(AllowedSans { inner: verifier, allowed: allowed.clone() }),
    }))
}

#[cfg(test)]
mod tests {
    use config::WebConfig;

    use super::*;

    #[test]
    fn suites_and_curves_are_those_that_were_asked_for_and_are_offered() {
        let all_12 = 6;
        let check = |options: &str, http2: bool, n_suites_12: usize, curves: &[NamedGroup]| {
            let text = format!("tls_server_config: {{cert_file: c, key_file: k, {options}}}");
            let tls = WebConfig::parse(&text, "web.yml").unwrap().tls.unwrap();
            let provider = provider(&tls, http2).unwrap();
            let of_12 = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none());
            assert_eq!(of_12.count(), n_suites_12, "{options}");
            assert_eq!(provider.cipher_suites.len() - n_suites_12, 3, "TLS 1.3: {options}");
            let groups: Vec<NamedGroup> = provider.kx_groups.iter().map(|group| group.name()).collect();
            assert_eq!(groups, curves, "{options}");
        };
        let all = [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
        check("", true, all_12, &all);
        check("cipher_suites: [], curve_preferences: []", true, all_12, &all);
        check("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]", true, 1, &all);
        check("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]", false, 1, &all);
        // Known to Go, and not to us.
        check("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]", false, 0, &all);
        check("cipher_suites: [TLS_AES_128_GCM_SHA256], min_version: TLS13", true, 0, &all);
        check("curve_preferences: [CurveP384, CurveP521]", true, all_12, &[NamedGroup::secp384r1]);
        check("curve_preferences: [CurveP256, X25519]", true, all_12, &all[..2]);
    }

    #[test]
    fn what_leaves_nothing_to_speak_with_is_refused() {
        for (options, text) in [
            (
                "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]",
                "http2: TLSConfig.CipherSuites is missing",
            ),
            ("curve_preferences: [CurveP521]", "none of curve_preferences is offered here: CurveP521"),
        ] {
            let config = format!("tls_server_config: {{cert_file: c, key_file: k, {options}}}");
            let tls = WebConfig::parse(&config, "web.yml").unwrap().tls.unwrap();
            let error = provider(&tls, true).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
