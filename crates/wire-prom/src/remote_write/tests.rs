use std::sync::Arc;

use model::histogram::{CounterResetHint, Span};
use model::{FloatHistogram, FloatSample, HistogramSample, Metadata, MetricType};
use prost::Message;

use super::*;

mod prost_v1;
mod prost_v2;

const NOW_MS: i64 = 1_700_000_000_000;

fn options() -> WriteOptions {
    WriteOptions::new(NOW_MS)
}

fn cache() -> SeriesCache {
    SeriesCache::new(TenantId::anonymous(), 1 << 20)
}

fn histogram() -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::NotReset,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 6.5,
        sum: 12.25,
        positive_spans: vec![Span { offset: -3, length: 2 }],
        positive_buckets: vec![2.5, 2.0],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_buckets: vec![1.0],
        custom_values: Vec::new(),
    }
}

fn batch() -> SeriesBatch {
    let tenant = TenantId::anonymous();
    let mut batch = SeriesBatch::new(tenant.clone());
    for (name, job) in [("up", "a"), ("latency", "b"), ("up", "c")] {
        batch.add_series(BatchSeries::new(&tenant, Labels::from_pairs([("__name__", name), ("job", job)])));
    }
    batch.floats = vec![
        FloatSample { series_idx: 0, st: 5, t: 10, v: 1.5 },
        FloatSample { series_idx: 0, st: 5, t: 20, v: model::stale_nan() },
        FloatSample { series_idx: 2, st: 0, t: 30, v: -0.0 },
    ];
    batch.histograms = vec![HistogramSample { series_idx: 1, st: 7, t: 15, h: Arc::new(histogram()) }];
    let labels = Labels::from_pairs([("trace_id", "x")]);
    batch.exemplars = vec![(2, Exemplar { labels, value: 3.0, t: 29, has_t: true })];
    let counter = Metadata { metric_type: MetricType::Gauge, unit: "s".into(), help: "is up".into() };
    batch.metadata = vec![("up".to_owned(), counter)];
    batch
}

/// Batches are compared by text because staleness is a NaN.
fn shown(batch: &SeriesBatch) -> String {
    let floats: Vec<_> = batch.floats.iter().map(|s| (s.series_idx, s.st, s.t, s.v.to_bits())).collect();
    format!("{:?} {floats:?} {:?} {:?}", batch.series, batch.histograms, batch.exemplars)
}

#[test]
fn what_the_sender_writes_the_receiver_reads() {
    let sent = batch();
    let v2 = decode_v2(&encode_v2(&sent), &options(), &mut cache()).unwrap();
    assert_eq!(shown(&v2.batch), shown(&sent));
    assert_eq!(v2.batch.metadata.first(), sent.metadata.first());
    assert_eq!(v2.stats, WriteStats { samples: 3, histograms: 1, exemplars: 1 });
    let v1 = decode_v1(&encode_v1(&sent), &options(), &mut cache()).unwrap();
    let mut without_st = sent.clone();
    without_st.floats.iter_mut().for_each(|s| s.st = 0);
    without_st.histograms.iter_mut().for_each(|s| s.st = 0);
    assert_eq!(shown(&v1.batch), shown(&without_st));
    assert_eq!(v1.batch.metadata, sent.metadata);
    assert_eq!((v1.rejected, v1.fatal), (vec![], None));
}

#[test]
fn known_series_are_taken_from_the_cache() {
    let body = encode_v2(&batch());
    let mut cache = cache();
    let first = decode_v2(&body, &options(), &mut cache).unwrap();
    let bytes = cache.heap_bytes();
    let second = decode_v2(&body, &options(), &mut cache).unwrap();
    assert_eq!((shown(&first.batch), bytes), (shown(&second.batch), cache.heap_bytes()));
    let mut tiny = SeriesCache::new(TenantId::anonymous(), 1);
    assert_eq!(shown(&decode_v2(&body, &options(), &mut tiny).unwrap().batch), shown(&first.batch));
    assert_eq!(tiny.heap_bytes(), 0, "what does not fit is not kept");
}

#[test]
fn the_hand_decoder_agrees_with_a_generated_one() {
    let request = prost_v1::sample();
    let got = decode_v1(&request.encode_to_vec(), &options(), &mut cache()).unwrap();
    assert_eq!(prost_v1::of_batch(&got.batch), request);
    let ours = encode_v1(&got.batch);
    assert_eq!(prost_v1::WriteRequest::decode(ours.as_slice()).unwrap(), request);
}

#[test]
fn the_hand_decoder_of_2_0_agrees_with_a_generated_one() {
    let request = prost_v2::sample();
    let got = decode_v2(&request.encode_to_vec(), &options(), &mut cache()).unwrap();
    assert_eq!(got.rejected, Vec::<String>::new());
    assert_eq!(prost_v2::of_batch(&got.batch), prost_v2::resolved(&request));
    let ours = prost_v2::Request::decode(encode_v2(&got.batch).as_slice()).unwrap();
    assert_eq!(prost_v2::resolved(&ours), prost_v2::resolved(&request));
}

