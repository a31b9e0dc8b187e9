//! Requests as a sender writes them.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{Exemplar, FloatSample, HistogramSample, Labels, Metadata, MetricType, SeriesBatch};
use wire_core::ProtoWriter;

use crate::wire_histogram;

/// The samples of a batch, to be taken series by series.
struct BySeries<'b> {
    floats: Taking<'b, FloatSample>,
    histograms: Taking<'b, HistogramSample>,
    exemplars: Taking<'b, (u32, Exemplar)>,
}

/// Elements ordered by series, those of one series in their own order.
struct Taking<'b, T> {
    rest: std::iter::Peekable<std::vec::IntoIter<(u32, &'b T)>>,
}

impl<'b, T> Taking<'b, T> {
    fn new(all: &'b [T], series_of: impl Fn(&T) -> u32) -> Self {
        let mut ordered: Vec<(u32, &T)> = all.iter().map(|element| (series_of(element), element)).collect();
        ordered.sort_by_key(|(series_idx, _)| *series_idx);
        Self { rest: ordered.into_iter().peekable() }
    }

    /// The elements of a series; series are asked for in ascending order.
    fn take(&mut self, series_idx: u32) -> impl Iterator<Item = &'b T> {
        std::iter::from_fn(move || self.rest.next_if(|(s, _)| *s == series_idx).map(|(_, element)| element))
    }
}

impl<'b> BySeries<'b> {
    fn of(batch: &'b SeriesBatch) -> Self {
        Self {
            floats: Taking::new(&batch.floats, |s| s.series_idx),
            histograms: Taking::new(&batch.histograms, |s| s.series_idx),
            exemplars: Taking::new(&batch.exemplars, |(series_idx, _)| *series_idx),
        }
    }
}

/// `prometheus.WriteRequest`, uncompressed. Start timestamps have no place in it.
pub fn encode_v1(batch: &SeriesBatch) -> Vec<u8> {
    let mut by_series = BySeries::of(batch);
    let mut w = ProtoWriter::new();
    for (series_idx, series) in (0u32..).zip(&batch.series) {
        w.message_field(1, |w| {
            labels_v1(w, 1, &series.labels);
            for sample in by_series.floats.take(series_idx) {
                w.message_field(2, |w| {
                    w.f64_field(1, sample.v);
                    w.i64_field(2, sample.t);
                });
            }
            for (_, exemplar) in by_series.exemplars.take(series_idx) {
                w.message_field(3, |w| {
                    labels_v1(w, 1, &exemplar.labels);
                    w.f64_field(2, exemplar.value);
                    w.i64_field(3, exemplar.t);
                });
            }
            for sample in by_series.histograms.take(series_idx) {
                w.message_field(4, |w| wire_histogram::encode(w, &sample.h, sample.t, 0));
            }
        });
    }
    for (family, metadata) in &batch.metadata {
        w.message_field(3, |w| {
            w.u64_field(1, type_number(metadata.metric_type));
            w.str_field(2, family);
            w.str_field(4, &metadata.help);
            w.str_field(5, &metadata.unit);
        });
    }
    w.finish()
}

/// Labels as both 1.0 and remote read write them.
pub(crate) fn labels_v1(w: &mut ProtoWriter, field: u32, labels: &Labels) {
    for (name, value) in labels {
        w.message_field(field, |w| {
            w.str_field(1, name);
            w.str_field(2, value);
        });
    }
}

fn type_number(metric_type: MetricType) -> u64 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

/// The string table of a request; the empty text is its first.
struct Symbols<'a> {
    refs: HashMap<&'a str, u64>,
    texts: Vec<&'a str>,
}

impl<'a> Symbols<'a> {
    fn new() -> Self {
        Self { refs: HashMap::from_iter([("", 0)]), texts: vec![""] }
    }

    fn reference(&mut self, text: &'a str) -> u64 {
        let next = self.texts.len() as u64;
        *self.refs.entry(text).or_insert_with(|| {
            self.texts.push(text);
            next
        })
    }

    fn labels(&mut self, w: &mut ProtoWriter, labels: &'a Labels) {
        let texts = labels.iter().flat_map(|(name, value)| [name, value]);
        w.packed_u64(1, texts.map(|text| self.reference(text)));
    }
}

/// `io.prometheus.write.v2.Request`, uncompressed. Series get the metadata of their family.
pub fn encode_v2(batch: &SeriesBatch) -> Vec<u8> {
    let mut by_series = BySeries::of(batch);
    let families: HashMap<&str, &Metadata> =
        batch.metadata.iter().map(|(family, metadata)| (family.as_str(), metadata)).collect();
    let mut symbols = Symbols::new();
    let mut body = ProtoWriter::new();
    for (series_idx, series) in (0u32..).zip(&batch.series) {
        body.message_field(5, |w| {
            symbols.labels(w, &series.labels);
            for sample in by_series.floats.take(series_idx) {
                w.message_field(2, |w| {
                    w.f64_field(1, sample.v);
                    w.i64_field(2, sample.t);
                    w.i64_field(3, sample.st);
                });
            }
            for sample in by_series.histograms.take(series_idx) {
                w.message_field(3, |w| wire_histogram::encode(w, &sample.h, sample.t, sample.st));
            }
            for (_, exemplar) in by_series.exemplars.take(series_idx) {
                w.message_field(4, |w| {
                    symbols.labels(w, &exemplar.labels);
                    w.f64_field(2, exemplar.value);
                    w.i64_field(3, exemplar.t);
                });
            }
            if let Some(metadata) = metadata_of(&families, &series.labels) {
                w.message_field(5, |w| {
                    w.u64_field(1, type_number(metadata.metric_type));
                    w.u64_field(3, symbols.reference(&metadata.help));
                    w.u64_field(4, symbols.reference(&metadata.unit));
                });
            }
        });
    }
    let mut w = ProtoWriter::new();
    for text in &symbols.texts {
        w.bytes_element(4, text.as_bytes());
    }
    let mut out = w.finish();
    out.extend_from_slice(body.as_bytes());
    out
}

fn metadata_of<'m>(families: &HashMap<&str, &'m Metadata>, labels: &Labels) -> Option<&'m Metadata> {
    let name = labels.get(METRIC_NAME)?;
    let family = model::histogram::split_classic_name(name).map_or(name, |(family, _)| family);
    families.get(name).or_else(|| families.get(family)).copied()
}
