use std::fmt::Write as _;

use base::TenantId;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn options() -> OtlpOptions {
    OtlpOptions::new(NOW_MS)
}

/// A request in JSON with these metrics of one resource.
fn request(metrics: &str) -> ExportRequest {
    let body = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"api"}}}},
            {{"key":"service.namespace","value":{{"stringValue":"shop"}}}},
            {{"key":"service.instance.id","value":{{"stringValue":"i-1"}}}},
            {{"key":"host.name","value":{{"stringValue":"h1"}}}}]}},
          "scopeMetrics":[{{"scope":{{"name":"lib","version":"1.2","attributes":[
            {{"key":"k","value":{{"intValue":"7"}}}}]}},"schemaUrl":"http://s","metrics":[{metrics}]}}]}}]}}"#
    );
    decode_json(body.as_bytes()).unwrap()
}

/// Every sample on a line, `target_info` left out unless it is asked for.
fn listing(translated: &Translated, with_target_info: bool) -> String {
    let batch = &translated.batch;
    let mut out = String::new();
    let labels = |idx: u32| &batch.series[idx as usize].labels;
    for s in batch
        .floats
        .iter()
        .filter(|s| with_target_info || labels(s.series_idx).metric_name() != "target_info")
    {
        let v = if model::is_stale_nan(s.v) { "stale".to_owned() } else { s.v.to_string() };
        writeln!(out, "{} = {v} @{} st {}", labels(s.series_idx), s.t, s.st).unwrap();
    }
    for s in &batch.histograms {
        let custom = &s.h.custom_values;
        writeln!(out, "{} = {} {custom:?} @{} st {}", labels(s.series_idx), s.h, s.t, s.st).unwrap();
    }
    for (idx, e) in &batch.exemplars {
        writeln!(out, "{} # {} {} @{}", labels(*idx).metric_name(), e.labels, e.value, e.t).unwrap();
    }
    for error in &translated.errors {
        writeln!(out, "error {error}").unwrap();
    }
    for warning in &translated.warnings {
        writeln!(out, "warning {}: {}", warning.category.as_str(), warning.text).unwrap();
    }
    out
}

fn check(metrics: &str, options: &OtlpOptions, expected: &str) {
    let got = listing(&translate(&request(metrics), &TenantId::anonymous(), options), false);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(got.lines().collect::<Vec<_>>(), expected, "{metrics}");
}

const TIMES: &str = r#""startTimeUnixNano":"1000000000","timeUnixNano":"5000000000""#;

fn sum(temporality: u8, extra: &str) -> String {
    format!(
        r#"{{"name":"http.requests","unit":"1","description":"d","sum":{{"aggregationTemporality":{temporality},
        "isMonotonic":true,"dataPoints":[{{{TIMES},"asInt":"42",{extra}"attributes":[
        {{"key":"http.method","value":{{"stringValue":"GET"}}}}]}}]}}}}"#
    )
}

