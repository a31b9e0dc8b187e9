//! Go's regular expressions and relabelling.

use model::regex::{GoRegex, LabelRegex};
use model::relabel::{RelabelAction, RelabelConfig, process, trace};
use model::validation::NameValidation;
use model::{Labels, MatchOp, Matcher};

use crate::Target;
use crate::input::{Input, text};

/// A pattern may compile to tens of megabytes, three times over, and search in as much again.
const COMPILED_BYTES_MAX: usize = 384 << 20;

const WORDS: &[&str] = &[
    "(?i)",
    "(?s:",
    "(?m)",
    "(?-s)",
    "(?P<x>",
    "(?<y>",
    "(?:",
    "[[:alpha:]]",
    "[^a-z]",
    "\\d",
    "\\W",
    "\\pL",
    "\\P{Greek}",
    "\\x{10ffff}",
    "\\Q",
    "\\E",
    "\\b",
    "\\B",
    "\\A",
    "\\z",
    "\\C",
    "^",
    "$",
    ".*",
    ".+?",
    "{2,3}",
    "{0}",
    "{1000}",
    "|",
    "*",
    "?",
    "(",
    ")",
    "[",
    "]",
    "a",
    "é",
    "\\n",
    "\n",
    "\0",
    "\\u0041",
    "\\000",
];

pub(super) const TARGETS: &[Target] = &[
    Target::new("regex", check_regex, || {
        [
            "a|b|foo[123]\0b",
            "(?i)ab.*c{2,3}\0ABxcc",
            "^(a+)(?P<n>b?)$\0aab",
            "\\Qa.b\\E[^x]\0a.bc",
            ".+é(x|)\0zé",
        ]
        .map(Vec::from)
        .to_vec()
    })
    .with_words(WORDS)
    .with_heap(COMPILED_BYTES_MAX, 64 << 10)
    .with_test_runs(5_000),
    Target::new("relabelling", check_relabelling, || {
        let texts = ["\x00(.*):.*\0${1}-x\0dst\0a:b\0c", "\x03a|b\0\0\0a\0", "\x06__meta_(.+)\0$1\0x\0y\0z"];
        texts.map(Vec::from).to_vec()
    })
    .with_words(&["${1}", "$1", "${n}", "$$", "\0", "(?P<n>.*)", ".*", "__name__", "$"])
    .with_heap(COMPILED_BYTES_MAX, 64 << 10)
    .with_test_runs(3_000),
];

/// A pattern, a zero byte, and a value to match; parts of the pattern are values too.
fn check_regex(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let (pattern, value) = text.split_once('\0').unwrap_or((text, ""));
    let label = LabelRegex::new(pattern);
    let anchored = GoRegex::new_anchored(pattern);
    // The engine alone, which takes none of the short cuts of the two above.
    let plain = GoRegex::new(&format!("^(?s:{pattern})$"));
    assert_eq!(anchored.is_ok(), plain.is_ok(), "{pattern:?} compiles in both ways or in none");
    let (Ok(label), Ok(anchored), Ok(plain)) = (label, anchored, plain) else { return };
    let half = pattern.floor_char_boundary(pattern.len() / 2);
    let literals = label.literals().unwrap_or_default();
    let values = ["", value, pattern, &pattern[..half], &pattern[half..]].into_iter();
    for value in values.chain(literals.iter().map(String::as_str)) {
        let expected = plain.is_match(value);
        assert_eq!(anchored.is_match(value), expected, "{pattern:?} anchored on {value:?}");
        assert_eq!(anchored.captures(value).is_some(), expected, "{pattern:?} with groups on {value:?}");
        assert_eq!(label.is_match(value), expected, "{pattern:?} as a matcher on {value:?}");
        assert!(!expected || value.starts_with(label.prefix()), "{value:?} begins with {:?}", label.prefix());
        if let Some(literals) = label.literals() {
            assert_eq!(
                literals.iter().any(|l| l == value),
                expected,
                "{pattern:?} lists what it matches: {value:?}"
            );
        }
    }
    for (op, negated) in [(MatchOp::Regex, false), (MatchOp::NotRegex, true)] {
        let matcher = Matcher::new(op, "l", pattern).expect("the pattern compiles");
        assert_eq!(matcher.matches(value), label.is_match(value) != negated);
    }
    check_replacing(pattern, value);
}

fn check_replacing(pattern: &str, value: &str) {
    let Ok(regex) = GoRegex::new(pattern) else { return };
    let replaced = regex.replace_all(value, "${0}");
    assert_eq!(replaced, value, "{pattern:?}: each match of {value:?} replaced by itself");
    assert_eq!(regex.captures(value).is_some(), regex.is_match(value));
}

/// An action, then five texts, with zero bytes between them: regex, replacement, target, two values.
fn check_relabelling(input: &[u8]) {
    let mut input = Input(input);
    let action = RelabelAction::ALL[usize::from(input.u8()) % RelabelAction::ALL.len()];
    let Some(text) = text(input.0) else { return };
    let mut texts = text.split('\0');
    let mut next = || texts.next().unwrap_or("");
    let (pattern, replacement, target, first, second) = (next(), next(), next(), next(), next());
    let Ok(regex) = GoRegex::new_anchored(pattern) else { return };
    let mut rule = RelabelConfig {
        source_labels: vec!["a".to_owned(), "b".to_owned()],
        regex,
        modulus: 7,
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        action,
        ..RelabelConfig::default()
    };
    if rule.validate(NameValidation::Utf8).is_err() {
        return;
    }
    let labels = Labels::from_pairs([("a", first), ("b", second), ("__meta_x", "y"), ("__name__", "up")]);
    let rules = [rule];
    let relabelled = process(&labels, &rules);
    assert_eq!(relabelled, process(&labels, &rules));
    if let Some(relabelled) = &relabelled {
        assert_eq!(Labels::from_bytes(relabelled.as_bytes()).as_ref(), Some(relabelled));
    }
    assert_eq!(trace(&labels, &rules).len(), 1, "a step for the rule");
}
