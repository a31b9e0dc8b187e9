//! The body of `POST /api/v2/alerts`, byte for byte as upstream's client writes it.

use std::fmt::Write as _;

use gotemplate::GoTime;

use crate::query::Notification;

/// A JSON array of alerts: keys in upstream's order, times with milliseconds in UTC.
pub fn encode<'a>(alerts: impl IntoIterator<Item = &'a Notification>) -> Vec<u8> {
    let mut out = String::from("[");
    for (idx, alert) in alerts.into_iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        push_alert(&mut out, alert);
    }
    out.push(']');
    out.into_bytes()
}

fn push_alert(out: &mut String, alert: &Notification) {
    out.push('{');
    if !alert.annotations.is_empty() {
        out.push_str("\"annotations\":");
        push_map(out, alert.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        out.push(',');
    }
    push_time(out, "endsAt", alert.ends_at_ms);
    out.push(',');
    push_time(out, "startsAt", alert.starts_at_ms);
    if !alert.generator_url.is_empty() {
        out.push_str(",\"generatorURL\":");
        push_string(out, &alert.generator_url);
    }
    out.push_str(",\"labels\":");
    push_map(out, alert.labels.iter());
    out.push('}');
}

fn push_time(out: &mut String, name: &str, ms: i64) {
    let time = GoTime::from_unix_ms(ms).format("2006-01-02T15:04:05.000Z07:00");
    write!(out, "\"{name}\":\"{time}\"").expect("writing to a String cannot fail");
}

fn push_map<'a>(out: &mut String, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push('{');
    for (idx, (name, value)) in pairs.enumerate() {
        if idx > 0 {
            out.push(',');
        }
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    }
    out.push('}');
}

/// Go escapes what HTML and JavaScript could stumble over.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
