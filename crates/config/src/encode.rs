//! Record → YAML text, laid out as upstream's library lays it out: two spaces, list items level with
//! their key, quotes only where a reader would otherwise see another type.

use crate::decode::{Record, Value, duration_text};
use crate::schema::{Kind, Schema};
use crate::yaml::{Resolved, Scalar};

/// What upstream shows in place of a secret.
const SECRET_SHOWN: &str = "<secret>";

/// The longest line before text with spaces is folded.
const LINE_WIDTH: usize = 80;

/// A value ready to be printed.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    /// Printed as it is: numbers, booleans, null.
    Bare(String),
    Text(String),
    List(Vec<Out>),
    FlowList(Vec<Out>),
    Map(Vec<(String, Out)>),
}

/// Prints a section, defaults included, secrets hidden, empty fields left out.
pub(crate) fn to_yaml(record: &Record) -> String {
    let mut text = String::new();
    match section_out(record) {
        Out::Map(entries) if entries.is_empty() => text.push_str("{}\n"),
        out => write_block(&mut text, &out, 0),
    }
    text
}

fn section_out(record: &Record) -> Out {
    let mut entries = Vec::new();
    push_entries(record, record.schema, &mut entries);
    Out::Map(entries)
}

fn push_entries(record: &Record, schema: &'static Schema, entries: &mut Vec<(String, Out)>) {
    for (field, value) in schema.fields.iter().zip(&record.values) {
        match (&field.kind, value) {
            (Kind::Inline(inner), Value::Section(section)) => push_entries(section, inner, entries),
            (kind, value) if field.always || !value.is_zero(kind) => {
                entries.push((field.name.to_owned(), value_out(value, kind)));
            }
            _ => {}
        }
    }
}

fn value_out(value: &Value, kind: &Kind) -> Out {
    match (value, kind) {
        (Value::Null, _) => Out::Bare("null".to_owned()),
        (Value::Bool(value), _) => Out::Bare(value.to_string()),
        (Value::Int(value), _) => Out::Bare(value.to_string()),
        (Value::Float(value), _) => Out::Bare(float_text(*value)),
        (Value::Secret(text), _) if text.is_empty() => Out::Bare("null".to_owned()),
        (Value::Secret(_), _) => Out::Text(SECRET_SHOWN.to_owned()),
        (Value::Str(text), Kind::MaybeUrl) => Out::Text(crate::url::redacted(text)),
        (Value::Str(text), _) => Out::Text(text.clone()),
        (Value::DurationMs(ms), _) => Out::Text(duration_text(*ms)),
        (Value::Bytes(bytes), _) => Out::Text(bytes_text(*bytes)),
        (Value::List(values), Kind::FlowList(inner)) => {
            Out::FlowList(values.iter().map(|value| value_out(value, inner)).collect())
        }
        (Value::List(values), Kind::List(inner)) => {
            Out::List(values.iter().map(|value| value_out(value, inner)).collect())
        }
        (Value::List(values), _) => {
            Out::List(values.iter().map(|value| value_out(value, &Kind::Any)).collect())
        }
        (Value::StrMap(map), _) => {
            let entries = map.iter().map(|(name, text)| (name.clone(), Out::Text(text.clone())));
            Out::Map(entries.collect())
        }
        (Value::Map(map), kind) => {
            let inner = match kind {
                Kind::MapOf(inner) => inner,
                _ => &Kind::Any,
            };
            Out::Map(map.iter().map(|(name, value)| (name.clone(), value_out(value, inner))).collect())
        }
        (Value::Section(record), _) => section_out(record),
    }
}

fn float_text(value: f64) -> String {
    let shortest = base::gofloat::format_g(value);
    match shortest.as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        _ => shortest,
    }
}

/// `15MiB`, `1GiB512MiB`: every power of 1024 that is not zero, the largest first.
pub(crate) fn bytes_text(bytes: i64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut rest = bytes.unsigned_abs();
    let mut parts = Vec::new();
    for unit in UNITS {
        if !rest.is_multiple_of(1024) {
            parts.push(format!("{}{unit}", rest % 1024));
        }
        rest /= 1024;
    }
    parts.reverse();
    format!("{}{}", if bytes < 0 { "-" } else { "" }, parts.concat())
}

fn write_block(text: &mut String, out: &Out, indent: usize) {
    let pad = " ".repeat(indent);
    match out {
        Out::Map(entries) => {
            for (name, value) in entries {
                text.push_str(&pad);
                write_scalar(text, name, indent, true);
                text.push(':');
                write_value(text, value, indent);
            }
        }
        Out::List(items) if items.is_empty() => {
            text.push_str(&pad);
            text.push_str("[]\n");
        }
        Out::List(items) => {
            for item in items {
                text.push_str(&pad);
                text.push('-');
                write_item(text, item, indent);
            }
        }
        _ => {
            text.push_str(&pad);
            write_inline(text, out, indent);
            text.push('\n');
        }
    }
}

