//! Bracketed classes and classes written as escapes.

use super::{error, push_literal, unescape};
use crate::regex::InvalidRegex;

/// `[[:alpha:]]` and its like; all are ASCII, in Go as in `regex-syntax`.
const POSIX_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Rewrites the class that `text` starts with; gives what follows it.
pub(super) fn translate(text: &str) -> Result<(&str, String), InvalidRegex> {
    let mut out = String::from("[");
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if rest.is_empty() {
            return Err(error("missing closing ]", text));
        }
        if let Some((after, class)) = translate_posix(rest)? {
            out.push_str(&class);
            rest = after;
            continue;
        }
        if is_class_escape(rest) {
            let (after, class) = translate_escape(rest)?;
            out.push_str(&class);
            rest = after;
            continue;
        }
        rest = translate_range(text, rest, &mut out)?;
    }
    out.push(']');
    Ok((&rest[1..], out))
}

fn is_class_escape(text: &str) -> bool {
    matches!(text.as_bytes(), [b'\\', b'd' | b'D' | b's' | b'S' | b'w' | b'W' | b'p' | b'P', ..])
}

/// `[:name:]` or `[:^name:]`.
fn translate_posix(text: &str) -> Result<Option<(&str, String)>, InvalidRegex> {
    let Some((name, after)) = text.strip_prefix("[:").and_then(|t| t.split_once(":]")) else {
        return Ok(None);
    };
    let whole = &text[..text.len() - after.len()];
    if !POSIX_NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(error("invalid character class range", whole));
    }
    Ok(Some((after, whole.to_owned())))
}

/// A character or `a-z`; gives what follows.
fn translate_range<'t>(class: &'t str, text: &'t str, out: &mut String) -> Result<&'t str, InvalidRegex> {
    let (rest, low) = class_char(class, text)?;
    push_literal(out, low);
    let Some(after) = rest.strip_prefix('-').filter(|after| !after.starts_with(']')) else { return Ok(rest) };
    let (rest, high) = if is_class_escape(after) {
        let end = after.char_indices().nth(2).map_or(after.len(), |(at, _)| at);
        let shown = &text[..text.len() - after.len() + end];
        return Err(error("invalid character class range", shown));
    } else {
        class_char(class, after)?
    };
    if high < low {
        return Err(error("invalid character class range", &text[..text.len() - rest.len()]));
    }
    out.push('-');
    push_literal(out, high);
    Ok(rest)
}

fn class_char<'t>(class: &'t str, text: &'t str) -> Result<(&'t str, char), InvalidRegex> {
    match text.chars().next() {
        None => Err(error("missing closing ]", class)),
        Some('\\') => unescape(text),
        Some(c) => Ok((&text[c.len_utf8()..], c)),
    }
}

/// Rewrites a class written as an escape (`\d`, `\pL`, `\p{Greek}`); gives what follows it.
pub(super) fn translate_escape(text: &str) -> Result<(&str, String), InvalidRegex> {
    let c = text[1..].chars().next().unwrap_or('\\');
    let class = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return translate_unicode(text),
    };
    Ok((&text[2..], class.to_owned()))
}

fn translate_unicode(text: &str) -> Result<(&str, String), InvalidRegex> {
    let after = &text[2..];
    let (name, rest) = match after.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or_else(|| error("invalid character class range", text))?,
        None => {
            let end = after.chars().next().map_or(0, char::len_utf8);
            after.split_at(end)
        }
    };
    let invalid = || error("invalid character class range", &text[..text.len() - rest.len()]);
    let (name, inverted) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let negated = text.as_bytes()[1] == b'P';
    let class = format!("\\{}{{{name}}}", if negated == inverted { 'p' } else { 'P' });
    let known = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if !known || regex_syntax::parse(&class).is_err() {
        return Err(invalid());
    }
    Ok((rest, class))
}