#[test]
fn sums_and_gauges() {
    let exemplars = r#""exemplars":[{"timeUnixNano":"4000000000","asDouble":1.5,"traceId":"0AF7651916CD43DD8448EB211C80319C","spanId":"0000000000000000","filteredAttributes":[{"key":"a","value":{"boolValue":true}}]}],"#;
    check(
        &sum(2, exemplars),
        &options(),
        r#"
        {__name__="http_requests_total", http_method="GET", instance="i-1", job="shop/api"} = 42 @5000 st 1000
        http_requests_total # {a="true", trace_id="0af7651916cd43dd8448eb211c80319c"} 1.5 @4000
        "#,
    );
    check(
        &sum(2, r#""flags":1,"#),
        &OtlpOptions {
            strategy: TranslationStrategy::NoTranslation,
            promote_scope_metadata: true,
            promoted: PromotedAttributes::Listed(vec!["host.name".to_owned()]),
            type_and_unit_labels: true,
            ..options()
        },
        r#"
        {__name__="http.requests", __type__="counter", "host.name"="h1", "http.method"="GET", instance="i-1", job="shop/api", otel_scope_k="7", otel_scope_name="lib", otel_scope_schema_url="http://s", otel_scope_version="1.2"} = stale @5000 st 1000
        "#,
    );
    check(
        &sum(1, ""),
        &options(),
        r#"error invalid temporality and type combination for metric "http.requests""#,
    );
    let deltas = OtlpOptions { allow_delta_temporality: true, ..options() };
    let translated = translate(&request(&sum(1, "")), &TenantId::anonymous(), &deltas);
    assert_eq!((translated.errors.len(), translated.rejected_data_points), (0, 0));
    assert_eq!(translated.batch.metadata[0].1.metric_type, model::MetricType::Unknown);
    let early = OtlpOptions { max_time_ms: 4999, ..options() };
    let translated = translate(&request(&sum(2, "")), &TenantId::anonymous(), &early);
    assert_eq!(translated.rejected_data_points, 1);
    assert_eq!(translated.errors, ["out of bounds: timestamp is too far in the future"]);
    check(
        r#"{"name":"t","unit":"Cel","gauge":{"dataPoints":[{"timeUnixNano":1000000,"asDouble":-0.5,"attributes":[
        {"key":"a.b","value":{"stringValue":"1"}},{"key":"a_b","value":{"arrayValue":{"values":[{"intValue":2},{"stringValue":"x"}]}}}]}]}},
        {"name":"none","gauge":{}}"#,
        &options(),
        r#"
        {__name__="t_celsius", a_b="1;[2,\"x\"]", instance="i-1", job="shop/api"} = -0.5 @1 st 0
        warning label_name_collision: OTLP data point attributes "a.b", "a_b" collide as label "a_b" after name sanitization, values are concatenated with ';'
        warning empty_data_points: empty data points. none is dropped
        "#,
    );
}

#[test]
fn explicit_histograms_and_summaries() {
    let metrics = format!(
        r#"{{"name":"lat","unit":"s","histogram":{{"aggregationTemporality":2,"dataPoints":[{{{TIMES},"count":"6","sum":9.5,
        "bucketCounts":["0","4","0","2"],"explicitBounds":[0.1,1,10],
        "exemplars":[{{"asDouble":0.5}},{{"asDouble":50}}]}}]}}}}"#
    );
    let base = r#"instance="i-1", job="shop/api""#;
    check(
        &metrics,
        &options(),
        &format!(
            r#"
        {{__name__="lat_seconds_sum", {base}}} = 9.5 @5000 st 1000
        {{__name__="lat_seconds_count", {base}}} = 6 @5000 st 1000
        {{__name__="lat_seconds_bucket", {base}, le="0.1"}} = 0 @5000 st 1000
        {{__name__="lat_seconds_bucket", {base}, le="1"}} = 4 @5000 st 1000
        {{__name__="lat_seconds_bucket", {base}, le="10"}} = 4 @5000 st 1000
        {{__name__="lat_seconds_bucket", {base}, le="+Inf"}} = 6 @5000 st 1000
        lat_seconds_bucket # {{}} 0.5 @0
        lat_seconds_bucket # {{}} 50 @0
        "#
        ),
    );
    check(
        &metrics,
        &OtlpOptions { convert_histograms_to_nhcb: true, ..options() },
        &format!(
            r#"
        {{__name__="lat_seconds", {base}}} = {{count:6, sum:9.5, (0.1,1]:4, (10,+Inf]:2}} [0.1, 1.0, 10.0] @5000 st 1000
        lat_seconds # {{}} 0.5 @0
        lat_seconds # {{}} 50 @0
        "#
        ),
    );
    check(
        r#"{"name":"s","summary":{"dataPoints":[{"timeUnixNano":"1000000","count":"3","sum":4.5,"quantileValues":[{"quantile":0.5,"value":1.25},{"quantile":1,"value":"NaN"}]}]}}"#,
        &options(),
        &format!(
            r#"
        {{__name__="s_sum", {base}}} = 4.5 @1 st 0
        {{__name__="s_count", {base}}} = 3 @1 st 0
        {{__name__="s", {base}, quantile="0.5"}} = 1.25 @1 st 0
        {{__name__="s", {base}, quantile="1"}} = NaN @1 st 0
        "#
        ),
    );
}

fn exponential(scale: i32, offset: i32, counts: &str, count: u64) -> String {
    format!(
        r#"{{"name":"e","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[{{"timeUnixNano":"1000000",
        "count":"{count}","sum":1,"scale":{scale},"zeroCount":"1","positive":{{"offset":{offset},"bucketCounts":{counts}}}}}]}}}}"#
    )
}

