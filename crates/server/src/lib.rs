//! Sockets, TLS, HTTP handlers, supervision: all async code of the server.
//! Knows no storage format and no language; it joins the components of the lower layers.

#![expect(missing_debug_implementations, reason = "handles of tasks and sockets have nothing to print")]

pub mod accounts;
mod batch_headers;
pub mod delta_streams;
mod discovery;
mod failure_log;
pub mod host;
pub mod ingest;
pub mod outbound;
mod process_metrics;
pub mod query_log;
pub mod reload;
pub mod remote_read;
pub mod remote_write;
pub mod ruling;
pub mod scraping;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
mod upkeep;
pub mod web;

/// How we name ourselves to other servers.
pub const USER_AGENT: &str = concat!("Sextant/", env!("CARGO_PKG_VERSION"));
