//! What the asking end reads.

use model::LabelsBuilder;
use model::histogram::{CounterResetHint, Span};

use super::*;
use crate::remote_read::bits::{BitWriter, XorValue};
use crate::remote_read::read_chunk::read_chunk;

/// Keeps everything.
#[derive(Debug, Default)]
struct Kept {
    series: Vec<(Labels, Vec<(i64, Decoded)>)>,
}

impl ReadSink for Kept {
    type Error = AnswerError;

    fn series(&mut self, labels: Labels) -> Result<(), AnswerError> {
        self.series.push((labels, Vec::new()));
        Ok(())
    }

    fn float(&mut self, t_ms: i64, v: f64) -> Result<(), AnswerError> {
        self.series.last_mut().unwrap().1.push((t_ms, Decoded::Float(v)));
        Ok(())
    }

    fn histogram(&mut self, t_ms: i64, h: FloatHistogram) -> Result<(), AnswerError> {
        self.series.last_mut().unwrap().1.push((t_ms, Decoded::Histogram(Arc::new(h))));
        Ok(())
    }
}

impl Kept {
    fn shown(&self) -> Vec<String> {
        let all = self.series.iter().map(|(labels, samples)| {
            let samples: Vec<String> = samples.iter().map(|(t, v)| format!("{t} {}", v.shown())).collect();
            format!("{labels} {}", samples.join(" "))
        });
        all.collect()
    }
}

pub(super) fn read(encoding: u64, data: &[u8]) -> Result<Vec<(i64, Decoded)>, AnswerError> {
    let mut kept = Kept { series: vec![(Labels::empty(), Vec::new())] };
    read_chunk(encoding, data, &mut kept)?;
    Ok(kept.series.remove(0).1)
}

/// A chunk of whole counts as upstream writes it: (time, count, zero count, sum, bucket deltas).
fn integer_chunk(flags: u8, samples: &[(i64, u64, u64, f64, [i64; 3])]) -> Vec<u8> {
    let mut w = BitWriter::with_bytes(vec![0, samples.len() as u8, flags]);
    w.byte(116);
    w.varbit_int(2);
    w.varbit_uint(1);
    w.varbit_uint(2);
    w.varbit_int(-1);
    w.varbit_uint(1);
    w.varbit_uint(1);
    w.varbit_int(4);
    let mut before: Vec<i64> = Vec::new();
    let mut deltas: Vec<i64> = Vec::new();
    let mut sum = XorValue::new(0.0);
    for (idx, (t, count, zero_count, total, buckets)) in samples.iter().enumerate() {
        let numbers: Vec<i64> = [*t, *count as i64, *zero_count as i64].into_iter().chain(*buckets).collect();
        if idx == 0 {
            w.varbit_int(*t);
            w.varbit_uint(*count);
            w.varbit_uint(*zero_count);
            w.f64(*total);
            sum = XorValue::new(*total);
            buckets.iter().for_each(|delta| w.varbit_int(*delta));
            deltas = vec![0; numbers.len()];
        } else {
            for (at, number) in numbers.iter().enumerate() {
                if at == 3 {
                    sum.write(&mut w, *total);
                    if model::is_stale_nan(*total) {
                        break;
                    }
                }
                let delta = number - before[at];
                w.varbit_int(delta - deltas[at]);
                deltas[at] = delta;
            }
        }
        before = numbers;
    }
    w.finish()
}

#[test]
fn chunks_of_whole_counts_read_as_floats() {
    let samples = [
        (1000, 10, 1, 2.5, [4, 1, 0]),
        (2000, 13, 2, 3.5, [4, 3, 0]),
        (3001, 90, 2, 7.25, [40, -2, 10]),
        (4000, 90, 2, model::stale_nan(), [0, 0, 0]),
    ];
    let expected = |idx: usize, hint: CounterResetHint| {
        let (t, count, zero_count, sum, deltas) = samples[idx];
        let h = FloatHistogram {
            counter_reset_hint: hint,
            schema: 2,
            zero_threshold: 2f64.powi(-128),
            zero_count: zero_count as f64,
            count: count as f64,
            sum,
            positive_spans: vec![Span { offset: -1, length: 2 }],
            negative_spans: vec![Span { offset: 4, length: 1 }],
            positive_buckets: vec![deltas[0] as f64, (deltas[0] + deltas[1]) as f64],
            negative_buckets: vec![deltas[2] as f64],
            custom_values: Vec::new(),
        };
        (t, format!("{h:?}"))
    };
    for (flags, first, later) in [
        (0, CounterResetHint::Unknown, CounterResetHint::NotReset),
        (0b0100_0000, CounterResetHint::Unknown, CounterResetHint::NotReset),
        (0b1000_0000, CounterResetHint::Reset, CounterResetHint::NotReset),
        (0b1100_0000, CounterResetHint::Gauge, CounterResetHint::Gauge),
    ] {
        let read = read(2, &integer_chunk(flags, &samples)).unwrap();
        let shown: Vec<(i64, String)> = read
            .iter()
            .map(|(t, v)| match v {
                Decoded::Histogram(h) => (*t, format!("{h:?}")),
                Decoded::Float(v) => (*t, v.to_string()),
            })
            .collect();
        assert_eq!(shown[..3], [expected(0, first), expected(1, later), expected(2, later)]);
        assert!(matches!(&read[3].1, Decoded::Histogram(h) if h.is_stale_marker()));
    }
}

