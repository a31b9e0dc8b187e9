use super::*;

/// A compact print of the tree: `{k: v}`, `[a, b]`, quoted scalars in quotes.
fn show(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.plain => scalar.text.clone(),
        NodeKind::Scalar(scalar) => format!("{:?}", scalar.text),
        NodeKind::Sequence(items) => {
            format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        NodeKind::Mapping(entries) => {
            let entries = entries.iter().map(|(k, v)| format!("{}: {}", show(k), show(v)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn documents_become_trees() {
    let cases = [
        ("a: 1\nb: [x, 'y']\n", r#"{a: 1, b: [x, "y"]}"#),
        ("a: &x {k: v}\nb: *x\n", "{a: {k: v}, b: {k: v}}"),
        ("base: &b {k: v, l: w}\nc:\n  <<: *b\n  k: own\n", "{base: {k: v, l: w}, c: {k: own, l: w}}"),
        ("c:\n  <<: [{a: 1}, {a: 2, b: 3}]\n", "{c: {a: 1, b: 3}}"),
        ("a: !!binary \"aGk=\"\n", r#"{a: "hi"}"#),
        ("a: !!str 12\n", r#"{a: "12"}"#),
        ("first: 1\n---\nsecond: 2\n", "{first: 1}"),
        ("a: |\n  x\n  y\n", r#"{a: "x\ny\n"}"#),
        ("a:\nb: 1\n", "{a: ~, b: 1}"),
    ];
    for (text, want) in cases {
        let node = parse(text).unwrap().unwrap();
        assert_eq!(show(&node), want, "{text}");
    }
    assert_eq!(parse("").unwrap(), None);
    assert_eq!(parse("# only a comment\n").unwrap(), None);
}

#[test]
fn positions_count_from_one() {
    let node = parse("a:\n  b: value\n").unwrap().unwrap();
    let value = node.get("a").unwrap().get("b").unwrap();
    assert_eq!(value.pos, SourcePos { line: 2, column: 6 });
    assert_eq!(node.pos, SourcePos { line: 1, column: 1 });
}

#[test]
fn hostile_texts_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        let aliases = vec![alias; 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    let cases = [
        (bomb.as_str(), "document contains excessive aliasing"),
        (deep.as_str(), "exceeded max depth"),
        ("a: &x [*x]\n", "anchor value contains itself"),
        ("<<: 3\n", "map merge requires map or sequence of maps as the value"),
        ("a: !!binary \"/w==$1\"\n", "!!binary value contains invalid base64 data"),
    ];
    for (text, want) in cases {
        let err = parse(text).unwrap_err();
        assert_eq!(err.message, want);
    }
    for broken in ["a: b: c\n", "a: [1, 2\n", "a: 'x\n", "a: *nope\n", "{", "- a\nb: 1\n", &"[".repeat(5000)]
    {
        assert!(parse(broken).is_err(), "{broken:?}");
    }
}
