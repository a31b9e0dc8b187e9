//! The settings every HTTP client shares.

use super::{Field, Kind, Preset, Schema, always, inline, opt};
use crate::decode::{Record, Value};

/// `tls_config` of a client.
pub(crate) const TLS: Schema = Schema::new(
    "config.plain",
    &[
        opt("ca", Kind::Str),
        opt("cert", Kind::Str),
        opt("key", Kind::Secret),
        opt("ca_file", Kind::Path),
        opt("cert_file", Kind::Path),
        opt("key_file", Kind::Path),
        opt("ca_ref", Kind::Str),
        opt("cert_ref", Kind::Str),
        opt("key_ref", Kind::Str),
        opt("server_name", Kind::Str),
        always("insecure_skip_verify", Kind::Bool),
        opt("min_version", Kind::Word("config.TLSVersion", parse_tls_version)),
        opt("max_version", Kind::Word("config.TLSVersion", parse_tls_version)),
    ],
)
.checked(check_tls);

pub(crate) fn parse_tls_version(text: &str) -> Result<String, String> {
    match text {
        "TLS10" | "TLS11" | "TLS12" | "TLS13" => Ok(text.to_owned()),
        _ => Err(format!("unknown TLS version: {text}")),
    }
}

fn check_tls(tls: &mut Record) -> Result<(), String> {
    for (names, message) in [
        (["ca", "ca_file", "ca_ref"], "at most one of ca, ca_file & ca_ref must be configured"),
        (["cert", "cert_file", "cert_ref"], "at most one of cert, cert_file & cert_ref must be configured"),
        (["key", "key_file", "key_ref"], "at most one of key and key_file must be configured"),
    ] {
        if tls.count_set(&names) > 1 {
            return Err(message.to_owned());
        }
    }
    let has_cert = tls.count_set(&["cert", "cert_file", "cert_ref"]) > 0;
    let has_key = tls.count_set(&["key", "key_file", "key_ref"]) > 0;
    if has_cert && !has_key {
        return Err(
            "exactly one of key or key_file must be configured when a client certificate is configured"
                .to_owned(),
        );
    }
    if has_key && !has_cert {
        return Err(
            "exactly one of cert or cert_file must be configured when a client key is configured".to_owned()
        );
    }
    // Upstream says so when the client is made; here it is said while the file is being read.
    if tls.has("min_version") && tls.has("max_version") && tls.str("max_version") < tls.str("min_version") {
        return Err(
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified"
                .to_owned(),
        );
    }
    Ok(())
}

/// A `tls_config` field that is left out when zero.
pub(crate) const TLS_FIELD: Field = opt("tls_config", Kind::Section(&TLS));

const PROXY: Schema = Schema::new(
    "config.plain",
    &[
        opt("proxy_url", Kind::MaybeUrl),
        opt("no_proxy", Kind::Str),
        opt("proxy_from_environment", Kind::Bool),
        opt("proxy_connect_header", Kind::MapOf(&Kind::List(&Kind::Secret))),
    ],
);

fn check_proxy(owner: &Record) -> Result<(), String> {
    let has_url = !owner.str("proxy_url").is_empty();
    let from_environment = owner.bool("proxy_from_environment");
    if owner.has("proxy_connect_header") && !from_environment && !has_url {
        return Err(
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
                .to_owned(),
        );
    }
    if from_environment && has_url {
        return Err("if proxy_from_environment is configured, proxy_url must not be configured".to_owned());
    }
    if from_environment && owner.has("no_proxy") {
        return Err("if proxy_from_environment is configured, no_proxy must not be configured".to_owned());
    }
    if !owner.has("proxy_url") && owner.has("no_proxy") {
        return Err("if no_proxy is configured, proxy_url must also be configured".to_owned());
    }
    Ok(())
}

const BASIC_AUTH: Schema = Schema::new(
    "config.plain",
    &[
        opt("username", Kind::Str),
        opt("username_file", Kind::Path),
        opt("username_ref", Kind::Str),
        opt("password", Kind::Secret),
        opt("password_file", Kind::Path),
        opt("password_ref", Kind::Str),
    ],
);

