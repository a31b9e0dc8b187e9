//! Series and histograms as the parsers lend them.

use std::borrow::Cow;

use model::labels::METRIC_NAME;
use model::{Exemplar, FloatHistogram, Labels, LabelsBuilder, MetricType};
use thiserror::Error;

use super::cursor::Cursor;
use super::line::{LabelSpan, LineSpans, normalize_float_label, unescape};

/// A series with a float value.
#[derive(Debug, Clone, Copy)]
pub struct SeriesEntry<'p> {
    /// Names the series within this target: equal bytes mean equal labels, but for those that the TYPE
    /// and UNIT above them decide (`__type__`, `__unit__`, and how `le` and `quantile` are written).
    pub raw: &'p [u8],
    pub timestamp_ms: Option<i64>,
    pub value: f64,
    /// 0 when unknown or not asked for.
    pub start_timestamp_ms: i64,
    pub(super) labels: LabelSource<'p>,
    pub(super) exemplars: ExemplarSource<'p>,
}

/// A series with a native histogram as its value, already compacted.
#[derive(Debug, Clone, Copy)]
pub struct HistogramEntry<'p> {
    pub raw: &'p [u8],
    pub timestamp_ms: Option<i64>,
    pub histogram: &'p FloatHistogram,
    pub start_timestamp_ms: i64,
    pub(super) labels: LabelSource<'p>,
    pub(super) exemplars: ExemplarSource<'p>,
}

/// Why a series' labels cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelsError {
    #[error("label name {} is not unique: invalid sample", model::labels::GoQuoted(.0))]
    Duplicate(String),
    #[error("invalid metric name or label names: {}", super::quote::QuotedBytes(.0))]
    NotUtf8(Vec<u8>),
    #[error("label of {length_bytes} bytes is longer than any label may be")]
    TooLong { length_bytes: usize },
    #[error("series has more than {limit} labels")]
    TooMany { limit: usize },
}

/// Labels that one series may have; looking for duplicates takes the square of it.
const SERIES_LABELS_MAX: usize = 4096;

/// Labels of an exemplar that are kept. Stores refuse exemplars of more than 128 characters, so one
/// more label than that is enough for a refusal, whatever else was sent.
pub(crate) const EXEMPLAR_LABELS_MAX: usize = 129;

fn check_count(labels: usize) -> Result<(), LabelsError> {
    if labels > SERIES_LABELS_MAX { Err(LabelsError::TooMany { limit: SERIES_LABELS_MAX }) } else { Ok(()) }
}

impl SeriesEntry<'_> {
    /// Puts the labels, `__name__` among them, into `builder`, which is emptied first.
    pub fn labels(&self, builder: &mut LabelsBuilder) -> Result<(), LabelsError> {
        self.labels.write(builder)
    }

    /// Appends the exemplars: at most one in the text formats.
    pub fn exemplars(&self, out: &mut Vec<Exemplar>) {
        self.exemplars.write(out);
    }
}

impl HistogramEntry<'_> {
    /// Puts the labels, `__name__` among them, into `builder`, which is emptied first.
    pub fn labels(&self, builder: &mut LabelsBuilder) -> Result<(), LabelsError> {
        self.labels.write(builder)
    }

    pub fn exemplars(&self, out: &mut Vec<Exemplar>) {
        self.exemplars.write(out);
    }
}

/// Where labels come from when they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum LabelSource<'p> {
    Line(LineLabels<'p>),
    Pairs(PairLabels<'p>),
    Built(&'p Labels),
}

/// Labels of a line of a text format.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineLabels<'p> {
    pub(super) cursor: Cursor<'p>,
    pub(super) spans: &'p LineSpans,
    pub(super) metric_type: MetricType,
    pub(super) unit: &'p str,
    pub(super) type_and_unit_labels: bool,
}

/// Labels of a protobuf metric, with the suffix and label that classic series get.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairLabels<'p> {
    pub(super) name: &'p str,
    pub(super) pairs: &'p [(&'p str, &'p str)],
    pub(super) extra: Option<(&'static str, &'p str)>,
    pub(super) metric_type: MetricType,
    pub(super) unit: &'p str,
    pub(super) type_and_unit_labels: bool,
}

/// What a metric's metadata adds to its labels; labels of the same name in the exposition yield.
#[derive(Clone, Copy)]
struct MetadataLabels<'p> {
    metric_type: MetricType,
    unit: &'p str,
    enabled: bool,
}

const TYPE_LABEL: &str = "__type__";
const UNIT_LABEL: &str = "__unit__";

