//! What makes a value harmless in each kind of place.

use std::fmt::Write as _;

use super::attribute::{AttrKind, attr_kind};
use super::context::{Context, Delim, Element, State};
use super::json::to_json;
use super::transition::{is_js_ident, transition, value_end};
use crate::escape::{escape_html, escape_url_query};
use crate::format::sprint;
use crate::value::{SafeKind, Value};

/// Stands where a value could not be made harmless.
const FAILSAFE: &str = "ZgotmplZ";

/// An escaper at the end of an action's pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaper {
    Attr,
    Comment,
    Css,
    CssValue,
    Html,
    HtmlName,
    JsRegexp,
    JsStr,
    JsValue,
    NoSpace,
    Rcdata,
    Srcset,
    Url,
    UrlFilter,
    UrlNormalizer,
    /// The author's own `html`.
    PredefinedHtml,
    /// The author's own `urlquery`.
    PredefinedUrlQuery,
}

impl Escaper {
    /// The escaper that authors can write and that does as much.
    pub(super) fn equivalent(self) -> Option<Self> {
        match self {
            Self::Attr | Self::Html | Self::Rcdata => Some(Self::PredefinedHtml),
            Self::Url | Self::UrlNormalizer => Some(Self::PredefinedUrlQuery),
            _ => None,
        }
    }

    /// Whether `self` changes nothing after `before`.
    pub(super) fn is_redundant_after(self, before: Self) -> bool {
        match before {
            Self::Comment => matches!(self, Self::Attr | Self::Html),
            Self::Css | Self::JsRegexp | Self::JsStr => self == Self::Attr,
            Self::Url => self == Self::UrlNormalizer,
            _ => false,
        }
    }

    pub(crate) fn apply(self, value: &Value) -> Value {
        let (text, kind) = text_of(value);
        match self {
            Self::Attr if kind == Some(SafeKind::Html) => replaced(&strip_tags(&text), html_norm),
            Self::Rcdata if kind == Some(SafeKind::Html) => replaced(&text, html_norm),
            Self::Html if kind == Some(SafeKind::Html) => text,
            Self::Attr | Self::Rcdata | Self::Html => replaced(&text, html),
            Self::NoSpace if kind == Some(SafeKind::Html) => {
                replaced(&strip_tags(&text), |c| if c == '&' { None } else { html_no_space(c) })
            }
            Self::NoSpace => replaced(&text, html_no_space),
            Self::Comment => String::new(),
            Self::Css => css_escaped(&text),
            Self::CssValue if kind == Some(SafeKind::Css) => text,
            Self::CssValue => css_value(&text),
            Self::HtmlName if kind == Some(SafeKind::HtmlAttr) => text,
            Self::HtmlName => html_name(&text),
            Self::JsRegexp => match replaced(&text, js_regexp).as_str() {
                "" => "(?:)".to_owned(),
                escaped => escaped.to_owned(),
            },
            Self::JsStr if kind == Some(SafeKind::JsStr) => {
                replaced(&text, |c| if c == '\\' { None } else { js_str(c) })
            }
            Self::JsStr => replaced(&text, js_str),
            Self::JsValue => js_value(value),
            Self::Srcset => srcset(&text, kind),
            Self::Url => url_escaped(&text, kind == Some(SafeKind::Url)),
            Self::UrlNormalizer => url_escaped(&text, true),
            // A trusted URL stays trusted for the normalizer that follows.
            Self::UrlFilter if kind == Some(SafeKind::Url) => return value.clone(),
            Self::UrlFilter if is_safe_url(&text) => text,
            Self::UrlFilter => format!("#{FAILSAFE}"),
            Self::PredefinedHtml => escape_html(&text),
            Self::PredefinedUrlQuery => escape_url_query(&text),
        }
        .into()
    }
}

/// The text of a value; nil gives nothing.
fn text_of(value: &Value) -> (String, Option<SafeKind>) {
    match value {
        Value::Nil => (String::new(), None),
        Value::Safe(kind, text) => (text.to_string(), Some(*kind)),
        other => (sprint(std::slice::from_ref(other)), None),
    }
}

/// Replaces the characters that `replacement` names.
fn replaced(text: &str, replacement: impl Fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match replacement(c) {
            Some(instead) => out.push_str(instead),
            None => out.push(c),
        }
    }
    out
}

fn html(c: char) -> Option<&'static str> {
    if c == '&' { Some("&amp;") } else { html_norm(c) }
}

/// As [`html`], leaving entities that are there.
fn html_norm(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "\u{fffd}",
        '"' => "&#34;",
        '\'' => "&#39;",
        '+' => "&#43;",
        '<' => "&lt;",
        '>' => "&gt;",
        _ => return None,
    })
}

fn html_no_space(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "&#xfffd;",
        '\t' => "&#9;",
        '\n' => "&#10;",
        '\u{b}' => "&#11;",
        '\u{c}' => "&#12;",
        '\r' => "&#13;",
        ' ' => "&#32;",
        '=' => "&#61;",
        '`' => "&#96;",
        other => return html(other),
    })
}

fn js_str(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "\\u0000",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\u000b",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '"' => "\\u0022",
        '`' => "\\u0060",
        '&' => "\\u0026",
        '\'' => "\\u0027",
        '+' => "\\u002b",
        '/' => "\\/",
        '<' => "\\u003c",
        '>' => "\\u003e",
        '\\' => "\\\\",
        '\u{2028}' => "\\u2028",
        '\u{2029}' => "\\u2029",
        _ => return None,
    })
}

