//! `common/config/testdata`: HTTP client settings, good and bad by name.

use config::parse_http_client_file;

use crate::shared::{data, file_names, read};

#[test]
fn client_files_load_or_fail_by_their_names() {
    let Some(folder) = data("conformance/metrics/common/config/testdata") else { return };
    let mut wrong = Vec::new();
    for name in file_names(&folder) {
        let text = read(&folder.join(&name));
        // TLS files hold the inside of a `tls_config`; JSON is YAML too.
        let text = if name.starts_with("tls_config") {
            let inside: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
            if text.trim().is_empty() {
                String::new()
            } else {
                format!("tls_config:\n{}\n", inside.join("\n"))
            }
        } else {
            text
        };
        // Good to the loader; upstream uses it to see that a missing file fails a request.
        let fails_in_use = name == "http.conf.invalid-bearer-token-file.bad.yml";
        let bad = (name.contains(".bad.") || name.contains(".bad-")) && !fails_in_use;
        match (parse_http_client_file(&text, &format!("testdata/{name}")), bad) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(err), false) => wrong.push(format!("{name}: {err}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn client_errors_have_upstreams_words() {
    for (text, want) in [
        (
            "basic_auth: {username: u, password: p, password_file: f}",
            "at most one of basic_auth password, password_file & password_ref must be configured",
        ),
        (
            "authorization: {type: Basic}",
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        ),
        ("oauth2: {token_url: x}", "oauth2 client_id must be configured"),
        ("http_headers: {authorization: {values: [x]}}", "setting header \"Authorization\" is not allowed"),
        ("tls_config: {min_version: SSL}", "unknown TLS version: SSL"),
        ("no_proxy: x", "if no_proxy is configured, proxy_url must also be configured"),
        ("follow_redirects: maybe", "cannot unmarshal !!str `maybe` into bool"),
        ("nonsense: 1", "line 1: field nonsense not found in type config.plain"),
        ("proxy_url: 'http://[::1'", "parse \"http://[::1\": missing ']' in host"),
    ] {
        let err = parse_http_client_file(text, "x.yml").unwrap_err().to_string();
        assert!(err.contains(want), "{text}: {err}");
    }
}
