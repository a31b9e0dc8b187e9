//! `prometheus.WriteRequest`.

use std::sync::Arc;

use model::labels::LABEL_LENGTH_MAX;
use model::{Exemplar, FloatSample, HistogramSample, Labels, Metadata, MetricType};
use wire_core::{ProtoError, ProtoField, ProtoReader};

use super::{
    DecodedWrite, Decoding, RawLabels, SeriesCache, TOO_FAR_AHEAD, WriteError, WriteOptions, check_labels,
};
use crate::expose::EXEMPLAR_LABELS_MAX;
use crate::wire_histogram::WireHistogram;

/// Decodes a request of remote write 1.0.
pub fn decode_v1(
    body: &[u8],
    options: &WriteOptions,
    cache: &mut SeriesCache,
) -> Result<DecodedWrite, WriteError> {
    let mut decoding = Decoding::new(options, cache);
    let mut reader = ProtoReader::new(body);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => decode_series(&mut decoding, field.message()?, options)?,
            3 => {
                let metadata = decode_metadata(field.message()?)?;
                decoding.out.batch.metadata.push(metadata);
            }
            _ => {}
        }
    }
    Ok(decoding.out)
}

fn decode_series(
    decoding: &mut Decoding<'_>,
    message: ProtoReader<'_>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    decoding.count_series()?;
    decoding.cache.scratch.clear();
    let (mut reader, mut n_samples) = (message, 0);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                let label = field.bytes()?;
                // A length in front keeps two labels from being read as one.
                decoding.cache.scratch.extend_from_slice(&(label.len() as u64).to_le_bytes());
                decoding.cache.scratch.extend_from_slice(label);
            }
            2 | 4 => n_samples += 1,
            _ => {}
        }
    }
    decoding.count_samples(n_samples)?;
    // Labels that are no protobuf fail the request; what is merely wrong fails the series.
    let mut pairs = Vec::new();
    if !decoding.knows_series() {
        pairs = decode_pairs(message)?;
    }
    let series_idx = match decoding.series_idx(|| check_labels(&mut pairs)) {
        Ok(series_idx) => series_idx,
        Err(invalid) => {
            decoding.out.invalid_label_samples += n_samples;
            decoding.out.rejected.push(invalid.to_string());
            return Ok(());
        }
    };
    let mut reader = message;
    while let Some(field) = reader.next_field()? {
        match field.number {
            2 => decode_sample(decoding, field, series_idx, options)?,
            3 => decode_exemplar(decoding, field, series_idx, options)?,
            4 => decode_histogram(decoding, field, series_idx, options)?,
            _ => {}
        }
    }
    Ok(())
}

/// The labels of a series as they came.
fn decode_pairs<'a>(mut reader: ProtoReader<'a>) -> Result<RawLabels<'a>, ProtoError> {
    let mut pairs = Vec::with_capacity(16);
    while let Some(field) = reader.next_field()? {
        if field.number == 1 {
            pairs.push(decode_label(field.message()?)?);
        }
    }
    Ok(pairs)
}

fn decode_label<'a>(mut reader: ProtoReader<'a>) -> Result<(&'a [u8], &'a [u8]), ProtoError> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn decode_sample(
    decoding: &mut Decoding<'_>,
    field: ProtoField<'_>,
    series_idx: u32,
    options: &WriteOptions,
) -> Result<(), ProtoError> {
    let mut sample = FloatSample { series_idx, st: 0, t: 0, v: 0.0 };
    let mut reader = field.message()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => sample.v = field.f64()?,
            2 => sample.t = field.i64()?,
            _ => {}
        }
    }
    let out = &mut decoding.out;
    if sample.t > options.max_time_ms {
        out.fatal.get_or_insert_with(|| TOO_FAR_AHEAD.to_owned());
    } else {
        out.batch.floats.push(sample);
        out.stats.samples += 1;
    }
    Ok(())
}

fn decode_histogram(
    decoding: &mut Decoding<'_>,
    field: ProtoField<'_>,
    series_idx: u32,
    options: &WriteOptions,
) -> Result<(), ProtoError> {
    let wire = WireHistogram::decode(field.message()?)?;
    let out = &mut decoding.out;
    let t = wire.timestamp_ms;
    if t > options.max_time_ms {
        out.fatal.get_or_insert_with(|| TOO_FAR_AHEAD.to_owned());
        return Ok(());
    }
    match wire.into_stored() {
        Ok(h) => {
            out.batch.histograms.push(HistogramSample { series_idx, st: 0, t, h: Arc::new(h) });
            out.stats.histograms += 1;
        }
        Err(error) => {
            out.fatal.get_or_insert_with(|| error.to_string());
        }
    }
    Ok(())
}

fn decode_exemplar(
    decoding: &mut Decoding<'_>,
    field: ProtoField<'_>,
    series_idx: u32,
    options: &WriteOptions,
) -> Result<(), ProtoError> {
    let (mut pairs, mut value, mut t) = (Vec::new(), 0.0, 0);
    let mut reader = field.message()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => pairs.push(decode_label(field.message()?)?),
            2 => value = field.f64()?,
            3 => t = field.i64()?,
            _ => {}
        }
    }
    decoding.out.add_exemplar(series_idx, exemplar(&pairs, value, t), options);
    Ok(())
}

/// An exemplar; `None` if its labels are not text or too long.
pub(super) fn exemplar(pairs: &[(&[u8], &[u8])], value: f64, t: i64) -> Option<Exemplar> {
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text: &&str| text.len() <= LABEL_LENGTH_MAX);
    let texts: Option<Vec<(&str, &str)>> = pairs
        .iter()
        .take(EXEMPLAR_LABELS_MAX)
        .map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect();
    Some(Exemplar { labels: Labels::from_pairs(texts?), value, t, has_t: t != 0 })
}

fn decode_metadata(mut reader: ProtoReader<'_>) -> Result<(String, Metadata), ProtoError> {
    let (mut family, mut metadata) = (String::new(), Metadata::default());
    let text = |field: &ProtoField<'_>| field.bytes().map(|b| String::from_utf8_lossy(b).into_owned());
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => metadata.metric_type = metric_type(field.u64()?),
            2 => family = text(&field)?,
            4 => metadata.help = text(&field)?,
            5 => metadata.unit = text(&field)?,
            _ => {}
        }
    }
    Ok((family, metadata))
}

/// The metric type, which both messages number alike.
pub(super) fn metric_type(v: u64) -> MetricType {
    match v {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