impl MetadataLabels<'_> {
    fn write(self, builder: &mut LabelsBuilder) {
        if self.enabled && self.metric_type != MetricType::Unknown {
            builder.set(TYPE_LABEL, self.metric_type.as_str());
        }
        if self.enabled {
            builder.set(UNIT_LABEL, self.unit);
        }
    }

    fn overrides(self, name: &str, metric_name: &str) -> bool {
        self.enabled
            && match name {
                METRIC_NAME => !metric_name.is_empty(),
                TYPE_LABEL => self.metric_type != MetricType::Unknown,
                UNIT_LABEL => !self.unit.is_empty(),
                _ => false,
            }
    }
}

impl LabelSource<'_> {
    fn write(&self, builder: &mut LabelsBuilder) -> Result<(), LabelsError> {
        builder.clear();
        match self {
            Self::Built(labels) => {
                for (name, value) in *labels {
                    builder.set(name, value);
                }
                Ok(())
            }
            Self::Line(line) => line.write(builder),
            Self::Pairs(metric) => metric.write(builder),
        }
    }
}

fn add(builder: &mut LabelsBuilder, name: &str, value: &str) -> Result<(), LabelsError> {
    let length_bytes = name.len().max(value.len());
    if length_bytes > model::labels::LABEL_LENGTH_MAX {
        return Err(LabelsError::TooLong { length_bytes });
    }
    if !builder.get(name).is_empty() {
        return Err(LabelsError::Duplicate(name.to_owned()));
    }
    builder.set(name, value);
    Ok(())
}

impl LineLabels<'_> {
    fn text(&self, from: usize, to: usize) -> Result<Cow<'_, str>, LabelsError> {
        let bytes = self.cursor.slice(from, to);
        std::str::from_utf8(bytes).map(unescape).map_err(|_| LabelsError::NotUtf8(bytes.to_vec()))
    }

    fn write(&self, builder: &mut LabelsBuilder) -> Result<(), LabelsError> {
        check_count(self.spans.labels.len())?;
        let (from, to) = self.spans.name.unwrap_or_default();
        let metric_name = self.text(from, to)?;
        let metadata = MetadataLabels {
            metric_type: self.metric_type,
            unit: self.unit,
            enabled: self.type_and_unit_labels,
        };
        add(builder, METRIC_NAME, &metric_name)?;
        metadata.write(builder);
        for &[name_from, name_to, from, to] in &self.spans.labels {
            let name = self.text(name_from, name_to)?;
            if !metadata.overrides(&name, &metric_name) {
                let value = normalize_float_label(self.metric_type, &name, self.text(from, to)?);
                add(builder, &name, &value)?;
            }
        }
        Ok(())
    }
}

impl PairLabels<'_> {
    fn write(&self, builder: &mut LabelsBuilder) -> Result<(), LabelsError> {
        check_count(self.pairs.len())?;
        let metadata = MetadataLabels {
            metric_type: self.metric_type,
            unit: self.unit,
            enabled: self.type_and_unit_labels,
        };
        add(builder, METRIC_NAME, self.name)?;
        metadata.write(builder);
        for (name, value) in self.pairs {
            if !metadata.overrides(name, self.name) {
                add(builder, name, value)?;
            }
        }
        self.extra.map_or(Ok(()), |(name, value)| add(builder, name, value))
    }
}

/// Where exemplars come from when they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum ExemplarSource<'p> {
    None,
    Line(Cursor<'p>, &'p LineExemplar),
    List(&'p [Exemplar]),
}

/// The exemplar of an OpenMetrics line.
#[derive(Debug, Clone)]
pub(super) struct LineExemplar {
    pub(super) labels: Vec<LabelSpan>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

impl ExemplarSource<'_> {
    fn write(&self, out: &mut Vec<Exemplar>) {
        match self {
            Self::None => {}
            Self::List(exemplars) => out.extend_from_slice(exemplars),
            Self::Line(cursor, exemplar) => {
                // Upstream takes names and values as they stand, escapes included.
                let pairs = exemplar.labels.iter().take(EXEMPLAR_LABELS_MAX).map(|&[a, b, c, d]| {
                    (String::from_utf8_lossy(cursor.slice(a, b)), String::from_utf8_lossy(cursor.slice(c, d)))
                });
                out.push(Exemplar {
                    labels: Labels::from_pairs(pairs),
                    value: exemplar.value,
                    t: exemplar.timestamp_ms.unwrap_or(0),
                    has_t: exemplar.timestamp_ms.is_some(),
                });
            }
        }
    }
}
