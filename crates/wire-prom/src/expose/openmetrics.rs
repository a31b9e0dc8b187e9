//! OpenMetrics text, 0.0.1 and 1.0.0.

use model::MetricType;

use super::cursor::{Cursor, Token};
use super::line::{BraceRules, LineSpans, metadata_text, parse_braces, parse_float, parse_value, unescape};
use super::quote::QuotedBytes;
use super::series::{ExemplarSource, LabelSource, LineExemplar, LineLabels, SeriesEntry};
use super::text::{not_utf8_help, unquoted};
use super::{Entry, ExposeError, ParserOptions};

const CREATED: &[u8] = b"_created";
const NO_EOF: &str = "data does not end with # EOF";

/// Reads OpenMetrics text.
#[derive(Debug)]
pub struct OpenMetricsParser<'a> {
    line: OmLine<'a>,
    start_timestamps: bool,
    type_and_unit_labels: bool,
    created: CreatedCache,
    item: OmItem<'a>,
    start_timestamp_ms: i64,
}

/// The reading position with what the last line said. A copy looks ahead for `_created`.
#[derive(Debug, Clone)]
struct OmLine<'a> {
    cursor: Cursor<'a>,
    start: usize,
    spans: LineSpans,
    series: &'a [u8],
    value: f64,
    timestamp_ms: Option<i64>,
    exemplar: Option<LineExemplar>,
    metric_type: MetricType,
    unit: &'a str,
    family_name_len: usize,
    skip_created: bool,
}

/// What looking ahead for `_created` series found, so that the series of one metric look once.
#[derive(Debug, Default)]
struct CreatedCache {
    /// The metric the found start timestamp belongs to.
    key: Vec<u8>,
    start_timestamp_ms: i64,
    /// No line before this input position is a `_created` series.
    none_before: usize,
    /// The next `_created` line, so that the series before it look for it once together.
    next: Option<NextCreated>,
}

/// A `_created` line ahead.
#[derive(Debug)]
struct NextCreated {
    pos: usize,
    key: Vec<u8>,
    start_timestamp_ms: i64,
}

/// A line, before it becomes an entry.
#[derive(Debug, Clone, Copy)]
enum OmItem<'a> {
    Help { name: &'a [u8], help: &'a str },
    Type { name: &'a [u8] },
    Unit { name: &'a [u8] },
    Series,
}

impl<'a> OpenMetricsParser<'a> {
    pub fn new(body: &'a [u8], options: ParserOptions) -> Self {
        Self {
            line: OmLine {
                cursor: Cursor::new(body, false),
                start: 0,
                spans: LineSpans::default(),
                series: &[],
                value: 0.0,
                timestamp_ms: None,
                exemplar: None,
                metric_type: MetricType::Unknown,
                unit: "",
                family_name_len: 0,
                skip_created: options.start_timestamps,
            },
            start_timestamps: options.start_timestamps,
            type_and_unit_labels: options.type_and_unit_labels,
            created: CreatedCache::default(),
            item: OmItem::Series,
            start_timestamp_ms: 0,
        }
    }

    /// The next entry, or `None` behind `# EOF`.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ExposeError> {
        Ok(self.advance()?.then(|| self.current()))
    }

    /// Reads one entry; false behind `# EOF`.
    pub(super) fn advance(&mut self) -> Result<bool, ExposeError> {
        let Some(item) = self.line.next_item()? else { return Ok(false) };
        self.item = item;
        if self.start_timestamps && matches!(item, OmItem::Series) {
            self.start_timestamp_ms = self.find_start_timestamp_ms();
        }
        Ok(true)
    }

    /// The entry that the last [`OpenMetricsParser::advance`] read.
    pub(super) fn current(&self) -> Entry<'_> {
        match self.item {
            OmItem::Help { name, help } => {
                Entry::Help { name: String::from_utf8_lossy(name), help: unescape(help) }
            }
            OmItem::Type { name } => {
                Entry::Type { name: String::from_utf8_lossy(name), metric_type: self.line.metric_type }
            }
            OmItem::Unit { name } => {
                Entry::Unit { name: String::from_utf8_lossy(name), unit: self.line.unit.into() }
            }
            OmItem::Series => Entry::Series(self.series_entry()),
        }
    }

    fn series_entry(&self) -> SeriesEntry<'_> {
        let line = &self.line;
        SeriesEntry {
            raw: line.series,
            timestamp_ms: line.timestamp_ms,
            value: line.value,
            start_timestamp_ms: self.start_timestamp_ms,
            labels: LabelSource::Line(LineLabels {
                cursor: line.cursor,
                spans: &line.spans,
                metric_type: line.metric_type,
                unit: line.unit,
                type_and_unit_labels: self.type_and_unit_labels,
            }),
            exemplars: match &line.exemplar {
                Some(exemplar) => ExemplarSource::Line(line.cursor, exemplar),
                None => ExemplarSource::None,
            },
        }
    }

    /// Looks ahead within the family for the `_created` line of the current metric.
    fn find_start_timestamp_ms(&mut self) -> i64 {
        if !has_created(self.line.metric_type) {
            self.created.key.clear();
            return 0;
        }
        let key = self.line.metric_key(self.line.family_name());
        if key == self.created.key && self.created.start_timestamp_ms > 0 {
            return self.created.start_timestamp_ms;
        }
        self.created.key.clear();
        let pos = self.line.cursor.pos;
        if pos < self.created.none_before {
            return 0;
        }
        if self.created.next.as_ref().is_none_or(|next| next.pos < pos) {
            self.look_ahead();
        }
        // As upstream: only the first `_created` line ahead is looked at.
        match &self.created.next {
            Some(next) if next.key == key => {
                self.created.key = key;
                self.created.start_timestamp_ms = next.start_timestamp_ms;
                next.start_timestamp_ms
            }
            _ => 0,
        }
    }

    /// Finds the next `_created` line of the family, or that there is none.
    fn look_ahead(&mut self) {
        self.created.next = None;
        let mut ahead = OmLine { skip_created: false, exemplar: None, ..self.line.clone() };
        while let Ok(Some(OmItem::Series)) = ahead.next_item() {
            if let Some(base) = ahead.metric_name().strip_suffix(CREATED) {
                self.created.next = Some(NextCreated {
                    pos: ahead.start,
                    key: ahead.metric_key(base),
                    start_timestamp_ms: (ahead.value * 1000.0) as i64,
                });
                return;
            }
        }
        self.created.none_before = ahead.start;
    }
}

