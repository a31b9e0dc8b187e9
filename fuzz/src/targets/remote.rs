//! Remote write and remote read requests.

use std::sync::Arc;

use base::TenantId;
use model::histogram::Span;
use model::{
    BatchSeries, Exemplar, FloatHistogram, FloatSample, HistogramSample, Labels, Metadata, MetricType,
    SeriesBatch, SeriesId,
};
use wire_core::ProtoWriter;
use wire_prom::remote_read::decode_request;
use wire_prom::remote_write::{
    DecodedWrite, SeriesCache, WriteError, WriteOptions, decode_v1, decode_v2, encode_v1, encode_v2,
};

use super::prost_write;
use crate::Target;

pub(super) const TARGETS: &[Target] = &[
    Target::new("remote_write_v1", check_v1, v1_seeds),
    Target::new("remote_write_v2", check_v2, v2_seeds),
    // A pattern of a matcher may compile to as much as `model::regex` allows.
    Target::new("remote_read", check_read, read_seeds).with_heap(192 << 20, 4 << 10).with_test_runs(3_000),
];

const NOW_MS: i64 = 1_700_000_000_000;

fn options() -> WriteOptions {
    WriteOptions { max_series: 1 << 10, max_samples: 1 << 12, ..WriteOptions::new(NOW_MS) }
}

fn cache() -> SeriesCache {
    SeriesCache::new(TenantId::anonymous(), 1 << 16)
}

type Decode = fn(&[u8], &WriteOptions, &mut SeriesCache) -> Result<DecodedWrite, WriteError>;

/// Decodes with a cold and a warm cache, which must not differ.
fn decoded(body: &[u8], decode: Decode) -> Option<DecodedWrite> {
    let (options, mut cache) = (options(), cache());
    let cold = decode(body, &options, &mut cache);
    let warm = decode(body, &options, &mut cache);
    assert_eq!(format!("{cold:?}"), format!("{warm:?}"), "a cold and a warm cache give the same");
    let decoded = cold.ok()?;
    check_batch(&decoded.batch);
    Some(decoded)
}

/// What every receiver of a batch relies on.
pub(super) fn check_batch(batch: &SeriesBatch) {
    for series in &batch.series {
        assert_eq!(
            series.id,
            SeriesId::of(&batch.tenant, &series.labels),
            "the fingerprint is that of the labels"
        );
        assert_eq!(Labels::from_bytes(series.labels.as_bytes()).as_ref(), Some(&series.labels));
    }
    let n = batch.series.len();
    let exists = |idx: u32| assert!((idx as usize) < n, "series {idx} of {n}");
    batch.floats.iter().for_each(|s| exists(s.series_idx));
    batch.histograms.iter().for_each(|s| exists(s.series_idx));
    batch.exemplars.iter().for_each(|(idx, _)| exists(*idx));
    for sample in &batch.histograms {
        assert_eq!(sample.h.validate(), Ok(()), "a histogram that was accepted is valid");
    }
}

/// The samples of a batch, series by series. A text, since NaN differs from itself.
fn shown(batch: &SeriesBatch, with_start: bool) -> String {
    let start = |st: i64| if with_start { st } else { 0 };
    let mut lines: Vec<String> = Vec::new();
    for (idx, series) in (0u32..).zip(&batch.series) {
        let floats = batch.floats.iter().filter(|s| s.series_idx == idx);
        let floats: Vec<_> = floats.map(|s| (start(s.st), s.t, s.v.to_bits())).collect();
        let histograms = batch.histograms.iter().filter(|s| s.series_idx == idx);
        let histograms: Vec<_> = histograms.map(|s| (start(s.st), s.t, s.h.sum.to_bits(), &s.h)).collect();
        let exemplars = batch.exemplars.iter().filter(|(i, _)| *i == idx);
        let exemplars: Vec<_> = exemplars.map(|(_, e)| (&e.labels, e.value.to_bits(), e.t)).collect();
        if !(floats.is_empty() && histograms.is_empty() && exemplars.is_empty()) {
            lines.push(format!("{} {floats:?} {histograms:?} {exemplars:?}", series.labels));
        }
    }
    lines.join("\n")
}

/// Whether nothing was refused: what is left of a series may be too little to be sent again.
fn is_whole(decoded: &DecodedWrite) -> bool {
    decoded.fatal.is_none() && decoded.rejected.is_empty() && decoded.dropped_exemplars == 0
}

