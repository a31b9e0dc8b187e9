use std::sync::Arc;

use model::{FloatHistogram, Labels, MatchOp};
use wire_core::{ProtoReader, ProtoWriter};

use super::*;
use crate::api_json::SampleValue;

mod answers;
mod decode;

use decode::{Decoded, decode_chunk};

/// Encodes, decodes and compares to the bit; gives the number of chunks.
fn check(samples: &[(i64, Decoded)]) -> usize {
    let chunks = encode_chunks(samples.iter().map(|(t, v)| (*t, v.as_value())));
    let decoded: Vec<(i64, Decoded)> = chunks.iter().flat_map(decode_chunk).collect();
    let shown = |samples: &[(i64, Decoded)]| -> Vec<String> {
        samples.iter().map(|(t, v)| format!("{t} {}", v.shown())).collect()
    };
    assert_eq!(shown(&decoded), shown(samples));
    for (chunk, naive) in chunks.iter().map(|chunk| (chunk, decode_chunk(chunk))) {
        let read = answers::read(chunk.encoding as u64, &chunk.data).unwrap();
        assert_eq!(shown(&read), shown(&naive));
    }
    for chunk in &chunks {
        let own = decode_chunk(chunk);
        assert_eq!((own[0].0, own[own.len() - 1].0), (chunk.min_time_ms, chunk.max_time_ms));
    }
    chunks.len()
}

#[test]
fn float_chunks_read_back_bit_for_bit() {
    let floats = |samples: &[(i64, f64)]| -> Vec<(i64, Decoded)> {
        samples.iter().map(|(t, v)| (*t, Decoded::Float(*v))).collect()
    };
    let special =
        [0.0, -0.0, f64::NAN, model::stale_nan(), f64::INFINITY, f64::MIN_POSITIVE, 1e300, 1.0, 1.0];
    let times = [i64::MIN / 4, 0, 15_000, 30_001, 45_000, 45_001, 2_000_000, 1 << 40, (1 << 40) + 7];
    assert_eq!(check(&floats(&times.into_iter().zip(special).collect::<Vec<_>>())), 1);
    let mut rng = base::Rng::new(23);
    for _ in 0..300 {
        let mut t = rng.next_u64() as i64 >> 20;
        let samples: Vec<(i64, f64)> = (0..1 + rng.below(300))
            .map(|_| {
                t += 1 + (rng.next_u64() >> (24 + rng.below(40))) as i64;
                let v = if rng.one_in(3) { f64::from_bits(rng.next_u64()) } else { rng.below(100) as f64 };
                (t, v)
            })
            .collect();
        assert_eq!(check(&floats(&samples)), samples.len().div_ceil(120));
    }
}

fn histogram(base: f64) -> FloatHistogram {
    FloatHistogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: base,
        count: base * 4.0,
        sum: base * 0.3,
        positive_spans: vec![
            model::histogram::Span { offset: -5, length: 2 },
            model::histogram::Span { offset: 70, length: 1 },
        ],
        positive_buckets: vec![base, base, base],
        ..FloatHistogram::default()
    }
}

#[test]
fn histogram_chunks_read_back_and_are_cut_where_readers_need_it() {
    let hist = |h: FloatHistogram| Decoded::Histogram(Arc::new(h));
    let growing = |n: i64| -> Vec<(i64, Decoded)> {
        (1..=n).map(|i| (i * 1000 + i % 3, hist(histogram(i as f64)))).collect()
    };
    assert_eq!(check(&growing(120)), 1);
    assert_eq!(check(&growing(121)), 2);
    let mut samples = growing(3);
    samples.push((5000, hist(histogram(1.0))));
    assert_eq!(check(&samples), 2, "a counter reset");
    samples.push((6000, hist(FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() })));
    samples.push((7000, hist(histogram(2.0))));
    assert_eq!(check(&samples), 3, "a staleness marker ends a chunk");
    samples.push((8000, Decoded::Float(1.0)));
    let custom = FloatHistogram {
        schema: -53,
        count: 3.0,
        sum: 2.0,
        positive_spans: vec![model::histogram::Span { offset: 0, length: 3 }],
        positive_buckets: vec![1.0, 1.0, 1.0],
        custom_values: vec![0.005, 1.0 / 3.0],
        ..FloatHistogram::default()
    };
    samples.push((9000, hist(custom)));
    assert_eq!(check(&samples), 5);
    for zero_threshold in [0.0, 0.001, 2f64.powi(-243), 1024.0, 2048.0, 2f64.powi(-244)] {
        check(&[(1, hist(FloatHistogram { zero_threshold, ..histogram(1.0) }))]);
    }
}

