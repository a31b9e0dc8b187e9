//! Native histograms as bytes: one alone (journal, conflict rule), and pages of many that share
//! their layout (schema, spans, boundaries), whose counts are columns over time.

use std::sync::Arc;

use codec::bytes::{ByteReader, CorruptInput, put_bytes, put_ivarint, put_uvarint};
use codec::{Effort, floats};
use model::FloatHistogram;
use model::histogram::{CounterResetHint, Span};

/// Buckets of one side, spans of one side, or boundaries: no histogram has more.
pub(crate) const BUCKETS_MAX: usize = 1 << 20;

fn hint_code(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

fn hint_of(code: u8) -> Result<CounterResetHint, CorruptInput> {
    match code {
        0 => Ok(CounterResetHint::Unknown),
        1 => Ok(CounterResetHint::Reset),
        2 => Ok(CounterResetHint::NotReset),
        3 => Ok(CounterResetHint::Gauge),
        tag => Err(CorruptInput::UnknownTag(tag)),
    }
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_ivarint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}

fn read_spans(reader: &mut ByteReader<'_>) -> Result<Vec<Span>, CorruptInput> {
    let n = reader.count()?;
    let mut spans = Vec::with_capacity(n);
    for _ in 0..n {
        let offset = i32::try_from(reader.ivarint()?).map_err(|_| CorruptInput::OutOfRange("span offset"))?;
        let length = reader.len(BUCKETS_MAX)? as u32;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    for v in values {
        out.extend_from_slice(&v.to_bits().to_le_bytes());
    }
}

fn read_floats(reader: &mut ByteReader<'_>) -> Result<Vec<f64>, CorruptInput> {
    let n = reader.len(BUCKETS_MAX.min(reader.remaining() / 8))?;
    (0..n).map(|_| reader.f64()).collect()
}

/// What histograms of one page have in common.
fn put_layout(out: &mut Vec<u8>, h: &FloatHistogram) {
    put_ivarint(out, i64::from(h.schema));
    out.extend_from_slice(&h.zero_threshold.to_bits().to_le_bytes());
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_uvarint(out, h.positive_buckets.len() as u64);
    put_uvarint(out, h.negative_buckets.len() as u64);
    put_floats(out, &h.custom_values);
}

/// A histogram with the layout and no counts.
fn read_layout(reader: &mut ByteReader<'_>) -> Result<FloatHistogram, CorruptInput> {
    let schema = i32::try_from(reader.ivarint()?).map_err(|_| CorruptInput::OutOfRange("schema"))?;
    let zero_threshold = reader.f64()?;
    let positive_spans = read_spans(reader)?;
    let negative_spans = read_spans(reader)?;
    // Every bucket of a page or a single histogram takes at least a byte.
    let n_positive = reader.len(BUCKETS_MAX.min(reader.remaining()))?;
    let n_negative = reader.len(BUCKETS_MAX.min(reader.remaining()))?;
    Ok(FloatHistogram {
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        positive_buckets: vec![0.0; n_positive],
        negative_buckets: vec![0.0; n_negative],
        custom_values: read_floats(reader)?,
        ..FloatHistogram::default()
    })
}

/// The layout's bytes: histograms may share a page when these are equal.
pub(crate) fn layout_bytes(h: &FloatHistogram) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    put_layout(&mut out, h);
    out
}

/// One histogram alone.
pub(crate) fn histogram_bytes(h: &FloatHistogram) -> Vec<u8> {
    let mut out = layout_bytes(h);
    out.push(hint_code(h.counter_reset_hint));
    for v in [h.zero_count, h.count, h.sum].iter().chain(&h.positive_buckets).chain(&h.negative_buckets) {
        out.extend_from_slice(&v.to_bits().to_le_bytes());
    }
    out
}

pub(crate) fn histogram_from_bytes(bytes: &[u8]) -> Result<FloatHistogram, CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    let mut h = read_layout(&mut reader)?;
    h.counter_reset_hint = hint_of(reader.u8()?)?;
    h.zero_count = reader.f64()?;
    h.count = reader.f64()?;
    h.sum = reader.f64()?;
    for bucket in h.positive_buckets.iter_mut().chain(&mut h.negative_buckets) {
        *bucket = reader.f64()?;
    }
    Ok(h)
}

