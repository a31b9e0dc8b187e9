//! Values as JSON, for scripts.

use std::fmt::Write as _;

use crate::format::PRINTED_BYTES_MAX;
use crate::value::Value;

/// As Go's `encoding/json` writes it, HTML escaped.
pub(super) fn to_json(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value);
    out
}

fn push(out: &mut String, value: &Value) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(b) => write!(out, "{b}").expect("writing to a String cannot fail"),
        Value::Int(v) => write!(out, "{v}").expect("writing to a String cannot fail"),
        Value::Uint(v) => write!(out, "{v}").expect("writing to a String cannot fail"),
        Value::Float(v) if !v.is_finite() => out.push_str("null"),
        Value::Float(v) if *v != 0.0 && !(1e-6..1e21).contains(&v.abs()) => {
            out.push_str(&base::gofloat::format_e(*v).replace("e-0", "e-"));
        }
        Value::Float(v) => base::gofloat::push_f(out, *v),
        Value::Str(text) | Value::Safe(_, text) => push_string(out, text),
        Value::Duration(ns) => push_string(out, &base::duration::format_go_ns(*ns)),
        Value::Time(time) => push_string(out, &time.format("2006-01-02T15:04:05.999999999Z07:00")),
        Value::List(list) => {
            out.push('[');
            for (idx, item) in list.items.iter().enumerate() {
                if out.len() > PRINTED_BYTES_MAX {
                    return;
                }
                if idx > 0 {
                    out.push(',');
                }
                push(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => push_object(out, map.entries.iter().map(|(k, v)| (k.as_str(), v.clone()))),
        Value::Object(object) => match (object.to_text(), object.underlying()) {
            (Some(text), _) => push_string(out, &text),
            (None, Some(plain)) => push(out, &plain),
            (None, None) => push_object(out, object.fields().into_iter()),
        },
    }
}

fn push_object<'a>(out: &mut String, entries: impl Iterator<Item = (&'a str, Value)>) {
    out.push('{');
    for (idx, (name, value)) in entries.enumerate() {
        if out.len() > PRINTED_BYTES_MAX {
            return;
        }
        if idx > 0 {
            out.push(',');
        }
        push_string(out, name);
        out.push(':');
        push(out, &value);
    }
    out.push('}');
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