impl<'a> OmLine<'a> {
    fn next_item(&mut self) -> Result<Option<OmItem<'a>>, ExposeError> {
        loop {
            self.start = self.cursor.pos;
            self.spans.clear();
            self.exemplar = None;
            let token = self.cursor.next_openmetrics_token();
            match token {
                Token::EofWord => {
                    return match self.cursor.next_openmetrics_token() {
                        Token::Eof => Ok(None),
                        _ => Err(ExposeError("unexpected data after # EOF".to_owned())),
                    };
                }
                Token::Eof => return Err(ExposeError(NO_EOF.to_owned())),
                Token::Help | Token::Type | Token::Unit => return self.metadata(token).map(Some),
                Token::BraceOpen => {
                    self.braces()?;
                    let next = self.cursor.next_openmetrics_token();
                    self.end_of_line(next)?;
                }
                Token::MetricName => {
                    self.spans.name = Some((self.start, self.cursor.pos));
                    self.series = self.cursor.slice(self.start, self.cursor.pos);
                    let mut next = self.cursor.next_openmetrics_token();
                    if next == Token::BraceOpen {
                        self.braces()?;
                        next = self.cursor.next_openmetrics_token();
                    }
                    self.end_of_line(next)?;
                }
                other => return Err(self.unexpected("expected a valid start token", other)),
            }
            let is_created = has_created(self.metric_type) && self.metric_name().ends_with(CREATED);
            if !(self.skip_created && is_created) {
                return Ok(Some(OmItem::Series));
            }
        }
    }

    fn unexpected(&self, expected: &str, got: Token) -> ExposeError {
        self.cursor.unexpected(expected, got, self.start)
    }

    fn braces(&mut self) -> Result<(), ExposeError> {
        parse_braces(&mut self.cursor, &mut self.spans, self.start, BraceRules::OpenMetrics)?;
        self.series = self.cursor.slice(self.start, self.cursor.pos);
        Ok(())
    }

    fn metadata(&mut self, kind: Token) -> Result<OmItem<'a>, ExposeError> {
        let name_token = self.cursor.next_openmetrics_token();
        if name_token != Token::MetricName {
            return Err(self.unexpected(&format!("expected metric name after {}", kind.as_str()), name_token));
        }
        let name = unquoted(self.cursor.token_bytes());
        self.family_name_len = name.len();
        if self.cursor.next_openmetrics_token() != Token::Text {
            return Err(ExposeError(format!("expected text in {}", kind.as_str())));
        }
        let token = self.cursor.token_bytes();
        let text = metadata_text(&token[..token.len() - 1]);
        match kind {
            Token::Type => {
                self.metric_type = std::str::from_utf8(text)
                    .ok()
                    .and_then(MetricType::parse)
                    .ok_or_else(|| ExposeError(format!("invalid metric type {}", QuotedBytes(text))))?;
                Ok(OmItem::Type { name })
            }
            Token::Unit => {
                let is_suffix = name.strip_suffix(text).is_some_and(|rest| rest.ends_with(b"_"));
                let unit = std::str::from_utf8(text).ok().filter(|_| text.is_empty() || is_suffix);
                self.unit = unit.ok_or_else(|| {
                    let (unit, metric) = (QuotedBytes(text), QuotedBytes(name));
                    ExposeError(format!("unit {unit} not a suffix of metric {metric}"))
                })?;
                Ok(OmItem::Unit { name })
            }
            _ => {
                let help = std::str::from_utf8(text).map_err(|_| not_utf8_help(text))?;
                Ok(OmItem::Help { name, help })
            }
        }
    }

    /// Value, optional timestamp and optional exemplar.
    fn end_of_line(&mut self, token: Token) -> Result<(), ExposeError> {
        if self.spans.name.is_none() {
            return Err(self.cursor.refused("metric name not set", self.start));
        }
        self.value = self.float_after("metric", token)?;
        self.timestamp_ms = None;
        match self.cursor.next_openmetrics_token() {
            Token::Eof => Err(ExposeError(NO_EOF.to_owned())),
            Token::Comment => self.parse_exemplar(),
            Token::Timestamp => {
                self.timestamp_ms = Some(self.timestamp_ms("invalid timestamp")?);
                match self.cursor.next_openmetrics_token() {
                    Token::Linebreak => Ok(()),
                    Token::Comment => self.parse_exemplar(),
                    other => Err(self.unexpected("expected next entry after timestamp", other)),
                }
            }
            // As upstream: whatever else follows is complained of as the start of the next line.
            _ => Ok(()),
        }
    }

    fn float_after(&self, after: &str, token: Token) -> Result<f64, ExposeError> {
        if token != Token::Value {
            return Err(self.unexpected(&format!("expected value after {after}"), token));
        }
        parse_value(&self.cursor, 1, self.start)
    }

    fn timestamp_ms(&self, what: &str) -> Result<i64, ExposeError> {
        let seconds = parse_float(&self.cursor.token_bytes()[1..])
            .map_err(|problem| self.cursor.refused(&problem, self.start))?;
        if !seconds.is_finite() {
            return Err(ExposeError(format!("{what} {}", base::gofloat::format_f(seconds))));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn parse_exemplar(&mut self) -> Result<(), ExposeError> {
        let mut spans = LineSpans::default();
        parse_braces(&mut self.cursor, &mut spans, self.start, BraceRules::OpenMetricsExemplar)?;
        let token = self.cursor.next_openmetrics_token();
        let value = self.float_after("exemplar labels", token)?;
        let timestamp_ms = match self.cursor.next_openmetrics_token() {
            Token::Eof => return Err(ExposeError(NO_EOF.to_owned())),
            Token::Linebreak => None,
            Token::Timestamp => {
                let timestamp_ms = self.timestamp_ms("invalid exemplar timestamp")?;
                match self.cursor.next_openmetrics_token() {
                    Token::Linebreak => Some(timestamp_ms),
                    other => {
                        return Err(self.unexpected("expected next entry after exemplar timestamp", other));
                    }
                }
            }
            other => return Err(self.unexpected("expected timestamp or comment", other)),
        };
        self.exemplar = Some(LineExemplar { labels: spans.labels, value, timestamp_ms });
        Ok(())
    }

    fn metric_name(&self) -> &'a [u8] {
        let (from, to) = self.spans.name.unwrap_or_default();
        self.cursor.slice(from, to)
    }

    /// As much of the metric name as the last metadata's family name is long.
    fn family_name(&self) -> &'a [u8] {
        let (from, _) = self.spans.name.unwrap_or_default();
        self.cursor.slice(from, from + self.family_name_len)
    }

    /// Names a metric: its labels without those that tell its series apart, and its name.
    fn metric_key(&self, name: &[u8]) -> Vec<u8> {
        let own: &[u8] = match self.metric_type {
            MetricType::Summary => b"quantile",
            MetricType::Histogram => b"le",
            _ => b"",
        };
        let mut key = Vec::with_capacity(self.series.len());
        for &[name_from, name_to, from, to] in &self.spans.labels {
            let label = self.cursor.slice(name_from, name_to);
            if label != own {
                key.extend_from_slice(label);
                key.push(0xff);
                key.extend_from_slice(self.cursor.slice(from, to));
                key.push(0xff);
            }
        }
        key.extend_from_slice(name);
        key
    }
}

/// Whether OpenMetrics gives the type a `_created` series.
fn has_created(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Counter | MetricType::Summary | MetricType::Histogram)
}