/// A page of histograms with one layout.
pub(crate) fn encode_page(out: &mut Vec<u8>, histograms: &[Arc<FloatHistogram>], effort: Effort) {
    let Some(first) = histograms.first() else { return };
    put_layout(out, first);
    let mut column = Vec::with_capacity(histograms.len());
    let mut encoded = Vec::new();
    let mut put_column = |out: &mut Vec<u8>, value: &dyn Fn(&FloatHistogram) -> f64| {
        column.clear();
        column.extend(histograms.iter().map(|h| value(h)));
        encoded.clear();
        floats::encode(&mut encoded, &column, effort);
        put_bytes(out, &encoded);
    };
    put_column(out, &|h| f64::from(hint_code(h.counter_reset_hint)));
    put_column(out, &|h| h.zero_count);
    put_column(out, &|h| h.count);
    put_column(out, &|h| h.sum);
    for i in 0..first.positive_buckets.len() {
        put_column(out, &|h| h.positive_buckets[i]);
    }
    for i in 0..first.negative_buckets.len() {
        put_column(out, &|h| h.negative_buckets[i]);
    }
}

/// Appends the `n` histograms of a page.
pub(crate) fn decode_page(
    bytes: &[u8],
    n: usize,
    out: &mut Vec<Arc<FloatHistogram>>,
) -> Result<(), CorruptInput> {
    let mut reader = ByteReader::new(bytes);
    let layout = read_layout(&mut reader)?;
    let mut rows: Vec<FloatHistogram> = vec![layout.clone(); n];
    let mut column = Vec::with_capacity(n);
    let mut read_column = |reader: &mut ByteReader<'_>| -> Result<Vec<f64>, CorruptInput> {
        column.clear();
        floats::decode_append(reader.bytes()?, n, &mut column)?;
        Ok(column.clone())
    };
    for (row, code) in rows.iter_mut().zip(read_column(&mut reader)?) {
        row.counter_reset_hint = hint_of(code as u8)?;
    }
    for (row, v) in rows.iter_mut().zip(read_column(&mut reader)?) {
        row.zero_count = v;
    }
    for (row, v) in rows.iter_mut().zip(read_column(&mut reader)?) {
        row.count = v;
    }
    for (row, v) in rows.iter_mut().zip(read_column(&mut reader)?) {
        row.sum = v;
    }
    for i in 0..layout.positive_buckets.len() {
        for (row, v) in rows.iter_mut().zip(read_column(&mut reader)?) {
            row.positive_buckets[i] = v;
        }
    }
    for i in 0..layout.negative_buckets.len() {
        for (row, v) in rows.iter_mut().zip(read_column(&mut reader)?) {
            row.negative_buckets[i] = v;
        }
    }
    out.extend(rows.into_iter().map(Arc::new));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(i: u32, schema: i32) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: if i == 0 { CounterResetHint::Reset } else { CounterResetHint::NotReset },
            schema,
            zero_threshold: 1e-128,
            zero_count: f64::from(i),
            count: f64::from(i * 10),
            sum: if i % 7 == 3 { f64::NAN } else { f64::from(i) * 1.5 },
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            negative_spans: vec![],
            positive_buckets: vec![f64::from(i), f64::from(i * 2), 0.5],
            negative_buckets: vec![],
            custom_values: if schema == -53 { vec![0.1, 1.0] } else { vec![] },
        }
    }

    #[test]
    fn histograms_round_trip_alone_and_in_pages() {
        for schema in [3, -53] {
            let rows: Vec<Arc<FloatHistogram>> = (0..100).map(|i| Arc::new(sample(i, schema))).collect();
            for row in &rows {
                let back = histogram_from_bytes(&histogram_bytes(row)).unwrap();
                assert_eq!(histogram_bytes(&back), histogram_bytes(row));
            }
            for effort in [Effort::Hot, Effort::Merge] {
                let mut page = Vec::new();
                encode_page(&mut page, &rows, effort);
                let mut back = Vec::new();
                decode_page(&page, rows.len(), &mut back).unwrap();
                for (a, b) in back.iter().zip(&rows) {
                    assert_eq!(histogram_bytes(a), histogram_bytes(b));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), n in 0usize..50) {
            let _ = histogram_from_bytes(&bytes);
            let _ = decode_page(&bytes, n, &mut Vec::new());
        }

        #[test]
        fn flipped_bytes_decode_without_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let rows: Vec<Arc<FloatHistogram>> = (0..20).map(|i| Arc::new(sample(i, 3))).collect();
            let mut page = Vec::new();
            encode_page(&mut page, &rows, Effort::Merge);
            let at = at.index(page.len());
            page[at] = byte;
            let _ = decode_page(&page, rows.len(), &mut Vec::new());
        }
    }
}
