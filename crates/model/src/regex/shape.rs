//! What a pattern is like, found once, so that most matching needs no regex engine and the label
//! index can look up values instead of testing each.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// The most values a pattern may be replaced by.
const LITERALS_MAX: usize = 256;

/// A pattern that a simpler test decides.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Exactly these values, sorted.
    Literals(Vec<String>),
    /// Any of these.
    Globs(Vec<Glob>),
    /// None of the above.
    Other,
}

impl Shape {
    /// Whether the value matches; never for [`Shape::Other`], which does not know.
    pub(super) fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Literals(literals) => literals.binary_search_by(|l| l.as_str().cmp(value)).is_ok(),
            Self::Globs(globs) => globs.iter().any(|glob| glob.matches(value)),
            Self::Other => false,
        }
    }
}

/// Literals with gaps of any text between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// The value starts with this.
    prefix: String,
    /// What follows the prefix: a gap each time, then the text; the text of the last one ends the
    /// value. Never empty, or the glob were a literal.
    parts: Vec<GlobPart>,
}

#[derive(Debug, PartialEq, Eq)]
struct GlobPart {
    /// Whether the gap has at least one character.
    gap_not_empty: bool,
    text: String,
}

impl Glob {
    pub(super) fn matches(&self, value: &str) -> bool {
        let Some(mut rest) = value.strip_prefix(self.prefix.as_str()) else { return false };
        let Some((last, middle)) = self.parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(after) = part.after_leftmost(rest) else { return false };
            rest = after;
        }
        match rest.strip_suffix(last.text.as_str()) {
            Some(gap) => !last.gap_not_empty || !gap.is_empty(),
            None => false,
        }
    }
}

impl GlobPart {
    /// What follows the leftmost place where the gap and the text fit.
    fn after_leftmost<'v>(&self, value: &'v str) -> Option<&'v str> {
        let skip = if self.gap_not_empty { value.chars().next()?.len_utf8() } else { 0 };
        let at = value[skip..].find(self.text.as_str())?;
        Some(&value[skip + at + self.text.len()..])
    }
}

pub(super) fn analyse(hir: &Hir) -> Shape {
    if let Some(mut literals) = literals(hir, true, true) {
        literals.sort_unstable();
        literals.dedup();
        return Shape::Literals(literals);
    }
    let branches = match strip_captures(hir).kind() {
        HirKind::Alternation(branches) => branches.iter().map(glob).collect(),
        _ => glob(hir).map(|glob| vec![glob]),
    };
    branches.map_or(Shape::Other, Shape::Globs)
}

fn strip_captures(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(capture) => strip_captures(&capture.sub),
        _ => hir,
    }
}

/// All texts the expression matches, if they are few. Anchors may stand at the edges.
fn literals(hir: &Hir, at_start: bool, at_end: bool) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let mut chars = class.iter().flat_map(|range| range.start()..=range.end());
            let found: Vec<String> = chars.by_ref().take(LITERALS_MAX).map(String::from).collect();
            chars.next().is_none().then_some(found)
        }
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            let found: Vec<String> = bytes.map(|b| char::from(b).to_string()).collect();
            found.iter().all(|text| text.is_ascii()).then_some(found)
        }
        HirKind::Look(Look::Start) if at_start => Some(vec![String::new()]),
        HirKind::Look(Look::End) if at_end => Some(vec![String::new()]),
        HirKind::Look(_) => None,
        HirKind::Repetition(repetition) if repetition.min == 0 && repetition.max == Some(1) => {
            let mut found = literals(&repetition.sub, false, false)?;
            found.push(String::new());
            Some(found)
        }
        HirKind::Repetition(_) => None,
        HirKind::Capture(capture) => literals(&capture.sub, at_start, at_end),
        HirKind::Concat(parts) => {
            let mut found = vec![String::new()];
            for (idx, part) in parts.iter().enumerate() {
                let heads_empty = found.iter().all(String::is_empty);
                let tail = &parts[idx + 1..];
                let only_anchors = tail.iter().all(|h| matches!(h.kind(), HirKind::Look(Look::End)));
                found = products(&found, &literals(part, at_start && heads_empty, at_end && only_anchors)?)?;
            }
            Some(found)
        }
        HirKind::Alternation(branches) => {
            let mut found = Vec::new();
            for branch in branches {
                found.extend(literals(branch, at_start, at_end)?);
                if found.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(found)
        }
    }
}