fn check_v1(body: &[u8]) {
    prost_write::check_agreement(body, decode_v1(body, &options(), &mut cache()).as_ref());
    let Some(first) = decoded(body, decode_v1).filter(is_whole) else { return };
    let again = decoded(&encode_v1(&first.batch), decode_v1).expect("what the encoder writes decodes");
    assert_eq!((&again.rejected, &again.fatal), (&Vec::new(), &None), "what was accepted is accepted again");
    assert_eq!(shown(&again.batch, false), shown(&first.batch, false), "1.0, decoded and encoded");
    assert_eq!(again.batch.metadata, first.batch.metadata);
}

fn check_v2(body: &[u8]) {
    let Some(first) = decoded(body, decode_v2).filter(is_whole) else { return };
    let again = decoded(&encode_v2(&first.batch), decode_v2).expect("what the encoder writes decodes");
    assert_eq!(again.rejected, Vec::<String>::new(), "what was accepted is accepted again");
    assert_eq!(shown(&again.batch, true), shown(&first.batch, true), "2.0, decoded and encoded");
    assert_eq!(again.stats, first.stats);
}

fn check_read(body: &[u8]) {
    let Ok(request) = decode_request(body) else { return };
    for query in &request.queries {
        for matcher in &query.matchers {
            assert_eq!(matcher.matches_empty(), matcher.matches(""), "{matcher}");
        }
    }
}

/// Two series, each kind of sample.
fn batch() -> SeriesBatch {
    let tenant = TenantId::anonymous();
    let mut batch = SeriesBatch::new(tenant.clone());
    for (name, job) in [("up", "a"), ("latency", "é")] {
        batch.add_series(BatchSeries::new(&tenant, Labels::from_pairs([("__name__", name), ("job", job)])));
    }
    batch.floats = vec![
        FloatSample { series_idx: 0, st: 5, t: 10, v: 1.5 },
        FloatSample { series_idx: 0, st: 5, t: 20, v: model::stale_nan() },
    ];
    let h = FloatHistogram {
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 6.5,
        sum: 12.25,
        positive_spans: vec![Span { offset: -3, length: 2 }],
        positive_buckets: vec![2.5, 2.0],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_buckets: vec![1.0],
        ..FloatHistogram::default()
    };
    batch.histograms = vec![HistogramSample { series_idx: 1, st: 7, t: 15, h: Arc::new(h) }];
    let labels = Labels::from_pairs([("trace_id", "x")]);
    batch.exemplars = vec![(1, Exemplar { labels, value: 3.0, t: 29, has_t: true })];
    let metadata = Metadata { metric_type: MetricType::Gauge, unit: "s".into(), help: "is up".into() };
    batch.metadata = vec![("up".to_owned(), metadata)];
    batch
}

fn v1_seeds() -> Vec<Vec<u8>> {
    let mut integers = ProtoWriter::new();
    integers.message_field(1, |w| {
        w.message_field(1, |w| {
            w.str_field(1, "__name__");
            w.str_field(2, "h");
        });
        w.message_field(4, |w| {
            w.u64_field(1, 3);
            w.f64_field(3, 1.5);
            w.sint64_field(4, 1);
            w.f64_field(5, 0.1);
            w.u64_field(6, 0);
            w.message_field(11, |w| {
                w.sint64_field(1, -1);
                w.u64_field(2, 2);
            });
            w.packed_sint64(12, [1, 1]);
            w.i64_field(15, 1_000);
        });
    });
    vec![encode_v1(&batch()), integers.finish()]
}

fn v2_seeds() -> Vec<Vec<u8>> {
    vec![encode_v2(&batch())]
}

fn read_seeds() -> Vec<Vec<u8>> {
    let mut w = ProtoWriter::new();
    w.message_field(1, |w| {
        w.i64_field(1, -5);
        w.i64_field(2, NOW_MS);
        for (op, name, value) in [(0, "__name__", "up"), (2, "job", "a|b.*"), (3, "x", "[a-c]{2,3}")] {
            w.message_field(3, |w| {
                w.u64_field(1, op);
                w.str_field(2, name);
                w.str_field(3, value);
            });
        }
        w.message_field(4, |w| {
            w.i64_field(1, 1000);
            w.str_field(2, "rate");
            w.str_field(5, "job");
            w.u64_field(6, 1);
        });
    });
    w.packed_u64(2, [1, 0]);
    vec![w.finish()]
}
