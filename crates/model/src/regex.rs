//! Regular expressions with Go's meaning: [`LabelRegex`] for matchers, anchored and fast, and
//! [`GoRegex`] with captures and replacement templates for relabelling, functions and templates.

mod go_regex;
mod go_syntax;
mod shape;

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;
use regex_syntax::hir::{Hir, Look};

pub use go_regex::{GoCaptures, GoRegex};
use shape::Shape;

/// The memory a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 32 << 20;

/// Why a pattern is refused, in Go's words: ``error parsing regexp: missing closing ): `a(` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRegex(pub String);

impl fmt::Display for InvalidRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRegex {}

/// A compiled, fully anchored pattern whose `.` matches newlines. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LabelRegex(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    pattern: String,
    prefix: String,
    shape: Shape,
    /// Present exactly if the shape is [`Shape::Other`].
    engine: Option<meta::Regex>,
}

impl LabelRegex {
    pub fn new(pattern: &str) -> Result<Self, InvalidRegex> {
        let translated = go_syntax::translate(pattern)?;
        let hir = parse(&format!("(?s:{})", translated.pattern), pattern)?;
        let prefix = shape::prefix(&hir);
        let shape = shape::analyse(&hir);
        let engine = match shape {
            Shape::Other => {
                let anchored = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
                Some(compile(&anchored, pattern)?)
            }
            _ => None,
        };
        Ok(Self(Arc::new(Compiled { pattern: pattern.to_owned(), prefix, shape, engine })))
    }

    pub fn is_match(&self, value: &str) -> bool {
        match &self.0.engine {
            Some(engine) => engine.is_match(value),
            None => self.0.shape.is_match(value),
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0.pattern
    }

    /// All values that match, sorted, if they are few and known: `a|b`, `foo[123]`.
    pub fn literals(&self) -> Option<&[String]> {
        match &self.0.shape {
            Shape::Literals(literals) => Some(literals),
            _ => None,
        }
    }

    /// What every matching value starts with; perhaps empty.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }
}

/// Parses a translated pattern. `original` is for the error, should the translation be at fault.
fn parse(translated: &str, original: &str) -> Result<Hir, InvalidRegex> {
    // The nested groups have been counted; the parser's own limit counts more than groups.
    regex_syntax::ParserBuilder::new()
        .utf8(false)
        .nest_limit(1_000)
        .build()
        .parse(translated)
        .map_err(|_| go_syntax::error("expression nests too deeply", original))
}

fn compile(hir: &Hir, original: &str) -> Result<meta::Regex, InvalidRegex> {
    let config = meta::Config::new().utf8_empty(true).nfa_size_limit(Some(COMPILED_BYTES_MAX));
    meta::Builder::new()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|_| go_syntax::error("expression too large", original))
}

#[cfg(test)]
mod tests;
