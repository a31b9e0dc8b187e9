//! Certificates of clients: asked for without a look at their issuer, or held to a list of names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};

/// `RequestClientCert` and `RequireAnyClientCert`: a certificate is asked for, its issuer is not checked.
#[derive(Debug)]
pub(super) struct AnyClient {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) mandatory: bool,
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

/// Why a certificate that its issuer vouches for is refused nevertheless.
#[derive(Debug, thiserror::Error)]
enum NameRefused {
    #[error("error parsing client certificate: its names cannot be read")]
    Unreadable,
    /// Upstream's text, which shows what is allowed and not what was found.
    #[error("could not find allowed SANs in client cert, found: [{}]", .0.join(" "))]
    NotAllowed(Vec<String>),
}

/// `client_allowed_sans`: after everything else was checked, one name of the certificate has to be
/// one of these. Upstream ends a handshake without a certificate then, whatever `client_auth_type` says.
#[derive(Debug)]
pub(super) struct AllowedSans {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    pub(super) allowed: Vec<String>,
}

impl ClientCertVerifier for AllowedSans {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let refused = match subject_alternative_names(end_entity) {
            Some(names) if names.iter().any(|name| self.allowed.contains(name)) => return Ok(verified),
            Some(_) => NameRefused::NotAllowed(self.allowed.clone()),
            None => NameRefused::Unreadable,
        };
        Err(CertificateError::Other(OtherError(Arc::new(refused))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// Of the fields of a certificate to be signed.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// The names of a certificate as Go prints them: of machines, mailboxes and addresses, and URIs.
/// `None` for bytes that are no certificate or names that Go does not read.
fn subject_alternative_names(certificate: &[u8]) -> Option<Vec<String>> {
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let (fields, _) = expect(SEQUENCE, signed)?;
    let mut names = Vec::new();
    for field in elements(fields) {
        let (tag, wrapped) = field?;
        if tag != EXTENSIONS {
            continue;
        }
        for extension in elements(expect(SEQUENCE, wrapped)?.0) {
            let (_, extension) = extension?;
            let (id, rest) = expect(OBJECT_ID, extension)?;
            if id != SUBJECT_ALTERNATIVE_NAME {
                continue;
            }
            // Whether it is critical stands between the two, or nothing.
            let value = elements(rest).flatten().find(|(tag, _)| *tag == OCTET_STRING)?.1;
            for name in elements(expect(SEQUENCE, value)?.0) {
                let (tag, contents) = name?;
                names.extend(name_text(tag, contents)?);
            }
        }
    }
    Some(names)
}

/// The outer `None` is a name that cannot be read, the inner one a kind that nobody can list.
fn name_text(tag: u8, contents: &[u8]) -> Option<Option<String>> {
    const EMAIL: u8 = 0x81;
    const DNS: u8 = 0x82;
    const URI: u8 = 0x86;
    const IP: u8 = 0x87;
    match tag {
        EMAIL | DNS | URI if contents.is_ascii() => Some(String::from_utf8(contents.to_vec()).ok()),
        EMAIL | DNS | URI => None,
        IP => match contents.len() {
            4 => Some(Some(Ipv4Addr::from(<[u8; 4]>::try_from(contents).ok()?).to_string())),
            // Go shows an IPv4 address in the clothes of IPv6 as what it is.
            16 => {
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(contents).ok()?);
                Some(Some(IpAddr::V6(address).to_canonical().to_string()))
            }
            _ => None,
        },
        _ => Some(None),
    }
}

/// The contents of the element that the bytes begin with, if it is of this kind, and what follows.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = element(bytes)?;
    (found == tag).then_some((contents, rest))
}

/// The elements one after another; the last is `None` if the bytes end within it.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        match element(bytes) {
            Some((tag, contents, rest)) => {
                bytes = rest;
                Some(Some((tag, contents)))
            }
            None => {
                bytes = &[];
                Some(None)
            }
        }
    })
}

/// Tag, contents and rest of one DER element with a short tag.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let len = contents.len();
        let mut out = vec![tag];
        match u8::try_from(len) {
            Ok(short @ 0..=0x7f) => out.push(short),
            _ => out.extend([0x82, u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xff).unwrap()]),
        }
        out.extend_from_slice(contents);
        out
    }

    /// A certificate as far as its names go; `padding` makes its lengths long.
    fn certificate(names: &[(u8, &[u8])], padding: usize) -> Vec<u8> {
        let names: Vec<u8> = names.iter().flat_map(|(tag, contents)| der(*tag, contents)).collect();
        let other = der(SEQUENCE, &[der(OBJECT_ID, &[0x55, 0x1d, 0x0e]), der(OCTET_STRING, &[1])].concat());
        let value = der(OCTET_STRING, &der(SEQUENCE, &names));
        let critical = der(0x01, &[0xff]);
        let san = der(SEQUENCE, &[der(OBJECT_ID, &SUBJECT_ALTERNATIVE_NAME), critical, value].concat());
        let extensions = der(EXTENSIONS, &der(SEQUENCE, &[other, san].concat()));
        let fields = [der(0xa0, &[2]), der(0x02, &vec![7; padding]), extensions].concat();
        der(SEQUENCE, &[der(SEQUENCE, &fields), der(SEQUENCE, &[])].concat())
    }

    #[test]
    fn names_of_every_kind_are_read_as_go_prints_them() {
        let v6 = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        for padding in [0, 200] {
            let bytes = certificate(
                &[
                    (0x82, b"host.example"),
                    (0x81, b"a@example.org"),
                    (0x86, b"spiffe://trust/workload"),
                    (0x87, &[127, 0, 0, 1]),
                    (0x87, &v6),
                    (0x87, &mapped),
                    (0xa4, b"a directory name"),
                ],
                padding,
            );
            let names = subject_alternative_names(&bytes).unwrap();
            let expected = [
                "host.example",
                "a@example.org",
                "spiffe://trust/workload",
                "127.0.0.1",
                "2001:db8::1",
                "10.0.0.1",
            ];
            assert_eq!(names, expected);
            // Whatever is cut off, nothing is read that is not there.
            for len in 0..bytes.len() {
                assert_eq!(subject_alternative_names(&bytes[..len]), None, "{len} bytes");
            }
        }
        assert_eq!(subject_alternative_names(&certificate(&[], 0)), Some(Vec::new()));
        assert_eq!(subject_alternative_names(&certificate(&[(0x87, &[1, 2, 3])], 0)), None);
        assert_eq!(subject_alternative_names(&certificate(&[(0x82, b"\xff")], 0)), None);
    }
}
