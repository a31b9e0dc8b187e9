//! `exporter-toolkit/web/testdata`: web configurations, good and bad by name.

use config::WebConfig;

use crate::shared::{data, file_names, read};

#[test]
fn web_files_load_or_fail_by_their_names() {
    let Some(folder) = data("conformance/metrics/exporter-toolkit/web/testdata") else { return };
    // Accepted as text; the certificates they name do not exist, or the handshake refuses the client.
    let bad_only_in_use = [
        "web_config_auth_clientCAs_missing.bad.yml",
        "web_config_auth_client_san.bad.yaml",
        "web_config_noAuth_certPath_invalid.bad.yml",
        "web_config_noAuth_certPath_keyPath_invalid.bad.yml",
        "web_config_noAuth_keyPath_invalid.bad.yml",
        "web_config_noAuth_noHTTP2Cipher.bad.yml",
    ];
    let mut wrong = Vec::new();
    for name in file_names(&folder) {
        let junk = name.contains("_junk");
        let bad = (name.contains(".bad.") || junk) && !bad_only_in_use.contains(&name.as_str());
        match (WebConfig::parse(&read(&folder.join(&name)), &format!("testdata/{name}")), bad) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(err), false) => wrong.push(format!("{name}: {err}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn web_errors_have_upstreams_words() {
    for (text, want) in [
        ("tls_server_config: {key_file: k}", "missing one of cert or cert_file"),
        ("tls_server_config: {cert_file: k}", "missing one of key or key_file"),
        ("tls_server_config: {cert_file: c, key_file: k, client_auth_type: X}", "invalid ClientAuth: X"),
        (
            "tls_server_config: {cert_file: c, key_file: k, client_ca_file: a}",
            "client CA's have been configured without a Client Auth Policy",
        ),
        ("http_server_config: {headers: {X-Foo: y}}", "HTTP header \"X-Foo\" can not be configured"),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}",
            "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"maybe\"",
        ),
        (
            "basic_auth_users: {alice: plain}",
            "crypto/bcrypt: hashedSecret too short to be a bcrypted password",
        ),
        ("tls_server_config: {min_version: TLS9}", "unknown TLS version: TLS9"),
        (
            "tls_server_config: {cert_file: c, key_file: k, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}",
            "unknown cipher: TLS_RSA_WITH_RC4_128_SHA",
        ),
        (
            "tls_server_config: {cert_file: c, key_file: k, curve_preferences: [P-256]}",
            "unknown curve: P-256",
        ),
        ("rate_limit: {interval: x}", "time: invalid duration \"x\""),
    ] {
        let err = WebConfig::parse(text, "web.yml").unwrap_err().to_string();
        assert!(err.contains(want), "{text}: {err}");
    }
    for (option, want) in [
        ("", None),
        ("client_allowed_sans: []", Some(Vec::new())),
        ("client_allowed_sans: [a, 10.0.0.1]", Some(vec!["a".to_owned(), "10.0.0.1".to_owned()])),
    ] {
        let text = format!("tls_server_config: {{cert_file: c, key_file: k, {option}}}");
        let tls = WebConfig::parse(&text, "web.yml").unwrap().tls.unwrap();
        assert_eq!(tls.client_allowed_sans, want, "{option}");
    }
    let web = WebConfig::parse("rate_limit: {burst: 2, interval: 1.5s}", "web.yml").unwrap();
    assert_eq!(web.rate_limit.unwrap().interval_ms, 1_500);
    assert_eq!(WebConfig::parse("", "web.yml").unwrap(), WebConfig::default());
}
