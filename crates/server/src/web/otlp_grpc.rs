//! OTLP metrics over gRPC: the one unary method `MetricsService/Export`, as frames in an HTTP/2
//! request. Reflection, streaming and other services are not here.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use wire_core::{Compression, decompress};
use wire_otlp::{ResponseEncoding, encode_response};

use super::App;
use super::access::Caller;
use super::otlp_api::{
    DECODED_BYTES_MAX, PartialSuccess, RECEIVER_OFF, Refusal, append_options, counted, ingest, run,
};
use super::reply::plain_error;

/// Where the method is called.
pub(super) const EXPORT_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

const CONTENT_TYPE_GRPC: &str = "application/grpc";
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a message may be compressed with.
const ENCODINGS: &str = "identity,gzip,deflate,zstd";

const OK: u32 = 0;
const INVALID_ARGUMENT: u32 = 3;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;

/// A compression flag and the length, in front of each message.
const FRAME_HEADER_BYTES: usize = 5;

/// A call that fails: the status and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    code: u32,
    message: String,
}

impl Failure {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind.grpc_code(), refusal.message)
    }
}

pub(crate) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !is_grpc(content_type) {
        let refused = format!("unsupported content type: {content_type}, supported: {CONTENT_TYPE_GRPC}");
        return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refused);
    }
    match call(app, caller, &headers, body).await {
        Ok(partial) => success(&partial),
        Err(failure) => failed(&failure),
    }
}

async fn call(
    app: Arc<App>,
    caller: Caller,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<PartialSuccess, Failure> {
    if !app.settings.enable_otlp_receiver {
        return Err(Failure::new(UNIMPLEMENTED, RECEIVER_OFF));
    }
    if !app.is_ready() {
        return Err(Failure::new(14, "the server is starting"));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::new(RESOURCE_EXHAUSTED, rejection.body_text()),
        _ => Failure::new(INVALID_ARGUMENT, rejection.body_text()),
    })?;
    let encoding = headers.get(GRPC_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    let compression = match Compression::from_content_encoding(encoding) {
        // What gRPC calls snappy is framed, which remote write's is not.
        Ok(Compression::Snappy) | Err(_) => {
            let message = format!("grpc-encoding {encoding:?} is not supported, only {ENCODINGS}");
            return Err(Failure::new(UNIMPLEMENTED, message));
        }
        Ok(compression) => compression,
    };
    let append = append_options(&app, &caller.tenant, headers, &body)?;
    let work = move || {
        let refusal = |error| counted(&app, &caller.tenant, Refusal::of_compression(&error));
        let (is_compressed, message) = read_message(&body).map_err(|problem| {
            let kind = super::otlp_api::RefusalKind::Malformed;
            counted(&app, &caller.tenant, Refusal { kind, message: problem.to_owned() })
        })?;
        let used = if is_compressed { compression } else { Compression::Identity };
        let plain = decompress(used, message, DECODED_BYTES_MAX).map_err(refusal)?;
        ingest(&app, &caller.tenant, ResponseEncoding::Protobuf, &plain, append)
    };
    Ok(run(work).await?)
}

/// The answer to any other method.
pub(crate) async fn no_such_method(uri: http::Uri, headers: HeaderMap) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !is_grpc(content_type) {
        return plain_error(StatusCode::NOT_FOUND, "404 page not found");
    }
    failed(&Failure::new(UNIMPLEMENTED, format!("unknown method {}", uri.path())))
}

fn is_grpc(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind == CONTENT_TYPE_GRPC || kind == "application/grpc+proto"
}

/// The only message of a unary request, and whether it is compressed.
fn read_message(body: &[u8]) -> Result<(bool, &[u8]), &'static str> {
    let Some((header, rest)) = body.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err("the request ends within the header of its message");
    };
    let [flag, length @ ..] = *header;
    let is_compressed = match flag {
        0 => false,
        1 => true,
        _ => return Err("the compression flag of a message is neither 0 nor 1"),
    };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    match rest.len() {
        n if n < length => Err("the request ends within its message"),
        n if n > length => Err("a unary request has one message"),
        _ => Ok((is_compressed, rest)),
    }
}

fn success(partial: &PartialSuccess) -> Response {
    let message = encode_response(ResponseEncoding::Protobuf, partial.n_rejected, &partial.message);
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.push(0);
    let length = u32::try_from(message.len()).expect("an answer is a few kilobytes");
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from(OK));
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    respond(Body::new(body))
}

/// Status and text are headers when there is no message.
fn failed(failure: &Failure) -> Response {
    let mut response = respond(Body::empty());
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from(failure.code));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&failure.message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_GRPC));
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
    response
}

/// As gRPC wants texts in headers: everything but printable ASCII is escaped.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_frame() {
        let too_short = Err("the request ends within the header of its message");
        for (body, expected) in [
            (&b""[..], too_short),
            (b"\0\0\0\0", too_short),
            (b"\0\0\0\0\0", Ok((false, &b""[..]))),
            (b"\x01\0\0\0\x02ab", Ok((true, b"ab"))),
            (b"\0\0\0\0\x02a", Err("the request ends within its message")),
            (b"\0\xff\xff\xff\xffa", Err("the request ends within its message")),
            (b"\0\0\0\0\x01ab", Err("a unary request has one message")),
            (b"\x02\0\0\0\0", Err("the compression flag of a message is neither 0 nor 1")),
        ] {
            assert_eq!(read_message(body), expected, "{body:?}");
        }
    }

    #[test]
    fn texts_are_escaped_for_headers() {
        assert_eq!(percent_encoded("100% wrong\nü"), "100%25 wrong%0A%C3%BC");
    }

    #[test]
    fn content_types_of_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/x-protobuf", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(content_type), expected, "{content_type}");
        }
    }
}
