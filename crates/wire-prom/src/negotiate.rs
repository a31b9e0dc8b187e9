//! Which exposition format a scrape asks for, which one it got, and which one a client of ours
//! gets. Header texts and errors are upstream's.

use std::fmt;

use model::labels::GoQuoted;
use thiserror::Error;

pub use crate::expose::Format;
pub use crate::negotiate::escaping::EscapingScheme;

mod escaping;
mod media_type;
mod server;

pub use server::{ExposeFormat, negotiate};

/// A format a scrape may ask for, under its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScrapeProtocol {
    PrometheusProto,
    PrometheusText0_0_4,
    PrometheusText1_0_0,
    OpenMetricsText0_0_1,
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// In the order upstream lists them in messages.
    pub const ALL: [Self; 5] = [
        Self::OpenMetricsText0_0_1,
        Self::OpenMetricsText1_0_0,
        Self::PrometheusProto,
        Self::PrometheusText0_0_4,
        Self::PrometheusText1_0_0,
    ];

    /// What is asked for when the configuration says nothing.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// What is asked for when native histograms are wanted.
    pub const DEFAULT_PROTO_FIRST: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }

    /// The media type in `Accept`, without escaping and weight.
    pub fn header(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// The parser that reads this protocol.
    pub fn format(self) -> Format {
        match self {
            Self::PrometheusProto => Format::Protobuf,
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => Format::Text,
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => Format::OpenMetrics,
        }
    }
}

impl fmt::Display for ScrapeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `Accept` header of a scrape that prefers `protocols` in this order.
pub fn accept_header(protocols: &[ScrapeProtocol], scheme: EscapingScheme) -> String {
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    let mut header = String::new();
    for protocol in protocols {
        header.push_str(protocol.header());
        if matches!(protocol, ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::OpenMetricsText1_0_0) {
            header.push_str(";escaping=");
            header.push_str(scheme.as_str());
        }
        header.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

/// Why a response's `Content-Type` does not name a format. With a fallback it is a warning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentTypeError {
    #[error("non-compliant scrape target sending blank Content-Type{}", consequence(.fallback, " and no fallback_scrape_protocol specified for target"))]
    Blank { fallback: Option<ScrapeProtocol> },
    #[error("{}", unparsable(.content_type, .fallback, .reason))]
    Unparsable { content_type: String, fallback: Option<ScrapeProtocol>, reason: &'static str },
    #[error("received unsupported Content-Type {}{}", GoQuoted(.content_type), consequence(.fallback, " and no fallback_scrape_protocol specified for target"))]
    Unsupported { content_type: String, fallback: Option<ScrapeProtocol> },
}

fn consequence(fallback: &Option<ScrapeProtocol>, otherwise: &str) -> String {
    match fallback {
        Some(protocol) => {
            format!(", using fallback_scrape_protocol {}", GoQuoted(media_type::of_protocol(*protocol)))
        }
        None => otherwise.to_owned(),
    }
}

fn unparsable(content_type: &str, fallback: &Option<ScrapeProtocol>, reason: &str) -> String {
    let (verb, otherwise) = match fallback {
        Some(_) => ("could not parse received", ""),
        None => ("cannot parse", " and no fallback_scrape_protocol for target"),
    };
    format!("{verb} Content-Type {}{}\n{reason}", GoQuoted(content_type), consequence(fallback, otherwise))
}

/// The format of a response. A fallback that had to be used comes with a warning to log.
pub fn select_format(
    content_type: &str,
    fallback: Option<ScrapeProtocol>,
) -> Result<(Format, Option<ContentTypeError>), ContentTypeError> {
    let problem = if content_type.is_empty() {
        ContentTypeError::Blank { fallback }
    } else {
        let content_type_owned = || content_type.to_owned();
        match media_type::parse(content_type) {
            Ok("application/openmetrics-text") => return Ok((Format::OpenMetrics, None)),
            Ok("application/vnd.google.protobuf") => return Ok((Format::Protobuf, None)),
            Ok("text/plain") => return Ok((Format::Text, None)),
            Ok(_) => ContentTypeError::Unsupported { content_type: content_type_owned(), fallback },
            Err(reason) => {
                ContentTypeError::Unparsable { content_type: content_type_owned(), fallback, reason }
            }
        }
    };
    match fallback {
        Some(protocol) => Ok((protocol.format(), Some(problem))),
        None => Err(problem),
    }
}

#[cfg(test)]
mod tests;
