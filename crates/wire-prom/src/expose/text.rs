//! The Prometheus text format, 0.0.4 and 1.0.0.

use model::MetricType;

use super::cursor::{Cursor, Token};
use super::line::{BraceRules, LineSpans, metadata_text, parse_braces, parse_value, unescape_help};
use super::quote::QuotedBytes;
use super::series::{ExemplarSource, LabelSource, LineLabels, SeriesEntry};
use super::{Entry, ExposeError, ParserOptions};

/// Reads the Prometheus text format.
#[derive(Debug)]
pub struct TextParser<'a> {
    cursor: Cursor<'a>,
    spans: LineSpans,
    series: &'a [u8],
    value: f64,
    timestamp_ms: Option<i64>,
    metric_type: MetricType,
    type_and_unit_labels: bool,
    item: TextItem<'a>,
}

/// What the last line was, before it becomes an entry.
#[derive(Debug, Clone, Copy)]
enum TextItem<'a> {
    Help { name: &'a [u8], help: &'a str },
    Type { name: &'a [u8] },
    Comment(&'a [u8]),
    Series,
}

impl<'a> TextParser<'a> {
    pub fn new(body: &'a [u8], options: ParserOptions) -> Self {
        Self {
            cursor: Cursor::new(body, true),
            spans: LineSpans::default(),
            series: &[],
            value: 0.0,
            timestamp_ms: None,
            metric_type: MetricType::Unknown,
            type_and_unit_labels: options.type_and_unit_labels,
            item: TextItem::Series,
        }
    }

    /// The next entry, or `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ExposeError> {
        Ok(self.advance()?.then(|| self.current()))
    }

    /// The entry that the last [`TextParser::advance`] read.
    pub(super) fn current(&self) -> Entry<'_> {
        match self.item {
            TextItem::Help { name, help } => {
                Entry::Help { name: String::from_utf8_lossy(name), help: unescape_help(help) }
            }
            TextItem::Type { name } => {
                Entry::Type { name: String::from_utf8_lossy(name), metric_type: self.metric_type }
            }
            TextItem::Comment(text) => Entry::Comment(text),
            TextItem::Series => Entry::Series(self.series_entry()),
        }
    }

    /// Reads one entry; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, ExposeError> {
        match self.next_item()? {
            Some(item) => {
                self.item = item;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn next_item(&mut self) -> Result<Option<TextItem<'a>>, ExposeError> {
        loop {
            let line_start = self.cursor.pos;
            self.spans.clear();
            let token = self.cursor.next_text_token();
            match token {
                Token::Eof => return Ok(None),
                Token::Linebreak => {}
                Token::Help | Token::Type => return self.metadata(token, line_start).map(Some),
                Token::Comment => {
                    let text = self.cursor.token_bytes();
                    self.expect_linebreak("linebreak expected after comment", line_start)?;
                    return Ok(Some(TextItem::Comment(text)));
                }
                Token::BraceOpen => {
                    self.braces(line_start)?;
                    let next = self.cursor.next_text_token();
                    self.value_and_timestamp(next, line_start)?;
                    return Ok(Some(TextItem::Series));
                }
                Token::MetricName => {
                    // Upstream counts blanks before a name as part of it.
                    self.spans.name = Some((line_start, self.cursor.pos));
                    self.series = self.cursor.slice(line_start, self.cursor.pos);
                    let mut next = self.cursor.next_text_token();
                    if next == Token::BraceOpen {
                        self.braces(line_start)?;
                        next = self.cursor.next_text_token();
                    }
                    self.value_and_timestamp(next, line_start)?;
                    return Ok(Some(TextItem::Series));
                }
                other => {
                    return Err(self.cursor.unexpected("expected a valid start token", other, line_start));
                }
            }
        }
    }

    fn braces(&mut self, line_start: usize) -> Result<(), ExposeError> {
        parse_braces(&mut self.cursor, &mut self.spans, line_start, BraceRules::Text)?;
        self.series = self.cursor.slice(line_start, self.cursor.pos);
        Ok(())
    }

    fn series_entry(&self) -> SeriesEntry<'_> {
        SeriesEntry {
            raw: self.series,
            timestamp_ms: self.timestamp_ms,
            value: self.value,
            start_timestamp_ms: 0,
            labels: LabelSource::Line(LineLabels {
                cursor: self.cursor,
                spans: &self.spans,
                metric_type: self.metric_type,
                unit: "",
                type_and_unit_labels: self.type_and_unit_labels,
            }),
            exemplars: ExemplarSource::None,
        }
    }

    fn expect_linebreak(&mut self, what: &str, line_start: usize) -> Result<(), ExposeError> {
        match self.cursor.next_text_token() {
            Token::Linebreak => Ok(()),
            other => Err(self.cursor.unexpected(what, other, line_start)),
        }
    }

    fn metadata(&mut self, kind: Token, line_start: usize) -> Result<TextItem<'a>, ExposeError> {
        let name_token = self.cursor.next_text_token();
        if name_token != Token::MetricName {
            let expected = format!("expected metric name after {}", kind.as_str());
            return Err(self.cursor.unexpected(&expected, name_token, line_start));
        }
        let name = unquoted(self.cursor.token_bytes());
        let text_token = self.cursor.next_text_token();
        if text_token != Token::Text {
            let (kind, got) = (kind.as_str(), text_token.as_str());
            return Err(ExposeError(format!("expected text in {kind}, got {got}")));
        }
        let text = metadata_text(self.cursor.token_bytes());
        if kind == Token::Type {
            self.metric_type = match text {
                b"counter" => MetricType::Counter,
                b"gauge" => MetricType::Gauge,
                b"histogram" => MetricType::Histogram,
                b"summary" => MetricType::Summary,
                b"untyped" => MetricType::Unknown,
                _ => return Err(ExposeError(format!("invalid metric type {}", QuotedBytes(text)))),
            };
            self.expect_linebreak("linebreak expected after metadata", line_start)?;
            return Ok(TextItem::Type { name });
        }
        let help = std::str::from_utf8(text).map_err(|_| not_utf8_help(text))?;
        self.expect_linebreak("linebreak expected after metadata", line_start)?;
        Ok(TextItem::Help { name, help })
    }

    fn value_and_timestamp(&mut self, token: Token, line_start: usize) -> Result<(), ExposeError> {
        if self.spans.name.is_none() {
            return Err(self.cursor.refused("metric name not set", line_start));
        }
        if token != Token::Value {
            return Err(self.cursor.unexpected("expected value after metric", token, line_start));
        }
        self.value = parse_value(&self.cursor, 0, line_start)?;
        self.timestamp_ms = None;
        match self.cursor.next_text_token() {
            Token::Linebreak => Ok(()),
            Token::Timestamp => {
                let digits = self.cursor.token_bytes();
                let parsed = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                let Some(timestamp_ms) = parsed else {
                    let shown = QuotedBytes(digits);
                    let problem = format!("strconv.ParseInt: parsing {shown}: value out of range");
                    return Err(self.cursor.refused(&problem, line_start));
                };
                self.timestamp_ms = Some(timestamp_ms);
                self.expect_linebreak("expected next entry after timestamp", line_start)
            }
            other => Err(self.cursor.unexpected("expected timestamp or new record", other, line_start)),
        }
    }
}

/// A metric name of HELP, TYPE or UNIT without its quotes.
pub(super) fn unquoted(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(name)
}

pub(super) fn not_utf8_help(text: &[u8]) -> ExposeError {
    ExposeError(format!("help text {} is not a valid utf8 string", QuotedBytes(text)))
}