/// Whatever arrives is read or refused, and no chunk makes more of itself than its bits allow.
#[test]
fn damaged_chunks_are_refused() {
    let samples = [(1000, 10, 1, 2.5, [4, 1, 0]), (2000, 13, 2, 3.5, [4, 3, 0])];
    let floats = encode_chunks((0..40).map(|i| (i * 1000, SampleValue::Float(i as f64 / 3.0))));
    let h = histogram(3.0);
    let histograms = encode_chunks([(1, SampleValue::Histogram(&h)), (2, SampleValue::Histogram(&h))]);
    let chunks =
        [(1, floats[0].data.clone()), (2, integer_chunk(0, &samples)), (3, histograms[0].data.clone())];
    for (encoding, data) in &chunks {
        assert!(read(*encoding, data).is_ok());
        for cut in 0..data.len() {
            assert!(read(*encoding, &data[..cut]).is_err(), "{encoding} cut at {cut}");
        }
        for bit in 0..data.len() * 8 {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Some flips give another chunk that is well formed.
            let _ = read(*encoding, &flipped);
        }
    }
    assert_eq!(read(4, &floats[0].data).unwrap_err(), AnswerError::ChunkEncoding(4));
    assert_eq!(read(1, &[0, 0]).unwrap().len(), 0);
    // One span of four thousand million buckets.
    let mut w = BitWriter::with_bytes(vec![0, 1, 0]);
    w.byte(0);
    w.varbit_int(0);
    w.varbit_uint(1);
    w.varbit_uint(u64::from(u32::MAX));
    w.varbit_int(0);
    w.varbit_uint(0);
    assert_eq!(read(2, &w.finish()).unwrap_err(), AnswerError::DamagedChunk);
}

#[test]
fn streams_are_cut_into_frames_wherever_they_are_split() {
    let samples = |n: i64| encode_chunks((0..n).map(|i| (i * 10, SampleValue::Float((i * i) as f64))));
    let labels = |job: &str| Labels::from_pairs([("__name__", "up"), ("job", job)]);
    let (mut stream, mut writer) = (Vec::new(), FrameWriter::new(300));
    writer.series(&mut stream, 0, &labels("a"), &samples(500));
    writer.series(&mut stream, 0, &labels("b"), &samples(1));
    let read = |stream: &[u8], step: usize, limit: usize| {
        let (mut reader, mut kept) = (FrameReader::new(limit), Kept::default());
        for piece in stream.chunks(step) {
            reader.push(piece);
            while let Some(message) = reader.next_message()? {
                decode_frame(message, &mut kept)?;
            }
        }
        Ok::<_, AnswerError>((kept, reader.buffered_bytes()))
    };
    let (whole, rest) = read(&stream, stream.len(), 1 << 20).unwrap();
    assert_eq!((whole.series.len() > 2, rest), (true, 0));
    let n: usize = whole.series.iter().map(|(_, samples)| samples.len()).sum();
    assert_eq!(n, 501);
    for step in [1, 7, 1000] {
        assert_eq!(read(&stream, step, 1 << 20).unwrap().0.shown(), whole.shown());
    }
    assert!(read(&stream[..stream.len() - 1], 9, 1 << 20).unwrap().1 > 0);
    assert!(matches!(read(&stream, 9, 100).unwrap_err(), AnswerError::FrameTooLarge { limit: 100, .. }));
    let mut damaged = stream.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(read(&damaged, 9, 1 << 20).unwrap_err(), AnswerError::Checksum);
}

#[test]
fn sample_answers_are_read_back() {
    let labels = Labels::from_pairs([("__name__", "up")]);
    let h = histogram(2.0);
    let mut answer = SamplesResponse::new();
    answer.result(|w| {
        w.series(&labels, [(1, SampleValue::Float(2.5)), (2, SampleValue::Histogram(&h))]);
        w.series(&LabelsBuilder::new().build(), []);
    });
    let bytes = answer.finish();
    let mut kept = Kept::default();
    decode_samples(&bytes, 1, &mut kept).unwrap();
    let expected = Kept {
        series: vec![
            (labels, vec![(1, Decoded::Float(2.5)), (2, Decoded::Histogram(Arc::new(h)))]),
            (Labels::empty(), Vec::new()),
        ],
    };
    assert_eq!(kept.shown(), expected.shown());
    let wrong = decode_samples(&bytes, 2, &mut Kept::default());
    assert_eq!(wrong, Err(AnswerError::ResultCount { want: 2, got: 1 }));
    for cut in 0..bytes.len() {
        // Cutting between fields leaves a shorter answer.
        let _ = decode_samples(&bytes[..cut], 1, &mut Kept::default());
    }
}

#[test]
fn requests_are_what_the_other_end_reads() {
    let matchers = [
        Matcher::equal("__name__", "up"),
        Matcher::new(MatchOp::NotEqual, "a", "").unwrap(),
        Matcher::new(MatchOp::Regex, "b", "x.*").unwrap(),
        Matcher::new(MatchOp::NotRegex, "c", "y").unwrap(),
    ];
    let hints = ReadHints {
        step_ms: 1,
        func: "rate".to_owned(),
        start_ms: -2,
        end_ms: 3,
        grouping: vec!["job".to_owned(), String::new()],
        by: true,
        range_ms: 4,
    };
    let query = ReadQuery { start_ms: -5, end_ms: 7, matchers: matchers.to_vec(), hints: Some(hints) };
    let bare = ReadQuery { start_ms: 0, end_ms: 0, matchers: Vec::new(), hints: None };
    let queries = vec![query, bare];
    let (streamed, samples) = (ReadResponseType::StreamedXorChunks, ReadResponseType::Samples);
    for (accepted, response_type) in [(&[streamed, samples][..], streamed), (&[samples], samples)] {
        let decoded = decode_request(&encode_request(&queries, accepted)).unwrap();
        assert_eq!(decoded, ReadRequest { queries: queries.clone(), response_type });
    }
}
