//! OTLP metrics over HTTP: `POST /api/v1/otlp/v1/metrics`, and `/v1/metrics`, where exporters that
//! were only given an address send them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base::TenantId;
use config::prometheus::otlp::{OtlpConfig, TranslationStrategy as Configured};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use store_metrics::{AppendError, AppendOptions};
use wire_core::{Compression, DecompressError, decompress};
use wire_otlp::{
    OtlpOptions, PromotedAttributes, ResponseEncoding, TranslationStrategy, decode_json, decode_protobuf,
    encode_error, encode_response, translate,
};

use super::App;
use super::access::Caller;
use super::reply::{RETRY_AFTER_S, plain_error, with_type};
use crate::batch_headers;
use crate::delta_streams::OtlpDeltas;
use crate::ingest::IngestError;

/// As for remote write: 32 MiB once decompressed.
pub(super) const DECODED_BYTES_MAX: usize = 32 << 20;

/// Senders may be this far ahead of our clock.
const FUTURE_MAX_MS: i64 = 10 * 60 * 1000;

/// Reasons that an answer names; more are only counted.
const REASONS_SHOWN_MAX: usize = 10;

/// As upstream.
pub(super) const RECEIVER_OFF: &str =
    "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";

/// Why nothing of a request was stored. Each has a status of HTTP and one of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalKind {
    Malformed,
    TooLarge,
    /// Memory or the share of the tenant is used up; later there may be some.
    OverBudget,
    /// The store takes nothing at the moment.
    Unavailable,
    Internal,
}

impl RefusalKind {
    fn http_status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::OverBudget => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The number of the gRPC status.
    pub(super) fn grpc_code(self) -> u32 {
        match self {
            Self::Malformed => 3,
            Self::TooLarge | Self::OverBudget => 8,
            Self::Internal => 13,
            Self::Unavailable => 14,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too large",
            Self::OverBudget | Self::Unavailable | Self::Internal => "refused",
        }
    }
}

/// A request of which nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: RefusalKind,
    pub(super) message: String,
}

impl Refusal {
    fn new(kind: RefusalKind, message: &dyn ToString) -> Self {
        Self { kind, message: message.to_string() }
    }

    pub(super) fn of_compression(error: &DecompressError) -> Self {
        let kind = match error {
            DecompressError::TooLarge { .. } => RefusalKind::TooLarge,
            DecompressError::Corrupt { .. } | DecompressError::Unsupported(_) => RefusalKind::Malformed,
        };
        Self::new(kind, error)
    }

    fn of_append(error: &IngestError) -> Self {
        let kind = match error {
            refused if refused.is_back_pressure() => RefusalKind::OverBudget,
            IngestError::Store(AppendError::ReadOnly(_) | AppendError::Closed) => RefusalKind::Unavailable,
            IngestError::Store(AppendError::TooLarge { .. }) => RefusalKind::TooLarge,
            _ => RefusalKind::Internal,
        };
        Self::new(kind, error)
    }
}

/// What was not stored of a request that was otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PartialSuccess {
    /// Data points that could not be translated, and samples that the store refused.
    pub(super) n_rejected: usize,
    pub(super) message: String,
}

pub(crate) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !app.settings.enable_otlp_receiver {
        return plain_error(StatusCode::NOT_FOUND, RECEIVER_OFF);
    }
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or("");
    let content_type = text(CONTENT_TYPE);
    let Some(encoding) = ResponseEncoding::from_content_type(content_type) else {
        let refused = format!(
            "unsupported content type: {content_type}, supported: [application/json, application/x-protobuf]"
        );
        return plain_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refused);
    };
    let compression = match Compression::from_content_encoding(text(CONTENT_ENCODING)) {
        Ok(compression) => compression,
        Err(error) => return refused(encoding, StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, &error.to_string()),
    };
    let work = move || {
        let append = append_options(&app, &caller.tenant, &headers, &body)?;
        let plain = decompress(compression, &body, DECODED_BYTES_MAX)
            .map_err(|error| counted(&app, &caller.tenant, Refusal::of_compression(&error)))?;
        ingest(&app, &caller.tenant, encoding, &plain, append)
    };
    match run(work).await {
        Ok(partial) => {
            let body = encode_response(encoding, partial.n_rejected, &partial.message);
            with_type(StatusCode::OK, encoding.content_type(), body)
        }
        Err(refusal) => {
            refused(encoding, refusal.kind.http_status(), refusal.kind.grpc_code(), &refusal.message)
        }
    }
}

/// Translating and appending take long and wait for the disk.
pub(super) async fn run(
    work: impl FnOnce() -> Result<PartialSuccess, Refusal> + Send + 'static,
) -> Result<PartialSuccess, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(Refusal::new(RefusalKind::Internal, &panic)),
    }
}

