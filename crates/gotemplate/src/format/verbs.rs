//! One argument under one verb.

use model::labels::GoQuoted;

use super::number::{float, integer};
use super::{PRINTED_BYTES_MAX, shown};
use crate::value::Value;

/// Flags, width and precision of a directive.
#[derive(Debug, Clone, Default)]
pub(super) struct Spec {
    pub(super) sharp: bool,
    pub(super) zero: bool,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) space: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Spec {
    /// Pads to the width, with zeros after the sign if the flag says so.
    pub(super) fn pad(&self, out: &mut String, text: &str, zeros_allowed: bool) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if self.minus {
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zero && zeros_allowed {
            let sign = text.len() - text.trim_start_matches(['+', '-', ' ']).len();
            out.push_str(&text[..sign.min(1)]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&text[sign.min(1)..]);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(text);
        }
    }
}

pub(super) fn push_arg(out: &mut String, arg: &Value, verb: char, spec: &Spec) {
    match (arg, verb) {
        (Value::Nil, 'v' | 'T') => return spec.pad(out, "<nil>", false),
        (Value::Nil, _) => {
            out.push_str(&format!("%!{verb}(<nil>)"));
            return;
        }
        (arg, 'T') => return spec.pad(out, arg.type_name(), false),
        (arg, 'v') if spec.sharp => {
            let mut source = String::new();
            push_source(&mut source, arg, arg.type_name());
            return spec.pad(out, &source, false);
        }
        _ => {}
    }
    if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X')
        && let Some(text) = text_of(arg)
    {
        return string(out, &text, verb, spec);
    }
    let fits = match arg {
        Value::Nil => false,
        Value::Bool(b) => boolean(out, *b, verb, spec),
        Value::Int(v) | Value::Duration(v) => integer(out, i128::from(*v), verb, spec),
        Value::Uint(v) => integer(out, i128::from(*v), verb, spec),
        Value::Float(v) => float(out, *v, verb, spec),
        Value::Str(text) | Value::Safe(_, text) => match verb {
            'v' | 's' | 'q' | 'x' | 'X' => {
                string(out, text, verb, spec);
                true
            }
            _ => false,
        },
        Value::List(list) => {
            sequence(out, "[", list.items.iter().map(|item| (None, item.clone())), verb, spec);
            out.push(']');
            true
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, item)| (Some(key.as_str()), item.clone()));
            sequence(out, "map[", entries, verb, spec);
            out.push(']');
            true
        }
        Value::Time(time) => {
            string(out, &time.to_string(), 'v', spec);
            true
        }
        Value::Object(object) => match object.underlying() {
            Some(plain) => {
                push_arg(out, &plain, verb, spec);
                true
            }
            None => {
                let fields = object.fields();
                let named = fields.into_iter().map(|(name, value)| (spec.plus.then_some(name), value));
                sequence(out, "{", named, verb, spec);
                out.push('}');
                true
            }
        },
    };
    if !fits {
        out.push_str(&format!("%!{verb}({}={})", arg.type_name(), shown(arg)));
    }
}

/// `%#v`: the value as Go source.
fn push_source(out: &mut String, arg: &Value, type_name: &str) {
    match arg {
        Value::Str(text) | Value::Safe(_, text) => out.push_str(&GoQuoted(text).to_string()),
        Value::List(list) => {
            push_composite(out, type_name, list.items.iter().map(|item| (String::new(), item.clone())));
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, item)| (format!("{}:", GoQuoted(key)), item.clone()));
            push_composite(out, type_name, entries);
        }
        Value::Object(object) => match object.underlying() {
            Some(plain) => push_source(out, &plain, type_name),
            None => {
                let fields = object.fields().into_iter().map(|(name, item)| (format!("{name}:"), item));
                push_composite(out, type_name, fields);
            }
        },
        other => out.push_str(&shown(other)),
    }
}

fn push_composite(out: &mut String, type_name: &str, items: impl Iterator<Item = (String, Value)>) {
    out.push_str(type_name);
    out.push('{');
    for (idx, (key, item)) in items.enumerate() {
        if out.len() > PRINTED_BYTES_MAX {
            return;
        }
        if idx > 0 {
            out.push_str(", ");
        }
        out.push_str(&key);
        push_source(out, &item, item.type_name());
    }
    out.push('}');
}

/// The text of values that print themselves.
fn text_of(arg: &Value) -> Option<String> {
    match arg {
        Value::Time(time) => Some(time.to_string()),
        Value::Duration(ns) => Some(base::duration::format_go_ns(*ns)),
        Value::Object(object) => object.to_text(),
        _ => None,
    }
}

fn sequence<'a>(
    out: &mut String,
    open: &str,
    items: impl Iterator<Item = (Option<&'a str>, Value)>,
    verb: char,
    spec: &Spec,
) {
    out.push_str(open);
    for (idx, (key, item)) in items.enumerate() {
        if out.len() > PRINTED_BYTES_MAX {
            return;
        }
        if idx > 0 {
            out.push(' ');
        }
        if let Some(key) = key {
            out.push_str(key);
            out.push(':');
        }
        push_arg(out, &item, verb, spec);
    }
}

fn boolean(out: &mut String, b: bool, verb: char, spec: &Spec) -> bool {
    let fits = matches!(verb, 't' | 'v');
    if fits {
        spec.pad(out, if b { "true" } else { "false" }, false);
    }
    fits
}

fn string(out: &mut String, text: &str, verb: char, spec: &Spec) {
    let cut: String = match (verb, spec.precision) {
        ('x' | 'X', Some(n)) => String::from_utf8_lossy(&text.as_bytes()[..n.min(text.len())]).into_owned(),
        (_, Some(n)) => text.chars().take(n).collect(),
        (_, None) => text.to_owned(),
    };
    let body = match verb {
        'q' if spec.sharp && !cut.contains(['`', '\n', '\r']) => format!("`{cut}`"),
        'q' => GoQuoted(&cut).to_string(),
        'x' | 'X' => {
            let digits: Vec<String> = cut
                .bytes()
                .map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") })
                .collect();
            let prefix = if spec.sharp && !cut.is_empty() { format!("0{verb}") } else { String::new() };
            prefix + &digits.join(if spec.space { " " } else { "" })
        }
        _ => cut,
    };
    spec.pad(out, &body, true);
}
