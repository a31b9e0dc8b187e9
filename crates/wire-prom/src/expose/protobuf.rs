//! Delimited `MetricFamily` messages, given as the text formats' entries.

use model::histogram::{ClassicBuckets, ClassicSeries, CounterResetHint};
use model::{Exemplar, FloatHistogram, MetricType};
use wire_core::ProtoReader;

use super::protobuf_metric::{Bucket, Family, Metric};
use super::series::{ExemplarSource, HistogramEntry, LabelSource, PairLabels, SeriesEntry};
use super::{Entry, ExposeError, ParserOptions};

/// The longest length prefix upstream reads, in bytes.
const LENGTH_PREFIX_BYTES_MAX: usize = 5;

/// Separates names and values in the bytes that name a series; no UTF-8 text contains it.
const SEPARATOR: u8 = 0xff;

/// Reads delimited protobuf.
#[derive(Debug)]
pub struct ProtobufParser<'a> {
    rest: &'a [u8],
    options: ParserOptions,
    family: Family<'a>,
    family_name: &'a str,
    unit: &'a str,
    help: &'a str,
    kind: Kind,
    metric_idx: usize,
    metric: Metric<'a>,
    /// Whether the metric is a native histogram; giving it takes its spans away.
    is_native: bool,
    stage: Stage,
    // What the current entry borrows.
    name: String,
    extra: Option<(&'static str, String)>,
    raw: Vec<u8>,
    value: f64,
    histogram: FloatHistogram,
    exemplars: Vec<Exemplar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Summary => MetricType::Summary,
            Self::Untyped => MetricType::Unknown,
            Self::Histogram => MetricType::Histogram,
            Self::GaugeHistogram => MetricType::GaugeHistogram,
        }
    }

    fn is_histogram(self) -> bool {
        matches!(self, Self::Histogram | Self::GaugeHistogram)
    }
}

/// The entry given last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Behind the last metric of a family.
    FamilyDone,
    Help,
    Unit,
    Type,
    /// The only series of a counter, gauge or untyped metric.
    Single,
    /// A series of a summary or classic histogram.
    Classic(Part),
    Native,
    Converted,
}

/// Which series of a summary or classic histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Count,
    Sum,
    /// A quantile or bucket; one past the last bucket is the +Inf bucket that was left out.
    Element(usize),
}

impl<'a> ProtobufParser<'a> {
    pub fn new(body: &'a [u8], options: ParserOptions) -> Self {
        Self {
            rest: body,
            options,
            family: Family::default(),
            family_name: "",
            unit: "",
            help: "",
            kind: Kind::Untyped,
            metric_idx: 0,
            metric: Metric::default(),
            is_native: false,
            stage: Stage::FamilyDone,
            name: String::new(),
            extra: None,
            raw: Vec::new(),
            value: 0.0,
            histogram: FloatHistogram::default(),
            exemplars: Vec::new(),
        }
    }