pub(crate) const AUTHORIZATION: Schema = Schema::new(
    "config.Authorization",
    &[
        opt("type", Kind::Str),
        opt("credentials", Kind::Secret),
        opt("credentials_file", Kind::Path),
        opt("credentials_ref", Kind::Str),
    ],
);

const OAUTH2: Schema = Schema::new(
    "config.plain",
    &[
        opt("client_id", Kind::Str),
        opt("client_secret", Kind::Secret),
        opt("client_secret_file", Kind::Path),
        opt("client_secret_ref", Kind::Str),
        opt("client_certificate_key_id", Kind::Str),
        opt("client_certificate_key", Kind::Secret),
        // Not joined with the directory: upstream leaves it as written.
        opt("client_certificate_key_file", Kind::Str),
        opt("client_certificate_key_ref", Kind::Str),
        opt("grant_type", Kind::Str),
        opt("signature_algorithm", Kind::Str),
        opt("iss", Kind::Str),
        opt("audience", Kind::Str),
        opt("claims", Kind::MapOf(&Kind::Any)),
        opt("scopes", Kind::List(&Kind::Str)),
        opt("token_url", Kind::Str),
        opt("endpoint_params", Kind::StrMap),
        TLS_FIELD,
        inline(&PROXY),
    ],
)
.checked(|oauth2| check_proxy(oauth2));

const HEADER: Schema = Schema::new(
    "config.Header",
    &[
        opt("values", Kind::List(&Kind::Str)),
        opt("secrets", Kind::List(&Kind::Secret)),
        opt("files", Kind::List(&Kind::Path)),
    ],
);

/// The fields, inlined by whoever makes requests. The owner's check must call [`check`].
pub(crate) const HTTP_CLIENT: Schema = Schema::new(
    "config.plain",
    &[
        opt("basic_auth", Kind::MaybeSection(&BASIC_AUTH)),
        opt("authorization", Kind::MaybeSection(&AUTHORIZATION)),
        opt("oauth2", Kind::MaybeSection(&OAUTH2)),
        opt("bearer_token", Kind::Secret),
        opt("bearer_token_file", Kind::Path),
        TLS_FIELD,
        always("follow_redirects", Kind::Bool).preset(Preset::Bool(true)),
        always("enable_http2", Kind::Bool).preset(Preset::Bool(true)),
        inline(&PROXY),
        opt("http_headers", Kind::MapOf(&Kind::Section(&HEADER))),
    ],
);

/// The same fields with HTTP/2 off unless asked for, as remote write has them.
pub(crate) const HTTP_CLIENT_HTTP1: Schema = Schema::new(
    "config.plain",
    &[
        opt("basic_auth", Kind::MaybeSection(&BASIC_AUTH)),
        opt("authorization", Kind::MaybeSection(&AUTHORIZATION)),
        opt("oauth2", Kind::MaybeSection(&OAUTH2)),
        opt("bearer_token", Kind::Secret),
        opt("bearer_token_file", Kind::Path),
        TLS_FIELD,
        always("follow_redirects", Kind::Bool).preset(Preset::Bool(true)),
        always("enable_http2", Kind::Bool),
        inline(&PROXY),
        opt("http_headers", Kind::MapOf(&Kind::Section(&HEADER))),
    ],
);

/// A file that holds nothing but client settings (`promtool --http.config.file`).
pub(crate) const HTTP_CLIENT_FILE: Schema =
    Schema::new("config.plain", &[inline(&HTTP_CLIENT)]).checked(check);

