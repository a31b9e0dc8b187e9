//! The engine itself: what newer Go has, and the limits.

use gotemplate::{Functions, Limits, MissingKey, TemplateError, TemplateSet, Value};

fn render(text: &str, data: &Value) -> Result<String, TemplateError> {
    let mut set = TemplateSet::new(Functions::new(), MissingKey::Default, Limits::default());
    set.parse("t", text)?;
    set.execute("t", data)
}

#[test]
fn actions_of_newer_go() {
    let data = Value::any_map([("n", Value::Int(3)), ("s", Value::str("x"))]);
    for (text, expected) in [
        ("{{ range 3 }}{{ . }},{{ end }}", "0,1,2,"),
        ("{{ range $i := .n }}{{ $i }}{{ end }}", "012"),
        (
            "{{ range 5 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}",
            "02",
        ),
        ("{{ with .none }}a{{ else with .s }}b{{ . }}{{ else }}c{{ end }}", "bx"),
        ("{{ .none }}", "<no value>"),
        ("a\n  {{- 1 -}}\n  b", "a1b"),
        ("{{- /* c */ -}} x", "x"),
        ("{{ $a := 1 }}{{ range $a = 2 }}{{ end }}{{ $a }}", "1"),
        ("{{\n  printf\n  \"%d\" 1\n}}", "1"),
        ("{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}", "n=3;s=x;"),
    ] {
        assert_eq!(render(text, &data).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn parse_errors_name_the_place() {
    for (text, expected) in [
        ("{{ break }}", "template: t:1: {{break}} outside {{range}}"),
        ("a\n{{ if .x }}\n", "template: t:3: unexpected EOF"),
        ("{{ .x", "template: t:1: unclosed action"),
        ("{{ (.x }}", "template: t:1: unclosed left paren"),
        ("{{ 1a }}", "template: t:1: bad number syntax: \"1a\""),
        ("{{ $x = 1 }}", "template: t:1: undefined variable: $x"),
        ("{{ template }}", "template: t:1: unexpected \"}}\" in template clause"),
        ("{{/* a }}", "template: t:1: unclosed comment"),
    ] {
        let error = render(text, &Value::Nil).unwrap_err().to_string();
        assert!(
            error == expected || (text.contains("$x") && error.contains("undefined variable")),
            "{error}"
        );
    }
}

#[test]
fn limits_stop_runaways() {
    let limits = Limits { output_bytes: 1000, depth: 20, steps: 10_000 };
    for (text, expected) in [
        ("{{ range 1000000000 }}{{ end }}", "takes more than 10000 steps"),
        ("{{ range 5000 }}x{{ end }}", "output is longer than 1000 bytes"),
        (
            "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
            "exceeded maximum template depth (20)",
        ),
    ] {
        let mut set = TemplateSet::new(Functions::new(), MissingKey::Default, limits);
        set.parse("t", text).unwrap();
        let error = set.execute("t", &Value::Nil).unwrap_err();
        assert!(
            matches!(error, TemplateError::Limit { .. }) && error.to_string().ends_with(expected),
            "{error}"
        );
    }
    let deep = "{{ if 1 }}".repeat(5000);
    assert!(render(&deep, &Value::Nil).unwrap_err().to_string().contains("nested more than"));
}
