//! TLS for outgoing connections: roots, client certificates, versions, and reading files again when
//! they change, so that a rotated certificate needs no reload.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use wire_core::http_config::{PemSource, TlsClientConfig, TlsVersion};

/// Why a TLS configuration cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsSetupError {
    #[error("unable to load specified {what} {path}: {cause}")]
    File { what: &'static str, path: String, cause: String },
    #[error("unable to use specified {what}: {cause}")]
    Pem { what: &'static str, cause: String },
    #[error("TLS versions below 1.2 are not supported")]
    VersionTooOld,
    #[error("{0}")]
    Rustls(String),
}

/// When each of the files a configuration comes from was last changed.
type Stamps = Vec<Option<SystemTime>>;

/// Builds client configurations and keeps the last one until a file it came from changes.
#[derive(Debug)]
pub(super) struct ClientTls {
    config: TlsClientConfig,
    protocols: Vec<Vec<u8>>,
    current: Mutex<Option<(Stamps, Arc<ClientConfig>)>>,
}

impl ClientTls {
    pub(super) fn new(config: TlsClientConfig, enable_http2: bool) -> Self {
        let mut protocols = vec![b"http/1.1".to_vec()];
        if enable_http2 {
            protocols.insert(0, b"h2".to_vec());
        }
        Self { config, protocols, current: Mutex::new(None) }
    }

    /// The configured server name, or the host that is being connected to.
    pub(super) fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsSetupError> {
        let name = if self.config.server_name.is_empty() { host } else { &self.config.server_name };
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(bare).map_err(|e| TlsSetupError::Rustls(e.to_string()))
    }

    /// What is wrong with the configuration itself. A file that cannot be used is not: it may be mended
    /// while we run, so it only fails the requests that need it.
    pub(super) fn check(&self) -> Result<(), TlsSetupError> {
        protocol_versions(self.config.min_version, self.config.max_version)?;
        if self.uses_files() { Ok(()) } else { self.client_config().map(|_| ()) }
    }

    /// As upstream, a request to a plain URL fails as well while the files cannot be used.
    pub(super) fn check_files(&self) -> Result<(), TlsSetupError> {
        if self.uses_files() { self.client_config().map(|_| ()) } else { Ok(()) }
    }

    fn uses_files(&self) -> bool {
        let sources = [&self.config.ca, &self.config.certificate, &self.config.key];
        sources.into_iter().any(|source| matches!(source, PemSource::File(_)))
    }

    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsSetupError> {
        let stamps = self.stamps();
        let mut current = self.current.lock();
        if let Some((known, config)) = &*current
            && *known == stamps
        {
            return Ok(Arc::clone(config));
        }
        let fresh = Arc::new(self.build()?);
        *current = Some((stamps, Arc::clone(&fresh)));
        Ok(fresh)
    }

    fn stamps(&self) -> Stamps {
        let sources = [&self.config.ca, &self.config.certificate, &self.config.key];
        let modified = |path: &str| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        sources
            .into_iter()
            .map(|source| match source {
                PemSource::File(path) => modified(path),
                PemSource::None | PemSource::Inline(_) => None,
            })
            .collect()
    }

    fn build(&self) -> Result<ClientConfig, TlsSetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = protocol_versions(self.config.min_version, self.config.max_version)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|e| TlsSetupError::Rustls(e.to_string()))?;
        let builder = if self.config.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny { provider }))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let mut config = match self.client_identity()? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|e| TlsSetupError::Rustls(e.to_string()))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, TlsSetupError> {
        let mut roots = RootCertStore::empty();
        match read_pem(&self.config.ca, "CA cert")? {
            Some(pem) => {
                let mut n_added = 0;
                for cert in CertificateDer::pem_slice_iter(&pem).flatten() {
                    n_added += usize::from(roots.add(cert).is_ok());
                }
                if n_added == 0 {
                    return Err(TlsSetupError::Pem {
                        what: "CA cert",
                        cause: "no certificate in it".to_owned(),
                    });
                }
            }
            None => {
                // The system's store may hold certificates that rustls refuses; the others still count.
                let (_added, _ignored) =
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }

    fn client_identity(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsSetupError> {
        let (Some(cert), Some(key)) =
            (read_pem(&self.config.certificate, "client cert")?, read_pem(&self.config.key, "client key")?)
        else {
            return Ok(None);
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert).flatten().collect();
        if chain.is_empty() {
            return Err(TlsSetupError::Pem { what: "client cert", cause: "no certificate in it".to_owned() });
        }
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|e| TlsSetupError::Pem { what: "client key", cause: e.to_string() })?;
        Ok(Some((chain, key)))
    }
}

fn read_pem(source: &PemSource, what: &'static str) -> Result<Option<Vec<u8>>, TlsSetupError> {
    match source {
        PemSource::None => Ok(None),
        PemSource::Inline(text) => Ok(Some(text.expose().as_bytes().to_vec())),
        PemSource::File(path) => match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(TlsSetupError::File { what, path: path.clone(), cause: error.to_string() }),
        },
    }
}

fn protocol_versions(
    min: Option<TlsVersion>,
    max: Option<TlsVersion>,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsSetupError> {
    let allowed =
        |version: TlsVersion| min.is_none_or(|min| version >= min) && max.is_none_or(|max| version <= max);
    let mut versions = Vec::new();
    if allowed(TlsVersion::Tls13) {
        versions.push(&rustls::version::TLS13);
    }
    if allowed(TlsVersion::Tls12) {
        versions.push(&rustls::version::TLS12);
    }
    if versions.is_empty() { Err(TlsSetupError::VersionTooOld) } else { Ok(versions) }
}

/// `insecure_skip_verify`: signatures are checked, identities are not.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
