//! What the parser says of an expression it refuses. Texts and positions are upstream's, since
//! clients show and match them.

use std::fmt;

use ql_core::Span;

/// The kind of a refusal, with its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The characters form no token.
    #[error("{0}")]
    Lexical(String),
    /// The tokens form no expression.
    #[error("{0}")]
    Syntax(String),
    /// A number, duration, string or regular expression is malformed.
    #[error("{0}")]
    Literal(String),
    /// The expression makes no sense: types, argument counts, features that are off.
    #[error("{0}")]
    Semantic(String),
    #[error("expression is nested more than {limit} levels deep")]
    TooDeep { limit: u32 },
    #[error("expression is longer than {limit} bytes")]
    TooLong { limit: usize },
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub span: Span,
    pub kind: ParseErrorKind,
}

/// Everything wrong with one expression; at least one error. Shown as the first of them, as
/// upstream does: `1:5: parse error: unexpected end of input`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors {
    query: String,
    errors: Vec<ParseError>,
}

impl ParseErrors {
    pub(super) fn new(query: &str, errors: Vec<ParseError>) -> Self {
        Self { query: query.to_owned(), errors }
    }

    pub fn errors(&self) -> &[ParseError] {
        &self.errors
    }

    /// The expression that was refused.
    pub fn query(&self) -> &str {
        &self.query
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.errors.first() else {
            return f.write_str("error contains no error message");
        };
        match first.span.line_column(&self.query) {
            _ if self.query.is_empty() => f.write_str("unknown position")?,
            Some(position) => write!(f, "{position}")?,
            None => f.write_str("invalid position")?,
        }
        write!(f, ": parse error: {}", first.kind)
    }
}

impl std::error::Error for ParseErrors {}