/// Every head with every tail.
fn products(heads: &[String], tails: &[String]) -> Option<Vec<String>> {
    if heads.len().checked_mul(tails.len())? > LITERALS_MAX {
        return None;
    }
    Some(heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect())
}

fn glob(hir: &Hir) -> Option<Glob> {
    let mut glob = Glob { prefix: String::new(), parts: Vec::new() };
    let whole = strip_captures(hir);
    let parts = match whole.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(whole),
    };
    // The end of the value is where a glob ends anyway.
    let parts = match parts.split_last() {
        Some((last, rest)) if matches!(last.kind(), HirKind::Look(Look::End)) => rest,
        _ => parts,
    };
    let fits = parts.iter().all(|part| push_glob(part, &mut glob));
    fits.then_some(glob).filter(|glob| !glob.parts.is_empty())
}

/// Whether the expression could be appended.
fn push_glob(hir: &Hir, glob: &mut Glob) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Literal(literal) => {
            let Ok(text) = std::str::from_utf8(&literal.0) else { return false };
            glob.parts.last_mut().map_or(&mut glob.prefix, |part| &mut part.text).push_str(text);
            true
        }
        HirKind::Look(Look::Start) => glob.prefix.is_empty() && glob.parts.is_empty(),
        HirKind::Repetition(repetition) if repetition.max.is_none() && matches_any_char(&repetition.sub) => {
            match (glob.parts.last_mut().filter(|part| part.text.is_empty()), repetition.min) {
                (None, min @ 0..=1) => {
                    glob.parts.push(GlobPart { gap_not_empty: min == 1, text: String::new() });
                    true
                }
                (Some(_), 0) => true,
                (Some(part), 1) if !part.gap_not_empty => {
                    part.gap_not_empty = true;
                    true
                }
                _ => false,
            }
        }
        HirKind::Capture(capture) => push_glob(&capture.sub, glob),
        HirKind::Concat(parts) => parts.iter().all(|part| push_glob(part, glob)),
        _ => false,
    }
}

fn matches_any_char(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [range] if range.start() == '\0' && range.end() == char::MAX)
        }
        HirKind::Capture(capture) => matches_any_char(&capture.sub),
        _ => false,
    }
}

/// The text every match starts with.
pub(super) fn prefix(hir: &Hir) -> String {
    let (prefix, _) = prefix_and_rest(hir);
    prefix
}

/// The common prefix of all matches, and whether that is all there is to match.
fn prefix_and_rest(hir: &Hir) -> (String, bool) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(Look::Start | Look::End) => (String::new(), true),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => (text.to_owned(), true),
            Err(_) => (String::new(), false),
        },
        HirKind::Capture(capture) => prefix_and_rest(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min >= 1 => (prefix_and_rest(&repetition.sub).0, false),
        HirKind::Concat(parts) => {
            let mut prefix = String::new();
            for part in parts {
                let (text, whole) = prefix_and_rest(part);
                prefix.push_str(&text);
                if !whole {
                    return (prefix, false);
                }
            }
            (prefix, true)
        }
        HirKind::Alternation(branches) => {
            let mut all = branches.iter().map(|branch| prefix_and_rest(branch).0);
            let first = all.next().unwrap_or_default();
            (all.fold(first, |common, text| common_prefix(&common, &text).to_owned()), false)
        }
        _ => (String::new(), false),
    }
}

fn common_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let end = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map(|((at, _), _)| at);
    &a[..end.unwrap_or(a.len().min(b.len()))]
}
