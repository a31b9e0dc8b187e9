//! Sockets, TLS, HTTP handlers, supervision: all async code of the server.
//! Knows no storage format and no language; it joins the components of the lower layers.

pub mod discovery;
pub mod outbound;
pub mod telemetry;

/// How we name ourselves to other servers.
pub const USER_AGENT: &str = concat!("Sextant/", env!("CARGO_PKG_VERSION"));
