//! Regular expressions with Go's meaning: [`LabelRegex`] for matchers, anchored and fast, and
//! [`GoRegex`] with captures and replacement templates for relabelling, functions and templates.

mod go_regex;
mod go_syntax;
mod shape;

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_syntax::hir::{Hir, Look};

pub use go_regex::{GoCaptures, GoRegex};
use shape::Shape;

/// The memory a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 32 << 20;

/// What a search for groups may take: the engine of last resort keeps, twice, every group's
/// position for each state of the automaton.
const GROUPS_BYTES_MAX: usize = 64 << 20;

/// What the lazily built automaton may keep of its states, per thread and direction.
const LAZY_STATES_BYTES_MAX: usize = 2 << 20;

/// What the automata built ahead may take.
const ONE_PASS_BYTES_MAX: usize = 1 << 20;
const AHEAD_BYTES_MAX: usize = 40 << 10;

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
                Some(compile(&anchored, WhichCaptures::None, pattern)?)
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

/// Compiles a pattern if it and what a search with it allocates stay within the limits above.
fn compile(hir: &Hir, groups: WhichCaptures, original: &str) -> Result<meta::Regex, InvalidRegex> {
    let too_large = || go_syntax::error("expression too large", original);
    if matches!(groups, WhichCaptures::All) && groups_bytes(hir).is_none_or(|bytes| bytes > GROUPS_BYTES_MAX)
    {
        return Err(too_large());
    }
    let config = meta::Config::new()
        .utf8_empty(true)
        .which_captures(groups)
        .nfa_size_limit(Some(COMPILED_BYTES_MAX))
        .hybrid_cache_capacity(LAZY_STATES_BYTES_MAX)
        .onepass_size_limit(Some(ONE_PASS_BYTES_MAX))
        .dfa_size_limit(Some(AHEAD_BYTES_MAX));
    meta::Builder::new().configure(config).build_from_hir(hir).map_err(|_| too_large())
}

/// The bytes a search for groups may take; `None` if the pattern itself is too large.
fn groups_bytes(hir: &Hir) -> Option<usize> {
    let config = thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX));
    let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
    let slots = nfa.states().len().checked_mul(nfa.group_info().slot_len())?;
    slots.checked_mul(2 * size_of::<usize>())
}

#[cfg(test)]
mod tests;
