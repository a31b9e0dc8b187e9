use super::*;

fn parse(query: &str) -> Result<String, String> {
    parse_expr(query, &ParserOptions::all()).map(|e| e.to_string()).map_err(|e| e.to_string())
}

/// Fully parenthesised, so that precedence shows.
fn grouped(expr: &Expr) -> String {
    match expr {
        Expr::Binary(e) => format!("<{} {} {}>", grouped(&e.lhs), e.op, grouped(&e.rhs)),
        Expr::Unary(e) => format!("<{}{}>", e.op.as_str(), grouped(&e.expr)),
        other => other.to_string(),
    }
}

#[test]
fn operators_bind_as_upstream() {
    for (query, expected) in [
        ("a + b * c", "<a + <b * c>>"),
        ("a - b - c", "<<a - b> - c>"),
        ("a ^ b ^ c", "<a ^ <b ^ c>>"),
        ("-a ^ b", "<-<a ^ b>>"),
        ("-a * b", "<<-a> * b>"),
        ("a ^ -b * c", "<<a ^ <-b>> * c>"),
        ("a or b and c unless d", "<a or <<b and c> unless d>>"),
        ("a == bool b + c", "<a == <b + c>>"),
        ("a </ b + c", "<a </ <b + c>>"),
        ("a atan2 b * c", "<<a atan2 b> * c>"),
        ("a offset 5m - 3", "<a offset 5m - 3>"),
        ("a offset (5m - 3)", "a offset (5m - 3)"),
        ("a offset -2^2", "<a offset -2s ^ 2>"),
        ("a offset step() + b", "<a offset step() + b>"),
        ("a and on (x) b or c", "<<a and b> or c>"),
    ] {
        let found = parse_expr(query, &ParserOptions::all()).map(|e| grouped(&e));
        assert_eq!(found.as_deref(), Ok(expected), "{query}");
    }
}

#[test]
fn features_are_off_unless_turned_on() {
    for (query, expected) in [
        (
            "limitk(1, x)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
                          --enable-feature=promql-experimental-functions",
        ),
        ("sort_by_label(x, \"a\")", "1:1: parse error: function \"sort_by_label\" is not enabled"),
        ("x[step()]", "1:3: parse error: experimental duration expression is not enabled"),
        ("x[5m + 1m]", "1:3: parse error: experimental duration expression is not enabled"),
        ("x anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("x + fill (0) y", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        let found = parse_expr(query, &ParserOptions::default()).map_err(|e| e.to_string());
        assert_eq!(found, Err(expected.to_owned()), "{query}");
        assert!(parse(query).is_ok(), "{query}");
    }
}

#[test]
fn the_innermost_construct_with_a_message_reports() {
    for (query, expected) in [
        (
            "a * on (b) group_left % c",
            "1:23: parse error: unexpected <op:%> in grouping opts, expected \"(\"",
        ),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum(rate(a b))", "1:12: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum(a) b", "1:8: parse error: unexpected identifier \"b\""),
        ("rate(a b)", "1:8: parse error: unexpected identifier \"b\""),
        (
            "a[5m + ]",
            "1:8: parse error: unexpected \"]\" in subquery or range selector, \
                       expected number, duration, step(), or range()",
        ),
        ("a[5m:1m:]", "1:8: parse error: unexpected colon ':'"),
        ("a @ start(5)", "1:11: parse error: unexpected number \"5\" in @, expected timestamp"),
        ("f(a, *)", "1:4: parse error: trailing commas not allowed in function call args"),
    ] {
        assert_eq!(parse(query), Err(expected.to_owned()), "{query}");
    }
}

