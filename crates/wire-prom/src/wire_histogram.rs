//! The native histogram message that remote write 1.0, 2.0 and remote read share.

use model::FloatHistogram;
use model::histogram::{
    CounterResetHint, HistogramError, IntegerHistogram, Span, is_custom_buckets_schema, is_known_schema,
};
use wire_core::{ProtoError, ProtoReader, ProtoWriter};

/// The finest exponential schema that is stored; finer ones are reduced to it.
const SCHEMA_STORED_MAX: i32 = 8;

/// A decoded message.
#[derive(Debug)]
pub(crate) struct WireHistogram {
    pub(crate) timestamp_ms: i64,
    /// 2.0 only; 0 when unknown.
    pub(crate) start_timestamp_ms: i64,
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    Integer(IntegerHistogram),
    Float(FloatHistogram),
}

impl WireHistogram {
    pub(crate) fn decode(mut reader: ProtoReader<'_>) -> Result<Self, ProtoError> {
        let mut h = IntegerHistogram::default();
        let (mut count_float, mut zero_count_float) = (None, 0.0);
        let (mut negative_counts, mut positive_counts) = (Vec::new(), Vec::new());
        let (mut timestamp_ms, mut start_timestamp_ms) = (0, 0);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => (h.count, count_float) = (field.u64()?, None),
                2 => count_float = Some(field.f64()?),
                3 => h.sum = field.f64()?,
                4 => h.schema = field.sint32()?,
                5 => h.zero_threshold = field.f64()?,
                6 => h.zero_count = field.u64()?,
                7 => zero_count_float = field.f64()?,
                8 => h.negative_spans.push(decode_span(field.message()?)?),
                9 => field.repeated_sint64(|v| h.negative_deltas.push(v))?,
                10 => field.repeated_f64(|v| negative_counts.push(v))?,
                11 => h.positive_spans.push(decode_span(field.message()?)?),
                12 => field.repeated_sint64(|v| h.positive_deltas.push(v))?,
                13 => field.repeated_f64(|v| positive_counts.push(v))?,
                14 => h.counter_reset_hint = decode_hint(field.u64()?),
                15 => timestamp_ms = field.i64()?,
                16 => field.repeated_f64(|v| h.custom_values.push(v))?,
                17 => start_timestamp_ms = field.i64()?,
                _ => {}
            }
        }
        let counts = match count_float {
            None => Counts::Integer(h),
            Some(count) => Counts::Float(FloatHistogram {
                counter_reset_hint: h.counter_reset_hint,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                zero_count: zero_count_float,
                count,
                sum: h.sum,
                positive_spans: h.positive_spans,
                negative_spans: h.negative_spans,
                positive_buckets: positive_counts,
                negative_buckets: negative_counts,
                custom_values: h.custom_values,
            }),
        };
        Ok(Self { timestamp_ms, start_timestamp_ms, counts })
    }

    /// The histogram as it is stored: checked, and reduced to a schema that is stored.
    pub(crate) fn into_stored(self) -> Result<FloatHistogram, HistogramError> {
        let float = match self.counts {
            Counts::Integer(h) => {
                h.validate()?;
                h.into_float()
            }
            Counts::Float(h) => {
                h.validate()?;
                h
            }
        };
        reduced(float)
    }
}

/// The histogram in a schema that is stored.
pub(crate) fn reduced(mut h: FloatHistogram) -> Result<FloatHistogram, HistogramError> {
    let is_exponential = is_known_schema(h.schema) && !is_custom_buckets_schema(h.schema);
    if is_exponential && h.schema > SCHEMA_STORED_MAX {
        h.reduce_resolution(SCHEMA_STORED_MAX).map_err(|_| HistogramError::InvalidSchema(h.schema))?;
    }
    Ok(h)
}

fn decode_hint(v: u64) -> CounterResetHint {
    match v {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn decode_span(mut reader: ProtoReader<'_>) -> Result<Span, ProtoError> {
    let mut span = Span { offset: 0, length: 0 };
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => span.offset = field.sint32()?,
            2 => span.length = field.u32()?,
            _ => {}
        }
    }
    Ok(span)
}

/// Writes the fields of the message, as a float histogram. The start timestamp is 2.0's alone.
pub(crate) fn encode(w: &mut ProtoWriter, h: &FloatHistogram, timestamp_ms: i64, start_timestamp_ms: i64) {
    let spans = |w: &mut ProtoWriter, field: u32, spans: &[Span]| {
        for span in spans {
            w.message_field(field, |w| {
                w.sint64_field(1, i64::from(span.offset));
                w.u64_field(2, u64::from(span.length));
            });
        }
    };
    w.f64_member(2, h.count);
    w.f64_field(3, h.sum);
    w.sint64_field(4, i64::from(h.schema));
    w.f64_field(5, h.zero_threshold);
    w.f64_member(7, h.zero_count);
    spans(w, 8, &h.negative_spans);
    w.packed_f64(10, h.negative_buckets.iter().copied());
    spans(w, 11, &h.positive_spans);
    w.packed_f64(13, h.positive_buckets.iter().copied());
    w.u64_field(
        14,
        match h.counter_reset_hint {
            CounterResetHint::Unknown => 0,
            CounterResetHint::Reset => 1,
            CounterResetHint::NotReset => 2,
            CounterResetHint::Gauge => 3,
        },
    );
    w.i64_field(15, timestamp_ms);
    w.packed_f64(16, h.custom_values.iter().copied());
    w.i64_field(17, start_timestamp_ms);
}
