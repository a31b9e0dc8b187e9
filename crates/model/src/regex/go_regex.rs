//! Go's `regexp.Regexp` as far as relabelling, functions and templates use it.

use regex_automata::Input;
use std::sync::Arc;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;

use super::shape::{self, Shape};
use super::{InvalidRegex, compile, go_syntax, parse};

/// A compiled pattern. Comparable by its text; cloning shares the compiled form.
#[derive(Debug, Clone)]
pub struct GoRegex {
    pattern: String,
    engine: meta::Regex,
    group_names: Vec<String>,
    /// Decides whether an anchored pattern matches without the engine.
    shortcut: Option<Arc<Shape>>,
}

impl PartialEq for GoRegex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for GoRegex {}

impl GoRegex {
    /// A pattern that matches anywhere, as Go's `regexp.Compile` makes it.
    pub fn new(pattern: &str) -> Result<Self, InvalidRegex> {
        Self::compile(pattern, pattern)
    }

    /// A pattern that must match the whole text and whose `.` matches newlines, as relabelling and
    /// `label_replace` have it. Errors show the pattern with what upstream puts around it.
    pub fn new_anchored(pattern: &str) -> Result<Self, InvalidRegex> {
        let regex = Self::compile(pattern, &format!("^(?s:{pattern})$"))?;
        // A pattern such as `a)(b` is valid only between the anchors.
        let shape = go_syntax::translate(pattern)
            .and_then(|translated| parse(&format!("(?s:{})", translated.pattern), pattern))
            .map_or(Shape::Other, |hir| shape::analyse(&hir));
        let shortcut = (shape != Shape::Other).then(|| Arc::new(shape));
        Ok(Self { shortcut, ..regex })
    }

    fn compile(pattern: &str, whole: &str) -> Result<Self, InvalidRegex> {
        let translated = go_syntax::translate(whole)?;
        let hir = parse(&translated.pattern, whole)?;
        let engine = compile(&hir, WhichCaptures::All, whole)?;
        Ok(Self { pattern: pattern.to_owned(), engine, group_names: translated.group_names, shortcut: None })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, text: &str) -> bool {
        match &self.shortcut {
            Some(shape) => shape.is_match(text),
            None => self.engine.is_match(text),
        }
    }

    /// The leftmost match with its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<GoCaptures<'_, 't>> {
        let mut found = self.engine.create_captures();
        self.engine.captures(text, &mut found);
        found.is_match().then_some(GoCaptures { regex: self, text, found })
    }

    /// Go's `ReplaceAllString`: each match is replaced by the template with `$1` and `${name}`
    /// expanded.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::new();
        let (mut search_at, mut copied_to) = (0, 0);
        let mut found = self.engine.create_captures();
        while search_at <= text.len() {
            self.engine.search_captures(&Input::new(text).range(search_at..), &mut found);
            let Some(span) = found.get_match().map(|m| m.range()) else { break };
            out.push_str(&text[copied_to..span.start]);
            // An empty match right behind a match is not replaced.
            if span.end > copied_to || span.start == 0 {
                GoCaptures { regex: self, text, found: found.clone() }.expand(template, &mut out);
            }
            copied_to = span.end;
            let width = text[search_at..].chars().next().map_or(1, char::len_utf8);
            search_at = span.end.max(search_at + width);
        }
        out.push_str(text.get(copied_to..).unwrap_or(""));
        out
    }
}

/// A match and its groups.
#[derive(Debug)]
pub struct GoCaptures<'r, 't> {
    regex: &'r GoRegex,
    text: &'t str,
    found: Captures,
}

impl<'t> GoCaptures<'_, 't> {
    /// The text of a group, 0 being the whole match; `None` if it took no part or does not exist.
    pub fn get(&self, group: usize) -> Option<&'t str> {
        self.found.get_group(group).map(|span| &self.text[span.start..span.end])
    }

    /// The text of the first group of that name which took part.
    pub fn name(&self, name: &str) -> Option<&'t str> {
        let names = self.regex.group_names.iter().enumerate();
        names.filter(|(_, n)| *n == name).find_map(|(group, _)| self.get(group))
    }

    /// Go's `Expand`: appends the template with `$1`, `${1}`, `$name` and `${name}` replaced by
    /// groups (or nothing), and `$$` by a dollar sign. A name is as long as possible: `$1x` is the
    /// group `1x`.
    pub fn expand(&self, template: &str, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = split_reference(rest) else {
                out.push('$');
                continue;
            };
            rest = after;
            let value = match group_number(name) {
                Some(group) => self.get(group),
                None => self.name(name),
            };
            out.push_str(value.unwrap_or(""));
        }
        out.push_str(rest);
    }
}

/// The name after a `$`, and what follows it; `None` if there is no well-formed one.
fn split_reference(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let end = body.find(|c: char| !is_name_char(c)).unwrap_or(body.len());
    let (name, rest) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced.is_some() { rest.strip_prefix('}').map(|rest| (name, rest)) } else { Some((name, rest)) }
}

/// Letters, decimal digits of any script, and the underscore.
fn is_name_char(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// The number of a group written without leading zeros.
fn group_number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|b| b.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    if plain { name.parse().ok().filter(|n| *n < 1_000_000_000) } else { None }
}
