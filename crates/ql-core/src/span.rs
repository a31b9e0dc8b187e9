//! Where in a query's text something stands.

use std::fmt;

/// A half-open range of byte offsets into the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// From the start of `self` to the end of `last`.
    pub const fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }

    /// The text the span covers, empty if the span lies outside of `text`.
    pub fn text(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }

    /// Where the span starts, as users count it. `None` if that is past the end of `text`.
    pub fn line_column(self, text: &str) -> Option<LineColumn> {
        let before = text.as_bytes().get(..self.start as usize)?;
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = before.iter().rev().position(|b| *b == b'\n').unwrap_or(before.len()) + 1;
        Some(LineColumn { line, column })
    }
}

/// A position as upstream prints it: both from 1, columns in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_lines_and_bytes() {
        let text = "a +\n  bé c";
        for (start, expected) in
            [(0, Some("1:1")), (3, Some("1:4")), (4, Some("2:1")), (10, Some("2:7")), (99, None)]
        {
            let found = Span::new(start, start).line_column(text).map(|p| p.to_string());
            assert_eq!(found.as_deref(), expected, "offset {start}");
        }
        assert_eq!(Span::new(0, 1).text(text), "a");
    }
}
