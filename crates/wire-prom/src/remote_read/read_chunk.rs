//! Chunks to samples: XOR chunks, and both kinds of histogram chunks.

use model::FloatHistogram;
use model::histogram::{CounterResetHint, Span, is_custom_buckets_schema, is_known_schema};
use model::sample::is_stale_nan;

use super::answer::{AnswerError, ReadSink};
use super::bits::{BadBits, BitReader, XorValue};
use crate::wire_histogram::reduced;

impl From<BadBits> for AnswerError {
    fn from(_: BadBits) -> Self {
        Self::DamagedChunk
    }
}

/// Gives the samples of a chunk to the sink. Encodings are those of `prometheus.Chunk.Encoding`.
pub(super) fn read_chunk<S: ReadSink>(encoding: u64, data: &[u8], sink: &mut S) -> Result<(), S::Error> {
    let Some((n_samples, rest)) = data.split_first_chunk::<2>() else {
        return Err(AnswerError::DamagedChunk.into());
    };
    let n_samples = u16::from_be_bytes(*n_samples);
    if n_samples == 0 {
        return Ok(());
    }
    match encoding {
        1 => read_floats(BitReader::new(rest), n_samples, sink),
        2 => read_histograms::<S, IntegerCounts>(rest, n_samples, sink),
        3 => read_histograms::<S, FloatCounts>(rest, n_samples, sink),
        _ => Err(AnswerError::ChunkEncoding(encoding).into()),
    }
}

fn read_floats<S: ReadSink>(mut r: BitReader<'_>, n_samples: u16, sink: &mut S) -> Result<(), S::Error> {
    let mut t_ms = r.varint().map_err(AnswerError::from)?;
    let first = r.f64().map_err(AnswerError::from)?;
    let (mut xor, mut delta_ms) = (XorValue::new(first), 0i64);
    sink.float(t_ms, first)?;
    for idx in 1..n_samples {
        delta_ms = read_delta(&mut r, idx == 1, delta_ms).map_err(AnswerError::from)?;
        t_ms = t_ms.wrapping_add(delta_ms);
        sink.float(t_ms, xor.read(&mut r).map_err(AnswerError::from)?)?;
    }
    Ok(())
}

fn read_delta(r: &mut BitReader<'_>, is_first: bool, before_ms: i64) -> Result<i64, BadBits> {
    if is_first {
        return r.uvarint().map(u64::cast_signed);
    }
    let dod = match r.ones(4)? {
        0 => 0,
        1 => r.signed(14)?,
        2 => r.signed(17)?,
        3 => r.signed(20)?,
        _ => r.bits(64)?.cast_signed(),
    };
    Ok(before_ms.wrapping_add(dod))
}

/// What all histograms of a chunk share.
struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    custom_values: Vec<f64>,
    n_positive: usize,
    n_negative: usize,
}

impl Layout {
    fn read(r: &mut BitReader<'_>) -> Result<Self, AnswerError> {
        let zero_threshold = match r.bits(8)? {
            0 => 0.0,
            255 => r.f64()?,
            // Half of two to the power of what is stored, less 243.
            byte => 2f64.powi(byte as i32 - 244),
        };
        let schema = i32::try_from(r.varbit_int()?).map_err(|_| AnswerError::DamagedChunk)?;
        if !is_known_schema(schema) {
            return Err(AnswerError::Histogram(format!(
                "histogram has an unknown schema, which must be between -9 and 52 for exponential buckets, or -53 \
                 for custom buckets, got schema {schema}"
            )));
        }
        let (positive_spans, n_positive) = read_spans(r)?;
        let (negative_spans, n_negative) = read_spans(r)?;
        let mut custom_values = Vec::new();
        if is_custom_buckets_schema(schema) {
            for _ in 0..r.varbit_uint()? {
                custom_values.push(match r.varbit_uint()? {
                    0 => r.f64()?,
                    thousandths => (thousandths - 1) as f64 / 1000.0,
                });
            }
        }
        // Each bucket takes at least one bit, so that no chunk makes us hold more than that.
        if n_positive.saturating_add(n_negative) > r.bits_left() {
            return Err(AnswerError::DamagedChunk);
        }
        Ok(Self {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_values,
            n_positive,
            n_negative,
        })
    }