#[test]
fn exponential_histograms() {
    let base = r#"{__name__="e", instance="i-1", job="shop/api"}"#;
    let zero = "[-1e-128,1e-128]:1";
    check(
        &exponential(0, 1, "[1,0,2,0,0,0,3]", 7),
        &options(),
        &format!("{base} = {{count:7, sum:1, {zero}, (2,4]:1, (8,16]:2, (128,256]:3}} [] @1 st 0"),
    );
    // Ten is reduced to eight: four buckets become one.
    let translated =
        translate(&request(&exponential(10, -5, "[1,1,1,1,1,1]", 7)), &TenantId::anonymous(), &options());
    let h = &translated.batch.histograms[0].h;
    assert_eq!((h.schema, h.positive_buckets.as_slice()), (8, &[1.0, 4.0, 1.0][..]));
    assert_eq!(h.positive_spans, [model::histogram::Span { offset: -1, length: 3 }]);
    check(
        &exponential(-5, 0, "[1]", 2),
        &options(),
        "error cannot convert exponential to native histogram. Scale must be >= -4, was -5",
    );
    let empty = translate(&request(&exponential(2, 0, "[]", 1)), &TenantId::anonymous(), &options());
    assert_eq!((empty.errors, empty.batch.histograms.len()), (vec![], 1));
    let wrong = translate(&request(&exponential(2, 0, "[5]", 1)), &TenantId::anonymous(), &options());
    assert_eq!((wrong.errors.len(), wrong.rejected_data_points), (1, 1), "{:?}", wrong.errors);
}