/// Upstream's `HTTPClientConfig.Validate` on the section that inlines the fields; turns the old
/// `bearer_token` fields into `authorization`.
pub(crate) fn check(owner: &mut Record) -> Result<(), String> {
    let has_bearer = owner.has("bearer_token") || owner.has("bearer_token_file");
    if owner.has("bearer_token") && owner.has("bearer_token_file") {
        return Err("at most one of bearer_token & bearer_token_file must be configured".to_owned());
    }
    if (owner.has("basic_auth") || owner.has("oauth2")) && has_bearer {
        return Err("at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
            .to_owned());
    }
    if let Some(basic) = owner.section("basic_auth") {
        if basic.count_set(&["username", "username_file", "username_ref"]) > 1 {
            return Err(
                "at most one of basic_auth username, username_file & username_ref must be configured"
                    .to_owned(),
            );
        }
        if basic.count_set(&["password", "password_file", "password_ref"]) > 1 {
            return Err(
                "at most one of basic_auth password, password_file & password_ref must be configured"
                    .to_owned(),
            );
        }
    }
    check_authorization(owner, has_bearer)?;
    check_oauth2(owner)?;
    check_proxy(owner)?;
    check_headers(owner)
}

fn check_authorization(owner: &mut Record, has_bearer: bool) -> Result<(), String> {
    let excluded = owner.has("basic_auth") || owner.has("oauth2");
    if let Some(Value::Section(authorization)) = owner.get_mut("authorization") {
        if has_bearer {
            return Err("authorization is not compatible with bearer_token & bearer_token_file".to_owned());
        }
        if authorization.count_set(&["credentials", "credentials_file", "credentials_ref"]) > 1 {
            return Err(
                "at most one of authorization credentials & credentials_file must be configured".to_owned()
            );
        }
        let scheme = authorization.str("type").trim().to_owned();
        if scheme.eq_ignore_ascii_case("basic") {
            return Err(r#"authorization type cannot be set to "basic", use "basic_auth" instead"#.to_owned());
        }
        let scheme = if scheme.is_empty() { "Bearer".to_owned() } else { scheme };
        authorization.set("type", Value::Str(scheme));
        if excluded {
            return Err("at most one of basic_auth, oauth2 & authorization must be configured".to_owned());
        }
        return Ok(());
    }
    if has_bearer {
        let mut authorization = Record::zero(&AUTHORIZATION, owner.pos);
        authorization.set("type", Value::Str("Bearer".to_owned()));
        authorization.set("credentials", owner.get("bearer_token").clone());
        authorization.set("credentials_file", owner.get("bearer_token_file").clone());
        owner.set("bearer_token", Value::Secret(String::new()));
        owner.set("bearer_token_file", Value::Str(String::new()));
        owner.set("authorization", Value::Section(Box::new(authorization)));
    }
    Ok(())
}

/// The grant of RFC 7523.
pub(crate) const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

fn check_oauth2(owner: &Record) -> Result<(), String> {
    let Some(oauth2) = owner.section("oauth2") else { return Ok(()) };
    if owner.has("basic_auth") {
        return Err("at most one of basic_auth, oauth2 & authorization must be configured".to_owned());
    }
    for (name, message) in [
        ("client_id", "oauth2 client_id must be configured"),
        ("token_url", "oauth2 token_url must be configured"),
    ] {
        if !oauth2.has(name) {
            return Err(message.to_owned());
        }
    }
    if oauth2.str("grant_type") == JWT_BEARER_GRANT {
        let keys = ["client_certificate_key", "client_certificate_key_file", "client_certificate_key_ref"];
        if oauth2.count_set(&keys) > 1 {
            return Err("at most one of oauth2 client_certificate_key, client_certificate_key_file & \
                        client_certificate_key_ref must be configured using \
                        grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer"
                .to_owned());
        }
        let algorithm = oauth2.str("signature_algorithm");
        if !matches!(algorithm, "" | "RS256" | "RS384" | "RS512") {
            return Err("valid signature algorithms are RS256, RS384 and RS512".to_owned());
        }
    } else if oauth2.count_set(&["client_secret", "client_secret_file", "client_secret_ref"]) > 1 {
        return Err("at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be \
                    configured using grant-type=client_credentials"
            .to_owned());
    }
    Ok(())
}

/// Headers that change the connection, are set by ourselves, or have their own options.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

fn check_headers(owner: &Record) -> Result<(), String> {
    let Value::Map(headers) = owner.get("http_headers") else { return Ok(()) };
    for name in headers.keys() {
        if let Some(reserved) = RESERVED_HEADERS.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            return Err(format!("setting header {reserved:?} is not allowed"));
        }
    }
    Ok(())
}
