//! What the query languages share: source spans, string literals, diagnostics. Knows no single language.

pub mod span;
pub mod unquote;

pub use span::{LineColumn, Span};
