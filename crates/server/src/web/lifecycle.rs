//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`, `/version`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::App;
use super::access::Admin;
use super::reply::{plain_error, with_type};

/// Upstream's application name is part of these texts, and scripts compare them.
pub(crate) async fn healthy() -> Response {
    text(StatusCode::OK, "Prometheus Server is Healthy.\n")
}

/// Not ready while starting, and while the store refuses writes: the text says why.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    if !app.is_ready() {
        return plain_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    }
    match app.store.read_only_reason() {
        Some(reason) => {
            plain_error(StatusCode::SERVICE_UNAVAILABLE, &format!("storage is read-only: {reason}"))
        }
        None => text(StatusCode::OK, "Prometheus Server is Ready.\n"),
    }
}

pub(crate) async fn reload(State(app): State<Arc<App>>, _admin: Admin) -> Response {
    if !app.settings.enable_lifecycle {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    }
    match app.reload.request().await {
        Ok(()) => Response::default(),
        Err(message) => {
            plain_error(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to reload config: {message}"))
        }
    }
}

pub(crate) async fn quit(State(app): State<Arc<App>>, _admin: Admin) -> Response {
    if !app.settings.enable_lifecycle {
        return text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    }
    app.shutdown.begin();
    text(StatusCode::OK, "Requesting termination... Goodbye!")
}

/// `GET /-/reload` and `GET /-/quit`.
pub(crate) async fn only_post() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

fn text(status: StatusCode, body: &'static str) -> Response {
    with_type(status, "text/plain; charset=utf-8", body)
}