/// The value after `key:`.
fn write_value(text: &mut String, value: &Out, indent: usize) {
    match value {
        Out::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            write_block(text, value, indent + 2);
        }
        Out::List(items) if !items.is_empty() => {
            text.push('\n');
            write_block(text, value, indent);
        }
        _ => {
            text.push(' ');
            write_inline(text, value, indent);
            text.push('\n');
        }
    }
}

/// The value after `-`: a mapping starts on the same line.
fn write_item(text: &mut String, item: &Out, indent: usize) {
    match item {
        Out::Map(entries) if !entries.is_empty() => {
            let mut block = String::new();
            write_block(&mut block, item, indent + 2);
            text.push(' ');
            text.push_str(block.trim_start_matches(' '));
        }
        Out::List(items) if !items.is_empty() => {
            let mut block = String::new();
            write_block(&mut block, item, indent + 2);
            text.push(' ');
            text.push_str(block.trim_start_matches(' '));
        }
        _ => {
            text.push(' ');
            write_inline(text, item, indent);
            text.push('\n');
        }
    }
}

fn write_inline(text: &mut String, out: &Out, indent: usize) {
    match out {
        Out::Bare(bare) => text.push_str(bare),
        Out::Text(scalar) => write_scalar(text, scalar, indent, false),
        Out::List(items) | Out::FlowList(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                match item {
                    Out::Text(scalar) => push_plain_or_quoted(text, scalar, true),
                    other => write_inline(text, other, indent),
                }
            }
            text.push(']');
        }
        Out::Map(_) => text.push_str("{}"),
    }
}

fn write_scalar(text: &mut String, scalar: &str, indent: usize, key: bool) {
    if scalar.contains('\n') && !key && literal_allowed(scalar) {
        write_literal(text, scalar, indent + 2);
        return;
    }
    let line_start = text.rfind('\n').map_or(0, |at| at + 1);
    let column = text[line_start..].chars().count();
    let mut printed = String::new();
    push_plain_or_quoted(&mut printed, scalar, false);
    if key || column + printed.len() <= LINE_WIDTH {
        text.push_str(&printed);
    } else {
        push_folded(text, &printed, column, indent + 2);
    }
}

/// Whether the block style can hold the text.
fn literal_allowed(scalar: &str) -> bool {
    !scalar.starts_with([' ', '\n', '\t'])
        && scalar.chars().all(is_printable_or_break)
        && !scalar.lines().any(|line| line.ends_with(' '))
}

fn is_printable_or_break(c: char) -> bool {
    c == '\n'
        || c == '\t'
        || (c >= ' ' && c != '\u{7f}' && !('\u{80}'..='\u{9f}').contains(&c) && c != '\u{feff}')
}

fn write_literal(text: &mut String, scalar: &str, indent: usize) {
    let body = scalar.trim_end_matches('\n');
    let chomping = match scalar.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    text.push_str(chomping);
    for line in body.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
    }
    for _ in 1..scalar.len() - body.len() {
        text.push('\n');
    }
}

/// Breaks a long scalar at single spaces, as upstream's emitter does.
fn push_folded(text: &mut String, printed: &str, column: usize, indent: usize) {
    let double_quoted = printed.starts_with('"');
    let chars: Vec<char> = printed.chars().collect();
    let mut column = column;
    for (at, c) in chars.iter().enumerate() {
        let neighbours_good = at > 0 && at + 1 < chars.len() && chars[at + 1] != ' ' && chars[at - 1] != ' ';
        let inside = at > 1 || !printed.starts_with(['"', '\'']);
        if *c == ' ' && column > LINE_WIDTH && neighbours_good && inside {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
            continue;
        }
        text.push(*c);
        column += 1;
    }
    debug_assert!(!double_quoted || printed.ends_with('"'), "quotes close");
}

fn push_plain_or_quoted(text: &mut String, scalar: &str, flow: bool) {
    let resolves_to_text = scalar_is_text(scalar);
    if scalar.chars().any(|c| !is_printable_or_break(c) || c == '\n') {
        push_double_quoted(text, scalar);
    } else if !resolves_to_text {
        text.push('"');
        text.push_str(scalar);
        text.push('"');
    } else if plain_allowed(scalar, flow) {
        text.push_str(scalar);
    } else {
        text.push('\'');
        text.push_str(&scalar.replace('\'', "''"));
        text.push('\'');
    }
}

