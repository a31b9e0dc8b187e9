//! OTLP export requests in both encodings, and their translation to series.

use base::TenantId;
use wire_core::ProtoWriter;
use wire_otlp::{
    ExportRequest, OtlpOptions, PromotedAttributes, TranslationStrategy, decode_json, decode_protobuf,
    translate,
};

use super::remote::check_batch;
use crate::Target;
use crate::input::Input;

pub(super) const TARGETS: &[Target] = &[
    Target::new("otlp_protobuf", |input| check(input, |body| decode_protobuf(body).ok()), protobuf_seeds),
    Target::new("otlp_json", |input| check(input, |body| decode_json(body).ok()), json_seeds)
        .with_words(&[
            "\"resourceMetrics\":[",
            "\"scopeMetrics\":[",
            "\"metrics\":[",
            "\"dataPoints\":[{",
            "\"gauge\":{",
            "\"sum\":{",
            "\"histogram\":{",
            "\"exponentialHistogram\":{",
            "\"summary\":{",
            "\"attributes\":[",
            "\"key\":\"",
            "\"value\":{",
            "\"stringValue\":\"",
            "\"intValue\":\"",
            "\"doubleValue\":",
            "\"bytesValue\":\"",
            "\"arrayValue\":{\"values\":[",
            "\"kvlistValue\":{\"values\":[",
            "\"bucketCounts\":[",
            "\"explicitBounds\":[",
            "\"scale\":",
            "\"zeroCount\":",
            "\"positive\":{\"offset\":",
            "\"aggregationTemporality\":2",
            "\"isMonotonic\":true",
            "\"asInt\":\"",
            "null",
            "\"timeUnixNano\":\"1700000000000000000\"",
            "\"NaN\"",
            "[",
            "]",
            "{",
            "}",
            ",",
            "1e999",
            "-1",
        ])
        .with_test_runs(4_000),
];

const NOW_MS: i64 = 1_700_000_000_000;

/// The first byte chooses how the request is translated.
fn check(input: &[u8], decode: fn(&[u8]) -> Option<ExportRequest>) {
    let mut input = Input(input);
    let bits = input.u8();
    let Some(request) = decode(input.0) else { return };
    let options = OtlpOptions {
        strategy: TranslationStrategy::ALL[usize::from(bits & 3)],
        promoted: if bits & 4 == 0 {
            PromotedAttributes::None
        } else {
            PromotedAttributes::AllExcept(Vec::new())
        },
        keep_identifying_resource_attributes: bits & 8 != 0,
        convert_histograms_to_nhcb: bits & 16 != 0,
        promote_scope_metadata: bits & 32 != 0,
        allow_delta_temporality: bits & 64 != 0,
        type_and_unit_labels: bits & 128 != 0,
        ..OtlpOptions::new(NOW_MS)
    };
    let translated = translate(&request, &TenantId::anonymous(), &options);
    check_batch(&translated.batch);
    assert!(translated.rejected_data_points <= request.n_data_points(), "no more is refused than was sent");
    let again = translate(&request, &TenantId::anonymous(), &options);
    assert_eq!(format!("{translated:?}"), format!("{again:?}"), "the same request gives the same series");
}

fn json_seeds() -> Vec<Vec<u8>> {
    let body = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}},
{"key":"k","value":{"arrayValue":{"values":[{"intValue":"1"},{"boolValue":true}]}}}]},"scopeMetrics":[{"scope":{"name":"n"},
"metrics":[{"name":"g.x","unit":"s","gauge":{"dataPoints":[{"asDouble":1.5,"timeUnixNano":"1600000000000000000"}]}},
{"name":"c","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"3","timeUnixNano":1600000000000000000}]}},
{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"3","sum":2,"bucketCounts":[1,2],"explicitBounds":[1],"timeUnixNano":"1"}]}},
{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":"3","sum":2,"scale":1,"zeroCount":1,"positive":{"offset":1,"bucketCounts":[1,1]},"timeUnixNano":"1"}]}},
{"name":"s","summary":{"dataPoints":[{"count":"1","sum":2,"quantileValues":[{"quantile":0.5,"value":1}],"timeUnixNano":"1"}]}}]}]}]}"#;
    [0u8, 1, 0x17, 0xff].iter().map(|bits| [&[*bits][..], body].concat()).collect()
}

/// The same metrics in protobuf.
fn protobuf_seeds() -> Vec<Vec<u8>> {
    let mut w = ProtoWriter::new();
    w.message_field(1, |w| {
        w.message_field(1, |w| attribute(w, 1, "service.name", "s"));
        w.message_field(2, |w| {
            w.message_field(1, |w| w.str_field(1, "scope"));
            metric(w, "g.x", 5, |w| w.f64_member(4, 1.5));
            metric(w, "c", 7, |w| w.u64_member(4, 1));
            metric(w, "h", 9, |w| {
                w.bytes_field(4, &3u64.to_le_bytes());
                w.f64_field(5, 2.0);
                w.bytes_field(6, &[1u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
                w.packed_f64(7, [1.0]);
            });
            metric(w, "e", 10, |w| {
                w.f64_field(5, 2.0);
                w.sint64_field(6, 1);
                w.message_field(8, |w| {
                    w.sint64_field(1, 1);
                    w.packed_u64(2, [1, 2]);
                });
            });
            metric(w, "s", 11, |w| {
                w.message_field(6, |w| {
                    w.f64_field(1, 0.5);
                    w.f64_field(2, 1.0);
                });
            });
        });
    });
    let body = w.finish();
    [0u8, 1, 0x17, 0xff].iter().map(|bits| [&[*bits], &body[..]].concat()).collect()
}

fn attribute(w: &mut ProtoWriter, field: u32, key: &str, value: &str) {
    w.message_field(field, |w| {
        w.str_field(1, key);
        w.message_field(2, |w| w.str_field(1, value));
    });
}

fn metric(w: &mut ProtoWriter, name: &str, kind: u32, point: impl FnOnce(&mut ProtoWriter)) {
    w.message_field(2, |w| {
        w.str_field(1, name);
        w.str_field(3, "By");
        w.message_field(kind, |w| {
            w.message_field(1, |w| {
                attribute(w, 9, "a", "b");
                point(w);
            });
            w.u64_field(2, 2);
            w.u64_field(3, 1);
        });
    });
}
