//! How names that are not plain ASCII identifiers are written for clients that cannot read them.

use std::borrow::Cow;
use std::fmt;

use model::validation::is_legacy_metric_name;

/// An escaping scheme under its name in headers and configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EscapingScheme {
    /// Names are quoted, not escaped.
    #[default]
    AllowUtf8,
    /// Odd characters become underscores.
    Underscores,
    /// Dots become `_dot_`, underscores and the rest `__`.
    Dots,
    /// `U__` in front, and every odd character as its code point in hexadecimal.
    Values,
}

impl EscapingScheme {
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// A metric or label name as a client with this scheme gets it.
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        let plain = match self {
            Self::AllowUtf8 => true,
            Self::Dots => name.is_empty(),
            Self::Underscores | Self::Values => name.is_empty() || is_legacy_metric_name(name),
        };
        if plain {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (idx, c) in name.char_indices() {
            let legacy = c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && idx > 0);
            match (self, c) {
                (Self::Dots | Self::Values, '_') => out.push_str("__"),
                (Self::Dots, '.') => out.push_str("_dot_"),
                _ if legacy => out.push(c),
                (Self::Dots, _) => out.push_str("__"),
                (Self::Values, c) => out.push_str(&format!("_{:x}_", c as u32)),
                _ => out.push('_'),
            }
        }
        Cow::Owned(out)
    }

    /// The name that [`EscapingScheme::escape`] was given, as far as the scheme lets it be known.
    pub fn unescape(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::AllowUtf8 | Self::Underscores => Cow::Borrowed(name),
            Self::Dots => Cow::Owned(name.replace("_dot_", ".").replace("__", "_")),
            Self::Values => match name.strip_prefix("U__").and_then(unescape_values) {
                Some(unescaped) => Cow::Owned(unescaped),
                None => Cow::Borrowed(name),
            },
        }
    }
}

impl fmt::Display for EscapingScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The most hexadecimal digits of a code point.
const CODE_DIGITS_MAX: usize = 6;

fn unescape_values(mut rest: &str) -> Option<String> {
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (digits, after) = rest.split_once('_')?;
        if digits.len() > CODE_DIGITS_MAX {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
