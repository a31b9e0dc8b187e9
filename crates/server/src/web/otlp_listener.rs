//! The paths of OTLP: beside everything else, and on listeners that take OTLP and nothing else, where
//! collectors and SDKs expect one: HTTP on port 4318 and gRPC on port 4317.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::post;

use super::{App, gate, not_found, otlp_api, otlp_grpc};

/// `POST /v1/metrics` and nothing else.
pub(super) fn only_http(app: &Arc<App>) -> Router<Arc<App>> {
    http_routes(app).fallback(not_found)
}

/// The method `Export` of the metrics service; other methods are refused in gRPC's own way.
pub(super) fn only_grpc() -> Router<Arc<App>> {
    grpc_routes().fallback(otlp_grpc::no_such_method)
}

/// Where OpenTelemetry exporters send when they were given nothing but an address. Outside of any
/// prefix, and not compressed: an answer of gRPC ends with trailers.
pub(super) fn exporter_routes(app: &Arc<App>) -> Router<Arc<App>> {
    http_routes(app).merge(grpc_routes())
}

fn http_routes(app: &Arc<App>) -> Router<Arc<App>> {
    let export = post(otlp_api::export).layer(from_fn_with_state(Arc::clone(app), gate));
    Router::new().route("/v1/metrics", export)
}

fn grpc_routes() -> Router<Arc<App>> {
    Router::new().route(otlp_grpc::EXPORT_PATH, post(otlp_grpc::export))
}
