//! Durations in the two notations users meet: Prometheus's (`1h30m`, `5d`, whole units in falling
//! order, milliseconds the finest) and Go's `time.Duration.String` (`1h30m0s`, `1.5s`).

use std::fmt;
use std::time::Duration;

/// Why a text is no Prometheus duration. The texts are upstream's, since clients match on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidDuration {
    Empty,
    Malformed(String),
    OutOfRange,
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty duration string"),
            Self::Malformed(text) => write!(f, "not a valid duration string: {text:?}"),
            Self::OutOfRange => f.write_str("duration out of range"),
        }
    }
}

impl std::error::Error for InvalidDuration {}

const UNITS_MS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Go's `time.Duration` counts nanoseconds in an `i64`; upstream refuses what does not fit.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Parses a Prometheus duration (`0`, `15s`, `1h30m`), giving milliseconds.
pub fn parse_ms(text: &str) -> Result<i64, InvalidDuration> {
    match text {
        "0" => return Ok(0),
        "" => return Err(InvalidDuration::Empty),
        _ => {}
    }
    let malformed = || InvalidDuration::Malformed(text.to_owned());
    let mut rest = text;
    let mut total_ms = 0i64;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0).ok_or_else(malformed)?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_len);
        let found = UNITS_MS.iter().position(|(name, _)| *name == unit).filter(|idx| *idx >= next_unit);
        let idx = found.ok_or_else(malformed)?;
        let number: i64 = number.parse().map_err(|_| InvalidDuration::OutOfRange)?;
        let part = number.checked_mul(UNITS_MS[idx].1).ok_or(InvalidDuration::OutOfRange)?;
        total_ms = total_ms.checked_add(part).ok_or(InvalidDuration::OutOfRange)?;
        if total_ms > DURATION_MS_MAX {
            return Err(InvalidDuration::OutOfRange);
        }
        next_unit = idx + 1;
        rest = tail;
    }
    Ok(total_ms)
}

/// Parses a Prometheus duration.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    parse_ms(text).map(|ms| Duration::from_millis(ms.unsigned_abs()))
}

/// Prints milliseconds in Prometheus's notation (`1h30m`). Days, weeks and years appear only when
/// they divide the duration exactly, as upstream does. Negative durations get a minus sign.
pub fn format_ms(ms: i64) -> String {
    use fmt::Write as _;
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if ms < 0 {
        out.push('-');
    }
    let mut rest = ms.unsigned_abs();
    for (unit, unit_ms) in UNITS_MS {
        let unit_ms = unit_ms.unsigned_abs();
        let exact_only = matches!(unit, "y" | "w" | "d");
        if exact_only && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        if rest >= unit_ms {
            write!(out, "{}{unit}", rest / unit_ms).expect("writing to a String cannot fail");
            rest %= unit_ms;
        }
    }
    out
}

/// Prints nanoseconds as Go's `time.Duration.String` does: `1h30m0s`, `1.5s`, `250ms`, `0s`.
pub fn format_go_ns(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let abs = ns.unsigned_abs();
    if abs == 0 {
        return "0s".to_owned();
    }
    let fraction = |value: u64, scale: u64, unit: &str| {
        let (whole, rest) = (value / scale, value % scale);
        let digits = scale.ilog10() as usize;
        let mut text = format!("{whole}");
        if rest > 0 {
            let padded = format!("{rest:0digits$}");
            text = format!("{text}.{}", padded.trim_end_matches('0'));
        }
        format!("{text}{unit}")
    };
    let body = match abs {
        0..1_000 => format!("{abs}ns"),
        1_000..1_000_000 => fraction(abs, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(abs, 1_000_000, "ms"),
        _ => {
            let (minutes, ns_rest) = (abs / 60_000_000_000, abs % 60_000_000_000);
            let seconds = fraction(ns_rest, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, m) => format!("{m}m{seconds}"),
                (h, m) => format!("{h}h{m}m{seconds}"),
            }
        }
    };
    format!("{sign}{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations_parse_and_print() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3_000, "3s"),
            ("5m", 300_000, "5m"),
            ("1h", 3_600_000, "1h"),
            ("4d", 345_600_000, "4d"),
            ("4d1h", 349_200_000, "97h"),
            ("14d", 1_209_600_000, "2w"),
            ("3w", 1_814_400_000, "3w"),
            ("3w2d1h", 1_990_800_000, "553h"),
            ("10y", 315_360_000_000, "10y"),
            ("1h30m", 5_400_000, "1h30m"),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
            assert_eq!(format_ms(ms), printed, "{text}");
        }
        for bad in ["1", "1y1m1d", "-1w", "1.5d", "d", "5m5", "1s1s", ""] {
            assert!(parse_ms(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_ms("294y"), Err(InvalidDuration::OutOfRange));
    }

    #[test]
    fn go_durations_print() {
        for (ns, printed) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (-60_000_000_000, "-1m0s"),
        ] {
            assert_eq!(format_go_ns(ns), printed);
        }
    }
}