#[test]
fn selectors_and_metrics_parse_alone() {
    for (text, expected) in [
        (r#"up{job=~"a.*"}"#, Ok(r#"[job=~"a.*", __name__="up"]"#)),
        ("{}", Ok("[]")),
        (r#"{"a.b"}"#, Ok(r#"[__name__="a.b"]"#)),
        ("up offset 5m", Err("1:4: parse error: unexpected <offset>")),
        ("1", Err("1:1: parse error: unexpected number \"1\"")),
        ("", Err("unknown position: parse error: unexpected end of input")),
    ] {
        let found = parse_metric_selector(text).map(|m| format!("{m:?}")).map_err(|e| e.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
    for (text, expected) in [
        (r#"up{b="2", a="1",}"#, Ok(r#"{__name__="up", a="1", b="2"}"#)),
        (r#"{"a.b", "c d"='e'}"#, Ok(r#"{__name__="a.b", "c d"="e"}"#)),
        ("up", Ok(r#"{__name__="up"}"#)),
        ("up{a}", Err("1:5: parse error: unexpected \"}\" in label set, expected \"=\"")),
        ("up{a=}", Err("1:6: parse error: unexpected \"}\" in label set, expected string")),
        (
            "up{a=\"1\" b",
            Err("1:10: parse error: unexpected identifier \"b\" in label set, expected \",\" or \"}\""),
        ),
    ] {
        let found = parse_metric(text).map(|m| m.to_string()).map_err(|e| e.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
}

#[test]
fn bounds_are_typed_errors() {
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    let signs = |n: usize| format!("{}x", "-".repeat(n));
    let chain = |n: usize| format!("x{}", " or x".repeat(n));
    let powers = |n: usize| format!("1{}", "^1".repeat(n));
    let durations = |n: usize| format!("x[{}1{}]", "(".repeat(n), ")".repeat(n));
    let calls = |n: usize| format!("{}x{}", "abs(".repeat(n), ")".repeat(n));
    for make in [&nested as &dyn Fn(usize) -> String, &signs, &powers, &durations, &calls] {
        assert!(parse(&make(100)).is_ok(), "{}", make(100));
        let refused = parse(&make(100_000)).unwrap_err();
        assert!(refused.ends_with("expression is nested more than 150 levels deep"), "{refused}");
    }
    assert!(parse(&chain(900)).is_ok());
    let refused = parse(&chain(100_000)).unwrap_err();
    assert!(refused.ends_with("expression is nested more than 1000 levels deep"), "{refused}");
    let long = " ".repeat(EXPRESSION_BYTES_MAX + 1);
    assert!(matches!(
        parse_expr(&long, &ParserOptions::all()).unwrap_err().errors()[0].kind,
        ParseErrorKind::TooLong { .. }
    ));
}

/// Pieces that queries are made of, for random concatenation.
const PIECES: &[&str] = &[
    "x",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "5m",
    "1",
    ":",
    ",",
    "=",
    "=~",
    "\"a\"",
    "'",
    "`",
    "+",
    "-",
    "*",
    "^",
    "offset",
    "@",
    "start",
    "end()",
    "step()",
    "on",
    "group_left",
    "bool",
    "==",
    "and",
    "rate",
    "#",
    "\n",
    "0x",
    "1e",
    "_",
    "é",
    "\\",
    "fill",
    "without",
    "a:b",
    "{{",
    "}}",
    "stale",
    "max_of",
    "!",
    "<",
    ">/",
    "inf",
];

#[test]
fn no_input_makes_the_parser_panic_and_whatever_prints_parses() {
    let mut rng = base::Rng::new(7);
    for _ in 0..20_000 {
        let n = 1 + rng.below(12);
        let text: Vec<&str> =
            (0..n).map(|_| PIECES[usize::try_from(rng.below(PIECES.len() as u64)).unwrap()]).collect();
        let text = text.join(if rng.below(2) == 0 { " " } else { "" });
        if let Ok(printed) = parse(&text) {
            assert_eq!(parse(&printed).as_ref(), Ok(&printed), "{text}");
        }
        let _ = parse_metric_selector(&text);
        let _ = crate::series_desc::parse_series_desc(&text);
    }
}