fn refused(encoding: ResponseEncoding, status: StatusCode, grpc_code: u32, message: &str) -> Response {
    let body = encode_error(encoding, grpc_code, message);
    let mut response = with_type(status, encoding.content_type(), body);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

pub(super) fn counted(app: &App, tenant: &TenantId, refusal: Refusal) -> Refusal {
    app.metrics.rejected_requests.with(&[tenant.as_str(), refusal.kind.reason()]).inc();
    refusal
}

/// How a request is to be appended, by its headers.
pub(super) fn append_options(
    app: &App,
    tenant: &TenantId,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<AppendOptions, Refusal> {
    let batch = batch_headers::read(headers, body)
        .map_err(|error| counted(app, tenant, Refusal::new(RefusalKind::Malformed, &error)))?;
    Ok(AppendOptions { batch, ..AppendOptions::default() })
}

/// Decodes, translates and stores a request that has been decompressed. Blocks.
pub(super) fn ingest(
    app: &App,
    tenant: &TenantId,
    encoding: ResponseEncoding,
    plain: &[u8],
    append: AppendOptions,
) -> Result<PartialSuccess, Refusal> {
    let decoded = match encoding {
        ResponseEncoding::Protobuf => decode_protobuf(plain),
        ResponseEncoding::Json => decode_json(plain),
    };
    let mut request =
        decoded.map_err(|error| counted(app, tenant, Refusal::new(RefusalKind::Malformed, &error)))?;
    let dropped = match app.delta_conversion() {
        Some(conversion) if request.has_delta() => conversion.convert(tenant, &mut request),
        _ => Vec::new(),
    };
    let mut translated = translate(&request, tenant, &options(app));
    translated.rejected_data_points += dropped.len();
    let of_deltas = dropped.iter().map(|drop| format!("{}: {}", drop.metric, drop.cause));
    translated.errors.extend(of_deltas);
    app.metrics.otlp_rejected.add(translated.rejected_data_points as f64);
    for warning in &translated.warnings {
        app.metrics.otlp_warnings.with(&[warning.category.as_str()]).inc();
    }
    let outcome = app
        .ingest
        .append(&translated.batch, append)
        .map_err(|error| counted(app, tenant, Refusal::of_append(&error)))?;
    app.metrics.count_append(tenant, &outcome);
    if outcome.rejected.series_memory > 0 {
        // Sending everything again is harmless: what was stored is stored once.
        let message = "memory for new series exhausted";
        return Err(counted(app, tenant, Refusal::new(RefusalKind::OverBudget, &message)));
    }
    let n_errors = translated.errors.len();
    let mut reasons: Vec<String> = translated.errors.into_iter().take(REASONS_SHOWN_MAX).collect();
    if n_errors > reasons.len() {
        reasons.push(format!("and {} more", n_errors - reasons.len()));
    }
    if let Some((series_idx, t_ms, reason)) = outcome.first_rejected {
        let series = translated.batch.series.get(series_idx as usize);
        let labels = series.map(|series| series.labels.to_string()).unwrap_or_default();
        let n_more = outcome.rejected.total().saturating_sub(1);
        let more = if n_more > 0 { format!(" (and {n_more} more)") } else { String::new() };
        reasons.push(format!("{reason}: series {labels}, timestamp {t_ms}{more}"));
    }
    let n_refused = usize::try_from(outcome.rejected.total()).unwrap_or(usize::MAX);
    Ok(PartialSuccess {
        n_rejected: translated.rejected_data_points.saturating_add(n_refused),
        message: reasons.join("; "),
    })
}

/// The `otlp` section in force, and what the command line says.
fn options(app: &App) -> OtlpOptions {
    let base = OtlpOptions {
        type_and_unit_labels: app.settings.type_and_unit_labels,
        allow_delta_temporality: matches!(app.settings.otlp_deltas, OtlpDeltas::AsTheyAre),
        ..OtlpOptions::new(app.clock.now_ms() + FUTURE_MAX_MS)
    };
    match app.reload.current() {
        Some(config) => configured(&base, &config.otlp),
        None => base,
    }
}

fn configured(base: &OtlpOptions, config: &OtlpConfig) -> OtlpOptions {
    OtlpOptions {
        strategy: match config.translation_strategy {
            Configured::UnderscoreEscapingWithSuffixes => TranslationStrategy::UnderscoreEscapingWithSuffixes,
            Configured::UnderscoreEscapingWithoutSuffixes => {
                TranslationStrategy::UnderscoreEscapingWithoutSuffixes
            }
            Configured::NoUtf8EscapingWithSuffixes => TranslationStrategy::NoUtf8EscapingWithSuffixes,
            Configured::NoTranslation => TranslationStrategy::NoTranslation,
        },
        promoted: match (config.promote_all_resource_attributes, &config.promote_resource_attributes) {
            (true, _) => PromotedAttributes::AllExcept(config.ignore_resource_attributes.clone()),
            (false, listed) if listed.is_empty() => PromotedAttributes::None,
            (false, listed) => PromotedAttributes::Listed(listed.clone()),
        },
        keep_identifying_resource_attributes: config.keep_identifying_resource_attributes,
        convert_histograms_to_nhcb: config.convert_histograms_to_nhcb,
        promote_scope_metadata: config.promote_scope_metadata,
        label_name_underscore_sanitization: config.label_name_underscore_sanitization,
        label_name_preserve_multiple_underscores: config.label_name_preserve_multiple_underscores,
        ..base.clone()
    }
}
