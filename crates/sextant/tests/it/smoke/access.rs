//! `--web.config.file`: basic authentication and TLS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::IDLE;
use crate::neighbours;
use crate::process::output;
use crate::sextant::Sextant;
use crate::waiting::until;

const START: Duration = Duration::from_secs(30);

/// bcrypt of `open sesame`.
const USERS: &str =
    "basic_auth_users:\n  ali: $2y$05$EkTgMN5mJ3YEhkeLDZ87uugcZciP0WaUxokpide08tIYqYurM6DXe\n";

fn web_config(dir: &Path, text: &str) -> String {
    let file = dir.join("web.yml");
    std::fs::write(&file, text).unwrap();
    format!("--web.config.file={}", file.display())
}

#[test]
fn basic_authentication_guards_every_path() {
    let scratch = tempfile::tempdir().unwrap();
    let flag = web_config(scratch.path(), USERS);
    let sextant = Sextant::start_unready(scratch.path(), IDLE, &[&flag]);
    let ask = |path: &str, credentials: Option<&str>| {
        let value = credentials.map(|text| format!("Basic {text}"));
        let headers: Vec<(&str, &str)> =
            value.iter().map(|value| ("Authorization", value.as_str())).collect();
        crate::http::request(&sextant.address, "GET", path, &headers, b"")
    };
    // `ali:open sesame` and `ali:close sesame`.
    let (right, wrong) = ("YWxpOm9wZW4gc2VzYW1l", "YWxpOmNsb3NlIHNlc2FtZQ==");
    until(START, "a ready server", || match ask("/-/ready", Some(right)) {
        Ok(response) if response.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for (path, credentials, status) in [
        ("/api/v1/query?query=1", None, 401),
        ("/api/v1/query?query=1", Some(wrong), 401),
        ("/api/v1/query?query=1", Some(right), 200),
        ("/metrics", None, 401),
        ("/-/healthy", None, 401),
    ] {
        let answer = ask(path, credentials).unwrap();
        assert_eq!(answer.status, status, "{path} {credentials:?}: {}", answer.text());
        let challenged = answer.headers.get("www-authenticate").is_some_and(|challenge| challenge == "Basic");
        assert_eq!(challenged, status == 401, "{path}: {:?}", answer.headers);
    }
}

/// Who was taken out of the file is refused from the next request on; a broken file changes nothing.
#[test]
fn users_of_a_changed_file_are_in_force_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let flag = web_config(scratch.path(), USERS);
    let sextant = Sextant::start_unready(scratch.path(), IDLE, &[&flag]);
    // `ali:open sesame` and `eve:open sesame`.
    let status = |credentials: &str| {
        let value = format!("Basic {credentials}");
        let headers = [("Authorization", value.as_str())];
        crate::http::request(&sextant.address, "GET", "/-/healthy", &headers, b"").map(|answer| answer.status)
    };
    let (ali, eve) = ("YWxpOm9wZW4gc2VzYW1l", "ZXZlOm9wZW4gc2VzYW1l");
    until(START, "an answer", || match status(ali) {
        Ok(200) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(status(eve).unwrap(), 401);
    web_config(scratch.path(), &USERS.replace("ali", "eve"));
    assert_eq!([status(ali).unwrap(), status(eve).unwrap()], [401, 200]);
    web_config(scratch.path(), "basic_auth_users: nobody\n");
    assert_eq!([status(ali).unwrap(), status(eve).unwrap()], [401, 200]);
    assert!(sextant.process.log().contains("the old one stays in force"), "{}", sextant.process.log());
}

#[test]
fn tls_with_a_certificate_of_ones_own() {
    let Some([openssl, curl]) = neighbours::find_all(["openssl", "curl"]) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    output(
        Command::new(openssl)
            .current_dir(dir)
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .args(["-keyout", "server.key", "-out", "server.crt"]),
    );
    let flag = web_config(dir, "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n");
    let sextant = Sextant::start_unready(dir, IDLE, &[&flag]);
    let fetch = |flags: &[&str], scheme: &str| {
        let url = format!("{scheme}://{}/api/v1/query?query=1%2B1", sextant.address);
        Command::new(&curl)
            .current_dir(dir)
            .args(["--silent", "--show-error", "--max-time", "10"])
            .args(flags)
            .arg(url)
            .output()
    };
    let trusted = until(START, "an answer over TLS", || {
        let out = fetch(&["--cacert", "server.crt"], "https").map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.success() { Ok(String::from_utf8_lossy(&out.stdout).into_owned()) } else { Err(said) }
    });
    assert!(trusted.contains("\"2\""), "{trusted}");
    let http2 =
        fetch(&["--cacert", "server.crt", "--http2", "--write-out", "%{http_version}"], "https").unwrap();
    assert!(String::from_utf8_lossy(&http2.stdout).ends_with('2'), "{http2:?}");
    assert!(
        !fetch(&[], "https").unwrap().status.success(),
        "an unknown certificate is refused by the client"
    );
    let plain = fetch(&["--fail"], "http").unwrap();
    assert!(!plain.status.success(), "plain HTTP on a TLS port: {plain:?}");
}
