//! From matchers to sets of series, over any label index: the live one or a part's.
//!
//! A matcher that the empty value satisfies also selects series without the label, so it is
//! answered by subtracting the values that it refuses; any other is the union of those it accepts.

use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

/// What matching needs of an index. Series are ordinals of the index.
pub(crate) trait LabelIndex {
    type Error;
    /// Every series.
    fn all(&self) -> RoaringBitmap;
    /// The series with exactly this value.
    fn with_value(&self, name: &str, value: &str) -> Result<RoaringBitmap, Self::Error>;
    /// The series whose value of `name` starts with `prefix` and satisfies `keep`.
    fn with_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Self::Error>;
}

/// One matcher's part of the answer.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// Only these.
    Within(RoaringBitmap),
    /// None of these.
    Without(RoaringBitmap),
}

/// What one matcher asks for.
pub(crate) fn condition<I: LabelIndex>(index: &I, matcher: &Matcher) -> Result<Condition, I::Error> {
    let name = &matcher.name;
    let any_value = |index: &I| index.with_values(name, "", &mut |_| true);
    match matcher.op {
        MatchOp::Equal if !matcher.value.is_empty() => {
            index.with_value(name, &matcher.value).map(Condition::Within)
        }
        MatchOp::Equal => any_value(index).map(Condition::Without),
        MatchOp::NotEqual if !matcher.value.is_empty() => {
            index.with_value(name, &matcher.value).map(Condition::Without)
        }
        MatchOp::NotEqual => any_value(index).map(Condition::Within),
        MatchOp::Regex | MatchOp::NotRegex => regex_condition(index, matcher),
    }
}

fn regex_condition<I: LabelIndex>(index: &I, matcher: &Matcher) -> Result<Condition, I::Error> {
    // The values that the pattern itself accepts, whether the matcher is negated or not: that is the
    // side for which there are shortcuts.
    let name = &matcher.name;
    let positive = matcher.op == MatchOp::Regex;
    match matcher.value.as_str() {
        ".*" if positive => return Ok(Condition::Without(RoaringBitmap::new())),
        ".*" => return Ok(Condition::Within(RoaringBitmap::new())),
        ".+" => {
            let present = index.with_values(name, "", &mut |_| true)?;
            return Ok(if positive { Condition::Within(present) } else { Condition::Without(present) });
        }
        _ => {}
    }
    let pattern_takes_empty = matcher.matches_empty() == positive;
    if !pattern_takes_empty {
        let accepted = accepted_values(index, matcher)?;
        return Ok(if positive { Condition::Within(accepted) } else { Condition::Without(accepted) });
    }
    let refused = index.with_values(name, "", &mut |value| matcher.matches(value) != positive)?;
    Ok(if positive { Condition::Without(refused) } else { Condition::Within(refused) })
}

/// The series whose value the pattern accepts; the pattern refuses the empty value.
fn accepted_values<I: LabelIndex>(index: &I, matcher: &Matcher) -> Result<RoaringBitmap, I::Error> {
    let name = &matcher.name;
    let positive = matcher.op == MatchOp::Regex;
    let regex = matcher.regex().expect("regex matchers hold their pattern");
    if let Some(literals) = regex.literals() {
        let mut all = RoaringBitmap::new();
        for literal in literals {
            all |= index.with_value(name, literal)?;
        }
        return Ok(all);
    }
    let prefix = regex.prefix();
    index.with_values(name, prefix, &mut |value| matcher.matches(value) == positive)
}

/// The series that satisfy every condition.
pub(crate) fn combine(all: impl FnOnce() -> RoaringBitmap, conditions: Vec<Condition>) -> RoaringBitmap {
    let mut within: Vec<RoaringBitmap> = Vec::new();
    let mut without: Vec<RoaringBitmap> = Vec::new();
    for condition in conditions {
        match condition {
            Condition::Within(set) => within.push(set),
            Condition::Without(set) => without.push(set),
        }
    }
    // The smallest set first keeps every intersection as small as it can be.
    within.sort_by_key(RoaringBitmap::len);
    let mut within = within.into_iter();
    let mut result = within.next().unwrap_or_else(all);
    for set in within {
        result &= set;
    }
    for set in without {
        result -= set;
    }
    result
}

/// The series that satisfy all matchers.
pub(crate) fn select<I: LabelIndex>(index: &I, matchers: &[Matcher]) -> Result<RoaringBitmap, I::Error> {
    let mut conditions = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        conditions.push(condition(index, matcher)?);
    }
    Ok(combine(|| index.all(), conditions))
}
