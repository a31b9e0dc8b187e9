//! Go's `time.Time` and `time.Duration` as templates see them.

mod civil;
mod layout;

use std::fmt;

use crate::function::{CallError, Param};
use crate::value::{Object, Value};
use civil::Civil;

/// Seconds from Go's zero time, the first of January of year 1, to the Unix epoch.
const ZERO_TO_EPOCH_SECONDS: i64 = 62_135_596_800;

/// An instant with the zone it is shown in.
#[derive(Debug, Clone, Copy)]
pub struct GoTime {
    unix_seconds: i64,
    nanoseconds: u32,
    offset_seconds: i32,
    /// Whether the zone is UTC by name rather than by offset alone.
    is_utc: bool,
}

impl PartialEq for GoTime {
    fn eq(&self, other: &Self) -> bool {
        self.unix_ns() == other.unix_ns()
    }
}

impl Eq for GoTime {}

impl GoTime {
    /// Go's zero time.
    pub const ZERO: Self =
        Self { unix_seconds: -ZERO_TO_EPOCH_SECONDS, nanoseconds: 0, offset_seconds: 0, is_utc: true };

    /// An instant in UTC.
    pub fn from_unix_ms(ms: i64) -> Self {
        Self::from_unix_ns(i128::from(ms) * 1_000_000)
    }

    /// An instant in UTC.
    pub fn from_unix_ns(ns: i128) -> Self {
        let unix_seconds = i64::try_from(ns.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let nanoseconds = u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0);
        Self { unix_seconds, nanoseconds, offset_seconds: 0, is_utc: true }
    }

    /// The same instant shown at a fixed offset east of Greenwich.
    #[must_use]
    pub fn at_offset(self, offset_seconds: i32) -> Self {
        Self { offset_seconds, is_utc: false, ..self }
    }

    #[must_use]
    pub fn utc(self) -> Self {
        Self { offset_seconds: 0, is_utc: true, ..self }
    }

    /// Reads RFC 3339; a `Z` gives UTC.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<i64> {
            text.get(from..to).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
        };
        let (day, clock) = (Civil::days(number(0, 4)?, number(5, 7)?, number(8, 10)?), text.get(19..)?);
        let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let fraction_len = clock.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (fraction, zone) = clock.split_at(fraction_len);
        let digits = fraction.strip_prefix('.').unwrap_or("");
        let nanoseconds = format!("{digits:0<9}").get(..9)?.parse().ok()?;
        let local =
            Self { unix_seconds: day * 86_400 + seconds, nanoseconds, offset_seconds: 0, is_utc: true };
        if zone == "Z" {
            return Some(local);
        }
        let sign = match zone.bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = zone.get(1..)?.split_once(':')?;
        let below = |digits: &str, limit: i32| -> Option<i32> {
            let is_pair = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|number| is_pair && *number < limit)
        };
        let offset = sign * (below(hours, 24)? * 3600 + below(minutes, 60)? * 60);
        Some(Self { unix_seconds: local.unix_seconds - i64::from(offset), ..local }.at_offset(offset))
    }

    pub fn unix_ns(&self) -> i128 {
        i128::from(self.unix_seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    fn with_unix_ns(self, ns: i128) -> Self {
        Self { offset_seconds: self.offset_seconds, is_utc: self.is_utc, ..Self::from_unix_ns(ns) }
    }

    fn civil(&self) -> Civil {
        Civil::at(self.unix_seconds + i64::from(self.offset_seconds))
    }

    /// `Time.Format`.
    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// `time.Month` or `time.Weekday`: a number with a name.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: i64,
    name: &'static str,
}

impl Object for Named {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        (name == "String").then_some(&[])
    }

    fn call(&self, _name: &str, _args: &[Value]) -> Result<Value, CallError> {
        Ok(self.name.into())
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Int(self.number))
    }

    fn to_text(&self) -> Option<String> {
        Some(self.name.to_owned())
    }
}

pub(crate) fn time_method(name: &str) -> Option<&'static [Param]> {
    Some(match name {
        "Unix" | "UnixMilli" | "UnixMicro" | "UnixNano" | "Year" | "Month" | "Day" | "Hour" | "Minute"
        | "Second" | "Nanosecond" | "Weekday" | "YearDay" | "IsZero" | "UTC" | "Local" | "String" => &[],
        "Format" => &[Param::Str],
        "Add" | "Truncate" | "Round" => &[Param::Duration],
        "AddDate" => &[Param::Int, Param::Int, Param::Int],
        "Sub" | "After" | "Before" | "Equal" | "Compare" => &[Param::Time],
        _ => return None,
    })
}

pub(crate) fn duration_method(name: &str) -> Option<&'static [Param]> {
    Some(match name {
        "Hours" | "Minutes" | "Seconds" | "Milliseconds" | "Microseconds" | "Nanoseconds" | "String"
        | "Abs" => &[],
        "Round" | "Truncate" => &[Param::Duration],
        _ => return None,
    })
}

fn saturate(v: i128) -> i64 {
    i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX })
}

fn int_arg(args: &[Value], idx: usize) -> i64 {
    match args.get(idx) {
        Some(Value::Int(v) | Value::Duration(v)) => *v,
        _ => 0,
    }
}

