//! `html`, `js` and `urlquery` of text templates.

use std::fmt::Write as _;

/// `template.HTMLEscapeString`.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// `template.JSEscapeString`.
pub fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => push_u4(&mut out, c),
            c if c < ' ' => push_u4(&mut out, c),
            c if (c as u32) < 0x80 => out.push(c),
            c if c.is_control() || is_unprintable(c) => push_u4(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

fn push_u4(out: &mut String, c: char) {
    write!(out, "\\u{:04X}", c as u32).expect("writing to a String cannot fail");
}

/// Go's `unicode.IsPrint` refuses every space but U+0020 and the format characters.
fn is_unprintable(c: char) -> bool {
    c.is_whitespace()
        || matches!(c as u32, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff)
}

/// `url.QueryEscape`.
pub fn escape_url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    out
}
