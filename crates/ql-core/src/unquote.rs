//! String literals as the query languages write them: Go's escapes, with single quotes treated as
//! double quotes, and raw strings in backquotes.

/// The literal is malformed. The text is the one users of upstream know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct InvalidLiteral;

/// The bytes a quoted literal stands for. `\xNN` and octal escapes give single bytes, so the result
/// need not be UTF-8.
pub fn unquote_bytes(literal: &str) -> Result<Vec<u8>, InvalidLiteral> {
    let quote = literal.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')).ok_or(InvalidLiteral)?;
    let body = literal[1..].strip_suffix(quote).ok_or(InvalidLiteral)?;
    if quote == '`' {
        return if body.contains('`') { Err(InvalidLiteral) } else { Ok(body.as_bytes().to_vec()) };
    }
    if body.contains('\n') {
        return Err(InvalidLiteral);
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => return Err(InvalidLiteral),
            '\\' => push_escape(&mut out, &mut rest, quote)?,
            c => push_char(&mut out, c),
        }
    }
    Ok(out)
}

/// [`unquote_bytes`] as text; each byte that is not UTF-8 becomes U+FFFD, as Go's JSON shows it.
pub fn unquote(literal: &str) -> Result<String, InvalidLiteral> {
    unquote_bytes(literal).map(|bytes| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => lossy(e.as_bytes()),
    })
}

/// One U+FFFD for each byte that is not part of a well-formed sequence.
fn lossy(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_escape(out: &mut Vec<u8>, rest: &mut std::str::Chars<'_>, quote: char) -> Result<(), InvalidLiteral> {
    let c = rest.next().ok_or(InvalidLiteral)?;
    let byte = match c {
        'a' => 7,
        'b' => 8,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' | '"' if c == quote => u8::try_from(c).map_err(|_| InvalidLiteral)?,
        'x' => u8::try_from(digits(rest, 2, 16, 0)?).map_err(|_| InvalidLiteral)?,
        '0'..='7' => {
            let first = c.to_digit(8).ok_or(InvalidLiteral)?;
            u8::try_from(digits(rest, 2, 8, first)?).map_err(|_| InvalidLiteral)?
        }
        'u' | 'U' => {
            let code = digits(rest, if c == 'u' { 4 } else { 8 }, 16, 0)?;
            if code > u32::from(char::MAX) {
                return Err(InvalidLiteral);
            }
            // Go encodes lone surrogates as the replacement character.
            push_char(out, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return Ok(());
        }
        _ => return Err(InvalidLiteral),
    };
    out.push(byte);
    Ok(())
}

fn digits(
    rest: &mut std::str::Chars<'_>,
    count: usize,
    radix: u32,
    first: u32,
) -> Result<u32, InvalidLiteral> {
    let mut value = first;
    for _ in 0..count {
        let digit = rest.next().and_then(|c| c.to_digit(radix)).ok_or(InvalidLiteral)?;
        value = value.checked_mul(radix).and_then(|v| v.checked_add(digit)).ok_or(InvalidLiteral)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_unquote() {
        for (literal, expected) in [
            (r#""a""#, Some("a")),
            ("'a\"b'", Some("a\"b")),
            (r#""a\"b""#, Some("a\"b")),
            (r#""a\'b""#, None),
            (r#"'a\'b'"#, Some("a'b")),
            (r"`a\n`", Some("a\\n")),
            (r#""\a\b\f\n\r\t\v\\""#, Some("\u{7}\u{8}\u{c}\n\r\t\u{b}\\")),
            (r#""\x41\101\u00e9\U0001F600""#, Some("AAé😀")),
            (r#""\xff""#, Some("\u{fffd}")),
            (r#""\xe2\x82\xac""#, Some("€")),
            (r#""\400""#, None),
            (r#""\U00110000""#, None),
            (r#""\q""#, None),
            (r#""\x4""#, None),
            ("\"a\nb\"", None),
            ("\"", None),
            ("", None),
            ("a", None),
            ("\"a'", None),
        ] {
            assert_eq!(unquote(literal).ok().as_deref(), expected, "{literal}");
        }
        assert_eq!(unquote_bytes(r#""\xff""#), Ok(vec![0xff]));
    }
}
