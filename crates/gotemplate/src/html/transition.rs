//! How a template's literal text moves the context.

use model::labels::GoQuoted;

use super::attribute::{AttrKind, attr_kind, is_js_type};
use super::context::{Attr, Context, Delim, Element, JsCtx, State, UrlPart};

/// The context after some of the text, and how many bytes that was.
pub(super) type Step = Result<(Context, usize), String>;

fn find_any(text: &str, from: usize, chars: &[char]) -> Option<usize> {
    text[from..].find(chars).map(|at| from + at)
}

fn skip_spaces(text: &str, from: usize) -> usize {
    text[from..].find(|c| !matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r')).map_or(text.len(), |at| from + at)
}

/// At most 32 characters, quoted.
fn shortly(text: &str) -> String {
    let short: String = text.chars().take(32).collect();
    GoQuoted(&short).to_string()
}

/// Consumes some text in context `c`.
pub(super) fn after_text(c: Context, text: &str) -> Step {
    if c.delim == Delim::None {
        let end = special_tag_end(c, text);
        if end == Some(0) {
            return Ok((Context::default(), 0));
        }
        return transition(c, &text[..end.unwrap_or(text.len())]);
    }
    let end = value_end(c.delim, text);
    if c.delim == Delim::SpaceOrTagEnd {
        let value = &text[..end.unwrap_or(text.len())];
        if let Some(at) = value.find(['"', '\'', '<', '=', '`']) {
            let (bad, value) = (GoQuoted(&value[at..=at]), GoQuoted(value));
            return Err(format!("{bad} in unquoted attr: {value}"));
        }
    }
    let Some(end) = end else {
        // Rules other than HTML's see the value without entities.
        let decoded = unescape_entities(text);
        let (mut c, mut rest) = (c, decoded.as_str());
        while !rest.is_empty() {
            let (next, n) = transition(c, rest)?;
            (c, rest) = (next, &rest[n..]);
        }
        return Ok((c, text.len()));
    };
    let is_data_script = c.state == State::Attr
        && c.element == Element::Script
        && c.attr == Attr::ScriptType
        && !is_js_type(&text[..end]);
    let element = if is_data_script { Element::None } else { c.element };
    let quote = usize::from(c.delim != Delim::SpaceOrTagEnd);
    Ok((Context::of(State::Tag, element), end + quote))
}

pub(super) fn value_end(delim: Delim, text: &str) -> Option<usize> {
    match delim {
        Delim::None => None,
        Delim::DoubleQuote => text.find('"'),
        Delim::SingleQuote => text.find('\''),
        Delim::SpaceOrTagEnd => text.find([' ', '\t', '\n', '\u{c}', '\r', '>']),
    }
}

/// The entities that template authors write in attributes.
fn unescape_entities(text: &str) -> String {
    const NAMED: [(&str, &str); 8] = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&apos;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    NAMED.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

pub(super) fn transition(c: Context, text: &str) -> Step {
    match c.state {
        State::Text => Ok(in_text(c, text)),
        State::Tag => in_tag(c, text),
        State::AttrName => {
            let end = attr_name_end(text, 0)?;
            let state = if end == text.len() { c.state } else { State::AfterName };
            Ok((Context { state, ..c }, end))
        }
        State::AfterName => {
            let at = skip_spaces(text, 0);
            Ok(match text[at..].chars().next() {
                None => (c, text.len()),
                Some('=') => (Context { state: State::BeforeValue, ..c }, at + 1),
                Some(_) => (Context { state: State::Tag, ..c }, at),
            })
        }
        State::BeforeValue => Ok(before_value(c, text)),
        State::HtmlCmt => Ok(match text.find("-->") {
            Some(at) => (Context::default(), at + 3),
            None => (c, text.len()),
        }),
        State::Rcdata => Ok(match special_tag_end(c, text) {
            Some(at) => (Context::default(), at),
            None => (c, text.len()),
        }),
        State::Attr | State::Dead => Ok((c, text.len())),
        State::Url | State::Srcset => Ok((in_url(c, text), text.len())),
        State::Js => in_js(c, text),
        State::JsDqStr => in_js_delimited(c, text, &['\\', '"']),
        State::JsSqStr => in_js_delimited(c, text, &['\\', '\'']),
        State::JsBqStr => in_js_delimited(c, text, &['\\', '`']),
        State::JsRegexp => in_js_delimited(c, text, &['\\', '/', '[', ']']),
        State::JsBlockCmt => Ok(block_comment(c, text, State::Js)),
        State::CssBlockCmt => Ok(block_comment(c, text, State::Css)),
        State::JsLineCmt | State::JsHtmlOpenCmt | State::JsHtmlCloseCmt => {
            Ok(line_comment(c, text, &['\n', '\r', '\u{2028}', '\u{2029}'], State::Js))
        }
        State::CssLineCmt => Ok(line_comment(c, text, &['\n', '\u{c}', '\r'], State::Css)),
        State::Css => Ok(in_css(c, text)),
        State::CssDqStr | State::CssDqUrl => in_css_string(c, text, &['\\', '"']),
        State::CssSqStr | State::CssSqUrl => in_css_string(c, text, &['\\', '\'']),
        State::CssUrl => in_css_string(c, text, &['\\', '\t', '\n', '\u{c}', '\r', ' ', ')']),
    }
}

fn in_text(c: Context, text: &str) -> (Context, usize) {
    let mut from = 0;
    while let Some(open) = find_any(text, from, &['<']) {
        if text[open..].starts_with("<!--") {
            return (Context::of(State::HtmlCmt, Element::None), open + 4);
        }
        let closes = text[open + 1..].starts_with('/');
        let start = open + 1 + usize::from(closes);
        if start >= text.len() {
            return (c, text.len());
        }
        let end = tag_name_end(text, start);
        if end > start {
            let element = if closes { Element::None } else { element_named(&text[start..end]) };
            return (Context::of(State::Tag, element), end);
        }
        from = start;
    }
    (c, text.len())
}

fn tag_name_end(text: &str, start: usize) -> usize {
    if !text[start..].starts_with(|c: char| c.is_ascii_alphabetic()) {
        return start;
    }
    let name = &text[start..];
    let mut end = 0;
    let bytes = name.as_bytes();
    while end < bytes.len() {
        let joins =
            matches!(bytes[end], b':' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
        if bytes[end].is_ascii_alphanumeric() || joins {
            end += 1;
        } else {
            break;
        }
    }
    start + end
}

fn element_named(name: &str) -> Element {
    let all = [Element::Script, Element::Style, Element::Textarea, Element::Title];
    all.into_iter().find(|element| element.name().eq_ignore_ascii_case(name)).unwrap_or_default()
}

/// Where `</script>` and its like begin, for elements whose content is no markup.
fn special_tag_end(c: Context, text: &str) -> Option<usize> {
    if c.element == Element::None || c.state.is_in_tag() {
        return None;
    }
    let name = c.element.name();
    text.match_indices("</").map(|(at, _)| at).find(|at| {
        let rest = &text[at + 2..];
        rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && rest[name.len()..].starts_with(['>', ' ', '\t', '\n', '\u{c}', '/'])
    })
}

fn attr_name_end(text: &str, from: usize) -> Result<usize, String> {
    let special = [' ', '\t', '\n', '\u{c}', '\r', '=', '>', '\'', '"', '<'];
    let Some(at) = find_any(text, from, &special) else { return Ok(text.len()) };
    if text[at..].starts_with(['\'', '"', '<']) {
        return Err(format!("{} in attribute name: {}", GoQuoted(&text[at..=at]), shortly(text)));
    }
    Ok(at)
}

fn in_tag(c: Context, text: &str) -> Step {
    let start = skip_spaces(text, 0);
    if start == text.len() {
        return Ok((c, text.len()));
    }
    if text[start..].starts_with('>') {
        return Ok((Context::of(c.element.content_state(), c.element), start + 1));
    }
    let end = attr_name_end(text, start)?;
    if end == start {
        let rest = GoQuoted(&text[start..]);
        return Err(format!("expected space, attr name, or end of tag, but got {rest}"));
    }
    let name = text[start..end].to_ascii_lowercase();
    let attr = if c.element == Element::Script && name == "type" {
        Attr::ScriptType
    } else {
        match attr_kind(&name) {
            AttrKind::Url => Attr::Url,
            AttrKind::Css => Attr::Style,
            AttrKind::Js => Attr::Script,
            AttrKind::Srcset => Attr::Srcset,
            AttrKind::Plain | AttrKind::Html | AttrKind::Unsafe => Attr::None,
        }
    };
    let state = if end == text.len() { State::AttrName } else { State::AfterName };
    Ok((Context { attr, ..Context::of(state, c.element) }, end))
}

fn before_value(c: Context, text: &str) -> (Context, usize) {
    let at = skip_spaces(text, 0);
    let (delim, n) = match text[at..].chars().next() {
        None => return (c, text.len()),
        Some('\'') => (Delim::SingleQuote, 1),
        Some('"') => (Delim::DoubleQuote, 1),
        Some(_) => (Delim::SpaceOrTagEnd, 0),
    };
    (Context { state: c.attr.value_state(), delim, ..c }, at + n)
}

fn in_url(c: Context, text: &str) -> Context {
    let url_part = if text.contains(['#', '?']) {
        UrlPart::QueryOrFrag
    } else if c.url_part == UrlPart::None && skip_spaces(text, 0) != text.len() {
        UrlPart::PreQuery
    } else {
        c.url_part
    };
    Context { url_part, ..c }
}

fn in_js(c: Context, text: &str) -> Step {
    let Some(at) = find_any(text, 0, &['"', '`', '\'', '/', '<', '-', '#']) else {
        return Ok((Context { js_ctx: next_js_ctx(text, c.js_ctx), ..c }, text.len()));
    };
    let c = Context { js_ctx: next_js_ctx(&text[..at], c.js_ctx), ..c };
    let rest = &text[at..];
    let string = |state| Context { state, js_ctx: JsCtx::Regexp, ..c };
    let comment = |state| Context { state, ..c };
    let (next, n) = match rest.as_bytes()[0] {
        b'"' => (string(State::JsDqStr), 1),
        b'\'' => (string(State::JsSqStr), 1),
        b'`' => (string(State::JsBqStr), 1),
        b'/' if rest.starts_with("//") => (comment(State::JsLineCmt), 2),
        b'/' if rest.starts_with("/*") => (comment(State::JsBlockCmt), 2),
        b'/' => match c.js_ctx {
            JsCtx::Regexp => (comment(State::JsRegexp), 1),
            JsCtx::DivOp => (Context { js_ctx: JsCtx::Regexp, ..c }, 1),
            JsCtx::Unknown => {
                return Err(format!("'/' could start a division or regexp: {}", shortly(rest)));
            }
        },
        b'<' if rest.starts_with("<!--") => (comment(State::JsHtmlOpenCmt), 4),
        b'-' if rest.starts_with("-->") => (comment(State::JsHtmlCloseCmt), 3),
        b'#' if rest.starts_with("#!") => (comment(State::JsLineCmt), 2),
        _ => {
            // An operator: what follows is judged by it.
            (Context { js_ctx: next_js_ctx(&text[..=at], c.js_ctx), ..c }, 1)
        }
    };
    Ok((next, at + n))
}

const REGEXP_PRECEDERS: [&str; 14] = [
    "break",
    "case",
    "continue",
    "delete",
    "do",
    "else",
    "finally",
    "in",
    "instanceof",
    "return",
    "throw",
    "try",
    "typeof",
    "void",
];

pub(super) fn is_js_ident(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '$' || c == '_'
}

/// What a slash after `text` would begin.
fn next_js_ctx(text: &str, before: JsCtx) -> JsCtx {
    let text = text.trim_end_matches(['\t', '\n', '\u{c}', '\r', ' ', '\u{2028}', '\u{2029}']);
    let Some(last) = text.chars().next_back() else { return before };
    let regexp = match last {
        '+' | '-' => (text.len() - text.trim_end_matches(last).len()) % 2 == 1,
        '.' => !text[..text.len() - 1].ends_with(|c: char| c.is_ascii_digit()),
        ',' | '<' | '>' | '=' | '*' | '%' | '&' | '|' | '^' | '?' | '!' | '~' | '(' | '[' | ':' | ';'
        | '{' | '}' => true,
        _ => {
            let word = &text[text.trim_end_matches(is_js_ident).len()..];
            REGEXP_PRECEDERS.contains(&word)
        }
    };
    if regexp { JsCtx::Regexp } else { JsCtx::DivOp }
}

fn in_js_delimited(c: Context, text: &str, specials: &[char]) -> Step {
    let (mut from, mut in_charset) = (0, false);
    while let Some(at) = find_any(text, from, specials) {
        from = at + 1;
        match text.as_bytes()[at] {
            b'\\' => match text[from..].chars().next() {
                Some(escaped) => from += escaped.len_utf8(),
                None => {
                    let text = GoQuoted(text);
                    return Err(format!("unfinished escape sequence in JS string: {text}"));
                }
            },
            b'[' => in_charset = true,
            b']' => in_charset = false,
            _ if in_charset => {}
            _ => return Ok((Context { state: State::Js, js_ctx: JsCtx::DivOp, ..c }, from)),
        }
    }
    if in_charset {
        return Err(format!("unfinished JS regexp charset: {}", GoQuoted(text)));
    }
    Ok((c, text.len()))
}

fn block_comment(c: Context, text: &str, after: State) -> (Context, usize) {
    match text.find("*/") {
        Some(at) => (Context { state: after, ..c }, at + 2),
        None => (c, text.len()),
    }
}

fn line_comment(c: Context, text: &str, ends: &[char], after: State) -> (Context, usize) {
    match find_any(text, 0, ends) {
        Some(at) => (Context { state: after, ..c }, at),
        None => (c, text.len()),
    }
}

fn in_css(c: Context, text: &str) -> (Context, usize) {
    let to = |state| Context { state, ..c };
    let mut from = 0;
    while let Some(at) = find_any(text, from, &['(', '"', '\'', '/']) {
        let rest = &text[at..];
        match rest.as_bytes()[0] {
            b'(' if ends_with_url(text[..at].trim_end_matches(['\t', '\n', '\u{c}', '\r', ' '])) => {
                let value = skip_spaces(text, at + 1);
                return match text[value..].chars().next() {
                    Some('"') => (to(State::CssDqUrl), value + 1),
                    Some('\'') => (to(State::CssSqUrl), value + 1),
                    _ => (to(State::CssUrl), value),
                };
            }
            b'/' if rest.starts_with("//") => return (to(State::CssLineCmt), at + 2),
            b'/' if rest.starts_with("/*") => return (to(State::CssBlockCmt), at + 2),
            b'"' => return (to(State::CssDqStr), at + 1),
            b'\'' => return (to(State::CssSqStr), at + 1),
            _ => {}
        }
        from = at + 1;
    }
    (c, text.len())
}

fn ends_with_url(text: &str) -> bool {
    let Some(start) = text.len().checked_sub(3) else { return false };
    text.get(start..).is_some_and(|word| word.eq_ignore_ascii_case("url"))
        && !text[..start]
            .ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii())
}

fn in_css_string(c: Context, text: &str, specials: &[char]) -> Step {
    let (mut c, mut from) = (c, 0);
    loop {
        let Some(at) = find_any(text, from, specials) else {
            return Ok((in_url(c, &text[from..]), text.len()));
        };
        from = at + 1;
        if text.as_bytes()[at] != b'\\' {
            return Ok((Context { state: State::Css, ..c }, from));
        }
        match text[from..].chars().next() {
            Some(escaped) => from += escaped.len_utf8(),
            None => {
                let text = GoQuoted(text);
                return Err(format!("unfinished escape sequence in CSS string: {text}"));
            }
        }
        c = in_url(c, &text[..from]);
    }
}
