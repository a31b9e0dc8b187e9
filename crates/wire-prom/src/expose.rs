//! Reading exposition formats: text 0.0.4 and 1.0.0, OpenMetrics 0.0.1 and 1.0.0, and delimited
//! `MetricFamily` protobuf, with upstream's meaning and error texts.
//!
//! A pull parser: [`Parser::next_entry`] lends one entry at a time. Series of the text formats are
//! named by the very bytes of the input, so that a caller can recognise a series it has seen
//! before without building its labels.

mod cursor;
mod line;
mod nhcb;
mod openmetrics;
mod openmetrics_lex;
mod protobuf;
mod protobuf_metric;
mod quote;
mod series;
mod text;
mod text_lex;

use std::borrow::Cow;

use model::MetricType;
use thiserror::Error;

pub(crate) use quote::QuotedBytes;
pub(crate) use series::EXEMPLAR_LABELS_MAX;

pub use nhcb::NhcbParser;
pub use openmetrics::OpenMetricsParser;
pub use protobuf::ProtobufParser;
pub use series::{HistogramEntry, LabelsError, SeriesEntry};
pub use text::TextParser;

/// A family of formats that one parser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

/// What the scrape configuration asks of a parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParserOptions {
    /// Adds `__type__` and `__unit__` labels.
    pub type_and_unit_labels: bool,
    /// Reads native histograms as the classic ones beside them (protobuf).
    pub ignore_native_histograms: bool,
    /// Turns classic histograms into native ones with custom buckets.
    pub convert_classic_to_nhcb: bool,
    /// Gives classic series also where the histogram is native or was converted.
    pub keep_classic: bool,
    /// Gives start timestamps with series, and takes OpenMetrics' `_created` series out. Off,
    /// `_created` series are ordinary series and OpenMetrics start timestamps 0.
    pub start_timestamps: bool,
}

/// Why an exposition is refused. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ExposeError(pub(crate) String);

/// One element of an exposition.
#[derive(Debug)]
pub enum Entry<'p> {
    Type { name: Cow<'p, str>, metric_type: MetricType },
    Help { name: Cow<'p, str>, help: Cow<'p, str> },
    Unit { name: Cow<'p, str>, unit: Cow<'p, str> },
    Comment(&'p [u8]),
    Series(SeriesEntry<'p>),
    Histogram(HistogramEntry<'p>),
}

/// The parser of one scraped body.
#[derive(Debug)]
pub enum Parser<'a> {
    Text(TextParser<'a>),
    OpenMetrics(OpenMetricsParser<'a>),
    Protobuf(Box<ProtobufParser<'a>>),
    Nhcb(Box<NhcbParser<'a>>),
}

impl<'a> Parser<'a> {
    pub fn new(body: &'a [u8], format: Format, options: ParserOptions) -> Self {
        let inner = match format {
            Format::Text => Self::Text(TextParser::new(body, options)),
            Format::OpenMetrics => Self::OpenMetrics(OpenMetricsParser::new(body, options)),
            Format::Protobuf => return Self::Protobuf(Box::new(ProtobufParser::new(body, options))),
        };
        if options.convert_classic_to_nhcb {
            Self::Nhcb(Box::new(NhcbParser::new(inner, options)))
        } else {
            inner
        }
    }

    /// The next entry, or `None` at the end. After an error the parser is not to be used again.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ExposeError> {
        match self {
            Self::Text(p) => p.next_entry(),
            Self::OpenMetrics(p) => p.next_entry(),
            Self::Protobuf(p) => p.next_entry(),
            Self::Nhcb(p) => p.next_entry(),
        }
    }
}

#[cfg(test)]
mod tests;
