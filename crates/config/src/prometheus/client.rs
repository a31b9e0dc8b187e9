//! HTTP client settings: record → struct.

use std::collections::BTreeMap;

use wire_core::http_config::{
    Authorization, BasicAuth, HeaderValues, HttpClientConfig, JwtBearerGrant, OAuth2, OAuth2Grant, PemSource,
    ProxyConfig, Secret, SecretSource, TlsClientConfig, TlsVersion,
};

use super::cloud;
use crate::decode::{Record, Value, decode_text};
use crate::error::ConfigError;
use crate::schema::http_client::{HTTP_CLIENT_FILE, JWT_BEARER_GRANT};

/// Reads a file that holds nothing but client settings (`--http.config.file`).
pub fn parse_http_client_file(text: &str, path: &str) -> Result<HttpClientConfig, ConfigError> {
    let mut record = decode_text(text, &HTTP_CLIENT_FILE).map_err(|err| err.prefixed(path))?;
    record.join_paths(&crate::path::directory_of(path));
    Ok(http_client(&record))
}

/// The settings inlined into `owner`.
pub(crate) fn http_client(owner: &Record) -> HttpClientConfig {
    HttpClientConfig {
        basic_auth: owner.section("basic_auth").map(|basic| BasicAuth {
            username: secret_source(basic, "username"),
            password: secret_source(basic, "password"),
        }),
        authorization: owner.section("authorization").map(|authorization| Authorization {
            scheme: authorization.str("type").to_owned(),
            credentials: secret_source(authorization, "credentials"),
        }),
        oauth2: owner.section("oauth2").map(|section| Box::new(oauth2(section))),
        tls: tls_client(owner),
        follow_redirects: owner.bool("follow_redirects"),
        enable_http2: owner.bool("enable_http2"),
        proxy: proxy(owner),
        headers: headers(owner),
        cloud_auth: cloud::cloud_auth(owner).map(Box::new),
    }
}

/// `<name>`, `<name>_file` or `<name>_ref`.
fn secret_source(record: &Record, name: &str) -> SecretSource {
    let inline = record.str(name);
    let file = record.str(&format!("{name}_file"));
    let reference = record.str(&format!("{name}_ref"));
    if !inline.is_empty() {
        SecretSource::Inline(Secret::new(inline))
    } else if !file.is_empty() {
        SecretSource::File(file.to_owned())
    } else if !reference.is_empty() {
        SecretSource::Reference(reference.to_owned())
    } else {
        SecretSource::None
    }
}

fn oauth2(section: &Record) -> OAuth2 {
    let grant = if section.str("grant_type") == JWT_BEARER_GRANT {
        let algorithm = section.str("signature_algorithm");
        OAuth2Grant::JwtBearer(Box::new(JwtBearerGrant {
            certificate_key: secret_source(section, "client_certificate_key"),
            certificate_key_id: section.str("client_certificate_key_id").to_owned(),
            signature_algorithm: if algorithm.is_empty() { "RS256" } else { algorithm }.to_owned(),
            issuer: section.str("iss").to_owned(),
            audience: section.str("audience").to_owned(),
            claims_json: claims_json(section),
        }))
    } else {
        OAuth2Grant::ClientCredentials { client_secret: secret_source(section, "client_secret") }
    };
    OAuth2 {
        client_id: section.str("client_id").to_owned(),
        grant,
        scopes: section.strings("scopes"),
        token_url: section.str("token_url").to_owned(),
        endpoint_params: section.str_map("endpoint_params"),
        tls: tls_client(section),
        proxy: proxy(section),
    }
}

fn claims_json(section: &Record) -> BTreeMap<String, String> {
    let Value::Map(claims) = section.get("claims") else { return BTreeMap::new() };
    claims.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => value.to_string(),
        Value::Str(text) => json_string(text),
        Value::List(values) => format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Map(map) => {
            let entries = map.iter().map(|(name, value)| format!("{}:{}", json_string(name), json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        _ => "null".to_owned(),
    }
}

fn json_string(text: &str) -> String {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The `tls_config` of `owner`.
pub(crate) fn tls_client(owner: &Record) -> TlsClientConfig {
    let Some(tls) = owner.section("tls_config") else { return TlsClientConfig::default() };
    TlsClientConfig {
        ca: pem_source(tls, "ca"),
        certificate: pem_source(tls, "cert"),
        key: pem_source(tls, "key"),
        server_name: tls.str("server_name").to_owned(),
        insecure_skip_verify: tls.bool("insecure_skip_verify"),
        min_version: TlsVersion::parse(tls.str("min_version")),
        max_version: TlsVersion::parse(tls.str("max_version")),
    }
}

/// `<name>` as text or `<name>_file`.
pub(crate) fn pem_source(record: &Record, name: &str) -> PemSource {
    let inline = record.str(name);
    let file = record.str(&format!("{name}_file"));
    if !inline.is_empty() {
        PemSource::Inline(Secret::new(inline))
    } else if !file.is_empty() {
        PemSource::File(file.to_owned())
    } else {
        PemSource::None
    }
}

fn proxy(owner: &Record) -> ProxyConfig {
    let connect_headers = match owner.get("proxy_connect_header") {
        Value::Map(map) => {
            let secrets = |value: &Value| match value {
                Value::List(values) => values.iter().map(|value| Secret::new(value.as_str())).collect(),
                _ => Vec::new(),
            };
            map.iter().map(|(name, value)| (name.clone(), secrets(value))).collect()
        }
        _ => BTreeMap::new(),
    };
    ProxyConfig {
        proxy_url: owner.str("proxy_url").to_owned(),
        no_proxy: owner.str("no_proxy").to_owned(),
        from_environment: owner.bool("proxy_from_environment"),
        connect_headers,
    }
}

fn headers(owner: &Record) -> BTreeMap<String, HeaderValues> {
    let Value::Map(map) = owner.get("http_headers") else { return BTreeMap::new() };
    let header = |section: &Record| HeaderValues {
        values: section.strings("values"),
        secrets: section.list("secrets").iter().map(|secret| Secret::new(secret.as_str())).collect(),
        files: section.strings("files"),
    };
    map.iter().filter_map(|(name, value)| Some((name.clone(), header(value.as_section()?)))).collect()
}