#[test]
fn frames_hold_length_checksum_and_message() {
    let labels = Labels::from_pairs([("__name__", "up")]);
    let samples: Vec<(i64, SampleValue<'_>)> =
        (0..500).map(|i| (i * 10, SampleValue::Float((i * i) as f64 + 0.1))).collect();
    let chunks = encode_chunks(samples);
    let mut out = Vec::new();
    FrameWriter::new(1500).series(&mut out, 3, &labels, &chunks);
    let (mut reader, mut frames, mut seen) = (ProtoReader::new(&out), 0, 0);
    while !reader.is_empty() {
        let length = reader.varint().unwrap() as usize;
        let (checksum, rest) = reader.rest().split_at(4);
        let (message, after) = rest.split_at(length);
        assert_eq!(checksum, crc32c::crc32c(message).to_be_bytes());
        reader = ProtoReader::new(after);
        frames += 1;
        let mut fields = ProtoReader::new(message);
        let mut series = fields.next_field().unwrap().unwrap().message().unwrap();
        assert_eq!(fields.next_field().unwrap().unwrap().u64(), Ok(3));
        while let Some(field) = series.next_field().unwrap() {
            seen += usize::from(field.number == 2);
        }
    }
    assert!(frames > 1 && frames <= chunks.len());
    assert_eq!(seen, chunks.len());
    let mut none = Vec::new();
    FrameWriter::default().series(&mut none, 0, &labels, &[]);
    assert!(none.is_empty());
}

fn request(accepted: &[u64], matcher: (u64, &str, &str)) -> Vec<u8> {
    let mut w = ProtoWriter::new();
    w.message_field(1, |w| {
        w.i64_field(1, 5);
        w.i64_field(2, 10);
        w.message_field(3, |w| {
            w.u64_field(1, matcher.0);
            w.str_field(2, matcher.1);
            w.str_field(3, matcher.2);
        });
        w.message_field(4, |w| {
            w.i64_field(1, 1000);
            w.str_field(2, "rate");
            w.bytes_element(5, b"job");
            w.u64_field(6, 1);
        });
    });
    w.packed_u64(2, accepted.iter().copied());
    w.finish()
}

#[test]
fn requests_decode_and_choose_an_answer() {
    let got = decode_request(&request(&[7, 1, 0], (2, "job", "a.*"))).unwrap();
    assert_eq!(got.response_type, ReadResponseType::StreamedXorChunks);
    let query = &got.queries[0];
    assert_eq!((query.start_ms, query.end_ms), (5, 10));
    assert_eq!(query.matchers, [Matcher::new(MatchOp::Regex, "job", "a.*").unwrap()]);
    let hints = query.hints.clone().unwrap();
    assert_eq!((hints.step_ms, hints.func.as_str(), hints.by), (1000, "rate", true));
    assert_eq!(hints.grouping, ["job"]);
    let answer =
        |accepted: &[u64]| decode_request(&request(accepted, (0, "a", "b"))).map(|r| r.response_type);
    assert_eq!(answer(&[]), Ok(ReadResponseType::Samples));
    assert_eq!(answer(&[9]), Err(ReadError::NoSupportedResponseType(vec![9])));
    assert_eq!(decode_request(&request(&[], (4, "a", "b"))), Err(ReadError::InvalidMatcherType));
    assert!(matches!(decode_request(&request(&[], (2, "a", "("))), Err(ReadError::InvalidRegex(_))));
    let body = request(&[0, 1], (1, "a", "b"));
    for cut in 0..body.len() {
        let _ = decode_request(&body[..cut]);
    }
}

#[test]
fn sample_answers_hold_series_by_query() {
    let labels = Labels::from_pairs([("__name__", "up")]);
    let h = histogram(2.0);
    let mut answer = SamplesResponse::new();
    answer.result(|_| {});
    answer.result(|w| {
        w.series(&labels, [(1, SampleValue::Float(2.5)), (2, SampleValue::Histogram(&h))]);
    });
    let bytes = answer.finish();
    let mut reader = ProtoReader::new(&bytes);
    assert_eq!(reader.next_field().unwrap().unwrap().bytes(), Ok(&[][..]));
    let mut result = reader.next_field().unwrap().unwrap().message().unwrap();
    // A time series is what remote write sends as one.
    let mut w = ProtoWriter::new();
    w.bytes_element(1, result.next_field().unwrap().unwrap().bytes().unwrap());
    let mut cache = crate::remote_write::SeriesCache::new(base::TenantId::anonymous(), 0);
    let options = crate::remote_write::WriteOptions::new(i64::MAX);
    let got = crate::remote_write::decode_v1(&w.finish(), &options, &mut cache).unwrap().batch;
    assert_eq!((got.floats[0].t, got.floats[0].v), (1, 2.5));
    assert_eq!((got.histograms[0].t, got.histograms[0].h.as_ref()), (2, &h));
    assert_eq!(got.series[0].labels, labels);
}
