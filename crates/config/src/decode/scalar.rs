//! One scalar by its kind.

use base::{ByteSize, duration};
use model::regex::GoRegex;

use super::{Value, quote_bytes};
use crate::schema::Kind;
use crate::yaml::{Resolved, Scalar};

/// What became of a scalar.
#[derive(Debug)]
pub(super) enum Outcome {
    Value(Value),
    WrongType,
    /// A rule of the type is broken; upstream stops here.
    Broken(String),
}

pub(super) fn decode(scalar: &Scalar, kind: &Kind) -> Outcome {
    let text = scalar.text.as_str();
    match (kind, scalar.resolve()) {
        (Kind::Bool | Kind::MaybeBool, Resolved::Bool(value)) => Outcome::Value(Value::Bool(value)),
        (Kind::Int, Resolved::Int(value)) => match i64::try_from(value) {
            Ok(value) => Outcome::Value(Value::Int(value)),
            Err(_) => Outcome::WrongType,
        },
        (Kind::Uint, Resolved::Int(value)) if (0..=i128::from(i64::MAX)).contains(&value) => {
            Outcome::Value(Value::Int(i64::try_from(value).unwrap_or(i64::MAX)))
        }
        // Upstream cuts the fraction off.
        (Kind::Int, Resolved::Float(value)) if value.abs() < 9e18 => Outcome::Value(Value::Int(value as i64)),
        (Kind::Uint, Resolved::Float(value)) if (0.0..9e18).contains(&value) => {
            Outcome::Value(Value::Int(value as i64))
        }
        (Kind::Float, Resolved::Float(value)) => Outcome::Value(Value::Float(value)),
        (Kind::Float, Resolved::Int(value)) => Outcome::Value(Value::Float(value as f64)),
        (Kind::Bool | Kind::MaybeBool | Kind::Int | Kind::Uint | Kind::Float, _) => Outcome::WrongType,
        (_, _) if scalar.invalid_utf8.is_some() => {
            let shown = scalar.invalid_utf8.as_deref().map(quote_bytes).unwrap_or_default();
            Outcome::Broken(format!("{shown} is not valid UTF-8"))
        }
        (Kind::Secret, _) => Outcome::Value(Value::Secret(text.to_owned())),
        (Kind::Duration | Kind::MaybeDuration, _) => match duration::parse_ms(text) {
            Ok(ms) => Outcome::Value(Value::DurationMs(ms)),
            Err(err) => Outcome::Broken(err.to_string()),
        },
        (Kind::Bytes, _) => decode_bytes(text),
        (Kind::MaybeUrl, _) => match crate::url::parse(text) {
            Ok(_) => Outcome::Value(Value::Str(text.to_owned())),
            Err(err) => Outcome::Broken(err.to_string()),
        },
        (Kind::Word(_, parse), _) => match parse(text) {
            Ok(word) => Outcome::Value(Value::Str(word)),
            Err(message) => Outcome::Broken(message),
        },
        (Kind::Regex, _) => match GoRegex::new_anchored(text) {
            Ok(_) => Outcome::Value(Value::Str(text.to_owned())),
            Err(err) => Outcome::Broken(err.to_string()),
        },
        (Kind::LabelName, _) if text.is_empty() => {
            Outcome::Broken("\"\" is not a valid label name".to_owned())
        }
        _ => Outcome::Value(Value::Str(text.to_owned())),
    }
}

/// Sizes may be negative here, so that the section's own check can say what is wrong with it.
fn decode_bytes(text: &str) -> Outcome {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    match magnitude.parse::<ByteSize>() {
        Ok(size) => {
            let bytes = i64::try_from(size.0).unwrap_or(i64::MAX);
            Outcome::Value(Value::Bytes(if negative { -bytes } else { bytes }))
        }
        Err(_) => {
            let unit_at = magnitude.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |at| at + 1);
            let unit = &magnitude[unit_at..];
            Outcome::Broken(format!("units: unknown unit {unit} in {text}"))
        }
    }
}
