//! Classic histograms of a text format turned into native ones with custom buckets.
//!
//! Lines come one by one, so the series of a histogram are collected until one comes that does not
//! belong to it; the histogram is then given before that one.

use base::gofloat;
use model::histogram::{ClassicBuckets, ClassicSuffix, split_classic_name};
use model::labels::METRIC_NAME;
use model::{Exemplar, FloatHistogram, Labels, LabelsBuilder, MetricType};

use super::series::{ExemplarSource, HistogramEntry, LabelSource, SeriesEntry};
use super::{Entry, ExposeError, Parser, ParserOptions};

const BUCKET_LABEL: &str = "le";

/// Wraps a text parser.
#[derive(Debug)]
pub struct NhcbParser<'a> {
    inner: Parser<'a>,
    keep_classic: bool,
    family: String,
    family_type: MetricType,
    collected: Option<Collected>,
    buckets: ClassicBuckets,
    /// The histogram being given, while the entry behind it waits.
    given: Option<Given>,
    waiting: Waiting,
    builder: LabelsBuilder,
    /// Whether the current series went into a histogram, its exemplars with it.
    current_converted: bool,
}

/// A histogram whose series are being collected.
#[derive(Debug)]
struct Collected {
    name: String,
    /// Without name and `le`.
    labels: Labels,
    timestamp_ms: Option<i64>,
    start_timestamp_ms: i64,
    exemplars: Vec<Exemplar>,
    /// Whether a series contradicted those before it, so that there is no histogram.
    contradictory: bool,
}

#[derive(Debug)]
struct Given {
    raw: String,
    labels: Labels,
    histogram: FloatHistogram,
    timestamp_ms: Option<i64>,
    start_timestamp_ms: i64,
    exemplars: Vec<Exemplar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Entry,
    End,
}

/// What a series turned out to be.
#[derive(PartialEq, Eq)]
enum Collation {
    Ordinary,
    Converted,
}

impl<'a> NhcbParser<'a> {
    pub(super) fn new(inner: Parser<'a>, options: ParserOptions) -> Self {
        Self {
            inner,
            keep_classic: options.keep_classic,
            family: String::new(),
            family_type: MetricType::Unknown,
            collected: None,
            buckets: ClassicBuckets::new(),
            given: None,
            waiting: Waiting::Nothing,
            builder: LabelsBuilder::new(),
            current_converted: false,
        }
    }

