//! `/api/v1/query`, `query_range`, `query_exemplars`, `format_query`, `parse_query`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, State};
use base::{CancelToken, gofloat};
use engine::{QueryAnswer, QueryOrigin, QueryRequest};
use http::request::Parts;
use ql_promql::annotations::ANNOTATIONS_SHOWN_MAX;
use ql_promql::ast::Expr;
use ql_promql::query::QueryKind;
use ql_promql::value::{SampleValue, Value};
use wire_prom::api_json::{self, ErrorType, JsonWriter};
use wire_prom::api_params::{self, MAX_TIME_MS, MIN_TIME_MS};

use super::App;
use super::access::Caller;
use super::params::Params;
use super::query_stats::write_stats;
use super::reply::{ApiError, ApiResult, no_content, success, success_with};

/// Points per series a range query may return.
const POINTS_PER_SERIES_MAX: i64 = 11_000;

pub(crate) async fn query(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Asked,
    params: Params,
) -> ApiResult {
    let limit = params.limit()?;
    let t_ms = params.time_or("time", app.clock.now_ms())?;
    let request = request(&params, caller, asked, QueryKind::Instant { t_ms })?;
    run(app, request, params, limit).await
}

pub(crate) async fn query_range(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Asked,
    params: Params,
) -> ApiResult {
    let limit = params.limit()?;
    let start_ms = params.time("start")?;
    let end_ms = params.time("end")?;
    if end_ms < start_ms {
        return Err(ApiError::param("end", "end timestamp must not be before start time"));
    }
    let step_ns =
        api_params::parse_duration_ns(params.get("step")).map_err(|e| ApiError::param("step", e))?;
    if step_ns <= 0 {
        let refused =
            "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::param("step", refused));
    }
    let range_ns = i128::from(end_ms - start_ms) * 1_000_000;
    if range_ns / i128::from(step_ns) > i128::from(POINTS_PER_SERIES_MAX) {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    // Steps are counted in milliseconds; a finer one would never advance.
    let step_ms = (step_ns / 1_000_000).max(1);
    let request = request(&params, caller, asked, QueryKind::Range { start_ms, end_ms, step_ms })?;
    run(app, request, params, limit).await
}

fn request(params: &Params, caller: Caller, asked: Asked, kind: QueryKind) -> Result<QueryRequest, ApiError> {
    let timeout = match params.get("timeout") {
        "" => None,
        text => {
            let ns = api_params::parse_duration_ns(text).map_err(|e| ApiError::param("timeout", e))?;
            Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
        }
    };
    let lookback_delta_ms = match params.get("lookback_delta") {
        "" => 0,
        text => api_params::parse_duration_ms(text)
            .map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?,
    };
    Ok(QueryRequest {
        tenant: caller.tenant,
        text: Arc::from(params.get("query")),
        kind,
        timeout,
        lookback_delta_ms,
        per_step_stats: params.get("stats") == "all",
        cancel: CancelToken::unbounded(),
        origin: asked.0,
    })
}

/// The request as the query log shows it.
pub(crate) struct Asked(QueryOrigin);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let path = parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.path(), |uri| uri.path());
        Ok(Self(QueryOrigin::Http {
            client_ip: peer.map_or_else(String::new, |peer| peer.0.ip().to_canonical().to_string()),
            method: parts.method.to_string(),
            path: path.to_owned(),
        }))
    }
}

/// Evaluates on a worker; when the client hangs up this future is dropped, which cancels the query.
async fn run(app: Arc<App>, request: QueryRequest, params: Params, limit: usize) -> ApiResult {
    let _hang_up = CancelOnDrop(request.cancel.clone());
    let text = Arc::clone(&request.text);
    let engine = Arc::clone(&app.engine);
    app.metrics.queries.with(&[request.tenant.as_str()]).inc();
    let outcome = tokio::task::spawn_blocking(move || engine.run(&request)).await;
    let mut answer = match outcome {
        Ok(answer) => answer?,
        // A panic in the evaluator is our fault; the query dies, the server does not.
        Err(panic) => {
            return Err(ApiError::new(ErrorType::Internal, format!("query evaluation failed: {panic}")));
        }
    };
    app.metrics.query_duration.observe(answer.timings.total_s);
    let mut warnings = answer.output.warnings(&text, ANNOTATIONS_SHOWN_MAX);
    warnings.extend(answer.store_warnings.iter().cloned());
    let infos = answer.output.infos(&text, ANNOTATIONS_SHOWN_MAX);
    if limit > 0 && answer.output.value.truncate(limit) {
        warnings.push("results truncated due to limit".to_owned());
    }
    let stats = params.get("stats");
    if !matches!(stats, "" | "true" | "all") {
        warnings.push(format!(
            "value {stats:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\""
        ));
    }
    success_with(|w| write_answer(w, &answer, !stats.is_empty()), &warnings, &infos)
}

