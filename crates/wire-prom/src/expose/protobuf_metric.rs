//! The messages of `io.prometheus.client`, decoded into memory that is used again.

use model::histogram::{CounterResetHint, IntegerHistogram, Span};
use model::{Exemplar, FloatHistogram, Labels};
use wire_core::{ProtoError, ProtoReader};

use super::{EXEMPLAR_LABELS_MAX, ExposeError};

impl From<ProtoError> for ExposeError {
    fn from(error: ProtoError) -> Self {
        Self(error.to_string())
    }
}

/// A metric family without its metrics, which are kept as bytes.
#[derive(Debug, Default)]
pub(super) struct Family<'a> {
    pub(super) name: &'a [u8],
    pub(super) help: &'a [u8],
    pub(super) unit: &'a [u8],
    pub(super) metric_type: i32,
    pub(super) metrics: Vec<&'a [u8]>,
}

impl<'a> Family<'a> {
    pub(super) fn decode(&mut self, bytes: &'a [u8]) -> Result<(), ProtoError> {
        self.metrics.clear();
        (self.name, self.help, self.unit, self.metric_type) = (b"", b"", b"", 0);
        let mut reader = ProtoReader::new(bytes);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.name = field.bytes()?,
                2 => self.help = field.bytes()?,
                3 => self.metric_type = field.i32()?,
                4 => self.metrics.push(field.bytes()?),
                5 => self.unit = field.bytes()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// One metric; which parts mean something depends on the family's type.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) labels: Vec<(&'a str, &'a str)>,
    pub(super) timestamp_ms: i64,
    /// Of a gauge, counter or untyped metric.
    pub(super) value: f64,
    pub(super) exemplar: Option<Exemplar>,
    pub(super) start_timestamp_ms: i64,
    /// Of a summary or histogram.
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) histogram: Histogram,
}

#[derive(Debug, Default)]
pub(super) struct Histogram {
    pub(super) count_float: f64,
    pub(super) buckets: Vec<Bucket>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    pub(super) exemplars: Vec<Exemplar>,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    count: u64,
    count_float: f64,
    pub(super) upper_bound: f64,
    pub(super) exemplar: Option<Exemplar>,
}

impl Bucket {
    pub(super) fn cumulative_count(&self) -> f64 {
        if self.count_float == 0.0 { self.count as f64 } else { self.count_float }
    }
}

impl<'a> Metric<'a> {
    fn clear(&mut self) {
        let (mut labels, mut quantiles) =
            (std::mem::take(&mut self.labels), std::mem::take(&mut self.quantiles));
        labels.clear();
        quantiles.clear();
        let mut buckets = std::mem::take(&mut self.histogram.buckets);
        buckets.clear();
        let histogram = Histogram { buckets, ..Histogram::default() };
        *self = Self { labels, quantiles, histogram, ..Self::default() };
    }