fn js_regexp(c: char) -> Option<&'static str> {
    Some(match c {
        '$' => "\\$",
        '(' => "\\(",
        ')' => "\\)",
        '*' => "\\*",
        '-' => "\\-",
        '.' => "\\.",
        '?' => "\\?",
        '[' => "\\[",
        ']' => "\\]",
        '^' => "\\^",
        '{' => "\\{",
        '|' => "\\|",
        '}' => "\\}",
        '`' => return None,
        other => return js_str(other),
    })
}

/// A JavaScript expression, with spaces around what could run into a word beside it.
fn js_value(value: &Value) -> String {
    match value {
        Value::Safe(SafeKind::Js, text) => return text.to_string(),
        Value::Safe(SafeKind::JsStr, text) => return format!("\"{text}\""),
        _ => {}
    }
    let json = to_json(value);
    let pads = json.starts_with(is_js_ident) || json.ends_with(is_js_ident);
    if pads { format!(" {json} ") } else { json }
}

fn css_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\0' | '\t' | '\n' | '\u{c}' | '\r' | '"' | '&' | '\'' | '(' | ')' | '+' | '/' | ':' | ';'
            | '<' | '>' | '{' | '}' => {
                write!(out, "\\{:x}", c as u32).expect("writing to a String cannot fail");
                // A hexadecimal digit or a space that follows would be taken for part of the escape.
                let is_swallowed =
                    |c: &char| c.is_ascii_hexdigit() || matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r');
                if chars.peek().is_none_or(is_swallowed) {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Lets numbers, colours, names and the like through, nothing that could end the value or run.
fn css_value(text: &str) -> String {
    let decoded = css_decoded(text);
    let dangerous = ['\0', '"', '\'', '(', ')', '/', ';', '@', '[', '\\', ']', '`', '{', '}', '<', '>'];
    let name: String = decoded
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect::<String>()
        .to_ascii_lowercase();
    let runs = name.contains("expression") || name.contains("mozbinding");
    if decoded.contains(dangerous) || decoded.contains("--") || runs {
        return FAILSAFE.to_owned();
    }
    decoded
}

fn css_decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        if digits == 0 {
            let escaped = rest.chars().next();
            out.extend(escaped);
            rest = &rest[escaped.map_or(0, char::len_utf8)..];
            continue;
        }
        let code = u32::from_str_radix(&rest[..digits], 16).unwrap_or(0);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[digits..];
        rest = rest
            .strip_prefix("\r\n")
            .or_else(|| rest.strip_prefix([' ', '\t', '\n', '\u{c}', '\r']))
            .unwrap_or(rest);
    }
    out + rest
}

fn html_name(text: &str) -> String {
    let name = text.to_lowercase();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if plain && attr_kind(&name) == AttrKind::Plain { name } else { FAILSAFE.to_owned() }
}

/// Relative, or of a scheme that runs nothing.
fn is_safe_url(url: &str) -> bool {
    match url.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|safe| scheme.eq_ignore_ascii_case(safe))
        }
        _ => true,
    }
}

fn url_escaped(text: &str, normalizes: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (at, byte) in text.bytes().enumerate() {
        let stays = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@'
            | b'[' | b']' => normalizes,
            b'%' => {
                let escape = text.as_bytes().get(at + 1..at + 3);
                normalizes && escape.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            _ => false,
        };
        if stays {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    out
}

fn srcset(text: &str, kind: Option<SafeKind>) -> String {
    match kind {
        Some(SafeKind::Srcset) => return text.to_owned(),
        Some(SafeKind::Url) => return url_escaped(text, true).replace(',', "%2c"),
        _ => {}
    }
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r');
    let elements = text.split(',').map(|element| {
        let url = element.trim_start_matches(is_space);
        let lead = &element[..element.len() - url.len()];
        let (url, metadata) = url.split_at(url.find(is_space).unwrap_or(url.len()));
        let plain = metadata.chars().all(|c| is_space(c) || c.is_ascii_alphanumeric());
        if is_safe_url(url) && plain {
            format!("{lead}{}{metadata}", url_escaped(url, true))
        } else {
            format!("#{FAILSAFE}")
        }
    });
    elements.collect::<Vec<_>>().join(",")
}

/// The text of a piece of HTML.
fn strip_tags(html: &str) -> String {
    let mut out = String::new();
    let mut c = Context::default();
    let mut at = 0;
    let mut is_text = true;
    while at < html.len() {
        let rest = &html[at..];
        if c.delim != Delim::None {
            let Some(end) = value_end(c.delim, rest) else { break };
            at += end + usize::from(c.delim != Delim::SpaceOrTagEnd);
            c = Context::of(State::Tag, c.element);
            continue;
        }
        if c.element != Element::None && !c.state.is_in_tag() {
            c.state = State::Rcdata;
        }
        let Ok((next, n)) = transition(c, rest) else { return String::new() };
        if matches!(c.state, State::Text | State::Rcdata) {
            let mut end = n;
            if next.state != c.state {
                end = rest[..n].rfind('<').unwrap_or(n);
            }
            out.push_str(&rest[..end]);
        } else {
            is_text = false;
        }
        if n == 0 && next == c {
            break;
        }
        c = next;
        at += n;
    }
    if is_text { html.to_owned() } else { out }
}
