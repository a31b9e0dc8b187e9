//! The HTTP client behind scrapes, discovery, notifications and remote write.
//!
//! One [`HttpClient`](client::HttpClient) per `http_client_config`, pooled connections inside. What
//! upstream's client options promise is done here once: authentication, TLS with client certificates
//! that are read again when the files change, proxies, headers, redirects that drop credentials
//! across hosts, HTTP/2.

pub mod client;
mod cloud;
mod connect;
pub mod connections;
mod jwt;
mod oauth2;
mod proxy;
mod tls;

/// A part of `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