    pub(super) fn decode(&mut self, bytes: &'a [u8]) -> Result<(), ExposeError> {
        self.clear();
        let mut reader = ProtoReader::new(bytes);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.labels.push(decode_label(field.message()?)?),
                2 | 5 => self.decode_simple(field.message()?)?,
                3 => self.decode_counter(field.message()?)?,
                4 => self.decode_summary(field.message()?)?,
                6 => self.timestamp_ms = field.i64()?,
                7 => self.decode_histogram(field.message()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn decode_simple(&mut self, mut reader: ProtoReader<'a>) -> Result<(), ProtoError> {
        while let Some(field) = reader.next_field()? {
            if field.number == 1 {
                self.value = field.f64()?;
            }
        }
        Ok(())
    }

    fn decode_counter(&mut self, mut reader: ProtoReader<'a>) -> Result<(), ExposeError> {
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.value = field.f64()?,
                2 => self.exemplar = Some(decode_exemplar(field.message()?)?),
                3 => self.start_timestamp_ms = decode_timestamp_ms(field.message()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn decode_summary(&mut self, mut reader: ProtoReader<'a>) -> Result<(), ProtoError> {
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.count = field.u64()?,
                2 => self.sum = field.f64()?,
                3 => {
                    let mut pair = (0.0, 0.0);
                    let mut quantile = field.message()?;
                    while let Some(field) = quantile.next_field()? {
                        match field.number {
                            1 => pair.0 = field.f64()?,
                            2 => pair.1 = field.f64()?,
                            _ => {}
                        }
                    }
                    self.quantiles.push(pair);
                }
                4 => self.start_timestamp_ms = decode_timestamp_ms(field.message()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn decode_histogram(&mut self, mut reader: ProtoReader<'a>) -> Result<(), ExposeError> {
        let h = &mut self.histogram;
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => self.count = field.u64()?,
                2 => self.sum = field.f64()?,
                3 => h.buckets.push(decode_bucket(field.message()?)?),
                4 => h.count_float = field.f64()?,
                5 => h.schema = field.sint32()?,
                6 => h.zero_threshold = field.f64()?,
                7 => h.zero_count = field.u64()?,
                8 => h.zero_count_float = field.f64()?,
                9 => h.negative_spans.push(decode_span(field.message()?)?),
                10 => field.repeated_sint64(|v| h.negative_deltas.push(v))?,
                11 => field.repeated_f64(|v| h.negative_counts.push(v))?,
                12 => h.positive_spans.push(decode_span(field.message()?)?),
                13 => field.repeated_sint64(|v| h.positive_deltas.push(v))?,
                14 => field.repeated_f64(|v| h.positive_counts.push(v))?,
                15 => self.start_timestamp_ms = decode_timestamp_ms(field.message()?)?,
                16 => h.exemplars.push(decode_exemplar(field.message()?)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The count of a classic histogram.
    pub(super) fn histogram_count(&self) -> f64 {
        let float = self.histogram.count_float;
        if float == 0.0 { self.count as f64 } else { float }
    }

    /// Whether anything says that the histogram is a native one; a library that has nothing to
    /// say yet sends an empty span.
    pub(super) fn is_native_histogram(&self) -> bool {
        let h = &self.histogram;
        !h.positive_spans.is_empty()
            || !h.negative_spans.is_empty()
            || h.zero_threshold > 0.0
            || h.zero_count > 0
    }

    /// The native histogram, compacted. The error is a text about spans that do not fit.
    pub(super) fn native_histogram(&mut self, is_gauge: bool) -> Result<FloatHistogram, String> {
        let h = &mut self.histogram;
        let is_float = h.count_float > 0.0 || h.zero_count_float > 0.0;
        let (positive, negative) = if is_float {
            (h.positive_counts.len(), h.negative_counts.len())
        } else {
            (h.positive_deltas.len(), h.negative_deltas.len())
        };
        check_spans("positive", &h.positive_spans, positive)?;
        check_spans("negative", &h.negative_spans, negative)?;
        let counter_reset_hint = if is_gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
        let (positive_spans, negative_spans) =
            (std::mem::take(&mut h.positive_spans), std::mem::take(&mut h.negative_spans));
        let mut histogram = if is_float {
            FloatHistogram {
                counter_reset_hint,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                zero_count: h.zero_count_float,
                count: h.count_float,
                sum: self.sum,
                positive_spans,
                negative_spans,
                positive_buckets: std::mem::take(&mut h.positive_counts),
                negative_buckets: std::mem::take(&mut h.negative_counts),
                custom_values: Vec::new(),
            }
        } else {
            IntegerHistogram {
                counter_reset_hint,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                zero_count: h.zero_count,
                count: self.count,
                sum: self.sum,
                positive_spans,
                negative_spans,
                positive_deltas: std::mem::take(&mut h.positive_deltas),
                negative_deltas: std::mem::take(&mut h.negative_deltas),
                custom_values: Vec::new(),
            }
            .into_float()
        };
        histogram.compact(0);
        Ok(histogram)
    }
}

fn check_spans(side: &str, spans: &[Span], buckets: usize) -> Result<(), String> {
    let required: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if required == buckets as u64 {
        return Ok(());
    }
    Err(format!("{side} side: spans require {required} buckets, have {buckets}"))
}

fn decode_label<'a>(mut reader: ProtoReader<'a>) -> Result<(&'a str, &'a str), ExposeError> {
    let (mut name, mut value) = ("", "");
    while let Some(field) = reader.next_field()? {
        let text = |what: &str| {
            let bytes = field.bytes()?;
            std::str::from_utf8(bytes)
                .map_err(|_| ExposeError(format!("invalid label {what}: {}", String::from_utf8_lossy(bytes))))
        };
        match field.number {
            1 => {
                name = text("name")?;
                if name.is_empty() {
                    return Err(ExposeError("invalid label name: ".to_owned()));
                }
            }
            2 => value = text("value")?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn decode_bucket(mut reader: ProtoReader<'_>) -> Result<Bucket, ExposeError> {
    let mut bucket = Bucket::default();
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => bucket.count = field.u64()?,
            2 => bucket.upper_bound = field.f64()?,
            3 => bucket.exemplar = Some(decode_exemplar(field.message()?)?),
            4 => bucket.count_float = field.f64()?,
            _ => {}
        }
    }
    Ok(bucket)
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

fn decode_exemplar(mut reader: ProtoReader<'_>) -> Result<Exemplar, ExposeError> {
    let mut exemplar = Exemplar { labels: Labels::empty(), value: 0.0, t: 0, has_t: false };
    let mut pairs = Vec::new();
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 if pairs.len() < EXEMPLAR_LABELS_MAX => pairs.push(decode_label(field.message()?)?),
            2 => exemplar.value = field.f64()?,
            3 => {
                exemplar.t = decode_timestamp_ms(field.message()?)?;
                exemplar.has_t = true;
            }
            _ => {}
        }
    }
    if pairs.iter().any(|(n, v)| n.len().max(v.len()) > model::labels::LABEL_LENGTH_MAX) {
        return Err(ExposeError("exemplar label is longer than any label may be".to_owned()));
    }
    exemplar.labels = Labels::from_pairs(pairs);
    Ok(exemplar)
}

fn decode_timestamp_ms(mut reader: ProtoReader<'_>) -> Result<i64, ProtoError> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => seconds = field.i64()?,
            2 => nanos = field.i32()?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000)))
}
