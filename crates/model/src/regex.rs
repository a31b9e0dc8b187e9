//! Label regexes with Go RE2 meaning: fully anchored, `.` matches newlines, ASCII classes.

use std::fmt;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRegex(pub String);

impl fmt::Display for InvalidRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRegex {}

/// A compiled, fully anchored pattern.
#[derive(Debug, Clone)]
pub struct LabelRegex {
    compiled: regex::Regex,
}

impl LabelRegex {
    pub fn new(pattern: &str) -> Result<Self, InvalidRegex> {
        regex::Regex::new(&format!("^(?s:{pattern})$"))
            .map(|compiled| Self { compiled })
            .map_err(|e| InvalidRegex(e.to_string()))
    }

    pub fn is_match(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }
}
