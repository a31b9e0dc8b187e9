//! `POST /api/v1/write`: samples that others push by remote write.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use model::SeriesBatch;
use store_metrics::{AppendError, AppendOptions, AppendOutcome};
use wire_core::{Compression, DecompressError, decompress};
use wire_prom::remote_write::{DecodedWrite, SeriesCache, WriteMessage, WriteOptions, decode_v1, decode_v2};

use super::App;
use super::access::Caller;
use super::reply::plain_error;
use crate::batch_headers;
use crate::ingest::IngestError;

/// As upstream: 32 MiB once decompressed.
const DECODED_BYTES_MAX: usize = 32 << 20;

/// Senders may be this far ahead of our clock.
const FUTURE_MAX_MS: i64 = 10 * 60 * 1000;

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

pub(crate) async fn write(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !app.settings.enable_remote_write_receiver {
        let off = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
        return plain_error(StatusCode::NOT_FOUND, off);
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    // Upstream takes a missing type for 1.0, since old senders leave it out.
    let content_type = if content_type.is_empty() { WriteMessage::V1.content_type() } else { content_type };
    let message = match WriteMessage::from_content_type(content_type) {
        Ok(message) if app.settings.accepted_write_messages.contains(&message) => message,
        Ok(message) => {
            let refused = format!("{} protobuf message is not accepted by this server", message.as_str());
            return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refused);
        }
        Err(error) => return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error.to_string()),
    };
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.is_empty()
        && encoding != "snappy"
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        let refused = format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        );
        return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refused);
    }
    let batch = match batch_headers::read(&headers, &body) {
        Ok(batch) => batch,
        Err(error) => {
            app.metrics.rejected_requests.with(&[caller.tenant.as_str(), "malformed"]).inc();
            return plain_error(StatusCode::BAD_REQUEST, &error.to_string());
        }
    };
    let options = AppendOptions { batch, ..AppendOptions::default() };
    let worker = Arc::clone(&app);
    let work = move || ingest_write(&worker, &caller, message, &body, options);
    let outcome = tokio::task::spawn_blocking(work).await;
    match outcome {
        Ok(response) => response,
        Err(panic) => plain_error(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    }
}

fn ingest_write(
    app: &App,
    caller: &Caller,
    message: WriteMessage,
    body: &[u8],
    append_options: AppendOptions,
) -> Response {
    let plain = match decompress(Compression::Snappy, body, DECODED_BYTES_MAX) {
        Ok(plain) => plain,
        Err(error) => return undecodable(app, caller, &error),
    };
    let options = WriteOptions {
        type_and_unit_labels: app.settings.type_and_unit_labels,
        ..WriteOptions::new(app.clock.now_ms() + FUTURE_MAX_MS)
    };
    let decoded = app.with_series_cache(&caller.tenant, |cache: &mut SeriesCache| match message {
        WriteMessage::V1 => decode_v1(&plain, &options, cache),
        WriteMessage::V2 => decode_v2(&plain, &options, cache),
    });
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            app.metrics.rejected_requests.with(&[caller.tenant.as_str(), "malformed"]).inc();
            return plain_error(StatusCode::BAD_REQUEST, &error.to_string());
        }
    };
    app.metrics.invalid_labels.add(decoded.invalid_label_samples as f64);
    let outcome = match append(app, &decoded.batch, append_options) {
        Ok(outcome) => outcome,
        Err(response) => return *response,
    };
    write_answer(message, &decoded, &outcome)
}

fn undecodable(app: &App, caller: &Caller, error: &DecompressError) -> Response {
    app.metrics.rejected_requests.with(&[caller.tenant.as_str(), "undecodable"]).inc();
    let status = match error {
        DecompressError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    plain_error(status, &error.to_string())
}

/// Appends and counts; an error is the response to give.
fn append(app: &App, batch: &SeriesBatch, options: AppendOptions) -> Result<AppendOutcome, Box<Response>> {
    match app.ingest.append(batch, options) {
        Ok(outcome) => {
            app.metrics.count_append(&batch.tenant, &outcome);
            Ok(outcome)
        }
        Err(error) => {
            app.metrics.rejected_requests.with(&[batch.tenant.as_str(), "refused"]).inc();
            let status = refused_status(&error);
            Err(Box::new(plain_error(status, &error.to_string())))
        }
    }
}

fn refused_status(error: &IngestError) -> StatusCode {
    match error {
        refused if refused.is_back_pressure() => StatusCode::TOO_MANY_REQUESTS,
        IngestError::Store(AppendError::ReadOnly(_) | AppendError::Closed) => StatusCode::SERVICE_UNAVAILABLE,
        IngestError::Store(AppendError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn write_answer(message: WriteMessage, decoded: &DecodedWrite, outcome: &AppendOutcome) -> Response {
    let mut problems: Vec<String> = match message {
        WriteMessage::V1 => decoded.fatal.iter().cloned().collect(),
        WriteMessage::V2 => decoded.rejected.clone(),
    };
    if let Some((series_idx, t_ms, reason)) = outcome.first_rejected {
        let labels = decoded.batch.series.get(series_idx as usize).map(|series| series.labels.to_string());
        let n_more = outcome.rejected.total().saturating_sub(1);
        let more = if n_more > 0 { format!(" (and {n_more} more)") } else { String::new() };
        problems.push(format!("{reason}: series {}, timestamp {t_ms}{more}", labels.unwrap_or_default()));
    }
    let retry_later = outcome.rejected.series_limit + outcome.rejected.series_memory > 0;
    let mut response = if problems.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let status = if retry_later { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::BAD_REQUEST };
        plain_error(status, &problems.join("\n"))
    };
    if message == WriteMessage::V2 {
        for (name, count) in [
            (SAMPLES_WRITTEN, decoded.stats.samples),
            (HISTOGRAMS_WRITTEN, decoded.stats.histograms),
            (EXEMPLARS_WRITTEN, decoded.stats.exemplars),
        ] {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}