    /// The next entry, or `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ExposeError> {
        let Some(stage) = self.next_stage()? else { return Ok(None) };
        self.stage = stage;
        let name = || self.family_name.into();
        Ok(Some(match stage {
            Stage::FamilyDone => return Ok(None),
            Stage::Help => Entry::Help { name: name(), help: self.help.into() },
            Stage::Unit => Entry::Unit { name: name(), unit: self.unit.into() },
            Stage::Type => Entry::Type { name: name(), metric_type: self.kind.metric_type() },
            Stage::Single | Stage::Classic(_) => {
                self.prepare_series(stage);
                Entry::Series(SeriesEntry {
                    raw: &self.raw,
                    timestamp_ms: self.timestamp_ms(),
                    value: self.value,
                    start_timestamp_ms: self.start_timestamp_ms(),
                    labels: self.labels(),
                    exemplars: ExemplarSource::List(&self.exemplars),
                })
            }
            Stage::Native | Stage::Converted => {
                self.prepare_histogram(stage)?;
                Entry::Histogram(HistogramEntry {
                    raw: &self.raw,
                    timestamp_ms: self.timestamp_ms(),
                    histogram: &self.histogram,
                    start_timestamp_ms: self.start_timestamp_ms(),
                    labels: self.labels(),
                    exemplars: ExemplarSource::List(&self.exemplars),
                })
            }
        }))
    }

    fn timestamp_ms(&self) -> Option<i64> {
        (self.metric.timestamp_ms != 0).then_some(self.metric.timestamp_ms)
    }

    fn start_timestamp_ms(&self) -> i64 {
        if self.options.start_timestamps { self.metric.start_timestamp_ms } else { 0 }
    }

    fn labels(&self) -> LabelSource<'_> {
        LabelSource::Pairs(PairLabels {
            name: &self.name,
            pairs: &self.metric.labels,
            extra: self.extra.as_ref().map(|(name, value)| (*name, value.as_str())),
            metric_type: self.kind.metric_type(),
            unit: self.unit,
            type_and_unit_labels: self.options.type_and_unit_labels,
        })
    }

    /// What comes after the entry given last.
    fn next_stage(&mut self) -> Result<Option<Stage>, ExposeError> {
        Ok(Some(match self.stage {
            Stage::FamilyDone => return Ok(self.next_family()?.then_some(Stage::Help)),
            Stage::Help if !self.unit.is_empty() => Stage::Unit,
            Stage::Help | Stage::Unit => Stage::Type,
            Stage::Type => self.first_of_metric(),
            Stage::Classic(part) => match self.part_after(part) {
                Some(part) => Stage::Classic(part),
                None if self.gives_converted() => Stage::Converted,
                None => return self.next_metric(),
            },
            Stage::Native if self.options.keep_classic && !self.metric.histogram.buckets.is_empty() => {
                Stage::Classic(Part::Count)
            }
            Stage::Single | Stage::Native | Stage::Converted => return self.next_metric(),
        }))
    }

    fn first_of_metric(&self) -> Stage {
        match self.kind {
            Kind::Counter | Kind::Gauge | Kind::Untyped => Stage::Single,
            Kind::Summary => Stage::Classic(Part::Count),
            Kind::Histogram | Kind::GaugeHistogram => {
                if !self.is_classic() {
                    Stage::Native
                } else if self.options.convert_classic_to_nhcb && !self.options.keep_classic {
                    Stage::Converted
                } else {
                    Stage::Classic(Part::Count)
                }
            }
        }
    }

    /// Whether the metric is a histogram to be read as a classic one.
    fn is_classic(&self) -> bool {
        self.options.ignore_native_histograms || !self.is_native
    }

    /// Whether a histogram with custom buckets follows the classic series.
    fn gives_converted(&self) -> bool {
        self.kind.is_histogram()
            && self.options.convert_classic_to_nhcb
            && self.options.keep_classic
            && self.is_classic()
    }

    fn part_after(&self, part: Part) -> Option<Part> {
        let buckets = &self.metric.histogram.buckets;
        match (part, self.kind) {
            (Part::Count, _) => Some(Part::Sum),
            (Part::Sum, Kind::Summary) => (!self.metric.quantiles.is_empty()).then_some(Part::Element(0)),
            (Part::Sum, _) => Some(Part::Element(0)),
            (Part::Element(idx), Kind::Summary) => {
                (idx + 1 < self.metric.quantiles.len()).then_some(Part::Element(idx + 1))
            }
            (Part::Element(idx), _) => {
                let is_last = buckets.get(idx).is_none_or(|b| b.upper_bound == f64::INFINITY);
                (!is_last).then_some(Part::Element(idx + 1))
            }
        }
    }

    fn next_metric(&mut self) -> Result<Option<Stage>, ExposeError> {
        self.metric_idx += 1;
        if self.decode_metric()? {
            return Ok(Some(self.first_of_metric()));
        }
        Ok(self.next_family()?.then_some(Stage::Help))
    }

    fn decode_metric(&mut self) -> Result<bool, ExposeError> {
        match self.family.metrics.get(self.metric_idx) {
            Some(bytes) => {
                self.metric.decode(bytes)?;
                self.is_native = self.metric.is_native_histogram();
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Reads families until one has a metric; false at the end of the input.
    fn next_family(&mut self) -> Result<bool, ExposeError> {
        while !self.rest.is_empty() {
            let message = self.take_message()?;
            self.family.decode(message)?;
            self.metric_idx = 0;
            if self.decode_metric()? {
                self.check_family()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_message(&mut self) -> Result<&'a [u8], ExposeError> {
        let mut reader = ProtoReader::new(self.rest);
        let length = reader.varint().ok();
        let prefix = self.rest.len() - reader.rest().len();
        let Some(length) = length.filter(|_| prefix <= LENGTH_PREFIX_BYTES_MAX) else {
            return Err(ExposeError("clientpb: invalid varint encountered".to_owned()));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((message, rest)) = reader.rest().split_at_checked(length) else {
            let (expected, got) = (prefix.saturating_add(length), self.rest.len());
            return Err(ExposeError(format!(
                "clientpb: insufficient length of buffer, expected at least {expected} bytes, got {got} bytes"
            )));
        };
        self.rest = rest;
        Ok(message)
    }

    fn check_family(&mut self) -> Result<(), ExposeError> {
        let lossy = String::from_utf8_lossy;
        let name = std::str::from_utf8(self.family.name).ok().filter(|name| !name.is_empty());
        let Some(name) = name else {
            return Err(ExposeError(format!("invalid metric name: {}", lossy(self.family.name))));
        };
        let quoted = model::labels::GoQuoted(name);
        self.help = std::str::from_utf8(self.family.help).map_err(|_| {
            ExposeError(format!("invalid help for metric {quoted}: {}", lossy(self.family.help)))
        })?;
        self.unit = std::str::from_utf8(self.family.unit).map_err(|_| {
            ExposeError(format!("invalid unit for metric {quoted}: {}", lossy(self.family.unit)))
        })?;
        self.kind = match self.family.metric_type {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            2 => Kind::Summary,
            3 => Kind::Untyped,
            4 => Kind::Histogram,
            5 => Kind::GaugeHistogram,
            other => {
                return Err(ExposeError(format!("unknown metric type for metric {quoted}: {other}")));
            }
        };
        self.family_name = name;
        Ok(())
    }

    fn prepare_series(&mut self, stage: Stage) {
        self.exemplars.clear();
        let metric = &self.metric;
        let (mut suffix, mut extra, mut exemplar) = ("", None, None);
        self.value = match stage {
            Stage::Classic(Part::Count) => {
                suffix = "_count";
                metric.histogram_count()
            }
            Stage::Classic(Part::Sum) => {
                suffix = "_sum";
                metric.sum
            }
            Stage::Classic(Part::Element(idx)) if self.kind == Kind::Summary => {
                let (quantile, value) = metric.quantiles[idx];
                extra = Some(("quantile", ClassicSeries::le_text(quantile)));
                value
            }
            Stage::Classic(Part::Element(idx)) => {
                suffix = "_bucket";
                let bucket = metric.histogram.buckets.get(idx);
                let bound = bucket.map_or(f64::INFINITY, |b| b.upper_bound);
                extra = Some(("le", ClassicSeries::le_text(bound)));
                exemplar = bucket.and_then(|b| b.exemplar.as_ref());
                bucket.map_or_else(|| metric.histogram_count(), Bucket::cumulative_count)
            }
            _ => {
                exemplar = metric.exemplar.as_ref().filter(|_| self.kind == Kind::Counter);
                metric.value
            }
        };
        self.exemplars.extend(exemplar.cloned());
        self.extra = extra;
        self.name_entry(suffix);
    }

    fn prepare_histogram(&mut self, stage: Stage) -> Result<(), ExposeError> {
        let is_gauge = self.kind == Kind::GaugeHistogram;
        self.histogram = if stage == Stage::Native {
            let name = model::labels::GoQuoted(self.family_name);
            self.metric
                .native_histogram(is_gauge)
                .map_err(|problem| ExposeError(format!("histogram {name}: {problem}")))?
        } else {
            self.converted_histogram(is_gauge)?
        };
        self.exemplars.clear();
        let h = &self.metric.histogram;
        if h.exemplars.is_empty() {
            self.exemplars.extend(h.buckets.iter().filter_map(|b| b.exemplar.clone()));
        } else {
            self.exemplars.extend_from_slice(&h.exemplars);
        }
        self.exemplars.retain(|e| e.has_t);
        self.extra = None;
        self.name_entry("");
        Ok(())
    }

    fn converted_histogram(&self, is_gauge: bool) -> Result<FloatHistogram, ExposeError> {
        let convert = || {
            let mut classic = ClassicBuckets::new();
            classic.set_count(self.metric.histogram_count())?;
            classic.set_sum(self.metric.sum);
            for bucket in &self.metric.histogram.buckets {
                classic.set_bucket(bucket.upper_bound, bucket.cumulative_count())?;
            }
            classic.to_histogram()
        };
        let mut histogram =
            convert().map_err(|e: model::histogram::ClassicError| ExposeError(e.to_string()))?;
        if is_gauge {
            histogram.counter_reset_hint = CounterResetHint::Gauge;
        }
        Ok(histogram)
    }

    /// Sets the metric name and the bytes that name the series.
    fn name_entry(&mut self, suffix: &str) {
        self.name.clear();
        self.name.push_str(self.family_name);
        self.name.push_str(suffix);
        self.metric.labels.sort_unstable();
        self.raw.clear();
        self.raw.extend_from_slice(self.name.as_bytes());
        let extra = self.extra.as_ref().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in self.metric.labels.iter().copied().chain(extra) {
            self.raw.push(SEPARATOR);
            self.raw.extend_from_slice(name.as_bytes());
            self.raw.push(SEPARATOR);
            self.raw.extend_from_slice(value.as_bytes());
        }
    }
}
