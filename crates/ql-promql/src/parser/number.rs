//! Values of number and duration literals.

use base::duration::{InvalidDuration, parse_ms};
use model::labels::GoQuoted;

use super::{Abort, Parsed, Parser};
use crate::ast::NumberLiteral;
use crate::lexer::token::TokenKind;

impl Parser<'_> {
    /// A number, or a duration as seconds.
    pub(super) fn parse_number_literal(&mut self) -> Parsed<NumberLiteral> {
        if !matches!(self.peek(), TokenKind::Number | TokenKind::Duration) {
            return Err(Abort::Unexpected);
        }
        let token = self.advance();
        let is_duration = token.kind == TokenKind::Duration;
        let text = self.text(token);
        let value = if is_duration { parse_duration_s(text) } else { parse_number(text) };
        let value = value.unwrap_or_else(|message| {
            self.literal_error(token.span, message);
            0.0
        });
        Ok(NumberLiteral { value, is_duration, span: token.span })
    }
}

/// Seconds, computed as Go's `time.Duration.Seconds` does.
fn parse_duration_s(text: &str) -> Result<f64, String> {
    let ms = parse_ms(text).map_err(|e| match (&e, unknown_unit(text)) {
        (InvalidDuration::Malformed(_), Some(unit)) => {
            format!("unknown unit {} in duration {}", GoQuoted(unit), GoQuoted(text))
        }
        _ => e.to_string(),
    })?;
    let (seconds, rest_ms) = (ms / 1_000, ms % 1_000);
    Ok(seconds as f64 + (rest_ms * 1_000_000) as f64 / 1e9)
}

/// The first unit of a duration that does not exist.
fn unknown_unit(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_ascii_digit())
        .filter(|unit| !unit.is_empty())
        .find(|unit| !matches!(*unit, "ms" | "s" | "m" | "h" | "d" | "w" | "y"))
}

/// First as a whole number with Go's prefixes (`0x1F`, `0755`, `1_000`), then as a float.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(whole) = parse_go_int(text) {
        return Ok(whole as f64);
    }
    let error =
        |why: &str| format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", GoQuoted(text));
    let plain = without_underscores(text).ok_or_else(|| error("invalid syntax"))?;
    let value = base::gofloat::parse(&plain).ok_or_else(|| error("invalid syntax"))?;
    if value.is_infinite() && plain.bytes().any(|b| b.is_ascii_digit()) {
        return Err(error("value out of range"));
    }
    Ok(value)
}

/// `strconv.ParseInt(text, 0, 64)` for unsigned text.
fn parse_go_int(text: &str) -> Option<i64> {
    let plain = without_underscores(text)?;
    let (digits, radix) = match plain.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&plain[2..], 16),
        [b'0', _, ..] => (&plain[1..], 8),
        _ => (plain.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok()
}

/// The text without the underscores between its digits; `None` if one stands elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    // A prefix counts as a digit: `0x_1F` is fine, and so is the octal `0_755`.
    let hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    for (idx, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'_') {
        let before = idx.checked_sub(1).map(|i| bytes[i]);
        let after = bytes.get(idx + 1).copied();
        let prefixed = hex && idx == 2;
        if !(prefixed || before.is_some_and(is_digit)) || !after.is_some_and(is_digit) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("1_000", Some(1000.0)),
            ("1_000.5", Some(1000.5)),
            ("0x1F", Some(31.0)),
            ("0x_1F", Some(31.0)),
            ("0755", Some(493.0)),
            ("08", Some(8.0)),
            ("9223372036854775808", Some(9_223_372_036_854_775_808.0)),
            ("1e3", Some(1000.0)),
            ("inf", Some(f64::INFINITY)),
            ("1e999", None),
            ("0x", None),
            ("1__0", None),
        ] {
            assert_eq!(parse_number(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds() {
        assert_eq!(parse_duration_s("1h30m"), Ok(5400.0));
        assert_eq!(parse_duration_s("18ms"), Ok(0.018));
        assert_eq!(parse_duration_s("5y1hs").unwrap_err(), r#"unknown unit "hs" in duration "5y1hs""#);
        assert_eq!(parse_duration_s("5m1h").unwrap_err(), r#"not a valid duration string: "5m1h""#);
    }
}
