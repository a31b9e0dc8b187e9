//! Names of metrics and labels, legacy (ASCII) and UTF-8.

use std::fmt;

/// Which names are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NameValidation {
    /// Any text but the empty one.
    #[default]
    Utf8,
    /// Only ASCII letters, digits and underscores, and colons in metric names.
    Legacy,
}

impl NameValidation {
    /// The name in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Legacy => "legacy",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Utf8, Self::Legacy].into_iter().find(|scheme| scheme.as_str() == text)
    }

    pub fn allows_label_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_label_name(name),
        }
    }

    pub fn allows_metric_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_metric_name(name),
        }
    }
}

impl fmt::Display for NameValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_scheme() {
        for (name, legacy_label, legacy_metric, utf8) in [
            ("", false, false, false),
            ("a", true, true, true),
            ("_a1", true, true, true),
            ("1a", false, false, true),
            ("a:b", false, true, true),
            ("a.b", false, false, true),
            ("é", false, false, true),
        ] {
            assert_eq!(NameValidation::Legacy.allows_label_name(name), legacy_label, "{name}");
            assert_eq!(NameValidation::Legacy.allows_metric_name(name), legacy_metric, "{name}");
            assert_eq!(NameValidation::Utf8.allows_label_name(name), utf8, "{name}");
            assert_eq!(NameValidation::Utf8.allows_metric_name(name), utf8, "{name}");
        }
        assert_eq!(NameValidation::parse("legacy"), Some(NameValidation::Legacy));
        assert_eq!(NameValidation::parse(""), None);
    }
}
