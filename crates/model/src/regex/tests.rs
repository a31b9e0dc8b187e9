use proptest::prelude::*;

use super::*;

#[test]
fn literals_and_prefixes_are_found() {
    let many = (0..300).map(|n| format!("v{n}")).collect::<Vec<_>>().join("|");
    for (pattern, literals, prefix) in [
        ("", Some("|"), ""),
        ("foo", Some("foo|"), "foo"),
        ("foo|bar", Some("bar|foo|"), ""),
        ("^(foo|foobar)$", Some("foo|foobar|"), "foo"),
        ("foo[12]x?", Some("foo1|foo1x|foo2|foo2x|"), "foo"),
        ("(?i)ab", Some("AB|Ab|aB|ab|"), ""),
        ("foo.*", None, "foo"),
        ("a(b|c)+", None, "a"),
        (".*foo", None, ""),
        ("a^b", None, "ab"),
        ("foo-(bar|baz).+", None, "foo-ba"),
        (r"\Qa.b\E|c\.d", Some("a.b|c.d|"), ""),
        (many.as_str(), None, "v"),
    ] {
        let regex = LabelRegex::new(pattern).unwrap();
        let found = regex.literals().map(|l| l.iter().map(|l| format!("{l}|")).collect::<String>());
        assert_eq!(found.as_deref(), literals, "{pattern}");
        assert_eq!(regex.prefix(), prefix, "{pattern}");
    }
}

/// Some hundred thousand states, and as many groups: a search that kept each group for each state
/// would take gigabytes.
#[test]
fn hostile_patterns_match_or_are_refused_within_bounded_memory() {
    let (many, wide) = ("(x|y)*".repeat(20_000), r"(\pL)".repeat(500));
    let regex = LabelRegex::new(&many).unwrap();
    for value in ["xyyx", "", "xz"] {
        assert_eq!(regex.is_match(value), !value.contains('z'), "{value}");
    }
    let engine = regex.0.engine.as_ref().unwrap();
    assert_eq!(engine.create_captures().group_info().slot_len(), 0, "no search keeps groups");
    for _ in 0..10 {
        assert!(!regex.is_match("host"));
    }
    for (pattern, groups_fit) in [(many.as_str(), false), (wide.as_str(), false), ("(a)(b)(.*)", true)] {
        let hir = parse(&go_syntax::translate(pattern).unwrap().pattern, pattern).unwrap();
        let bytes = groups_bytes(&hir).unwrap_or(usize::MAX);
        assert_eq!(bytes <= GROUPS_BYTES_MAX, groups_fit, "{bytes}");
        for built in [GoRegex::new(pattern), GoRegex::new_anchored(pattern)] {
            let refused = built.err().map(|e| e.to_string());
            assert_eq!(refused.is_none(), groups_fit);
            assert!(
                refused.is_none_or(|text| text.starts_with("error parsing regexp: expression too large: `"))
            );
        }
    }
}

#[test]
fn patterns_mean_what_go_means() {
    for (pattern, value, expected) in [
        (r"\d+", "12", true),
        (r"\d+", "١٢", false),
        (r"\w", "é", false),
        (r"\s", "\u{a0}", false),
        (r"\s", "\u{b}", false),
        (r"a\bé", "aé", true),
        (r"a\Bb", "ab", true),
        (r"[\d-]+", "1-2", true),
        (r"[a&&b]+", "a&b", true),
        (r"[[:alpha:]]+", "ab", true),
        (r"a{,2}", "a{,2}", true),
        (r"a{2}", "aa", true),
        (r"(?U)a+", "aaa", true),
        ("a.b", "a\nb", true),
        ("(?-s:a.b)", "a\nb", false),
        ("(?m)a$.^b", "a\nb", true),
        (r"\x41\x{42}\103\a", "ABC\u{7}", true),
        (r"(?P<x>a)(?P<x>b)(?<x>c)", "abc", true),
        (r"\p{Greek}\pN\P{Greek}\p{^Greek}", "α1ab", true),
        ("(?i)straße", "STRAßE", true),
        ("#|a b", "a b", true),
        ("a]", "a]", true),
        ("[]a]+", "]a", true),
        ("[^]a]", "b", true),
        (".+", "", false),
        (".?", "é", true),
        ("foo.+bar", "foobar", false),
        (".*a.+a.*", "aa", false),
        (".*a.+a.*", "aéa", true),
        ("a.*|b.+|.*c", "b", false),
        ("a.*|b.+|.*c", "xc", true),
    ] {
        let regex = LabelRegex::new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        assert_eq!(regex.is_match(value), expected, "{pattern} on {value:?}");
    }
}

