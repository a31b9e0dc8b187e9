//! `/metrics` and `/api/v1/status/self_metrics`: what the server says of itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use model::MetricType;
use model::regex::GoRegex;
use wire_prom::api_json::JsonWriter;
use wire_prom::expose_text::{FamilyHeader, TextEncoder, TextSample};
use wire_prom::negotiate::{ExposeFormat, negotiate};

use super::App;
use super::params::Params;
use super::reply::{ApiError, ApiResult, success};
use crate::telemetry::{FamilySnapshot, SeriesSnapshot};

/// Text comes first because a client that accepts anything gets it, as from upstream.
const OFFERED: [ExposeFormat; 3] =
    [ExposeFormat::Text, ExposeFormat::OpenMetrics1_0_0, ExposeFormat::OpenMetrics0_0_1];

pub(crate) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let (format, scheme) = negotiate(accept, &OFFERED);
    let mut encoder = TextEncoder::new(format, scheme);
    for family in app.own_families() {
        let header = FamilyHeader {
            name: &family.name,
            help: Some(family.help),
            metric_type: family.metric_type,
            unit: None,
        };
        encoder.family(&header);
        for series in &family.series {
            let labels: Vec<(&str, &str)> =
                series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let plain = TextSample::new(&labels, series.value);
            encoder.sample(&TextSample { suffix: series.suffix, float_label: series.bound, ..plain });
        }
    }
    let mut response = Response::new(encoder.finish().into());
    let content_type =
        HeaderValue::from_str(&format.content_type(scheme)).expect("media types are valid headers");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The same families in the JSON form of `io.prometheus.client.MetricFamily`.
pub(crate) async fn self_metrics(State(app): State<Arc<App>>, params: Params) -> ApiResult {
    let pattern = params.get("metric_name_pattern");
    let filter = match pattern {
        "" => None,
        text => Some(
            GoRegex::new_anchored(text)
                .map_err(|e| ApiError::bad_data(format!("invalid metric_name_pattern: {e}")))?,
        ),
    };
    let families = app.own_families();
    let shown = families.iter().filter(|f| filter.as_ref().is_none_or(|regex| regex.is_match(&f.name)));
    success(|w| w.array(|w| shown.for_each(|family| write_family(w, family))))
}

fn write_family(w: &mut JsonWriter, family: &FamilySnapshot) {
    w.object(|w| {
        w.key("name");
        w.string(&family.name);
        w.key("help");
        w.string(family.help);
        w.key("type");
        w.string(&family.metric_type.as_str().to_ascii_uppercase());
        w.key("metric");
        w.array(|w| match family.metric_type {
            MetricType::Histogram => write_histograms(w, &family.series),
            MetricType::Summary => write_summaries(w, &family.series),
            MetricType::Counter => family.series.iter().for_each(|series| write_simple(w, series, "counter")),
            _ => family.series.iter().for_each(|series| write_simple(w, series, "gauge")),
        });
    });
}

fn write_labels(w: &mut JsonWriter, series: &SeriesSnapshot) {
    if series.labels.is_empty() {
        return;
    }
    w.key("label");
    w.array(|w| {
        for (name, value) in &series.labels {
            w.object(|w| {
                w.key("name");
                w.string(name);
                w.key("value");
                w.string(value);
            });
        }
    });
}

fn number(w: &mut JsonWriter, value: f64) {
    if value.is_finite() {
        w.raw(base::gofloat::format_f(value).as_bytes());
    } else {
        // protojson writes what JSON has no number for as text.
        w.string(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
}

fn write_simple(w: &mut JsonWriter, series: &SeriesSnapshot, kind: &str) {
    w.object(|w| {
        write_labels(w, series);
        w.key(kind);
        w.object(|w| {
            w.key("value");
            number(w, series.value);
        });
    });
}

/// The snapshot lists a summary's quantiles, then `_sum`, then `_count`.
fn write_summaries(w: &mut JsonWriter, series: &[SeriesSnapshot]) {
    for group in series.chunk_by(|a, b| a.labels == b.labels) {
        w.object(|w| {
            write_labels(w, &group[0]);
            w.key("summary");
            w.object(|w| {
                let of = |suffix| group.iter().find(|s| s.suffix == suffix).map_or(0.0, |s| s.value);
                w.key("sampleCount");
                w.string(&base::gofloat::format_f(of("_count")));
                w.key("sampleSum");
                number(w, of("_sum"));
                w.key("quantile");
                w.array(|w| {
                    for (series, quantile) in group.iter().filter_map(|s| Some((s, s.bound?.1))) {
                        w.object(|w| {
                            w.key("quantile");
                            number(w, quantile);
                            w.key("value");
                            number(w, series.value);
                        });
                    }
                });
            });
        });
    }
}

/// The snapshot lists a histogram's buckets, then `_sum`, then `_count`.
fn write_histograms(w: &mut JsonWriter, series: &[SeriesSnapshot]) {
    for group in series.chunk_by(|a, b| a.labels == b.labels) {
        w.object(|w| {
            write_labels(w, &group[0]);
            w.key("histogram");
            w.object(|w| {
                let of = |suffix| group.iter().find(|s| s.suffix == suffix).map_or(0.0, |s| s.value);
                w.key("sampleCount");
                w.string(&base::gofloat::format_f(of("_count")));
                w.key("sampleSum");
                number(w, of("_sum"));
                w.key("bucket");
                w.array(|w| {
                    for (bucket, le) in
                        group.iter().filter_map(|s| Some((s, s.bound?.1))).filter(|(_, le)| le.is_finite())
                    {
                        w.object(|w| {
                            w.key("cumulativeCount");
                            w.string(&base::gofloat::format_f(bucket.value));
                            w.key("upperBound");
                            number(w, le);
                        });
                    }
                });
            });
        });
    }
}
