//! Parameters of the HTTP API: times, durations and limits, with upstream's error texts.

use base::{duration, gofloat};
use model::labels::GoQuoted;
use thiserror::Error;

/// The earliest and latest instant upstream's API speaks of, in milliseconds: what Go's
/// `math.MinInt64/1000 + 62135596801` seconds comes to, and the text clients send for it.
pub const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
pub const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Why a parameter is refused. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParamError {
    #[error("cannot parse {} to a valid timestamp", GoQuoted(.0))]
    Time(String),
    #[error("cannot parse {} to a valid duration", GoQuoted(.0))]
    Duration(String),
    #[error("cannot parse {} to a valid duration. It overflows int64", GoQuoted(.0))]
    DurationOverflow(String),
    #[error("strconv.Atoi: parsing {}: invalid syntax", GoQuoted(.0))]
    Number(String),
    #[error("strconv.Atoi: parsing {}: value out of range", GoQuoted(.0))]
    NumberRange(String),
    #[error("limit must be non-negative")]
    NegativeLimit,
    #[error("invalid parameter {}: {source}", GoQuoted(name))]
    Invalid { name: String, source: Box<ParamError> },
    #[error("invalid time value for '{name}': {source}")]
    InvalidTime { name: String, source: Box<ParamError> },
}

impl ParamError {
    /// Names the parameter, as the API's `bad_data` errors do.
    pub fn of_param(self, name: &str) -> Self {
        Self::Invalid { name: name.to_owned(), source: Box::new(self) }
    }
}

/// A time as Unix seconds with a fraction, or RFC 3339, in milliseconds. Finer parts are cut off.
pub fn parse_time_ms(text: &str) -> Result<i64, ParamError> {
    if let Some(seconds) = parse_float(text) {
        let whole = seconds.trunc();
        let fraction_ms = ((seconds - whole) * 1000.0).round();
        // Saturates where Go's conversion would wrap around into nonsense.
        return Ok((whole as i64).saturating_mul(1000).saturating_add(fraction_ms as i64));
    }
    match text {
        MIN_TIME_TEXT => Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => Ok(MAX_TIME_MS),
        _ => rfc3339::parse_ms(text).ok_or_else(|| ParamError::Time(text.to_owned())),
    }
}

/// An optional time parameter: the default when it is empty.
pub fn parse_time_param(name: &str, text: &str, default_ms: i64) -> Result<i64, ParamError> {
    if text.is_empty() {
        return Ok(default_ms);
    }
    parse_time_ms(text)
        .map_err(|source| ParamError::InvalidTime { name: name.to_owned(), source: Box::new(source) })
}

/// A duration as seconds with a fraction or in Prometheus's notation, in nanoseconds.
pub fn parse_duration_ns(text: &str) -> Result<i64, ParamError> {
    if let Some(seconds) = parse_float(text) {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(ParamError::DurationOverflow(text.to_owned()));
        }
        return Ok(ns as i64);
    }
    match duration::parse_ms(text) {
        Ok(ms) => Ok(ms.saturating_mul(1_000_000)),
        Err(_) => Err(ParamError::Duration(text.to_owned())),
    }
}

/// [`parse_duration_ns`] cut to milliseconds, which is what query steps are counted in.
pub fn parse_duration_ms(text: &str) -> Result<i64, ParamError> {
    parse_duration_ns(text).map(|ns| ns / 1_000_000)
}

/// A `limit` parameter: 0 when empty, meaning none.
pub fn parse_limit(text: &str) -> Result<usize, ParamError> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParamError::Number(text.to_owned()));
    }
    let limit: i64 = text.parse().map_err(|_| ParamError::NumberRange(text.to_owned()))?;
    usize::try_from(limit).map_err(|_| ParamError::NegativeLimit)
}

/// `strconv.ParseFloat` with its error for values out of range: those are no numbers here.
fn parse_float(text: &str) -> Option<f64> {
    let value = gofloat::parse(text)?;
    let names_infinity = text.contains(['i', 'I']);
    (value.is_finite() || value.is_nan() || names_infinity).then_some(value)
}

/// RFC 3339 as Go's `time.Parse` with `RFC3339Nano` reads it.
mod rfc3339 {
    pub(super) fn parse_ms(text: &str) -> Option<i64> {
        let bytes = text.as_bytes();
        let (date_time, rest) = bytes.split_at_checked(19)?;
        let number = |from: usize, to: usize| digits(&date_time[from..to]);
        let separators = [date_time[4], date_time[7], date_time[10], date_time[13], date_time[16]];
        if separators != *b"--T::" {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (fraction_ms, rest) = fraction_ms(rest)?;
        let offset_s = offset_s(rest)?;
        let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        Some((seconds - offset_s) * 1000 + fraction_ms)
    }

    fn digits(bytes: &[u8]) -> Option<i64> {
        bytes.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    }

    fn fraction_ms(rest: &[u8]) -> Option<(i64, &[u8])> {
        let [b'.' | b',', after @ ..] = rest else { return Some((0, rest)) };
        let len = after.iter().take_while(|b| b.is_ascii_digit()).count();
        let mut ms = 0;
        for idx in 0..3 {
            ms = ms * 10 + i64::from(after[..len].get(idx).map_or(0, |b| b - b'0'));
        }
        (len > 0).then(|| (ms, &after[len..]))
    }

    fn offset_s(zone: &[u8]) -> Option<i64> {
        match zone {
            b"Z" => Some(0),
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
                let offset = (hours <= 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
                Some(if *sign == b'-' { -offset } else { offset })
            }
            _ => None,
        }
    }

    fn is_leap(year: i64) -> bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    fn days_in(year: i64, month: i64) -> i64 {
        match month {
            2 if is_leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant's algorithm).
    fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_parse_as_upstream_parses_them() {
        let check = |text: &str, expected: Option<i64>| {
            let expected = expected.ok_or_else(|| ParamError::Time(text.to_owned()));
            assert_eq!(parse_time_ms(text), expected, "{text}");
        };
        check("123", Some(123_000));
        check("123.123", Some(123_123));
        check("1543578564.705", Some(1_543_578_564_705));
        check("-1.5", Some(-1_500));
        check("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555));
        check("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555));
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T23:59:59Z", Some(951_868_799_000));
        check(MIN_TIME_TEXT, Some(MIN_TIME_MS));
        check(MAX_TIME_TEXT, Some(MAX_TIME_MS));
        for bad in ["", "abc", "2015-06-03T14:21:58", "2015-02-29T00:00:00Z", "30s", "2015-13-01T00:00:00Z"] {
            check(bad, None);
        }
        assert_eq!(
            parse_time_param("start", "x", 0).unwrap_err().of_param("start").to_string(),
            r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#
        );
    }

    #[test]
    fn durations_and_limits_parse_as_upstream_parses_them() {
        for (text, expected) in
            [("123.333", 123_333_000_000), ("30s", 30_000_000_000), ("1h30m", 5_400_000_000_000)]
        {
            assert_eq!(parse_duration_ns(text), Ok(expected));
        }
        assert_eq!(
            parse_duration_ns("1e15").unwrap_err().to_string(),
            r#"cannot parse "1e15" to a valid duration. It overflows int64"#
        );
        assert!(matches!(parse_duration_ns("foo"), Err(ParamError::Duration(_))));
        for (text, expected) in [("", Ok(0)), ("5", Ok(5)), ("-1", Err(ParamError::NegativeLimit))] {
            assert_eq!(parse_limit(text), expected);
        }
        assert_eq!(parse_limit("x").unwrap_err().to_string(), r#"strconv.Atoi: parsing "x": invalid syntax"#);
    }
}
