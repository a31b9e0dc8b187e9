//! The grammar of series descriptions; see [`crate::series_desc`].

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{IncompatibleSchemas, Span as BucketSpan};
use model::{Labels, stale_nan};

use super::expr::unary_op;
use super::number::parse_number;
use super::{Abort, ParseErrors, Parsed, Parser, ParserOptions};
use crate::ast::{BinaryOp, UnaryOp};
use crate::lexer::Lexer;
use crate::lexer::token::{HistogramKey, TokenKind};
use crate::series_desc::{SERIES_VALUES_MAX, SequenceValue};

/// Parses a metric and its values.
pub(crate) fn parse_series_tokens(input: &str) -> Result<(Labels, Vec<SequenceValue>), ParseErrors> {
    Parser::new(input, Lexer::for_series(input), ParserOptions::default()).run(|p| {
        let labels = p.parse_metric_labels()?;
        let values = p.within("series values", "", Parser::parse_series_values)?;
        Ok((labels, values))
    })
}

/// A histogram, and whether it said `counter_reset_hint:`.
struct DescribedHistogram {
    histogram: FloatHistogram,
    reset_hint_given: bool,
}

/// The fields of one `{{...}}` while they are read.
#[derive(Default)]
struct HistogramFields {
    seen: Vec<HistogramKey>,
    histogram: FloatHistogram,
    positive_offset: i32,
    negative_offset: i32,
}

impl HistogramFields {
    fn finish(mut self) -> DescribedHistogram {
        let one_span = |offset: i32, buckets: &[f64]| match u32::try_from(buckets.len()) {
            Ok(length) if length > 0 => vec![BucketSpan { offset, length }],
            _ => Vec::new(),
        };
        let histogram = &mut self.histogram;
        histogram.positive_spans = one_span(self.positive_offset, &histogram.positive_buckets);
        histogram.negative_spans = one_span(self.negative_offset, &histogram.negative_buckets);
        let reset_hint_given = self.seen.contains(&HistogramKey::CounterResetHint);
        DescribedHistogram { histogram: self.histogram, reset_hint_given }
    }
}