/// Rounds towards zero to a multiple of `step`, or half away from zero.
fn to_multiple(v: i128, step: i64, nearest: bool) -> i128 {
    if step <= 0 {
        return v;
    }
    let step = i128::from(step);
    let rest = v % step;
    let down = v - rest;
    if nearest && rest.abs() * 2 >= step { down + step * v.signum() } else { down }
}

/// Calls a method that [`time_method`] knows.
pub(crate) fn call_time(time: &GoTime, name: &str, args: &[Value]) -> Value {
    let civil = time.civil();
    let other = match args.first() {
        Some(Value::Time(other)) => *other,
        _ => GoTime::ZERO,
    };
    let ns = time.unix_ns();
    let since_zero = ns + i128::from(ZERO_TO_EPOCH_SECONDS) * 1_000_000_000;
    let rounded = |nearest| {
        let multiple = to_multiple(since_zero, int_arg(args, 0), nearest);
        Value::Time(time.with_unix_ns(ns + multiple - since_zero))
    };
    match name {
        "Format" => time.format(args.first().and_then(Value::as_str).unwrap_or_default()).into(),
        "Unix" => Value::Int(time.unix_seconds),
        "UnixMilli" => Value::Int(saturate(ns.div_euclid(1_000_000))),
        "UnixMicro" => Value::Int(saturate(ns.div_euclid(1_000))),
        "UnixNano" => Value::Int(saturate(ns)),
        "Year" => Value::Int(civil.year),
        "Month" => {
            Value::object(Named { type_name: "time.Month", number: civil.month, name: civil.month_name() })
        }
        "Weekday" => Value::object(Named {
            type_name: "time.Weekday",
            number: civil.weekday,
            name: civil.weekday_name(),
        }),
        "Day" => Value::Int(civil.day),
        "Hour" => Value::Int(civil.hour),
        "Minute" => Value::Int(civil.minute),
        "Second" => Value::Int(civil.second),
        "Nanosecond" => Value::Int(i64::from(time.nanoseconds)),
        "YearDay" => Value::Int(civil.year_day),
        "IsZero" => Value::Bool(*time == GoTime::ZERO),
        "UTC" | "Local" => Value::Time(time.utc()),
        "Add" => Value::Time(time.with_unix_ns(ns + i128::from(int_arg(args, 0)))),
        "AddDate" => {
            let (years, months, days) = (int_arg(args, 0), int_arg(args, 1), int_arg(args, 2));
            let month = civil.month - 1 + months;
            let day = Civil::days(civil.year + years + month.div_euclid(12), month.rem_euclid(12) + 1, 1)
                + civil.day
                - 1
                + days;
            let seconds = day * 86_400 + civil.hour * 3600 + civil.minute * 60 + civil.second;
            Value::Time(GoTime { unix_seconds: seconds - i64::from(time.offset_seconds), ..*time })
        }
        "Sub" => Value::Duration(saturate(ns - other.unix_ns())),
        "After" => Value::Bool(ns > other.unix_ns()),
        "Before" => Value::Bool(ns < other.unix_ns()),
        "Equal" => Value::Bool(ns == other.unix_ns()),
        "Compare" => Value::Int(ns.cmp(&other.unix_ns()) as i64),
        "Truncate" => rounded(false),
        "Round" => rounded(true),
        _ => time.to_string().into(),
    }
}

/// Calls a method that [`duration_method`] knows.
#[expect(clippy::cast_precision_loss, reason = "Go converts durations to float64 the same way")]
pub(crate) fn call_duration(ns: i64, name: &str, args: &[Value]) -> Value {
    let in_units = |unit: i64| Value::Float((ns / unit) as f64 + (ns % unit) as f64 / unit as f64);
    match name {
        "Hours" => in_units(3_600_000_000_000),
        "Minutes" => in_units(60_000_000_000),
        "Seconds" => in_units(1_000_000_000),
        "Milliseconds" => Value::Int(ns / 1_000_000),
        "Microseconds" => Value::Int(ns / 1_000),
        "Nanoseconds" => Value::Int(ns),
        "Abs" => Value::Duration(ns.saturating_abs()),
        "Round" => Value::Duration(saturate(to_multiple(i128::from(ns), int_arg(args, 0), true))),
        "Truncate" => Value::Duration(saturate(to_multiple(i128::from(ns), int_arg(args, 0), false))),
        _ => base::duration::format_go_ns(ns).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_has_two_digits_for_hours_and_minutes_of_an_offset() {
        let check = |zone: &str, expected: Option<i128>| {
            let time = GoTime::parse_rfc3339(&format!("1970-01-02T00:00:00{zone}"));
            assert_eq!(time.map(|time| time.unix_ns() / 1_000_000_000), expected, "{zone}");
        };
        check("Z", Some(86_400));
        check("+01:30", Some(86_400 - 5_400));
        check("-23:59", Some(86_400 + 86_340));
        for zone in ["", "+24:00", "-00:60", "-0720067:-2006209", "+1:30", "+01:3", "*01:30", "+01", "+-1:30"]
        {
            check(zone, None);
        }
    }
}