/// A 2.0 request with these symbols and series of `(refs, metadata unit ref, samples)`.
fn request_v2(symbols: &[&[u8]], refs: &[u64], unit_ref: u64, times: &[i64]) -> Vec<u8> {
    let mut w = wire_core::ProtoWriter::new();
    symbols.iter().for_each(|s| w.bytes_element(4, s));
    w.message_field(5, |w| {
        w.packed_u64(1, refs.iter().copied());
        times.iter().for_each(|t| w.message_field(2, |w| w.i64_field(2, *t)));
        w.message_field(5, |w| w.u64_field(4, unit_ref));
    });
    w.finish()
}

#[test]
fn refusals_have_upstreams_texts() {
    let symbols: [&[u8]; 6] = [b"", b"__name__", b"up", b"a", b"b", b"\xff"];
    let check = |refs: &[u64], unit_ref, times: &[i64], expected: &[&str]| {
        let got = decode_v2(&request_v2(&symbols, refs, unit_ref, times), &options(), &mut cache()).unwrap();
        assert_eq!(got.rejected, expected, "{refs:?}");
        got.stats.samples
    };
    assert_eq!(check(&[1, 2, 3, 4], 0, &[1], &[]), 1);
    check(&[1, 2, 3], 0, &[1], &["parsing labels for series [1 2 3]: invalid labelRefs length 3"]);
    check(
        &[1, 2, 3, 9],
        0,
        &[1],
        &[
            "parsing labels for series [1 2 3 9]: labelRefs 3 (name) = 9 (value) outside of symbols table (size 6)",
        ],
    );
    check(
        &[1, 2],
        7,
        &[1],
        &["parsing metadata for series [1 2]: metadata unit_ref 7 outside of symbols table (size 6)"],
    );
    check(&[3, 4], 0, &[1], &[r#"invalid metric name or labels, got {a="b"}"#]);
    check(&[1, 2, 3, 5], 0, &[1], &[r#"invalid metric name or labels, got {__name__="up", a="\xff"}"#]);
    check(
        &[1, 2, 3, 4, 3, 2],
        0,
        &[1],
        &[r#"invalid labels for series, labels {__name__="up", a="b", a="up"}, duplicated label a"#],
    );
    check(
        &[1, 2],
        0,
        &[],
        &[r#"TimeSeries must contain at least one sample or histogram for series {__name__="up"}"#],
    );
    let kept = check(
        &[1, 2],
        0,
        &[1, NOW_MS + 1, 2],
        &[r#"out of bounds: timestamp is too far in the future for series {__name__="up"}"#],
    );
    assert_eq!(kept, 2);
}

#[test]
fn limits_and_invalid_histograms_are_told() {
    let body = encode_v1(&batch());
    let limited = |max_series, max_samples| {
        decode_v1(&body, &WriteOptions { max_series, max_samples, ..options() }, &mut cache()).unwrap_err()
    };
    assert_eq!(limited(2, 100), WriteError::TooManySeries { limit: 2 });
    assert_eq!(limited(3, 3), WriteError::TooManySamples { limit: 3 });
    let mut broken = batch();
    broken.histograms[0].h = Arc::new(FloatHistogram { positive_buckets: vec![1.0], ..histogram() });
    let v1 = decode_v1(&encode_v1(&broken), &options(), &mut cache()).unwrap();
    assert!(v1.fatal.as_deref().is_some_and(|e| e.contains("spans")), "{:?}", v1.fatal);
    let v2 = decode_v2(&encode_v2(&broken), &options(), &mut cache()).unwrap();
    assert!(v2.rejected[0].ends_with(r#"for series {__name__="latency", job="b"}"#), "{:?}", v2.rejected);
    assert_eq!((v2.stats.samples, v2.stats.histograms), (3, 0));
}

#[test]
fn content_types_name_messages() {
    for (content_type, expected) in [
        ("application/x-protobuf", Ok(WriteMessage::V1)),
        ("application/x-protobuf;proto=prometheus.WriteRequest", Ok(WriteMessage::V1)),
        ("application/x-protobuf; proto=io.prometheus.write.v2.Request", Ok(WriteMessage::V2)),
        (
            "text/plain",
            Err("expected application/x-protobuf as the first (media) part, got text/plain content-type"),
        ),
    ] {
        let got = WriteMessage::from_content_type(content_type).map_err(|e| e.to_string());
        assert_eq!(got, expected.map_err(str::to_owned));
    }
    assert!(WriteMessage::from_content_type("application/x-protobuf;proto=x").is_err());
    assert_eq!(WriteMessage::from_content_type(WriteMessage::V2.content_type()), Ok(WriteMessage::V2));
}

#[test]
fn damaged_requests_never_panic() {
    let mut rng = base::Rng::new(17);
    for body in [encode_v1(&batch()), encode_v2(&batch())] {
        for _ in 0..5_000 {
            let mut damaged = body.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(damaged.len() as u64) as usize;
                damaged[at] = rng.next_u64() as u8;
            }
            damaged.truncate(rng.below(damaged.len() as u64 + 1) as usize);
            let _ = decode_v1(&damaged, &options(), &mut cache());
            let _ = decode_v2(&damaged, &options(), &mut cache());
        }
    }
}
