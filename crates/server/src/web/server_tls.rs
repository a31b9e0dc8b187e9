//! TLS of a listener, read again when the files of `web.config` change: a renewed certificate is
//! in use with the next connection.

use std::sync::Arc;
use std::time::SystemTime;

use config::web::{ClientAuth, TlsServerConfig};
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wire_core::http_config::{PemSource, TlsVersion};

/// Why a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    #[error("cannot read {path}: {cause}")]
    File { path: String, cause: std::io::Error },
    #[error("{what}: {cause}")]
    Pem { what: &'static str, cause: String },
    #[error("client_allowed_sans is not supported; leave it out or use an authority of your own")]
    AllowedSans,
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

fn build(config: &TlsServerConfig, http2: bool) -> Result<ServerConfig, ServerTlsError> {
    // Ignoring it would let in whom it means to keep out.
    if !config.client_allowed_sans.is_empty() {
        return Err(ServerTlsError::AllowedSans);
    }
    if !config.cipher_suites.is_empty() || !config.curve_preferences.is_empty() {
        tracing::warn!("cipher_suites and curve_preferences have no effect: only sound ones are offered");
    }
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&read(&config.certificate)?).flatten().collect();
    if chain.is_empty() {
        return Err(ServerTlsError::Pem { what: "cert_file", cause: "no certificate in it".to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&config.key)?)
        .map_err(|e| ServerTlsError::Pem { what: "key_file", cause: e.to_string() })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Upstream's default lower bound is TLS 1.2, which is also the least that rustls speaks.
    let allows = |version: TlsVersion| {
        config.min_version.is_none_or(|min| version >= min)
            && config.max_version.is_none_or(|max| version <= max)
    };
    let mut versions = Vec::new();
    if allows(TlsVersion::Tls13) {
        versions.push(&rustls::version::TLS13);
    }
    if allows(TlsVersion::Tls12) {
        versions.push(&rustls::version::TLS12);
    }
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions)?;
    let builder = match config.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Request => {
            builder.with_client_cert_verifier(Arc::new(AnyClient { provider, mandatory: false }))
        }
        ClientAuth::RequireAny => {
            builder.with_client_cert_verifier(Arc::new(AnyClient { provider, mandatory: true }))
        }
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
            let verifier = verifier
                .build()
                .map_err(|e| ServerTlsError::Pem { what: "client_ca_file", cause: e.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut built = builder.with_single_cert(chain, key)?;
    built.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        built.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(built)
}

/// `RequestClientCert` and `RequireAnyClientCert`: a certificate is asked for, its issuer is not checked.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
    mandatory: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
