//! AWS Signature Version 4 in headers. Pure: the time is passed in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use jiff::Timestamp;
use ring::{digest, hmac};
use wire_core::http_config::Secret;

/// Keys that sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AwsKeys {
    pub(super) access_key: String,
    pub(super) secret_key: Secret,
    /// Empty for keys that do not expire.
    pub(super) session_token: Secret,
}

/// What a signature is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now_ms: i64,
}

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Proxies and tracers change these on the way.
const UNSIGNED: [&str; 6] =
    ["authorization", "user-agent", "x-amzn-trace-id", "expect", "transfer-encoding", "uber-trace-id"];

/// Adds the date, the session token and the signature over method, URL, headers and body.
pub(super) fn sign(
    method: &Method,
    uri: &Uri,
    headers: &mut HeaderMap,
    body: &[u8],
    keys: &AwsKeys,
    scope: Scope<'_>,
) -> Result<(), String> {
    let instant = Timestamp::from_millisecond(scope.now_ms).map_err(|e| e.to_string())?;
    let date_time = instant.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &date_time[..8];
    let value = |text: &str| HeaderValue::from_str(text).map_err(|e| e.to_string());
    headers.insert(AMZ_DATE, value(&date_time)?);
    if !keys.session_token.is_empty() {
        headers.insert(AMZ_TOKEN, value(keys.session_token.expose())?);
    }
    let (signed_names, canonical) = canonical_request(method, uri, headers, body);
    let credential_scope = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{date_time}\n{credential_scope}\n{}", sha256_hex(canonical.as_bytes()));
    let mut key = format!("AWS4{}", keys.secret_key.expose()).into_bytes();
    for part in [date, scope.region, scope.service, "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{credential_scope}, SignedHeaders={signed_names}, Signature={signature}",
        keys.access_key
    );
    headers.insert(AUTHORIZATION, value(&authorization)?);
    Ok(())
}

/// The names of what is signed, and the text that is hashed.
fn canonical_request(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> (String, String) {
    let mut signed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if !UNSIGNED.contains(&name.as_str()) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let folded = text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            signed.entry(name.as_str()).or_default().push(folded);
        }
    }
    // What the client will send, whatever was set before.
    signed.insert(HOST.as_str(), vec![host_of(uri)]);
    let names = signed.keys().copied().collect::<Vec<_>>().join(";");
    let mut canonical = format!("{method}\n{}\n{}\n", escape_path(uri.path()), canonical_query(uri));
    for (name, values) in &signed {
        writeln!(canonical, "{name}:{}", values.join(",")).expect("writing to a String cannot fail");
    }
    write!(canonical, "\n{names}\n{}", sha256_hex(body)).expect("writing to a String cannot fail");
    (names, canonical)
}

/// The host with its port unless that is the scheme's own.
fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let own_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    match uri.port_u16() {
        Some(port) if port != own_port => format!("{host}:{port}"),
        _ => host.to_owned(),
    }
}

/// The path as it is sent, escaped once more, as all services but S3 want it.
fn escape_path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { escape(path, "/") }
}

fn canonical_query(uri: &Uri) -> String {
    let mut pairs: Vec<(String, String)> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (escape_bytes(&decoded(name), ""), escape_bytes(&decoded(value), "")))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The bytes behind escapes; a percent sign that begins none stays.
fn decoded(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let two = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (byte, two.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(escaped)) => {
                out.push(escaped);
                rest = &behind[2..];
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    out
}

fn escape(text: &str, kept: &str) -> String {
    escape_bytes(text.as_bytes(), kept)
}

fn escape_bytes(bytes: &[u8], kept: &str) -> String {
    let mut out = String::new();
    for byte in bytes {
        let c = char::from(*byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || kept.contains(c) {
            out.push(c);
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    out
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
        out
    })
}

/// The signature a request carries, over what arrived: for tests that stand in for AWS.
#[cfg(test)]
pub(super) fn signature_holds(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    keys: &AwsKeys,
    scope: Scope<'_>,
) -> bool {
    let Some(arrived) = headers.get(AUTHORIZATION).cloned() else { return false };
    let text = arrived.to_str().unwrap_or_default().to_owned();
    let signed =
        text.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let mut again = HeaderMap::new();
    for name in
        signed.split(';').filter(|name| !matches!(*name, "host" | "x-amz-date" | "x-amz-security-token"))
    {
        for value in headers.get_all(name) {
            again.append(HeaderName::try_from(name).expect("a name that arrived"), value.clone());
        }
    }
    let same_token =
        headers.get(AMZ_TOKEN).map_or("", |v| v.to_str().unwrap_or_default()) == keys.session_token.expose();
    sign(method, uri, &mut again, body, keys, scope).is_ok()
        && again.get(AUTHORIZATION) == Some(&arrived)
        && same_token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> AwsKeys {
        AwsKeys {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Secret::default(),
        }
    }

    /// The vectors that AWS publishes (aws4_testsuite, and the example of its IAM documentation).
    #[test]
    fn published_vectors_are_signed_alike() {
        let check =
            |method: Method, url: &str, own: &[(&str, &str)], body: &str, service: &str, wanted: &str| {
                let mut headers = HeaderMap::new();
                for (name, value) in own {
                    headers
                        .append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
                }
                // 2015-08-30T12:36:00Z
                let scope = Scope { region: "us-east-1", service, now_ms: 1_440_938_160_000 };
                let uri = url.parse().unwrap();
                sign(&method, &uri, &mut headers, body.as_bytes(), &keys(), scope).unwrap();
                let signature = headers[AUTHORIZATION].to_str().unwrap().rsplit_once("Signature=").unwrap().1;
                assert_eq!(signature, wanted, "{method} {url}");
                assert!(signature_holds(&method, &uri, &headers, body.as_bytes(), &keys(), scope));
                assert!(!signature_holds(&method, &uri, &headers, b"another body", &keys(), scope));
            };
        let form = ("content-type", "application/x-www-form-urlencoded");
        let base = "http://example.amazonaws.com";
        check(
            Method::GET,
            base,
            &[],
            "",
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            Method::POST,
            &format!("{base}:80/"),
            &[("user-agent", "not signed")],
            "",
            "service",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            Method::GET,
            &format!("{base}/?Param2=value2&Param1=value1"),
            &[],
            "",
            "service",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(
            Method::GET,
            base,
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "service",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        );
        check(
            Method::POST,
            base,
            &[form],
            "Param1=value1",
            "service",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
        check(
            Method::GET,
            "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            "",
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        );
    }

    #[test]
    fn paths_and_queries_are_canonical() {
        for (url, path, query) in [
            ("http://a", "/", ""),
            ("http://a/x%20y/z", "/x%2520y/z", ""),
            ("http://a/?b=2&a=%41+c&a&%zz=1", "/", "%25zz=1&a=&a=A%20c&b=2"),
        ] {
            let uri: Uri = url.parse().unwrap();
            assert_eq!(
                (escape_path(uri.path()).as_str(), canonical_query(&uri).as_str()),
                (path, query),
                "{url}"
            );
        }
    }
}