    fn histogram(&self, values: &Values, hint: CounterResetHint) -> FloatHistogram {
        let (positive, negative) = values.buckets.split_at(self.n_positive);
        FloatHistogram {
            counter_reset_hint: hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: values.zero_count,
            count: values.count,
            sum: values.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: positive.to_vec(),
            negative_buckets: negative.to_vec(),
            custom_values: self.custom_values.clone(),
        }
    }
}

fn read_spans(r: &mut BitReader<'_>) -> Result<(Vec<Span>, usize), AnswerError> {
    let (mut spans, mut n_buckets) = (Vec::new(), 0usize);
    for _ in 0..r.varbit_uint()? {
        let length = u32::try_from(r.varbit_uint()?).map_err(|_| AnswerError::DamagedChunk)?;
        let offset = i32::try_from(r.varbit_int()?).map_err(|_| AnswerError::DamagedChunk)?;
        n_buckets = n_buckets.saturating_add(length as usize);
        spans.push(Span { offset, length });
    }
    Ok((spans, n_buckets))
}

/// The numbers of one histogram; `buckets` has the positive ones first.
#[derive(Default)]
struct Values {
    count: f64,
    zero_count: f64,
    sum: f64,
    buckets: Vec<f64>,
}

/// How the numbers of a chunk continue from one histogram to the next.
trait Counts: Sized {
    fn first(r: &mut BitReader<'_>, layout: &Layout, values: &mut Values) -> Result<Self, BadBits>;
    /// A staleness marker has a sum and no buckets.
    fn next(&mut self, r: &mut BitReader<'_>, layout: &Layout, values: &mut Values) -> Result<(), BadBits>;
}

fn read_histograms<S: ReadSink, C: Counts>(
    data: &[u8],
    n_samples: u16,
    sink: &mut S,
) -> Result<(), S::Error> {
    let (flags, rest) = data.split_first().ok_or(AnswerError::DamagedChunk)?;
    // The first histogram of a chunk that says that it is no reset may follow a chunk we do not see.
    let (first_hint, hint) = match flags >> 6 {
        0b11 => (CounterResetHint::Gauge, CounterResetHint::Gauge),
        0b10 => (CounterResetHint::Reset, CounterResetHint::NotReset),
        _ => (CounterResetHint::Unknown, CounterResetHint::NotReset),
    };
    let mut r = BitReader::new(rest);
    let layout = Layout::read(&mut r)?;
    let mut t_ms = r.varbit_int().map_err(AnswerError::from)?;
    let mut values = Values::default();
    let mut counts = C::first(&mut r, &layout, &mut values).map_err(AnswerError::from)?;
    // All histograms of a chunk have its layout, so that one is checked for all.
    let first = reduced(layout.histogram(&values, first_hint)).and_then(|first| first.validate());
    first.map_err(|e| AnswerError::Histogram(e.to_string()))?;
    let mut delta_ms = 0i64;
    for idx in 0..n_samples {
        if idx > 0 {
            delta_ms = delta_ms.wrapping_add(r.varbit_int().map_err(AnswerError::from)?);
            t_ms = t_ms.wrapping_add(delta_ms);
            counts.next(&mut r, &layout, &mut values).map_err(AnswerError::from)?;
        }
        let h = if is_stale_nan(values.sum) {
            FloatHistogram { sum: values.sum, ..FloatHistogram::default() }
        } else {
            let h = layout.histogram(&values, if idx == 0 { first_hint } else { hint });
            reduced(h).map_err(|e| AnswerError::Histogram(e.to_string()))?
        };
        sink.histogram(t_ms, h)?;
    }
    Ok(())
}

/// Every number is the difference of the bits from the one before.
struct FloatCounts {
    count: XorValue,
    zero_count: XorValue,
    sum: XorValue,
    buckets: Vec<XorValue>,
}

impl Counts for FloatCounts {
    fn first(r: &mut BitReader<'_>, layout: &Layout, values: &mut Values) -> Result<Self, BadBits> {
        (values.count, values.zero_count, values.sum) = (r.f64()?, r.f64()?, r.f64()?);
        let n_buckets = layout.n_positive + layout.n_negative;
        if n_buckets.saturating_mul(64) > r.bits_left() {
            return Err(BadBits);
        }
        for _ in 0..n_buckets {
            values.buckets.push(r.f64()?);
        }
        Ok(Self {
            count: XorValue::new(values.count),
            zero_count: XorValue::new(values.zero_count),
            sum: XorValue::new(values.sum),
            buckets: values.buckets.iter().map(|v| XorValue::new(*v)).collect(),
        })
    }

    fn next(&mut self, r: &mut BitReader<'_>, _layout: &Layout, values: &mut Values) -> Result<(), BadBits> {
        values.count = self.count.read(r)?;
        values.zero_count = self.zero_count.read(r)?;
        values.sum = self.sum.read(r)?;
        if !is_stale_nan(values.sum) {
            for (xor, value) in self.buckets.iter_mut().zip(&mut values.buckets) {
                *value = xor.read(r)?;
            }
        }
        Ok(())
    }
}

/// Counts are differences of differences, buckets besides differences from the bucket before.
struct IntegerCounts {
    count: u64,
    count_delta: i64,
    zero_count: u64,
    zero_count_delta: i64,
    sum: XorValue,
    /// Each bucket's difference from the one before, and how that changed last.
    buckets: Vec<(i64, i64)>,
}

impl IntegerCounts {
    fn show(&self, layout: &Layout, values: &mut Values) {
        (values.count, values.zero_count) = (self.count as f64, self.zero_count as f64);
        values.buckets.clear();
        let mut absolute = 0i64;
        for (idx, (from_before, _)) in self.buckets.iter().enumerate() {
            if idx == layout.n_positive {
                absolute = 0;
            }
            absolute = absolute.wrapping_add(*from_before);
            values.buckets.push(absolute as f64);
        }
    }
}

impl Counts for IntegerCounts {
    fn first(r: &mut BitReader<'_>, layout: &Layout, values: &mut Values) -> Result<Self, BadBits> {
        let (count, zero_count) = (r.varbit_uint()?, r.varbit_uint()?);
        values.sum = r.f64()?;
        let mut buckets = Vec::new();
        for _ in 0..layout.n_positive + layout.n_negative {
            buckets.push((r.varbit_int()?, 0));
        }
        let sum = XorValue::new(values.sum);
        let counts = Self { count, count_delta: 0, zero_count, zero_count_delta: 0, sum, buckets };
        counts.show(layout, values);
        Ok(counts)
    }

    fn next(&mut self, r: &mut BitReader<'_>, layout: &Layout, values: &mut Values) -> Result<(), BadBits> {
        self.count_delta = self.count_delta.wrapping_add(r.varbit_int()?);
        self.count = self.count.wrapping_add_signed(self.count_delta);
        self.zero_count_delta = self.zero_count_delta.wrapping_add(r.varbit_int()?);
        self.zero_count = self.zero_count.wrapping_add_signed(self.zero_count_delta);
        values.sum = self.sum.read(r)?;
        if is_stale_nan(values.sum) {
            return Ok(());
        }
        for (from_before, change) in &mut self.buckets {
            *change = change.wrapping_add(r.varbit_int()?);
            *from_before = from_before.wrapping_add(*change);
        }
        self.show(layout, values);
        Ok(())
    }
}
