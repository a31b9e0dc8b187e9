//! Go's literals: quoted strings, characters and numbers.

/// A number constant and everything it can be read as.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
}

impl Number {
    /// Whether the syntax alone makes it a float: a point or an exponent, not a hexadecimal integer.
    pub(crate) fn looks_float(&self) -> bool {
        let hex_int = self.text.len() > 2
            && (self.text.starts_with("0x") || self.text.starts_with("0X"))
            && !self.text.contains(['p', 'P']);
        !hex_int && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut number = Self { text: text.to_owned(), int: None, uint: None, float: None };
        if text.starts_with('\'') {
            let c = unquote(text).and_then(|s| {
                let mut chars = s.chars();
                chars.next().filter(|_| chars.next().is_none())
            });
            let c = c.ok_or_else(|| format!("malformed character constant: {text}"))?;
            number.int = Some(i64::from(u32::from(c)));
            number.uint = Some(u64::from(u32::from(c)));
            number.float = Some(f64::from(u32::from(c)));
            return Ok(number);
        }
        number.uint = parse_int(text).and_then(|v| u64::try_from(v).ok());
        number.int = parse_int(text).and_then(|v| i64::try_from(v).ok());
        #[expect(
            clippy::cast_precision_loss,
            reason = "Go converts an integer constant to float64 the same way"
        )]
        if let Some(v) = number.int {
            number.float = Some(v as f64);
        } else if let Some(v) = number.uint {
            number.float = Some(v as f64);
        } else if let Some(v) = parse_float(text) {
            if v.is_infinite() || !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", model::labels::GoQuoted(text)));
            }
            number.float = Some(v);
            #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
            if v.fract() == 0.0 && v.abs() < 9.2e18 {
                number.int = Some(v as i64);
                number.uint = u64::try_from(v as i64).ok();
            }
        }
        if number.float.is_none() {
            return Err(format!("illegal number syntax: {}", model::labels::GoQuoted(text)));
        }
        Ok(number)
    }
}

/// `strconv.ParseInt(s, 0, …)`: signs, base prefixes and underscores between digits.
fn parse_int(text: &str) -> Option<i128> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = body.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.ends_with('_') || digits.contains("__") || (radix == 10 && digits.starts_with('_')) {
        return None;
    }
    let plain = digits.replace('_', "");
    if plain.is_empty() || plain.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&plain, radix).ok()?;
    Some(if negative { -value } else { value })
}

fn parse_float(text: &str) -> Option<f64> {
    base::gofloat::parse(&text.replace('_', ""))
}

/// `strconv.Unquote` for the three kinds of Go literals; `None` on bad syntax.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next()?;
    let body = text.get(1..text.len().checked_sub(1)?)?;
    if !text.ends_with(quote) || text.len() < 2 {
        return None;
    }
    match quote {
        '`' => return Some(body.replace('\r', "")),
        '"' | '\'' => {}
        _ => return None,
    }
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        push_escape(&mut out, &mut chars, quote)?;
    }
    // Go keeps bytes that are no UTF-8; here they become replacement characters.
    Some(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn push_escape(out: &mut Vec<u8>, chars: &mut std::str::Chars<'_>, quote: char) -> Option<()> {
    let simple = match chars.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '\'' if quote == '\'' => b'\'',
        '"' if quote == '"' => b'"',
        'x' => u8::try_from(take_digits(chars, 2, 16)?).ok()?,
        c @ ('u' | 'U') => {
            let code = take_digits(chars, if c == 'u' { 4 } else { 8 }, 16)?;
            out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        c @ '0'..='7' => {
            let rest = take_digits(chars, 2, 8)?;
            u8::try_from(c.to_digit(8)? * 64 + rest).ok()?
        }
        _ => return None,
    };
    out.push(simple);
    Some(())
}

fn take_digits(chars: &mut std::str::Chars<'_>, n: usize, radix: u32) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..n {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(value)
}
