//! The HTTP client behind scrapes, discovery, notifications and remote write.
//!
//! One [`HttpClient`](client::HttpClient) per `http_client_config`, pooled connections inside. What
//! upstream's client options promise is done here once: authentication, TLS with client certificates
//! that are read again when the files change, proxies, headers, redirects that drop credentials
//! across hosts, HTTP/2.

pub mod client;
mod connect;
pub mod connections;
mod oauth2;
mod proxy;
mod tls;
