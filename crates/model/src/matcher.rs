//! Label matchers: `=`, `!=`, `=~`, `!~`, with upstream's meaning of the empty value.

use std::fmt;

use crate::labels::GoQuoted;
use crate::regex::{InvalidRegex, LabelRegex};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One condition on one label. A missing label has the empty value.
#[derive(Clone)]
pub struct Matcher {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    regex: Option<LabelRegex>,
}

impl Matcher {
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, InvalidRegex> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(LabelRegex::new(value)?),
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), regex })
    }

    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), regex: None }
    }

    /// Whether a label with this value (empty if missing) satisfies the matcher.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => unreachable!("new() compiles every regex"),
        }
    }

    /// Whether series without the label match.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The compiled regex of `=~` and `!~`.
    pub fn regex(&self) -> Option<&LabelRegex> {
        self.regex.as_ref()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::validation::is_legacy_label_name(&self.name) {
            write!(f, "{}{}{}", self.name, self.op, GoQuoted(&self.value))
        } else {
            write!(f, "{}{}{}", GoQuoted(&self.name), self.op, GoQuoted(&self.value))
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_compare_anchored_and_treat_missing_as_empty() {
        for (op, pattern, value, expected) in [
            (MatchOp::Equal, "a", "a", true),
            (MatchOp::NotEqual, "a", "", true),
            (MatchOp::Regex, "a.*", "ab", true),
            (MatchOp::Regex, "a", "ab", false),
            (MatchOp::NotRegex, "a|b", "b", false),
            (MatchOp::Regex, ".*", "", true),
        ] {
            let matcher = Matcher::new(op, "l", pattern).unwrap();
            assert_eq!(matcher.matches(value), expected, "{matcher} on {value:?}");
        }
    }
}