#[test]
fn target_info_carries_the_resource() {
    let two = r#"{"name":"g","gauge":{"dataPoints":[{"timeUnixNano":"0","asInt":1},{"timeUnixNano":"400000000000","asInt":1}]}}"#;
    let of = |options: &OtlpOptions| {
        let all = listing(&translate(&request(two), &TenantId::anonymous(), options), true);
        all.lines().filter(|l| l.contains("target_info")).map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = |labels: &str| -> Vec<String> {
        [0, 150_000, 300_000, 400_000].iter().map(|t| format!("{labels} = 1 @{t} st 0")).collect()
    };
    assert_eq!(
        of(&options()),
        expected(r#"{__name__="target_info", host_name="h1", instance="i-1", job="shop/api"}"#)
    );
    assert_eq!(
        of(&OtlpOptions { keep_identifying_resource_attributes: true, ..options() })[0],
        r#"{__name__="target_info", host_name="h1", instance="i-1", job="shop/api", service_instance_id="i-1", service_name="api", service_namespace="shop"} = 1 @0 st 0"#
    );
    let absurd = r#"{"name":"g","gauge":{"dataPoints":[{"timeUnixNano":"0","asInt":1},{"timeUnixNano":"9223372036854775807","asInt":1}]}}"#;
    let many = translate(&request(absurd), &TenantId::anonymous(), &OtlpOptions::new(i64::MAX));
    assert!(many.batch.floats.len() < 11_000, "{}", many.batch.floats.len());
}

/// A protobuf request with one of each kind of metric.
fn protobuf_request() -> Vec<u8> {
    let mut w = wire_core::ProtoWriter::new();
    let key_value = |w: &mut wire_core::ProtoWriter, field, key: &str, value: &str| {
        w.message_field(field, |w| {
            w.str_field(1, key);
            w.message_field(2, |w| w.str_field(1, value));
        });
    };
    w.message_field(1, |w| {
        w.message_field(1, |w| key_value(w, 1, "service.name", "api"));
        w.message_field(2, |w| {
            w.message_field(1, |w| w.str_field(1, "lib"));
            w.message_field(2, |w| {
                w.str_field(1, "g");
                w.message_field(5, |w| {
                    w.message_field(1, |w| {
                        w.f64_field(4, 1.5);
                        key_value(w, 7, "a", "b");
                    });
                });
            });
            w.message_field(2, |w| {
                w.str_field(1, "h");
                w.message_field(9, |w| {
                    w.message_field(1, |w| {
                        w.f64_field(5, 2.0);
                        w.packed_f64(7, [1.0]);
                    });
                    w.u64_field(2, 2);
                });
            });
            w.message_field(2, |w| {
                w.str_field(1, "e");
                w.message_field(10, |w| {
                    w.message_field(1, |w| {
                        w.sint64_field(6, -1);
                        w.message_field(8, |w| {
                            w.sint64_field(1, -2);
                            w.packed_u64(2, [0]);
                        });
                    });
                    w.u64_field(2, 2);
                });
            });
        });
    });
    w.finish()
}

#[test]
fn protobuf_and_json_say_the_same() {
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}}]},
      "scopeMetrics":[{"scope":{"name":"lib"},"metrics":[
        {"name":"g","gauge":{"dataPoints":[{"asDouble":1.5,"attributes":[{"key":"a","value":{"stringValue":"b"}}]}]}},
        {"name":"h","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[{"sum":2,"explicitBounds":[1]}]}},
        {"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"scale":-1,"positive":{"offset":-2,"bucketCounts":["0"]}}]}}]}]}]}"#;
    let decoded = decode_protobuf(&protobuf_request()).unwrap();
    assert_eq!(decoded, decode_json(json.as_bytes()).unwrap());
    assert_eq!((decoded.n_data_points(), decoded.has_delta()), (3, false));
}

#[test]
fn malformed_requests_are_refused_and_never_panic() {
    for (body, expected) in [
        ("[]", "request: expected an object"),
        (r#"{"resourceMetrics":{}}"#, "resourceMetrics: expected an array"),
        (r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":1}]}]}]}"#, "name: expected a string"),
    ] {
        assert_eq!(decode_json(body.as_bytes()).unwrap_err().to_string(), expected);
    }
    assert!(matches!(decode_json(b"{"), Err(OtlpError::Json(_))));
    // An attribute value nested forty deep.
    let nested = (0..40).fold(Vec::new(), |inner, _| {
        let mut w = wire_core::ProtoWriter::new();
        w.message_field(5, |w| w.bytes_element(1, &inner));
        w.finish()
    });
    let mut w = wire_core::ProtoWriter::new();
    w.message_field(1, |w| w.message_field(1, |w| w.message_field(1, |w| w.bytes_element(2, &nested))));
    assert_eq!(decode_protobuf(&w.finish()), Err(OtlpError::TooDeep { limit: 32 }));
    let (body, mut rng) = (protobuf_request(), base::Rng::new(31));
    let nhcb = OtlpOptions { convert_histograms_to_nhcb: true, allow_delta_temporality: true, ..options() };
    for _ in 0..20_000 {
        let mut damaged = body.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(damaged.len() as u64) as usize;
            damaged[at] = rng.next_u64() as u8;
        }
        if let Ok(request) = decode_protobuf(&damaged) {
            let _ = translate(&request, &TenantId::anonymous(), &nhcb);
        }
    }
}

#[test]
fn damaged_json_never_panics() {
    let body = sum(2, r#""exemplars":[{"asDouble":1.5,"traceId":"0a"}],"#);
    let body = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{body}]}}]}}]}}"#).into_bytes();
    assert!(decode_json(&body).is_ok());
    let mut rng = base::Rng::new(37);
    for _ in 0..10_000 {
        let mut damaged = body.clone();
        let at = rng.below(damaged.len() as u64) as usize;
        damaged[at] = b"0\"{}[]:,-9n"[rng.below(11) as usize];
        if let Ok(request) = decode_json(&damaged) {
            let _ = translate(&request, &TenantId::anonymous(), &options());
        }
    }
}

#[test]
fn answers_speak_the_clients_encoding() {
    for (content_type, expected) in [
        ("application/x-protobuf", Some(ResponseEncoding::Protobuf)),
        ("application/json; charset=utf-8", Some(ResponseEncoding::Json)),
        ("text/plain", None),
    ] {
        assert_eq!(ResponseEncoding::from_content_type(content_type), expected);
    }
    assert!(encode_response(ResponseEncoding::Protobuf, 0, "").is_empty());
    assert_eq!(encode_response(ResponseEncoding::Json, 0, ""), b"{}");
    let partial = encode_response(ResponseEncoding::Json, 2, "no");
    let json: serde_json::Value = serde_json::from_slice(&partial).unwrap();
    assert_eq!(json["partialSuccess"]["rejectedDataPoints"], "2");
    assert!(!encode_error(ResponseEncoding::Protobuf, 3, "bad").is_empty());
}
