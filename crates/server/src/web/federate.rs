//! `GET /federate?match[]=…`: the latest sample of every matching series, as text or,
//! for clients that ask for it, as protobuf, which alone carries native histograms.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::{CancelToken, ShardSet};
use engine::StoreSource;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use model::{FloatHistogram, Labels};
use ql_promql::source::{SelectRequest, SeriesBuffer, SeriesSource as _, SourceError};
use wire_prom::api_json::SampleValue;
use wire_prom::federate::{FederateSample, write_federation, write_federation_proto};
use wire_prom::negotiate::{ExposeFormat, negotiate};

use super::App;
use super::access::Caller;
use super::params::Params;
use super::query_api::CancelOnDrop;
use super::reply::plain_error;

/// The latest value of one series.
enum Latest {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

pub(crate) async fn federate(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    caller: Caller,
    params: Params,
) -> Response {
    if let Err(error) = params.well_formed() {
        return plain_error(StatusCode::BAD_REQUEST, &error.message);
    }
    let selectors = match params.any_selectors() {
        Ok(selectors) => selectors.into_iter().filter(|matchers| !matchers.is_empty()).collect::<Vec<_>>(),
        Err(message) => return plain_error(StatusCode::BAD_REQUEST, &message),
    };
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let (format, scheme) = negotiate(accept, &[ExposeFormat::Text, ExposeFormat::ProtoDelimited]);
    let now_ms = app.clock.now_ms();
    let start_ms = now_ms - app.engine.options().lookback_delta_ms;
    let cancel = CancelToken::unbounded();
    let _hang_up = CancelOnDrop(cancel.clone());
    let (_share, budget) = app.engine.share_of(&caller.tenant, "federate");
    let source = StoreSource { view: app.store.view(), tenant: caller.tenant, budget, cancel };
    let collect = move || {
        let mut found = Vec::new();
        for matchers in &selectors {
            let request = SelectRequest {
                matchers,
                start_ms,
                end_ms: now_ms,
                with_start_timestamps: false,
                shards: &ShardSet::ALL,
            };
            latest_of(&source, &request, &mut found)?;
        }
        // Several selectors may find the same series.
        found.sort_by(|a: &(Labels, i64, Latest), b| a.0.cmp(&b.0));
        found.dedup_by(|a, b| a.0 == b.0);
        Ok::<_, SourceError>(found)
    };
    let found = match tokio::task::spawn_blocking(collect).await {
        Ok(Ok(found)) => found,
        Ok(Err(SourceError::Budget(refused))) => {
            return plain_error(StatusCode::TOO_MANY_REQUESTS, &refused.to_string());
        }
        Ok(Err(error)) => return plain_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(panic) => return plain_error(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    };
    let mut samples: Vec<FederateSample<'_>> = found
        .iter()
        .map(|(labels, t_ms, latest)| FederateSample {
            labels,
            t_ms: *t_ms,
            value: match latest {
                Latest::Float(v) => SampleValue::Float(*v),
                Latest::Histogram(h) => SampleValue::Histogram(h),
            },
        })
        .collect();
    let external =
        app.reload.current().map(|config| config.global.external_labels.clone()).unwrap_or_default();
    let external = external.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let body = match format {
        ExposeFormat::ProtoDelimited => write_federation_proto(&mut samples, &external, scheme),
        ExposeFormat::Text | ExposeFormat::OpenMetrics0_0_1 | ExposeFormat::OpenMetrics1_0_0 => {
            write_federation(&mut samples, &external, scheme)
        }
    };
    let mut response = Response::new(body.into());
    let content_type =
        HeaderValue::from_str(&format.content_type(scheme)).expect("media types are valid headers");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn latest_of(
    source: &StoreSource,
    request: &SelectRequest<'_>,
    found: &mut Vec<(Labels, i64, Latest)>,
) -> Result<(), SourceError> {
    let set = source.select(request)?;
    let mut buffer = SeriesBuffer::default();
    for idx in 0..set.len() {
        set.read(idx, &mut buffer)?;
        let float = buffer.float_ts.last().copied().zip(buffer.float_values.last().copied());
        let histogram = buffer.histogram_ts.last().copied().zip(buffer.histograms.last());
        let latest = match (float, histogram) {
            (Some((t, v)), Some((ht, _))) if t > ht => (t, Latest::Float(v)),
            (Some((t, v)), None) => (t, Latest::Float(v)),
            (_, Some((t, h))) => (t, Latest::Histogram(Arc::clone(h))),
            (None, None) => continue,
        };
        found.push((set.labels(idx).clone(), latest.0, latest.1));
    }
    Ok(())
}
