//! `io.prometheus.write.v2.Request`: strings once in a table, everything else by reference.

use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::{FloatSample, HistogramSample, Labels, Metadata, MetricType};
use wire_core::{ProtoError, ProtoField, ProtoReader};

use super::v1::{exemplar, metric_type};
use super::{
    DecodedWrite, Decoding, RawLabels, SeriesCache, TOO_FAR_AHEAD, WriteError, WriteOptions, check_labels,
};
use crate::wire_histogram::WireHistogram;

const TYPE_LABEL: &[u8] = b"__type__";
const UNIT_LABEL: &[u8] = b"__unit__";

/// Decodes a request of remote write 2.0.
pub fn decode_v2(
    body: &[u8],
    options: &WriteOptions,
    cache: &mut SeriesCache,
) -> Result<DecodedWrite, WriteError> {
    let mut symbols = Vec::new();
    // Series may come before the symbols they refer to, so the table is read first.
    let mut reader = ProtoReader::new(body);
    while let Some(field) = reader.next_field()? {
        if field.number == 4 {
            symbols.push(field.bytes()?);
        }
    }
    let decoding = Decoding::new(options, cache);
    let mut request = Request { decoding, symbols, options, refs: Vec::new() };
    let mut reader = ProtoReader::new(body);
    while let Some(field) = reader.next_field()? {
        if field.number == 5 {
            request.series(field.message()?)?;
        }
    }
    Ok(request.decoding.out)
}

struct Request<'a, 'c, 'o> {
    decoding: Decoding<'c>,
    symbols: Vec<&'a [u8]>,
    options: &'o WriteOptions,
    refs: Vec<u32>,
}

/// Metadata as references.
#[derive(Default)]
struct MetadataRefs {
    metric_type: MetricType,
    help_ref: u32,
    unit_ref: u32,
}

impl<'a> Request<'a, '_, '_> {
    fn reject(&mut self, text: String) {
        self.decoding.out.rejected.push(text);
    }