/// Cancels a query that is still running when its client is gone; one that is done does not mind.
pub(crate) struct CancelOnDrop(pub(crate) CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn write_answer(w: &mut JsonWriter, answer: &QueryAnswer, with_stats: bool) {
    w.object(|w| {
        w.key("resultType");
        w.string(answer.output.value.type_name());
        w.key("result");
        write_value(w, &answer.output.value);
        if with_stats {
            w.key("stats");
            write_stats(w, &answer.timings, &answer.output.stats, gofloat::format_f);
        }
    });
}

fn write_value(w: &mut JsonWriter, value: &Value) {
    match value {
        Value::Scalar { t_ms, value } => w.array(|w| {
            w.seconds(*t_ms);
            w.value(*value);
        }),
        Value::String { t_ms, value } => w.array(|w| {
            w.seconds(*t_ms);
            w.string(value);
        }),
        Value::Vector { t_ms, samples } => w.array(|w| {
            for sample in samples {
                w.vector_sample(&sample.labels, *t_ms, wire_value(&sample.value));
            }
        }),
        Value::Matrix(series) => w.array(|w| {
            for one in series {
                let floats = one.float_ts.iter().copied().zip(one.floats.iter().copied());
                let histograms = one.histogram_ts.iter().copied().zip(one.histograms.iter().map(|h| &**h));
                w.matrix_series(&one.labels, floats, histograms);
            }
        }),
    }
}

fn wire_value(value: &SampleValue) -> api_json::SampleValue<'_> {
    match value {
        SampleValue::Float(v) => api_json::SampleValue::Float(*v),
        SampleValue::Histogram(h) => api_json::SampleValue::Histogram(h),
    }
}

pub(crate) async fn format_query(State(app): State<Arc<App>>, params: Params) -> ApiResult {
    let expr = app.engine.parse(params.get("query"))?;
    success(|w| w.string(&ql_promql::prettify::prettify(&expr)))
}

pub(crate) async fn parse_query(State(app): State<Arc<App>>, params: Params) -> ApiResult {
    let expr = app.engine.parse(params.get("query"))?;
    success(|w| w.raw(ql_promql::ast_json::to_json(&expr).as_bytes()))
}

pub(crate) async fn query_exemplars(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> ApiResult {
    let start_ms = params.time_or("start", MIN_TIME_MS)?;
    let end_ms = params.time_or("end", MAX_TIME_MS)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = match app.engine.parse(params.get("query")) {
        Ok(expr) => expr,
        Err(error) => return Err(ApiError::bad_data(error.to_string())),
    };
    let selectors = selectors_of(&expr);
    if selectors.is_empty() {
        return no_content();
    }
    let view = app.store.view();
    let (_share, budget) = app.engine.share_of(&caller.tenant, "exemplars");
    let found = app
        .compute(move || view.query_exemplars(&caller.tenant, &selectors, start_ms, end_ms, &budget))
        .await?;
    success(|w| {
        w.array(|w| {
            for series in &found.series {
                w.object(|w| {
                    w.key("seriesLabels");
                    w.labels(&series.labels);
                    w.key("exemplars");
                    w.array(|w| series.exemplars.iter().for_each(|exemplar| w.exemplar(exemplar)));
                });
            }
        });
    })
}

fn selectors_of(expr: &Expr) -> Vec<Vec<model::Matcher>> {
    expr.selectors().into_iter().map(|selector| selector.matchers.clone()).collect()
}