/// Whether a reader sees a string when it stands there without quotes.
fn scalar_is_text(scalar: &str) -> bool {
    let resolved = Scalar { text: scalar.to_owned(), plain: true, invalid_utf8: None }.resolve();
    resolved == Resolved::Str && !is_base60(scalar) && !is_timestamp(scalar) && scalar != "<<"
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`, a number to old readers.
fn is_base60(scalar: &str) -> bool {
    let unsigned = scalar.strip_prefix(['-', '+']).unwrap_or(scalar);
    let whole = unsigned.split_once('.').map_or(unsigned, |(whole, fraction)| {
        if fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_') { whole } else { "" }
    });
    let mut groups = whole.split(':');
    let first_good = groups.next().is_some_and(|group| {
        group.starts_with(|c: char| c.is_ascii_digit())
            && group.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    });
    let mut rest = groups.peekable();
    first_good
        && rest.peek().is_some()
        && rest.all(|group| matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

/// `2006-01-02`, alone or followed by a time.
fn is_timestamp(scalar: &str) -> bool {
    let bytes = scalar.as_bytes();
    let date = bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    if !date {
        return false;
    }
    let date_end = scalar.find(['T', 't', ' ']).unwrap_or(scalar.len());
    let parts: Vec<&str> = scalar[..date_end].split('-').collect();
    let number = |part: &&str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let time = &scalar[date_end..];
    parts.len() == 3
        && parts.iter().all(number)
        && (time.is_empty()
            || time[1..].bytes().all(|b| b.is_ascii_digit() || b":.Z+-".contains(&b)) && time.contains(':'))
}

fn plain_allowed(scalar: &str, flow: bool) -> bool {
    if scalar.is_empty() || scalar.starts_with(' ') || scalar.ends_with(' ') || scalar.contains('\t') {
        return false;
    }
    if scalar.starts_with("---") || scalar.starts_with("...") {
        return false;
    }
    let chars: Vec<char> = scalar.chars().collect();
    chars.iter().enumerate().all(|(at, c)| {
        let next_blank = chars.get(at + 1).is_none_or(|next| *next == ' ');
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`'
                if at == 0 =>
            {
                false
            }
            '?' | ':' if at == 0 => !next_blank && !flow,
            '-' if at == 0 => !next_blank,
            ',' | '?' | '[' | ']' | '{' | '}' => !flow,
            ':' => !flow && !next_blank,
            '#' => chars[at - 1] != ' ',
            _ => true,
        }
    })
}

fn push_double_quoted(text: &mut String, scalar: &str) {
    text.push('"');
    for c in scalar.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            '\0' => text.push_str("\\0"),
            c if is_printable_or_break(c) => text.push(c),
            c if u32::from(c) <= 0xff => text.push_str(&format!("\\x{:02X}", u32::from(c))),
            c if u32::from(c) <= 0xffff => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::NodeKind;

    #[test]
    fn sizes_print_as_upstream() {
        for (bytes, want) in
            [(15 << 20, "15MiB"), (1536 << 20, "1GiB512MiB"), (1, "1B"), (-(1 << 30), "-1GiB"), (0, "0B")]
        {
            assert_eq!(bytes_text(bytes), want);
        }
    }

    #[test]
    fn long_texts_fold_at_spaces() {
        let mut text = String::from("key: ");
        let words = "word ".repeat(20);
        write_scalar(&mut text, words.trim_end(), 0, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].len() > 80 && lines[1].starts_with("  word"), "{text}");
        let read = crate::yaml::parse(&text).unwrap().unwrap();
        assert_eq!(read.get("key").unwrap().scalar_text(), Some(words.trim_end()));
    }

    #[test]
    fn scalars_are_quoted_only_where_needed() {
        for (scalar, want) in [
            ("abc", "abc"),
            ("123", "\"123\""),
            ("true", "\"true\""),
            ("", "\"\""),
            ("~", "\"~\""),
            ("(.*)", "(.*)"),
            (";", ";"),
            (",", "','"),
            ("$1", "$1"),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("'x'", "'''x'''"),
            ("*.yml", "'*.yml'"),
            ("http://x:80/y", "http://x:80/y"),
            ("12:30:45", "\"12:30:45\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("11111111-1111-1111-1111-111111111112", "11111111-1111-1111-1111-111111111112"),
            ("<secret>", "<secret>"),
            ("bell\u{7}", "\"bell\\x07\""),
            ("k #c", "'k #c'"),
            ("- x", "'- x'"),
            ("15s", "15s"),
        ] {
            let mut text = String::new();
            write_scalar(&mut text, scalar, 0, false);
            assert_eq!(text, want, "{scalar:?}");
        }
        let mut text = String::new();
        write_scalar(&mut text, "a\nb\n", 0, false);
        assert_eq!(text, "|\n  a\n  b");
    }

    proptest::proptest! {
        /// Whatever text a configuration holds, it reads back as it was printed.
        #[test]
        fn printed_texts_read_back(value in "[a-z0-9 :#,'\"\\[\\]{}\\n\\t\\\\|>&*!%@`~<=?.é-]{0,120}", key in "[a-zA-Z0-9_:#' -]{1,12}") {
            let mut text = String::new();
            write_block(&mut text, &Out::Map(vec![(key.clone(), Out::Text(value.clone()))]), 0);
            let node = crate::yaml::parse(&text).unwrap_or_else(|err| panic!("{err}\n{text}")).unwrap();
            let (name, read) = &node.entries().unwrap()[0];
            proptest::prop_assert_eq!(name.scalar_text(), Some(key.as_str()), "{}", text);
            proptest::prop_assert_eq!(read.scalar_text(), Some(value.as_str()), "{}", text);
            let NodeKind::Scalar(scalar) = &read.kind else { panic!("a scalar") };
            proptest::prop_assert_eq!(scalar.resolve(), Resolved::Str, "{}", text);
        }
    }
}
