//! What surrounds every handler: CORS as upstream sets it, compression, and counting.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base::Clock;
use config::web::RateLimit;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::Method;
use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::App;
use super::reply::plain_error;
use super::web_config::InForce;

/// `Access-Control-*` for the origins that `--web.cors.origin` matches. As upstream: `OPTIONS` is 204 on
/// every path, and where there is no such path or method nothing is said about origins.
pub(crate) async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        let mut preflight = Response::default();
        *preflight.status_mut() = StatusCode::NO_CONTENT;
        preflight
    } else {
        next.run(request).await
    };
    if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return response };
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Accept, Authorization, Content-Type, Origin"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date"));
    match &app.settings.cors_origin {
        None => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Some(allowed) if origin.to_str().is_ok_and(|text| allowed.is_match(text)) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        Some(_) => {}
    }
    response
}

/// The first of gzip and deflate that the client names.
enum Encoding {
    Gzip,
    Deflate,
}

pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    let encoding = accepted.split(',').map(str::trim).find_map(|name| match name {
        "gzip" => Some(Encoding::Gzip),
        "deflate" => Some(Encoding::Deflate),
        _ => None,
    });
    let mut response = next.run(request).await;
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let streams = response.headers().get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().starts_with(b"text/event-stream")
            || value.as_bytes().starts_with(b"application/x-ndjson")
            || value.as_bytes().starts_with(b"application/x-streamed-protobuf")
    });
    let Some(encoding) = encoding else { return response };
    if streams || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Handlers that do not stream hand over one buffer, so nothing is waited for here.
    let Ok(body) = body.collect().await else { return Response::from_parts(parts, Body::empty()) };
    let plain = body.to_bytes();
    if plain.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    let (packed, name) = match encoding {
        Encoding::Gzip => (gzip(&plain), "gzip"),
        Encoding::Deflate => (zlib(&plain), "deflate"),
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    Response::from_parts(parts, Body::from(packed))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).expect("writing to a vector cannot fail");
    encoder.finish().expect("writing to a vector cannot fail")
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).expect("writing to a vector cannot fail");
    encoder.finish().expect("writing to a vector cannot fail")
}

/// The headers that `http_server_config` asks for on every answer. `config` has checked them.
pub(crate) fn fixed_headers(configured: &BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

pub(crate) async fn add_headers(
    Extension(in_force): Extension<Arc<InForce>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in &in_force.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// `rate_limit` of a web configuration: one request per interval, and a burst on top.
#[derive(Debug)]
pub(crate) struct RateGate {
    limit: Option<RateLimit>,
    clock: Arc<dyn Clock>,
    /// Requests that may pass at once, and when that was counted.
    state: Mutex<(f64, u64)>,
}

impl RateGate {
    pub(crate) fn new(limit: Option<RateLimit>, clock: Arc<dyn Clock>) -> Self {
        let full = limit.map_or(0.0, |limit| limit.burst as f64);
        let now_ns = clock.monotonic_ns();
        Self { limit, clock, state: Mutex::new((full, now_ns)) }
    }

    fn admits(&self) -> bool {
        let Some(limit) = self.limit else { return true };
        let now_ns = self.clock.monotonic_ns();
        let mut state = self.state.lock();
        let gained = now_ns.saturating_sub(state.1) as f64 / (limit.interval_ms.max(1) as f64 * 1e6);
        *state = ((state.0 + gained).min(limit.burst as f64), now_ns);
        let admitted = state.0 >= 1.0;
        if admitted {
            state.0 -= 1.0;
        }
        admitted
    }
}

pub(crate) async fn limit_rate(
    Extension(in_force): Extension<Arc<InForce>>,
    request: Request,
    next: Next,
) -> Response {
    if in_force.gate.admits() {
        next.run(request).await
    } else {
        plain_error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
    }
}

/// Counts requests by handler and code, and times them.
pub(crate) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let handler = request.extensions().get::<MatchedPath>().map_or_else(
        || "/not-found".to_owned(),
        |path| path.as_str().replace("{name}", ":name").replace("{*rest}", "*rest"),
    );
    let started_ns = app.clock.monotonic_ns();
    let response = next.run(request).await;
    let seconds = app.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
    app.metrics.http_requests.with(&[&handler, response.status().as_str()]).inc();
    app.metrics.http_duration.with(&[&handler]).observe(seconds);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::ManualClock;

    use super::*;

    #[test]
    fn a_rate_limit_allows_a_burst_and_then_one_per_interval() {
        let clock = Arc::new(ManualClock::new(0));
        let limit = Some(RateLimit { burst: 2, interval_ms: 1000 });
        let gate = RateGate::new(limit, Arc::clone(&clock) as Arc<dyn Clock>);
        assert_eq!([gate.admits(), gate.admits(), gate.admits()], [true, true, false]);
        clock.advance(Duration::from_millis(999));
        assert!(!gate.admits());
        clock.advance(Duration::from_millis(1));
        assert_eq!([gate.admits(), gate.admits()], [true, false]);
        assert!(RateGate::new(None, clock).admits());
    }
}