#[test]
fn refusals_have_gos_texts() {
    for (pattern, expected) in [
        ("a(", "missing closing ): `a(`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        (r"[a-\d]", r"invalid character class range: `a-\d`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
        (r"(\pL{1000}\pL{1000}\pL{1000}){1}\pL{1000}\pL{1000}\pL{1000}", "expression too large"),
    ] {
        let refused = LabelRegex::new(pattern).map(|r| r.is_match("")).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("error parsing regexp: {expected}")), "{pattern}: {refused}");
    }
    let anchored = GoRegex::new_anchored("a(").unwrap_err().to_string();
    assert_eq!(anchored, "error parsing regexp: missing closing ): `^(?s:a()$`");
    let deep = format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(LabelRegex::new(&deep).unwrap_err().to_string().contains("expression nests too deeply"));
}

#[test]
fn templates_expand_as_in_go() {
    for (pattern, text, template, expected) in [
        ("(.*)b(.*)", "abc", "$1-$2", "a-c"),
        ("(.*)", "x", "$1y", ""),
        ("(.*)", "x", "${1}y", "xy"),
        ("(?P<n>.*)", "x", "$n.${n}", "x.x"),
        ("(.*)", "x", "$$1 $ ${ $3 ${01}", "$1 $ ${  "),
        ("a|(b)", "a", "<$1>", "<>"),
        ("(.*)", "x", "$0", "x"),
    ] {
        let regex = GoRegex::new_anchored(pattern).unwrap();
        let mut out = String::new();
        regex.captures(text).unwrap().expand(template, &mut out);
        assert_eq!(out, expected, "{pattern} {template}");
    }
    for (pattern, text, template, expected) in [
        ("a*", "baaac", "<$0>", "<>b<aaa>c<>"),
        ("b", "abcb", "[$0]", "a[b]c[b]"),
        ("", "éa", "-", "-é-a-"),
        ("x", "abc", "y", "abc"),
        ("(.)(.)", "abcde", "$2$1", "badce"),
        ("^a", "aa", "b", "ba"),
    ] {
        assert_eq!(
            GoRegex::new(pattern).unwrap().replace_all(text, template),
            expected,
            "{pattern} on {text}"
        );
    }
}

/// The same pattern in the engine alone.
fn engine_matches(pattern: &str, value: &str) -> bool {
    GoRegex::new(&format!("^(?s:{pattern})$")).unwrap().is_match(value)
}

proptest! {
    #[test]
    fn shortcuts_agree_with_the_engine(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b", "é", ".*", ".+", "(a|b)", "(ab|.*)", "[ab]", "a?", "|", "^", "$", "(?i:a)", "(a.*)", "($)", "(a.*$)", "(^.*)",
            ]),
            0..6,
        ),
        value in "[abAé]{0,6}",
    ) {
        let pattern = parts.concat();
        let regex = LabelRegex::new(&pattern).unwrap();
        prop_assert_eq!(GoRegex::new_anchored(&pattern).unwrap().is_match(&value), regex.is_match(&value));
        prop_assert_eq!(regex.is_match(&value), engine_matches(&pattern, &value), "{} on {}", pattern, value);
        if regex.is_match(&value) {
            prop_assert!(value.starts_with(regex.prefix()), "{} has prefix {}", pattern, regex.prefix());
        }
    }
}
