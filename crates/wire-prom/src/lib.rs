//! Prometheus's protocols as pure functions between bytes and the model: exposition formats (read
//! and written), remote write 1.0 and 2.0, remote read, the JSON of the HTTP API and its
//! parameters. Does no IO and knows neither stores nor languages.

pub mod api_json;
pub mod api_params;
pub mod expose;
pub mod expose_text;
pub mod federate;
pub mod negotiate;
pub mod remote_read;
pub mod remote_write;
mod wire_histogram;
