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

/// An authority, a certificate of ours, and one of a client with a name of every kind.
fn certificates(openssl: &Path, dir: &Path) {
    let run = |args: &[&str]| output(Command::new(openssl).current_dir(dir).args(args));
    let new = ["req", "-newkey", "rsa:2048", "-nodes"];
    let with = |more: &[&'static str]| [&new[..], more].concat();
    run(&with(&["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"]));
    for (name, names) in [
        ("server", "subjectAltName=IP:127.0.0.1"),
        (
            "client",
            "subjectAltName=DNS:agent.example,IP:10.1.2.3,IP:2001:db8::1,email:a@example.org,URI:spiffe://t/w",
        ),
    ] {
        std::fs::write(dir.join("names"), names).unwrap();
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        run(&[&new[..], &["-subj", "/CN=x", "-keyout", &key, "-out", &request]].concat());
        run(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            &certificate,
        ]);
    }
}

/// `client_allowed_sans`, `cipher_suites` and `curve_preferences`, each put in force by changing the file.
#[test]
fn tls_lets_in_who_and_what_the_file_names() {
    let Some([openssl, curl]) = neighbours::find_all(["openssl", "curl"]) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    certificates(&openssl, dir);
    let configure = |options: &str| {
        let text =
            format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{options}\n");
        web_config(dir, &text)
    };
    let sextant = Sextant::start_unready(dir, IDLE, &[&configure("")]);
    let is_let_in = |flags: &str| {
        let url = format!("https://{}/-/healthy", sextant.address);
        let out = Command::new(&curl)
            .current_dir(dir)
            .args(["--silent", "--fail", "--max-time", "10", "--cacert", "ca.crt"])
            .args(flags.split_whitespace())
            .arg(url)
            .output()
            .unwrap();
        out.status.success()
    };
    until(START, "an answer over TLS", || is_let_in("").then_some(()).ok_or(sextant.process.log()));
    let verified = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let if_given = "  client_ca_file: ca.crt\n  client_auth_type: VerifyClientCertIfGiven\n";
    let client = "--cert client.crt --key client.key";
    let suites = "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]";
    let curves = "  curve_preferences: [CurveP384]";
    for (options, flags, expected) in [
        (format!("{verified}  client_allowed_sans: [x, agent.example]"), client, true),
        (format!("{verified}  client_allowed_sans: [10.1.2.3]"), client, true),
        (format!("{verified}  client_allowed_sans: ['2001:db8::1']"), client, true),
        (format!("{verified}  client_allowed_sans: [a@example.org]"), client, true),
        (format!("{verified}  client_allowed_sans: ['spiffe://t/w']"), client, true),
        (format!("{verified}  client_allowed_sans: [example, Agent.example, 10.1.2.4]"), client, false),
        (format!("{verified}  client_allowed_sans: []"), client, false),
        (verified.to_owned(), client, true),
        (verified.to_owned(), "", false),
        (if_given.to_owned(), "", true),
        // A name is asked for, so a certificate is.
        (format!("{if_given}  client_allowed_sans: [agent.example]"), "", false),
        (
            "  client_auth_type: RequestClientCert\n  client_allowed_sans: [agent.example]".to_owned(),
            client,
            true,
        ),
        ("  client_auth_type: RequestClientCert\n  client_allowed_sans: [other]".to_owned(), client, false),
        ("  client_allowed_sans: [other]".to_owned(), "", true),
        (suites.to_owned(), "--tls-max 1.2 --ciphers ECDHE-RSA-AES128-GCM-SHA256", true),
        (suites.to_owned(), "--tls-max 1.2 --ciphers ECDHE-RSA-AES256-GCM-SHA384", false),
        (suites.to_owned(), "--tlsv1.3", true),
        (curves.to_owned(), "--curves P-384", true),
        (curves.to_owned(), "--curves X25519", false),
    ] {
        configure(&options);
        assert_eq!(is_let_in(flags), expected, "{options} {flags}: {}", sextant.process.log());
    }
    // Without TLS in the file, TLS goes on; what else the file says is in force.
    web_config(dir, USERS);
    std::fs::write(dir.join("credentials"), "user = \"ali:open sesame\"\n").unwrap();
    assert_eq!([is_let_in(""), is_let_in("--config credentials")], [false, true]);
}
