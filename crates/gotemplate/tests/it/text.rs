//! The engine itself: what newer Go has, and the limits.

use base::Rng;
use gotemplate::{Function, Functions, Limits, MissingKey, Param, TemplateError, TemplateSet, Value};

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
        ("{{ printf \"%.70000f\" 1.5 | len }}", "70002"),
        ("{{ printf \"%.70000e\" 1.5 | len }}", "70006"),
        ("{{ printf \"%.70000g\" 1.5 }}", "1.5"),
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
    // Texts that double, and values that hold the same part twice.
    for text in [
        "{{ $x := \"ab\" }}{{ range 60 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
        "{{ $x := 1 }}{{ range 60 }}{{ $x = twice $x }}{{ end }}{{ $x }}",
        "{{ $x := 1 }}{{ range 60 }}{{ $x = twice $x }}{{ end }}{{ printf \"%#v\" $x }}",
    ] {
        let mut functions = Functions::new();
        let twice =
            |args: &[Value]| Ok(Value::list("[]interface {}", vec![args[0].clone(), args[0].clone()]));
        functions.add("twice", Function::new(&[Param::Any], twice));
        let mut set = TemplateSet::new(functions, MissingKey::Default, limits);
        set.parse("t", text).unwrap();
        assert!(matches!(set.execute("t", &Value::Nil).unwrap_err(), TemplateError::Limit { .. }), "{text}");
        assert!(
            matches!(set.execute_html("t", &Value::Nil).unwrap_err(), TemplateError::Limit { .. }),
            "{text}"
        );
    }
    let deep = "{{ if 1 }}".repeat(5000);
    assert!(render(&deep, &Value::Nil).unwrap_err().to_string().contains("nested more than"));
}

fn render_html(text: &str, data: &Value) -> Result<String, TemplateError> {
    let mut set = TemplateSet::new(Functions::new(), MissingKey::Zero, Limits::default());
    set.parse("t", text)?;
    set.execute_html("t", data)
}

#[test]
fn html_escaping_follows_the_context() {
    let data = Value::any_map([
        ("s", Value::str("a'\"<&+/b")),
        ("js", Value::str("javascript:x()")),
        ("n", Value::Float(-0.5)),
        ("l", Value::strings(["x", "</script>"])),
    ]);
    for (text, expected) in [
        ("<p>{{ .s }}</p>", "<p>a&#39;&#34;&lt;&amp;&#43;/b</p>"),
        ("<a href='{{ .js }}'>", "<a href='#ZgotmplZ'>"),
        ("<a href=/x?{{ .s }}>", "<a href=/x?a%27%22%3c%26%2b%2fb>"),
        ("<a data-url={{ .js }}>", "<a data-url=#ZgotmplZ>"),
        ("<img srcset=\"{{ .js }}, /a 2x\">", "<img srcset=\"#ZgotmplZ, /a 2x\">"),
        (
            "<script>f({{ .l }}, {{ .n }}, '{{ .s }}')</script>",
            "<script>f([\"x\",\"\\u003c/script\\u003e\"],  -0.5 , 'a\\u0027\\u0022\\u003c\\u0026\\u002b\\/b')</script>",
        ),
        (
            "<script>var r = /{{ .s }}/; // {{ .s }}\n</script>",
            "<script>var r = /a\\u0027\\u0022\\u003c\\u0026\\u002b\\/b/; \n</script>",
        ),
        (
            "<script type=\"text/template\">{{ .s }}</script>",
            "<script type=\"text/template\">a&#39;&#34;&lt;&amp;&#43;/b</script>",
        ),
        (
            "<style>p { background: url('{{ .s }}') }</style>",
            "<style>p { background: url('a%27%22%3c&+/b') }</style>",
        ),
        ("<p style=\"width: {{ .n }}px\">", "<p style=\"width: -0.5px\">"),
        ("<input {{ .js }}=1 {{ \"checked\" }}>", "<input ZgotmplZ=1 checked>"),
        ("<!-- {{ .s }} -->a < b", "a &lt; b"),
        ("<title>{{ .s }}</title>", "<title>a&#39;&#34;&lt;&amp;&#43;/b</title>"),
        ("{{ range .l }}<i title={{ . }}>{{ end }}", "<i title=x><i title=&lt;/script&gt;>"),
        (
            "{{ define \"q\" }}{{ . }}{{ end }}<a href=\"/{{ template \"q\" .s }}\">{{ template \"q\" .s }}</a>",
            "<a href=\"/a%27%22%3c&amp;&#43;/b\">a&#39;&#34;&lt;&amp;&#43;/b</a>",
        ),
    ] {
        assert_eq!(render_html(text, &data).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn html_without_a_certain_context_is_refused() {
    for (text, expected) in [
        (
            "<a href=\"x",
            "html/template:t: ends in a non-text context: {stateURL delimDoubleQuote urlPartPreQuery",
        ),
        ("<a {{ if .x }}href='{{ end }}>", "{{if}} branches end in different contexts"),
        ("<a b=c\"d>", "in unquoted attr"),
        ("<script>`{{ .x }}`</script>", "appears in a JS template literal"),
        ("{{ .x | html | print }}", "predefined escaper \"html\" disallowed in template"),
        ("{{ template \"none\" }}", "no such template \"none\""),
        ("<a {{ range .x }}b=\"{{ break }}\"{{ end }}>", "branches end in different contexts"),
    ] {
        let error = render_html(text, &Value::any_map([("x", Value::str("1"))])).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

/// Texts put together from what confuses lexers, parsers and escapers.
fn soup(rng: &mut Rng) -> String {
    const PARTS: [&str; 64] = [
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "/*",
        "*/",
        "if ",
        "else",
        "end",
        "range ",
        "with ",
        "break",
        "continue",
        "define ",
        "template ",
        "block ",
        "\"t\"",
        "`",
        "'",
        "\"",
        "\\",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        ".",
        ".a",
        ".a.b",
        "1",
        "-",
        "0x",
        "1e9",
        "'a'",
        "nil",
        "true",
        "printf ",
        "index ",
        "slice ",
        "html",
        "urlquery ",
        "len ",
        "eq ",
        "\"%[2]*.1f%z\"",
        " ",
        "\n",
        "é",
        "\u{0}",
        "<",
        "<a href=",
        "<script>",
        "</script>",
        "<style>",
        "style=\"",
        "onclick='",
        "//",
        "<!--",
        "-->",
        "url(",
        ">",
        "and ",
    ];
    let n = rng.below(14) + 1;
    (0..n).map(|_| PARTS[usize::try_from(rng.below(64)).expect("below 64")]).collect()
}

#[test]
fn no_text_brings_the_engine_down() {
    let limits = Limits { output_bytes: 10_000, depth: 8, steps: 5_000 };
    let data = Value::any_map([
        ("a", Value::any_map([("b", Value::strings(["x", "y"]))])),
        ("n", Value::Int(i64::MIN)),
    ]);
    let mut rng = Rng::new(7);
    let mut parsed = 0;
    for case in 0..30_000 {
        // Half of the texts are actions, so that they get past the lexer.
        let text = if case % 2 == 0 {
            soup(&mut rng)
        } else {
            format!("{{{{ {} }}}}{}", soup(&mut rng), soup(&mut rng))
        };
        let mut set = TemplateSet::new(Functions::new(), MissingKey::Zero, limits);
        if set.parse("t", &text).is_ok() {
            parsed += 1;
            let _text_or_error = set.execute("t", &data);
            let _text_or_error = set.execute_html("t", &data);
        }
    }
    assert!(parsed > 1_000, "only {parsed} parsed");
}
