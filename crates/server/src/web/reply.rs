//! Answers in upstream's envelope, and what goes wrong on the way to one.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use engine::{AdmissionRefused, QueryError};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use ql_promql::eval::EvalError;
use store_metrics::StoreError;
use wire_prom::api_json::{self, ErrorType, JsonWriter};

/// Seconds after which a refused client should come back.
pub(super) const RETRY_AFTER_S: &str = "5";

/// An error in the envelope: `errorType`, `error` and the status that belongs to it.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) error_type: ErrorType,
    pub(crate) message: String,
    /// Replaces the status of the error type; over-limit answers are 429 with `Retry-After`.
    pub(crate) status: Option<StatusCode>,
}

impl ApiError {
    pub(crate) fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), status: None }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }

    /// `invalid parameter "x": …`
    pub(crate) fn param(name: &str, cause: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {cause}"))
    }

    fn over_limit(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { error_type: ErrorType::Unavailable, message, status: Some(StatusCode::TOO_MANY_REQUESTS) }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::Parse(_) => Self::param("query", message),
            QueryError::Admission(AdmissionRefused::Timeout) => Self::new(ErrorType::Timeout, message),
            QueryError::Admission(AdmissionRefused::Cancelled) => Self::new(ErrorType::Canceled, message),
            QueryError::Admission(AdmissionRefused::QueueFull { .. }) => Self::over_limit(message),
            QueryError::Budget(_) | QueryError::Eval(EvalError::Budget(_)) => Self::over_limit(message),
            QueryError::Eval(EvalError::Preparation(_)) => Self::param("query", message),
            QueryError::Eval(EvalError::Timeout) => Self::new(ErrorType::Timeout, message),
            QueryError::Eval(EvalError::Cancelled) => Self::new(ErrorType::Canceled, message),
            QueryError::Eval(EvalError::Storage(_)) => Self::new(ErrorType::Internal, message),
            QueryError::Eval(EvalError::TooManySamples | EvalError::Execution(_)) => {
                Self::new(ErrorType::Execution, message)
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Budget(_) => Self::over_limit(message),
            StoreError::Cancelled(_) => Self::new(ErrorType::Canceled, message),
            StoreError::InvalidName(_) => Self::bad_data(message),
            StoreError::Corrupt { .. }
            | StoreError::Storage(_)
            | StoreError::Open(_)
            | StoreError::Closed => Self::new(ErrorType::Internal, message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.error_type.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let status = self.status.unwrap_or(status);
        let mut response = json(status, api_json::error(self.error_type, &self.message));
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// What a handler of the JSON API gives.
pub(crate) type ApiResult = Result<Response, ApiError>;

/// A success without warnings.
pub(crate) fn success(data: impl FnOnce(&mut JsonWriter)) -> ApiResult {
    success_with(data, &[], &[])
}

pub(crate) fn success_with(
    data: impl FnOnce(&mut JsonWriter),
    warnings: &[String],
    infos: &[String],
) -> ApiResult {
    Ok(json(StatusCode::OK, api_json::success(data, warnings, infos)))
}

/// Upstream answers 204 where a handler has nothing to say.
pub(crate) fn no_content() -> ApiResult {
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    with_type(status, "application/json", body)
}

/// As Go's `http.Error`: plain text with a line break at its end.
pub(crate) fn plain_error(status: StatusCode, message: &str) -> Response {
    let mut response = with_type(status, "text/plain; charset=utf-8", format!("{message}\n"));
    let sniff = HeaderName::from_static("x-content-type-options");
    response.headers_mut().insert(sniff, HeaderValue::from_static("nosniff"));
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
