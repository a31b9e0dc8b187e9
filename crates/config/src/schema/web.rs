//! `web.config` files (TLS, basic auth, headers, rate limit), as exporter-toolkit reads them.

use super::http_client::parse_tls_version;
use super::{Kind, Preset, Schema, opt};
use crate::decode::Record;

const TLS_VERSION: Kind = Kind::Word("web.TLSVersion", parse_tls_version);

/// Cipher suites that can be named: Go's list of safe ones.
const CIPHERS: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

const CIPHER: Kind = Kind::Word("web.Cipher", |text| {
    if CIPHERS.contains(&text) { Ok(text.to_owned()) } else { Err(format!("unknown cipher: {text}")) }
});

const CURVE: Kind = Kind::Word("web.Curve", |text| match text {
    "CurveP256" | "CurveP384" | "CurveP521" | "X25519" => Ok(text.to_owned()),
    _ => Err(format!("unknown curve: {text}")),
});

const TLS_SERVER: Schema = Schema::new(
    "web.TLSConfig",
    &[
        opt("cert", Kind::Str),
        opt("key", Kind::Secret),
        opt("client_ca", Kind::Str),
        opt("cert_file", Kind::Path),
        opt("key_file", Kind::Path),
        opt("client_auth_type", Kind::Str),
        opt("client_ca_file", Kind::Path),
        opt("cipher_suites", Kind::List(&CIPHER)),
        opt("curve_preferences", Kind::List(&CURVE)),
        opt("min_version", TLS_VERSION).preset(Preset::Str("TLS12")),
        opt("max_version", TLS_VERSION).preset(Preset::Str("TLS13")),
        opt("prefer_server_cipher_suites", Kind::Bool).preset(Preset::Bool(true)),
        opt("client_allowed_sans", Kind::List(&Kind::Str)),
    ],
);

const HTTP_SERVER: Schema = Schema::new(
    "web.HTTPConfig",
    &[opt("http2", Kind::Bool).preset(Preset::Bool(true)), opt("headers", Kind::StrMap)],
);

/// A Go duration (`1s`, `1.5h`) in milliseconds, as a word.
const GO_DURATION: Kind = Kind::Word("time.Duration", |text| match parse_go_duration_ms(text) {
    Some(_) => Ok(text.to_owned()),
    None => Err(format!("time: invalid duration {text:?}")),
});

/// Milliseconds of a Go duration.
pub(crate) fn parse_go_duration_ms(text: &str) -> Option<i64> {
    if text.is_empty() || text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        let after = &rest[unit_at..];
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit_ms = match &after[..unit_end] {
            "ns" => 1e-6,
            "us" | "µs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3_600e3,
            _ => return None,
        };
        total_ms += number * unit_ms;
        rest = &after[unit_end..];
    }
    (total_ms < 9e15).then_some(total_ms as i64)
}

const RATE_LIMIT: Schema =
    Schema::new("web.RateLimiterConfig", &[opt("burst", Kind::Int), opt("interval", GO_DURATION)]);

/// A whole web configuration.
pub(crate) const WEB: Schema = Schema::new(
    "web.Config",
    &[
        opt("tls_server_config", Kind::Section(&TLS_SERVER)).preset(Preset::Section),
        opt("http_server_config", Kind::Section(&HTTP_SERVER)).preset(Preset::Section),
        opt("rate_limit", Kind::Section(&RATE_LIMIT)),
        opt("basic_auth_users", Kind::MapOf(&Kind::Secret)),
    ],
)
.checked(check_web);

/// Whether any TLS field is set.
pub(crate) fn tls_enabled(tls: &Record) -> bool {
    tls.count_set(&[
        "cert",
        "cert_file",
        "key",
        "key_file",
        "client_ca",
        "client_ca_file",
        "client_auth_type",
    ]) > 0
}

fn check_web(web: &mut Record) -> Result<(), String> {
    if let Some(http) = web.section("http_server_config") {
        http.str_map("headers").iter().try_for_each(|(name, value)| check_header(name, value))?;
    }
    if let crate::decode::Value::Map(users) = web.get("basic_auth_users") {
        for hash in users.values() {
            check_bcrypt(hash.as_str())?;
        }
    }
    match web.section("tls_server_config") {
        Some(tls) if tls_enabled(tls) => check_tls_server(tls),
        _ => Ok(()),
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let allowed: &[&str] = match name {
        "Strict-Transport-Security" | "X-XSS-Protection" | "Content-Security-Policy" => return Ok(()),
        "X-Content-Type-Options" => &["nosniff"],
        "X-Frame-Options" => &["deny", "sameorigin"],
        _ => return Err(format!("HTTP header {name:?} can not be configured")),
    };
    if allowed.contains(&value) {
        return Ok(());
    }
    let quoted: Vec<String> = allowed.iter().map(|word| format!("{word:?}")).collect();
    Err(format!("invalid value for {name}. Expected one of: [{}], but got: {value:?}", quoted.join(" ")))
}

/// The shape of a bcrypt hash: `$2a$10$` and 53 characters.
fn check_bcrypt(hash: &str) -> Result<(), String> {
    const HASH_BYTES_MIN: usize = 59;
    if hash.len() < HASH_BYTES_MIN {
        return Err("crypto/bcrypt: hashedSecret too short to be a bcrypted password".to_owned());
    }
    let Some(rest) = hash.strip_prefix('$') else {
        let first = hash.chars().next().unwrap_or_default();
        return Err(format!(
            "crypto/bcrypt: bcrypt hashes must start with '$', but hashedSecret started with '{first}'"
        ));
    };
    if !rest.starts_with('2') {
        let version = rest.chars().next().unwrap_or_default();
        return Err(format!(
            "crypto/bcrypt: bcrypt algorithm version '{version}' requested is newer than current version '2'"
        ));
    }
    let cost = rest.split('$').nth(1).unwrap_or_default();
    match cost.parse::<u32>() {
        Ok(4..=31) => Ok(()),
        Ok(cost) => Err(format!("crypto/bcrypt: cost {cost} is outside allowed inclusive range 4..31")),
        Err(_) => Err(format!("crypto/bcrypt: cost {cost:?} is no number")),
    }
}

fn check_tls_server(tls: &Record) -> Result<(), String> {
    if tls.count_set(&["cert", "cert_file"]) == 0 {
        return Err("missing one of cert or cert_file".to_owned());
    }
    if tls.count_set(&["key", "key_file"]) == 0 {
        return Err("missing one of key or key_file".to_owned());
    }
    let verifies_nothing = match tls.str("client_auth_type") {
        "" | "NoClientCert" => true,
        "RequestClientCert"
        | "RequireAnyClientCert"
        | "RequireClientCert"
        | "VerifyClientCertIfGiven"
        | "RequireAndVerifyClientCert" => false,
        other => return Err(format!("invalid ClientAuth: {other}")),
    };
    if verifies_nothing && tls.count_set(&["client_ca", "client_ca_file"]) > 0 {
        return Err("client CA's have been configured without a Client Auth Policy".to_owned());
    }
    Ok(())
}