    /// The next entry, or `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ExposeError> {
        Ok(self.advance()?.then(|| self.current()))
    }

    fn current(&self) -> Entry<'_> {
        if let Some(given) = &self.given {
            return Entry::Histogram(HistogramEntry {
                raw: given.raw.as_bytes(),
                timestamp_ms: given.timestamp_ms,
                histogram: &given.histogram,
                start_timestamp_ms: given.start_timestamp_ms,
                labels: LabelSource::Built(&given.labels),
                exemplars: ExemplarSource::List(&given.exemplars),
            });
        }
        match self.inner_current() {
            Entry::Series(series) if self.current_converted => {
                Entry::Series(SeriesEntry { exemplars: ExemplarSource::None, ..series })
            }
            entry => entry,
        }
    }

    fn inner_current(&self) -> Entry<'_> {
        match &self.inner {
            Parser::Text(p) => p.current(),
            Parser::OpenMetrics(p) => p.current(),
            Parser::Protobuf(_) | Parser::Nhcb(_) => unreachable!("only text parsers are wrapped"),
        }
    }

    fn inner_advance(&mut self) -> Result<bool, ExposeError> {
        match &mut self.inner {
            Parser::Text(p) => p.advance(),
            Parser::OpenMetrics(p) => p.advance(),
            Parser::Protobuf(_) | Parser::Nhcb(_) => unreachable!("only text parsers are wrapped"),
        }
    }

    fn advance(&mut self) -> Result<bool, ExposeError> {
        loop {
            self.given = None;
            match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
                Waiting::End => return Ok(false),
                Waiting::Entry => {}
                Waiting::Nothing => {
                    if !self.inner_advance()? {
                        self.waiting = Waiting::End;
                        return Ok(self.give());
                    }
                    self.note_type();
                    if self.ends_histogram() && self.give() {
                        self.waiting = Waiting::Entry;
                        return Ok(true);
                    }
                }
            }
            self.current_converted = self.collate() == Collation::Converted;
            if !self.current_converted || self.keep_classic {
                return Ok(true);
            }
        }
    }

    fn note_type(&mut self) {
        let noted = match self.inner_current() {
            Entry::Type { name, metric_type } => Some((name.into_owned(), metric_type)),
            _ => None,
        };
        if let Some((name, metric_type)) = noted {
            self.family = name;
            self.family_type = metric_type;
        }
    }

    /// Whether the current entry does not belong to the histogram being collected.
    fn ends_histogram(&mut self) -> bool {
        let Some(collected) = &self.collected else { return false };
        let mut builder = std::mem::take(&mut self.builder);
        let differs = match self.inner_current() {
            Entry::Series(series) => {
                self.family_type != MetricType::Histogram
                    || series.labels(&mut builder).is_err()
                    || base_name(builder.get(METRIC_NAME)) != collected.name
                    || own_labels(&builder) != collected.labels
            }
            _ => true,
        };
        self.builder = builder;
        differs
    }

    /// Adds the current entry to a histogram if it is a series of a classic one.
    fn collate(&mut self) -> Collation {
        if self.family_type != MetricType::Histogram {
            return Collation::Ordinary;
        }
        let mut builder = std::mem::take(&mut self.builder);
        let mut exemplars = Vec::new();
        let series = match self.inner_current() {
            Entry::Series(series) if series.labels(&mut builder).is_ok() => {
                series.exemplars(&mut exemplars);
                Some((series.value, series.timestamp_ms, series.start_timestamp_ms))
            }
            _ => None,
        };
        let collation = match series {
            Some((value, timestamp_ms, st)) => self.add(&builder, value, timestamp_ms, st, exemplars),
            None => Collation::Ordinary,
        };
        self.builder = builder;
        collation
    }

    fn add(
        &mut self,
        labels: &LabelsBuilder,
        value: f64,
        timestamp_ms: Option<i64>,
        start_timestamp_ms: i64,
        exemplars: Vec<Exemplar>,
    ) -> Collation {
        let Some((name, suffix)) = split_classic_name(labels.get(METRIC_NAME)) else {
            return Collation::Ordinary;
        };
        if name != self.family {
            return Collation::Ordinary;
        }
        let le = gofloat::parse(labels.get(BUCKET_LABEL)).filter(|le| !le.is_nan());
        if suffix == ClassicSuffix::Bucket && le.is_none() {
            return Collation::Ordinary;
        }
        let added = match suffix {
            ClassicSuffix::Bucket => self.buckets.set_bucket(le.unwrap_or(f64::INFINITY), value),
            ClassicSuffix::Count => self.buckets.set_count(value),
            ClassicSuffix::Sum => {
                self.buckets.set_sum(value);
                Ok(())
            }
        };
        let collected = self.collected.get_or_insert_with(|| Collected {
            name: name.to_owned(),
            labels: own_labels(labels),
            timestamp_ms,
            start_timestamp_ms,
            exemplars: Vec::new(),
            contradictory: false,
        });
        collected.timestamp_ms = timestamp_ms;
        collected.exemplars.extend(exemplars);
        collected.contradictory |= added.is_err();
        Collation::Converted
    }

    /// Turns what was collected into a histogram to give; false if there is none or it is invalid.
    fn give(&mut self) -> bool {
        let Some(collected) = self.collected.take() else { return false };
        let converted = self.buckets.to_histogram().ok();
        self.buckets.clear();
        let usable = |h: &FloatHistogram| !collected.contradictory && h.validate().is_ok();
        let Some(histogram) = converted.filter(usable) else { return false };
        let mut labels = collected.labels.to_builder();
        labels.set(METRIC_NAME, &collected.name);
        let raw = if collected.labels.is_empty() {
            collected.name
        } else {
            format!("{}{}", collected.name, collected.labels)
        };
        self.given = Some(Given {
            raw,
            labels: labels.build(),
            histogram,
            timestamp_ms: collected.timestamp_ms,
            start_timestamp_ms: collected.start_timestamp_ms,
            exemplars: collected.exemplars,
        });
        true
    }
}

fn base_name(name: &str) -> &str {
    split_classic_name(name).map_or(name, |(base, _)| base)
}

fn own_labels(labels: &LabelsBuilder) -> Labels {
    Labels::from_pairs(labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != BUCKET_LABEL))
}
