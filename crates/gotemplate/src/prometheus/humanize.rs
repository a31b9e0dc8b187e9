//! Numbers for people.

use base::gofloat::{format_g, format_g_precision};
use model::labels::GoQuoted;

use crate::function::CallError;
use crate::time::GoTime;
use crate::value::Value;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

#[expect(clippy::cast_precision_loss, reason = "upstream converts integers the same way")]
pub(super) fn to_float(value: &Value) -> Result<f64, CallError> {
    Ok(match value {
        Value::Float(v) => *v,
        Value::Int(v) => *v as f64,
        Value::Uint(v) => *v as f64,
        Value::Duration(ns) => *ns as f64 / 1e9,
        Value::Str(text) => base::gofloat::parse(text).ok_or_else(|| {
            CallError::new(format!("strconv.ParseFloat: parsing {}: invalid syntax", GoQuoted(text)))
        })?,
        other => return Err(CallError::new(format!("can't convert {} to float", other.type_name()))),
    })
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of any real date are exact in a float")]
pub(super) fn ms_to_seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn four_digits(v: f64) -> String {
    format_g_precision(v, 4)
}

/// Divides by `step` until below it, naming the size reached.
fn scaled_down(mut v: f64, step: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if v.abs() < step {
            break;
        }
        prefix = next;
        v /= step;
    }
    (v, prefix)
}

fn scaled_up(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = next;
        v *= 1000.0;
    }
    (v, prefix)
}

pub(super) fn humanize(v: f64) -> Result<String, CallError> {
    if v == 0.0 || !v.is_finite() {
        return Ok(four_digits(v));
    }
    let (v, prefix) = if v.abs() >= 1.0 { scaled_down(v, 1000.0, LARGE) } else { scaled_up(v) };
    Ok(four_digits(v) + prefix)
}

pub(super) fn humanize_1024(v: f64) -> Result<String, CallError> {
    if v.abs() <= 1.0 || !v.is_finite() {
        return Ok(four_digits(v));
    }
    let (v, prefix) = scaled_down(v, 1024.0, BINARY);
    Ok(four_digits(v) + prefix)
}

pub(super) fn humanize_percentage(v: f64) -> Result<String, CallError> {
    Ok(four_digits(v * 100.0) + "%")
}

pub(super) fn humanize_duration(v: f64) -> Result<String, CallError> {
    if !v.is_finite() {
        return Ok(four_digits(v));
    }
    if v == 0.0 {
        return Ok(four_digits(v) + "s");
    }
    if v.abs() < 1.0 {
        let (v, prefix) = scaled_up(v);
        return Ok(format!("{}{prefix}s", four_digits(v)));
    }
    let (sign, v) = if v < 0.0 { ("-", -v) } else { ("", v) };
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are wanted")]
    let total = v as i64;
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    Ok(if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four_digits(v))
    })
}

/// Seconds since the epoch in milliseconds, if nanoseconds would fit 64 bits.
pub(super) fn timestamp_ms(v: f64) -> Result<i64, CallError> {
    let ns = v * 1e9;
    if ns.abs() > 9_223_372_036_854_775_807.0 {
        let shown = format_g(v);
        return Err(CallError::new(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        )));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
    let ns = ns as i64;
    Ok(ns / 1_000_000)
}

pub(super) fn humanize_timestamp(v: f64) -> Result<String, CallError> {
    if !v.is_finite() {
        return Ok(four_digits(v));
    }
    Ok(GoTime::from_unix_ms(timestamp_ms(v)?).to_string())
}