    fn series(&mut self, message: ProtoReader<'a>) -> Result<(), WriteError> {
        self.decoding.count_series()?;
        let (mut metadata, mut n_samples) = (MetadataRefs::default(), 0);
        let mut refs = std::mem::take(&mut self.refs);
        refs.clear();
        let mut reader = message;
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => field.repeated_u32(|r| refs.push(r))?,
                2 | 3 => n_samples += 1,
                5 => metadata = decode_metadata(field.message()?)?,
                _ => {}
            }
        }
        self.decoding.count_samples(n_samples)?;
        let checked = self.check_series(&refs, &metadata, n_samples);
        self.refs = refs;
        let Some((series_idx, labels)) = checked else { return Ok(()) };
        let mut reader = message;
        while let Some(field) = reader.next_field()? {
            match field.number {
                2 => self.sample(field, series_idx, &labels)?,
                3 => self.histogram(field, series_idx, &labels)?,
                4 => self.exemplar(field, series_idx, &labels)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The series' index in the batch and its labels for error texts; `None` if it was refused.
    fn check_series(
        &mut self,
        refs: &[u32],
        metadata: &MetadataRefs,
        n_samples: usize,
    ) -> Option<(u32, Labels)> {
        let mut pairs = match self.pairs(refs) {
            Ok(pairs) => pairs,
            Err(problem) => {
                self.decoding.out.invalid_label_samples += n_samples;
                self.reject(format!("parsing labels for series {}: {problem}", shown_refs(refs)));
                return None;
            }
        };
        let metadata = match self.metadata(metadata) {
            Ok(metadata) => metadata,
            Err(problem) => {
                self.reject(format!("parsing metadata for series {}: {problem}", shown_refs(refs)));
                return None;
            }
        };
        if self.options.type_and_unit_labels {
            add_type_and_unit(&mut pairs, &metadata);
        }
        if n_samples == 0 {
            let refusal = match check_labels(&mut pairs) {
                Ok(labels) => {
                    format!("TimeSeries must contain at least one sample or histogram for series {labels}")
                }
                Err(invalid) => invalid.to_string(),
            };
            self.reject(refusal);
            return None;
        }
        let scratch = &mut self.decoding.cache.scratch;
        scratch.clear();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            scratch.extend_from_slice(&(text.len() as u64).to_le_bytes());
            scratch.extend_from_slice(text);
        }
        match self.decoding.series_idx(|| check_labels(&mut pairs)) {
            Ok(series_idx) => {
                let labels = self.decoding.out.batch.series[series_idx as usize].labels.clone();
                self.note_metadata(&labels, metadata);
                Some((series_idx, labels))
            }
            Err(invalid) => {
                self.decoding.out.invalid_label_samples += n_samples;
                self.reject(invalid.to_string());
                None
            }
        }
    }

    fn note_metadata(&mut self, labels: &Labels, metadata: Metadata) {
        if metadata == Metadata::default() {
            return;
        }
        let name = labels.get(METRIC_NAME).unwrap_or_default();
        let is_compound = matches!(
            metadata.metric_type,
            MetricType::Histogram | MetricType::GaugeHistogram | MetricType::Summary
        );
        let family = match model::histogram::split_classic_name(name) {
            Some((family, _)) if is_compound => family,
            _ => name,
        };
        let noted = &mut self.decoding.out.batch.metadata;
        // Series of a family stand together, so looking at the last is enough to say it once.
        if noted.last().is_none_or(|(last, m)| last != family || *m != metadata) {
            noted.push((family.to_owned(), metadata));
        }
    }

    fn pairs(&self, refs: &[u32]) -> Result<RawLabels<'a>, String> {
        let (chunks, odd) = refs.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(format!("invalid labelRefs length {}", refs.len()));
        }
        let symbol = |r: u32| self.symbols.get(r as usize).copied();
        let size = self.symbols.len();
        chunks
            .iter()
            .map(|&[name, value]| {
                symbol(name).zip(symbol(value)).ok_or_else(|| {
                    format!(
                        "labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})"
                    )
                })
            })
            .collect()
    }

    fn metadata(&self, refs: &MetadataRefs) -> Result<Metadata, String> {
        let text = |what: &str, r: u32| {
            // A request without a table has no metadata either: upstream's senders put "" first.
            let symbol = self.symbols.get(r as usize).map(|s| String::from_utf8_lossy(s).into_owned());
            let size = self.symbols.len();
            symbol.ok_or_else(|| format!("metadata {what} {r} outside of symbols table (size {size})"))
        };
        let unit = text("unit_ref", refs.unit_ref)?;
        let help = text("help_ref", refs.help_ref)?;
        Ok(Metadata { metric_type: refs.metric_type, unit, help })
    }

    fn sample(&mut self, field: ProtoField<'a>, series_idx: u32, labels: &Labels) -> Result<(), ProtoError> {
        let mut sample = FloatSample { series_idx, st: 0, t: 0, v: 0.0 };
        let mut reader = field.message()?;
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => sample.v = field.f64()?,
                2 => sample.t = field.i64()?,
                3 => sample.st = field.i64()?,
                _ => {}
            }
        }
        if sample.t > self.options.max_time_ms {
            self.reject(format!("{TOO_FAR_AHEAD} for series {labels}"));
        } else {
            self.decoding.out.batch.floats.push(sample);
            self.decoding.out.stats.samples += 1;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        field: ProtoField<'a>,
        series_idx: u32,
        labels: &Labels,
    ) -> Result<(), ProtoError> {
        let wire = WireHistogram::decode(field.message()?)?;
        let (t, st) = (wire.timestamp_ms, wire.start_timestamp_ms);
        if t > self.options.max_time_ms {
            self.reject(format!("{TOO_FAR_AHEAD} for series {labels}"));
            return Ok(());
        }
        match wire.into_stored() {
            Ok(h) => {
                let sample = HistogramSample { series_idx, st, t, h: Arc::new(h) };
                self.decoding.out.batch.histograms.push(sample);
                self.decoding.out.stats.histograms += 1;
            }
            Err(error) => self.reject(format!("{error} for series {labels}")),
        }
        Ok(())
    }

    fn exemplar(
        &mut self,
        field: ProtoField<'a>,
        series_idx: u32,
        labels: &Labels,
    ) -> Result<(), ProtoError> {
        let (mut refs, mut value, mut t) = (Vec::new(), 0.0, 0);
        let mut reader = field.message()?;
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => field.repeated_u32(|r| refs.push(r))?,
                2 => value = field.f64()?,
                3 => t = field.i64()?,
                _ => {}
            }
        }
        match self.pairs(&refs) {
            Ok(pairs) => {
                self.decoding.out.add_exemplar(series_idx, exemplar(&pairs, value, t), self.options);
            }
            Err(problem) => self.reject(format!("parsing exemplar for series {labels}: {problem}")),
        }
        Ok(())
    }
}

/// Puts type and unit in place of labels of those names that the sender may have set.
fn add_type_and_unit<'p>(pairs: &mut RawLabels<'p>, metadata: &'p Metadata) {
    if metadata.metric_type == MetricType::Unknown && metadata.unit.is_empty() {
        return;
    }
    pairs.retain(|(name, _)| *name != TYPE_LABEL && *name != UNIT_LABEL);
    if metadata.metric_type != MetricType::Unknown {
        pairs.push((TYPE_LABEL, metadata.metric_type.as_str().as_bytes()));
    }
    if !metadata.unit.is_empty() {
        pairs.push((UNIT_LABEL, metadata.unit.as_bytes()));
    }
}

fn decode_metadata(mut reader: ProtoReader<'_>) -> Result<MetadataRefs, ProtoError> {
    let mut refs = MetadataRefs::default();
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => refs.metric_type = metric_type(field.u64()?),
            3 => refs.help_ref = field.u32()?,
            4 => refs.unit_ref = field.u32()?,
            _ => {}
        }
    }
    Ok(refs)
}

/// References as Go prints a slice.
fn shown_refs(refs: &[u32]) -> String {
    let texts: Vec<String> = refs.iter().map(u32::to_string).collect();
    format!("[{}]", texts.join(" "))
}