impl Parser<'_> {
    fn parse_series_values(&mut self) -> Parsed<Vec<SequenceValue>> {
        let mut values = Vec::new();
        while self.peek() != TokenKind::Eof {
            self.expect(TokenKind::Space)?;
            if !matches!(self.peek(), TokenKind::Space | TokenKind::Eof) {
                self.parse_series_item(&mut values)?;
            }
        }
        Ok(values)
    }

    fn parse_series_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        if values.len() >= SERIES_VALUES_MAX {
            return self.refuse_more_values();
        }
        match self.peek() {
            TokenKind::Blank => {
                self.advance();
                let n =
                    if self.accept(TokenKind::Times).is_some() { self.parse_repetition(values)? } else { 1 };
                values.extend(std::iter::repeat_n(SequenceValue::Omitted, n));
                Ok(())
            }
            TokenKind::OpenHistogram => self.parse_histogram_item(values),
            _ => self.parse_float_item(values),
        }
    }

    /// `1`, `1x3` or `1+2x3`; repetitions come on top of the first value.
    fn parse_float_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let mut value = self.parse_series_float()?;
        let sign = unary_op(self.peek());
        let increment = match sign {
            Some(op) => {
                self.advance();
                signed(op, self.parse_series_number()?)
            }
            None => 0.0,
        };
        if sign.is_none() && self.peek() != TokenKind::Times {
            values.push(SequenceValue::Float(value));
            return Ok(());
        }
        self.expect(TokenKind::Times)?;
        for _ in 0..=self.parse_repetition(values)? {
            values.push(SequenceValue::Float(value));
            if sign.is_some() {
                value += increment;
            }
        }
        Ok(())
    }

    fn parse_series_float(&mut self) -> Parsed<f64> {
        if let Some(op) = unary_op(self.peek()) {
            self.advance();
            return Ok(signed(op, self.parse_series_number()?));
        }
        if let Some(word) = self.accept(TokenKind::Identifier) {
            if self.text(word) != "stale" {
                self.report_unexpected("series values", "number or \"stale\"");
            }
            return Ok(stale_nan());
        }
        self.parse_series_number()
    }

    fn parse_series_number(&mut self) -> Parsed<f64> {
        let token = self.expect(TokenKind::Number)?;
        Ok(parse_number(self.text(token)).unwrap_or_else(|message| {
            self.literal_error(token.span, message);
            0.0
        }))
    }

    fn parse_signed_number(&mut self) -> Parsed<f64> {
        match unary_op(self.peek()) {
            Some(op) => {
                self.advance();
                Ok(signed(op, self.parse_series_number()?))
            }
            None => self.parse_series_number(),
        }
    }

    fn parse_whole_number(&mut self) -> Parsed<u64> {
        let token = self.expect(TokenKind::Number)?;
        let text = self.text(token);
        Ok(text.parse().unwrap_or_else(|_| {
            let reason = if text.bytes().all(|b| b.is_ascii_digit()) {
                "value out of range"
            } else {
                "invalid syntax"
            };
            let text = model::labels::GoQuoted(text);
            let cause = format!("strconv.ParseUint: parsing {text}: {reason}");
            self.literal_error(token.span, format!("invalid repetition in series values: {cause}"));
            0
        }))
    }

    /// The number behind `x`, as long as the values still fit.
    fn parse_repetition(&mut self, values: &[SequenceValue]) -> Parsed<usize> {
        let n = self.parse_whole_number()?;
        match usize::try_from(n) {
            Ok(n) if n < SERIES_VALUES_MAX - values.len().min(SERIES_VALUES_MAX) => Ok(n),
            _ => self.refuse_more_values(),
        }
    }

    fn refuse_more_values<T>(&mut self) -> Parsed<T> {
        self.semantic(self.last.span, format!("more than {SERIES_VALUES_MAX} values in one series"));
        Err(Abort::Reported)
    }

    fn parse_small_int(&mut self) -> Parsed<i32> {
        let negative = self.accept(TokenKind::Operator(BinaryOp::Sub)).is_some();
        let n = self.parse_whole_number()?;
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        // Upstream cuts what does not fit to 32 bits as well.
        Ok(if negative { n.wrapping_neg() as i32 } else { n as i32 })
    }

    /// `{{...}}`, `{{...}}x3` or `{{...}}+{{...}}x3`.
    fn parse_histogram_item(&mut self, values: &mut Vec<SequenceValue>) -> Parsed<()> {
        let first = self.parse_histogram()?;
        match unary_op(self.peek()) {
            Some(op) => {
                self.advance();
                let step = self.parse_histogram()?;
                self.expect(TokenKind::Times)?;
                let times = self.parse_repetition(values)?;
                if let Err(message) = push_histograms(values, first.histogram, &step, op, times) {
                    self.semantic(self.last.span, message);
                }
            }
            None => {
                let times =
                    if self.accept(TokenKind::Times).is_some() { self.parse_repetition(values)? } else { 0 };
                let reset_hint_given = first.reset_hint_given;
                let value =
                    SequenceValue::Histogram { histogram: Arc::new(first.histogram), reset_hint_given };
                values.extend(std::iter::repeat_n(value, times + 1));
            }
        }
        Ok(())
    }

    fn parse_histogram(&mut self) -> Parsed<DescribedHistogram> {
        self.expect(TokenKind::OpenHistogram)?;
        let mut fields = HistogramFields::default();
        self.accept(TokenKind::Space);
        if self.accept(TokenKind::CloseHistogram).is_some() {
            return Ok(fields.finish());
        }
        self.parse_histogram_field(&mut fields)?;
        self.within("histogram description", "histogram description key, e.g. buckets:[5 10 7]", |p| {
            while p.accept(TokenKind::CloseHistogram).is_none() {
                p.expect(TokenKind::Space)?;
                if p.peek() != TokenKind::CloseHistogram {
                    p.parse_histogram_field(&mut fields)?;
                }
            }
            Ok(fields.finish())
        })
    }

    fn parse_histogram_field(&mut self, fields: &mut HistogramFields) -> Parsed<()> {
        let TokenKind::HistogramKey(key) = self.peek() else { return Err(Abort::Unexpected) };
        let token = self.advance();
        self.expect(TokenKind::Colon)?;
        let mut parsed = std::mem::take(fields);
        let histogram = &mut parsed.histogram;
        let repeated = parsed.seen.contains(&key);
        let mut ignored = FloatHistogram::default();
        let target = if repeated { &mut ignored } else { histogram };
        match key {
            HistogramKey::Schema => target.schema = self.parse_small_int()?,
            HistogramKey::Sum => target.sum = self.parse_signed_number()?,
            HistogramKey::Count => target.count = self.parse_signed_number()?,
            HistogramKey::ZeroBucket => target.zero_count = self.parse_signed_number()?,
            HistogramKey::ZeroBucketWidth => target.zero_threshold = self.parse_series_number()?,
            HistogramKey::CustomValues => target.custom_values = self.parse_bucket_set()?,
            HistogramKey::Buckets => target.positive_buckets = self.parse_bucket_set()?,
            HistogramKey::NegativeBuckets => target.negative_buckets = self.parse_bucket_set()?,
            HistogramKey::Offset => parsed.positive_offset = self.parse_small_int()?,
            HistogramKey::NegativeOffset => parsed.negative_offset = self.parse_small_int()?,
            HistogramKey::CounterResetHint => {
                let TokenKind::ResetHint(hint) = self.peek() else { return Err(Abort::Unexpected) };
                self.advance();
                target.counter_reset_hint = hint;
            }
        }
        if repeated {
            self.semantic(token.span, format!("duplicate key \"{}\" in histogram", key.as_str()));
        }
        parsed.seen.push(key);
        *fields = parsed;
        Ok(())
    }

    /// `[1 2 3]`
    fn parse_bucket_set(&mut self) -> Parsed<Vec<f64>> {
        self.expect(TokenKind::LeftBracket)?;
        let mut buckets = vec![self.parse_signed_number()?];
        while self.accept(TokenKind::RightBracket).is_none() {
            self.expect(TokenKind::Space)?;
            if self.peek() != TokenKind::RightBracket {
                buckets.push(self.parse_signed_number()?);
            }
        }
        Ok(buckets)
    }
}

fn signed(op: UnaryOp, value: f64) -> f64 {
    if op == UnaryOp::Minus { -value } else { value }
}

/// The first histogram, and `times` more, each the previous one plus or minus `step`.
fn push_histograms(
    values: &mut Vec<SequenceValue>,
    first: FloatHistogram,
    step: &DescribedHistogram,
    op: UnaryOp,
    times: usize,
) -> Result<(), String> {
    let reset_hint_given = step.reset_hint_given;
    let mut current = first;
    for left in (0..=times).rev() {
        values.push(SequenceValue::Histogram { histogram: Arc::new(current.clone()), reset_hint_given });
        if left == 0 {
            break;
        }
        if current.schema > step.histogram.schema {
            let (from, to) = (step.histogram.schema, current.schema);
            return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
        }
        match op {
            UnaryOp::Plus => current.add(&step.histogram),
            UnaryOp::Minus => current.sub(&step.histogram),
        }
        .map_err(|e: IncompatibleSchemas| e.to_string())?;
    }
    Ok(())
}
