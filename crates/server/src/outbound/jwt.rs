//! Signed JSON web tokens, as OAuth 2 grants and clouds want them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// How a token is signed, by the names of RFC 7518.
pub(super) fn algorithm(name: &str) -> Option<&'static dyn RsaEncoding> {
    match name {
        "RS256" => Some(&signature::RSA_PKCS1_SHA256),
        "RS384" => Some(&signature::RSA_PKCS1_SHA384),
        "RS512" => Some(&signature::RSA_PKCS1_SHA512),
        "PS256" => Some(&signature::RSA_PSS_SHA256),
        _ => None,
    }
}

/// Signs with the first private key of `key_pem`, which must be an RSA key. `header` names the algorithm.
pub(super) fn sign(key_pem: &str, header: &Value, claims: &Value) -> Result<String, String> {
    let name = header["alg"].as_str().unwrap_or_default();
    let encoding = algorithm(name).ok_or_else(|| format!("unsupported signature algorithm {name:?}"))?;
    let key = match PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| e.to_string())? {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("the certificate key is not an RSA key".to_owned()),
    };
    let key = key.map_err(|e| e.to_string())?;
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let mut signature = vec![0u8; key.public().modulus_len()];
    key.sign(encoding, &ring::rand::SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|e| e.to_string())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
