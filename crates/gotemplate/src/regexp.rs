//! Go's `regexp` for `match` and `reReplaceAll`: unanchored, ASCII classes, Go's error texts for
//! the mistakes people make.

use std::fmt;

/// Why a pattern is refused, as `regexp.Compile` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPattern {
    pattern: String,
    reason: String,
}

impl InvalidPattern {
    /// The text of `regexp.MustCompile`'s panic.
    pub fn must_compile_text(&self) -> String {
        format!("regexp: Compile(`{}`): {self}", self.pattern)
    }
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}", self.reason)
    }
}

impl std::error::Error for InvalidPattern {}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern(regex::Regex);

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        regex::Regex::new(&with_ascii_classes(pattern))
            .map(Self)
            .map_err(|error| InvalidPattern { pattern: pattern.to_owned(), reason: reason(pattern, &error) })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// `ReplaceAllString`: `$1`, `$name` and `${name}` stand for groups.
    pub fn replace_all(&self, text: &str, replacement: &str) -> String {
        self.0.replace_all(text, replacement).into_owned()
    }
}

/// `\d`, `\s`, `\w` and `\b` are ASCII in Go; outside a class they can be wrapped where they stand.
fn with_ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match (chars.next(), in_class) {
                (Some('d'), false) => out.push_str("[0-9]"),
                (Some('D'), false) => out.push_str("[^0-9]"),
                (Some('w'), false) => out.push_str("[0-9A-Za-z_]"),
                (Some('W'), false) => out.push_str("[^0-9A-Za-z_]"),
                (Some('s'), false) => out.push_str("[\\t\\n\\f\\r ]"),
                (Some('S'), false) => out.push_str("[^\\t\\n\\f\\r ]"),
                (Some('b'), false) => out.push_str("(?-u:\\b)"),
                (Some('d'), true) => out.push_str("0-9"),
                (Some('w'), true) => out.push_str("0-9A-Za-z_"),
                (Some('s'), true) => out.push_str("\\t\\n\\f\\r "),
                (Some('z'), false) => out.push_str("\\z"),
                (Some(other), _) => {
                    out.push('\\');
                    out.push(other);
                }
                (None, _) => out.push('\\'),
            },
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                // A bracket right after the opening is a member of the class.
                let rest = chars.as_str();
                let negated = usize::from(rest.starts_with('^'));
                if rest[negated..].starts_with(']') {
                    out.push_str(&rest[..negated]);
                    out.push_str("\\]");
                    chars = rest[negated + 1..].chars();
                }
                // A POSIX class such as [[:alpha:]] stays whole.
                let rest = chars.as_str();
                if rest.starts_with("[:")
                    && let Some(end) = rest.find(":]")
                {
                    out.push_str(&rest[..end + 2]);
                    chars = rest[end + 2..].chars();
                }
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn reason(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let said = |kind: &str| last.contains(kind);
    if said("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if said("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if said("unclosed character class") {
        let from = pattern.find('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &pattern[from..])
    } else if said("repetition operator missing expression") {
        let from = pattern.find(['*', '+', '?']).unwrap_or(0);
        format!("missing argument to repetition operator: `{}`", &pattern[from..=from])
    } else if said("incomplete escape sequence") {
        "trailing backslash at end of expression: ``".to_owned()
    } else {
        format!("{last}: `{pattern}`")
    }
}
