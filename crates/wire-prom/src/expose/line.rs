//! One series line of a text format: where its name and labels lie, and how they read.

use std::borrow::Cow;

use base::gofloat;
use model::MetricType;

use super::ExposeError;
use super::cursor::{Cursor, Token};
use super::quote::QuotedBytes;

/// Byte ranges of a label: name from and to, value from and to, without quotes.
pub(super) type LabelSpan = [usize; 4];

/// Where the parts of a series lie in the input.
#[derive(Debug, Clone, Default)]
pub(super) struct LineSpans {
    pub(super) name: Option<(usize, usize)>,
    pub(super) labels: Vec<LabelSpan>,
}

impl LineSpans {
    pub(super) fn clear(&mut self) {
        self.name = None;
        self.labels.clear();
    }
}

/// How the braces are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BraceRules {
    Text,
    OpenMetrics,
    OpenMetricsExemplar,
}

/// Reads what is between braces, the opening one being behind the cursor already.
pub(super) fn parse_braces(
    cursor: &mut Cursor<'_>,
    spans: &mut LineSpans,
    line_start: usize,
    rules: BraceRules,
) -> Result<(), ExposeError> {
    let next = |cursor: &mut Cursor<'_>| match rules {
        BraceRules::Text => cursor.next_text_token(),
        BraceRules::OpenMetrics | BraceRules::OpenMetricsExemplar => cursor.next_openmetrics_token(),
    };
    let mut token = next(cursor);
    loop {
        let (mut from, mut to) = (cursor.start, cursor.pos);
        let quoted = token == Token::QuotedString;
        match token {
            Token::BraceClose => return Ok(()),
            Token::LabelName | Token::QuotedString => {}
            _ => return Err(cursor.unexpected("expected label name", token, line_start)),
        }
        if quoted {
            from += 1;
            to -= 1;
        }
        token = next(cursor);
        // A quoted string that no value follows is the metric's name.
        if quoted && matches!(token, Token::Comma | Token::BraceClose) {
            if rules == BraceRules::OpenMetricsExemplar {
                return Err(cursor.unexpected("expected label name", token, line_start));
            }
            if spans.name.is_some() {
                return Err(cursor.refused("metric name already set", line_start));
            }
            spans.name = Some((from, to));
            if token == Token::BraceClose {
                return Ok(());
            }
            token = next(cursor);
            continue;
        }
        if token != Token::Equal {
            return Err(cursor.unexpected("expected equal", token, line_start));
        }
        let value = next(cursor);
        if value != Token::LabelValue {
            return Err(cursor.unexpected("expected label value", value, line_start));
        }
        if std::str::from_utf8(cursor.token_bytes()).is_err() {
            let shown = QuotedBytes(cursor.token_bytes());
            return Err(ExposeError(format!("invalid UTF-8 label value: {shown}")));
        }
        spans.labels.push([from, to, cursor.start + 1, cursor.pos - 1]);
        token = next(cursor);
        if token == Token::Comma {
            token = next(cursor);
        } else if token != Token::BraceClose && rules != BraceRules::Text {
            return Err(cursor.unexpected("expected comma or brace close", token, line_start));
        }
    }
}

/// The current token, `skip` bytes in, as a float; every NaN becomes the usual one.
pub(super) fn parse_value(cursor: &Cursor<'_>, skip: usize, line_start: usize) -> Result<f64, ExposeError> {
    let value =
        parse_float(&cursor.token_bytes()[skip..]).map_err(|problem| cursor.refused(&problem, line_start))?;
    Ok(if value.is_nan() { f64::from_bits(model::sample::NORMAL_NAN_BITS) } else { value })
}

/// A float as before Go 1.13: no hexadecimal, no underscores. The error texts are Go's.
pub(super) fn parse_float(bytes: &[u8]) -> Result<f64, String> {
    if bytes.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    let problem = |what| format!("strconv.ParseFloat: parsing {}: {what}", QuotedBytes(bytes));
    let value =
        std::str::from_utf8(bytes).ok().and_then(gofloat::parse).ok_or_else(|| problem("invalid syntax"))?;
    if value.is_infinite() && bytes.iter().any(u8::is_ascii_digit) {
        return Err(problem("value out of range"));
    }
    Ok(value)
}

/// Metric types as TYPE lines name them.
pub(super) fn metadata_text(token_bytes: &[u8]) -> &[u8] {
    token_bytes.get(1..).unwrap_or_default()
}

/// Label values and names with `\"`, `\\` and `\n` resolved; other escapes stay as they are.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    replace_escapes(text, true)
}

/// Help texts of the Prometheus format, where a quote needs no escape.
pub(super) fn unescape_help(text: &str) -> Cow<'_, str> {
    replace_escapes(text, false)
}

fn replace_escapes(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (resolved, len) = match rest.as_bytes().get(at + 1) {
            Some(b'n') => ('\n', 2),
            Some(b'\\') => ('\\', 2),
            Some(b'"') if quotes => ('"', 2),
            _ => ('\\', 1),
        };
        out.push(resolved);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// `le` of histograms and `quantile` of summaries as OpenMetrics writes them, so that a series
/// keeps its identity whatever format it was scraped in.
pub(super) fn normalize_float_label<'v>(
    metric_type: MetricType,
    name: &str,
    value: Cow<'v, str>,
) -> Cow<'v, str> {
    let concerns =
        matches!((metric_type, name), (MetricType::Summary, "quantile") | (MetricType::Histogram, "le"));
    if !concerns {
        return value;
    }
    match gofloat::parse(&value) {
        Some(v) if v.is_finite() || !value.bytes().any(|b| b.is_ascii_digit()) => {
            Cow::Owned(model::histogram::ClassicSeries::le_text(v))
        }
        _ => value,
    }
}
