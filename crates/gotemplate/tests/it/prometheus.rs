//! The functions of alert annotations.

use gotemplate::prometheus::{Environment, ExternalUrl, QuerySample, expand_html, prepare};
use gotemplate::{CallError, Limits, MissingKey, Value};
use model::Labels;

fn run(text: &str, data: &Value, samples: &[QuerySample], missing: MissingKey) -> Result<String, String> {
    let query = |_: &str| -> Result<Vec<QuerySample>, CallError> { Ok(samples.to_vec()) };
    let url = ExternalUrl::new("http://testhost:9090/path/prefix");
    let environment = Environment {
        now_ms: 1_353_755_652_000,
        query: &query,
        external_url: &url,
        limits: Limits::default(),
    };
    prepare("test", text, environment, missing)
        .and_then(|prepared| prepared.expand(data))
        .map_err(|error| error.to_string())
}

fn sample(labels: &[(&str, &str)], v: f64) -> QuerySample {
    QuerySample { labels: Labels::from_pairs(labels.iter().copied()), value: Value::Float(v) }
}

fn floats(items: &[f64]) -> Value {
    Value::list("[]float64", items.iter().map(|v| Value::Float(*v)).collect())
}

fn ints(items: &[i64]) -> Value {
    Value::list("[]int64", items.iter().map(|v| Value::Int(*v)).collect())
}

fn uints(items: &[u64]) -> Value {
    Value::list("[]uint64", items.iter().map(|v| Value::Uint(*v)).collect())
}

#[test]
fn functions_of_text() {
    for (text, expected) in [
        ("plain text", "plain text"),
        ("{{ 1 }}", "1"),
        (r#"{{ "<b>" }}"#, "<b>"),
        (r#"{{define "x"}}{{.arg0}} {{.arg1}}{{end}}{{template "x" (args 1 "2")}}"#, "1 2"),
        (r#"{{ "foo.example.com" | stripPort }}"#, "foo.example.com"),
        (r#"{{ "foo.example.com:12345" | stripPort }}"#, "foo.example.com"),
        (r#"{{ "192.0.2.1:12345" | stripPort }}"#, "192.0.2.1"),
        (r#"{{ "2001:0DB8::1" | stripPort }}"#, "2001:0DB8::1"),
        (r#"{{ "[2001:0DB8::1]:12345" | stripPort }}"#, "2001:0DB8::1"),
        (r#"{{ "[2001:0DB8::1]::12345" | stripPort }}"#, "[2001:0DB8::1]::12345"),
        (r#"{{ "foo.example.com" | stripDomain }}"#, "foo"),
        (r#"{{ "foo.example.com:12345" | stripDomain }}"#, "foo:12345"),
        (r#"{{ "192.0.2.1:12345" | stripDomain }}"#, "192.0.2.1:12345"),
        (r#"{{ "2001:0DB8::1" | stripDomain }}"#, "2001:0DB8::1"),
        (r#"{{ "[2001:0DB8::1]:12345" | stripDomain }}"#, "[2001:0DB8::1]:12345"),
        (r#"{{ reReplaceAll "(a)b" "x$1" "ab" }}"#, "xa"),
        (r#"{{ "aa bb CC" | title }}"#, "Aa Bb CC"),
        (r#"{{ "aa bb CC" | toUpper }}"#, "AA BB CC"),
        (r#"{{ "aA bB CC" | toLower }}"#, "aa bb cc"),
        (r#"{{ match "a+" "aa" }} {{ match "a+" "b" }}"#, "true false"),
        (r#"{{ graphLink "up" }}"#, "/graph?g0.expr=up&g0.tab=0"),
        (r#"{{ tableLink "up == 0" }}"#, "/graph?g0.expr=up+%3D%3D+0&g0.tab=1"),
        ("{{ pathPrefix }} {{ externalURL }}", "/path/prefix http://testhost:9090/path/prefix"),
        ("{{ now }}", "1.353755652e+09"),
        (r#"{{ (now | toTime).Format "Mon Jan 2 15:04:05 2006" }}"#, "Sat Nov 24 11:14:12 2012"),
        (r#"{{ ("-30m" | parseDuration | toDuration | (now | toTime).Add).UnixMilli }}"#, "1353753852000"),
        (r#"{{ printf "%0.2f" (parseDuration "-1h2m10ms") }}"#, "-3720.01"),
        (r#"{{ (1800 | toDuration).String }}"#, "30m0s"),
        (r#"{{ (1435065584.128 | toTime).Format "2006" }}"#, "2015"),
        ("{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ -0.22222 | humanizePercentage }}:{{ 1.23456 | humanizePercentage }}", "-22.22%:123.5%"),
        ("{{ .Foo }}", "<no value>"),
    ] {
        assert_eq!(run(text, &Value::Nil, &[], MissingKey::Zero).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn functions_of_numbers() {
    let days = -(86_400.0 * 2.0 + 3600.0 * 3.0 + 60.0 * 4.0 + 5.0);
    for (name, data, expected) in [
        ("humanize", floats(&[0.0, 1.0, 1_234_567.0, 0.12]), "0:1:1.235M:120m:"),
        ("humanize", ints(&[0, -1, 1, 1_234_567, i64::MAX]), "0:-1:1:1.235M:9.223E:"),
        ("humanize", uints(&[0, u64::MAX]), "0:18.45E:"),
        ("humanize", Value::strings(["0.0", ".12"]), "0:120m:"),
        ("humanize1024", floats(&[0.0, 1.0, 1_048_576.0, 0.12]), "0:1:1Mi:0.12:"),
        ("humanize1024", ints(&[-1, 1_234_567, i64::MAX]), "-1:1.177Mi:8Ei:"),
        (
            "humanizeDuration",
            floats(&[0.0, 1.0, 60.0, 3600.0, 86_400.0, days, 899.99]),
            "0s:1s:1m 0s:1h 0m 0s:1d 0h 0m 0s:-2d 3h 4m 5s:14m 59s:",
        ),
        (
            "humanizeDuration",
            floats(&[0.1, 0.0001, 0.12345, 60.5, 1.2345, 12.345]),
            "100ms:100us:123.5ms:1m 0s:1.234s:12.35s:",
        ),
        ("humanizePercentage", ints(&[0, -1, 1, 1_234_567]), "0%:-100%:100%:1.235e+08%:"),
        (
            "humanizeTimestamp",
            ints(&[0, -1, 9_223_372_036]),
            "1970-01-01 00:00:00 +0000 UTC:1969-12-31 23:59:59 +0000 UTC:2262-04-11 23:47:16 +0000 UTC:",
        ),
        ("humanizeTimestamp", floats(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN]), "+Inf:-Inf:NaN:"),
        ("humanizeDuration", floats(&[f64::INFINITY, f64::NAN]), "+Inf:NaN:"),
    ] {
        let text = format!("{{{{ range . }}}}{{{{ {name} . }}}}:{{{{ end }}}}");
        assert_eq!(run(&text, &data, &[], MissingKey::Zero).as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn functions_of_queries() {
    let one = [sample(&[("__name__", "metric"), ("instance", "a"), ("__value__", "v")], 11.0)];
    let two = [sample(&[("instance", "b")], 21.0), sample(&[("instance", "a")], 11.0)];
    for (text, samples, expected) in [
        (r#"{{ query "metric{instance='a'}" | first | value }}"#, &one[..], "11"),
        (r#"{{ query "m" | first | label "instance" }}"#, &one, "a"),
        (r#"{{ query "m" | first | strvalue }}"#, &one, "v"),
        (r#"[{{ query "m" | first | label "foo" }}]"#, &one, "[]"),
        (r#"[{{ $x := query "metric" | first }}{{ $x.Labels.foo }}]"#, &one, "[]"),
        (
            r#"{{ range query "m" | sortByLabel "instance" }}{{.Labels.instance}}:{{.Value}}: {{end}}"#,
            &two,
            "a:11: b:21: ",
        ),
    ] {
        assert_eq!(run(text, &Value::Nil, samples, MissingKey::Zero).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn mistakes_are_told_as_upstream_tells_them() {
    let missing = MissingKey::Zero;
    for (text, option, expected) in [
        ("{{", missing, "error parsing template test: template: test:1: unclosed action"),
        (
            r#"{{ tmpl "a" . }}"#,
            missing,
            r#"error parsing template test: template: test:1: function "tmpl" not defined"#,
        ),
        (
            "{{\u{a0}}}",
            missing,
            "error parsing template test: template: test:1: unrecognized character in action: U+00A0",
        ),
        (
            r#"{{ query "missing" | first }}"#,
            missing,
            r#"error executing template test: template: test:1:21: executing "test" at <first>: error calling first: first() called on vector with no elements"#,
        ),
        (
            r#"{{ (query "missing").banana }}"#,
            missing,
            r#"error executing template test: template: test:1:10: executing "test" at <"missing">: can't evaluate field banana in type template.queryResult"#,
        ),
        (
            "{{ .Foo }}",
            MissingKey::Error,
            r#"error executing template test: template: test:1:3: executing "test" at <.Foo>: nil data; no entry for key "Foo""#,
        ),
        (
            r#"{{ "one" | humanizePercentage }}"#,
            missing,
            r#"error executing template test: template: test:1:11: executing "test" at <humanizePercentage>: error calling humanizePercentage: strconv.ParseFloat: parsing "one": invalid syntax"#,
        ),
        (
            r#"{{ humanize "one" }}"#,
            missing,
            r#"error executing template test: template: test:1:3: executing "test" at <humanize "one">: error calling humanize: strconv.ParseFloat: parsing "one": invalid syntax"#,
        ),
        (
            "{{ humanizeTimestamp 18446744073709551615.0 }}",
            missing,
            r#"error executing template test: template: test:1:3: executing "test" at <humanizeTimestamp 18446744073709551615.0>: error calling humanizeTimestamp: 1.8446744073709552e+19 cannot be represented as a nanoseconds timestamp since it overflows int64"#,
        ),
    ] {
        assert_eq!(run(text, &Value::Nil, &[], option).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn consoles_are_escaped() {
    let query = |_: &str| -> Result<Vec<QuerySample>, CallError> { Ok(Vec::new()) };
    let url = ExternalUrl::new("http://h/");
    let environment = Environment { now_ms: 0, query: &query, external_url: &url, limits: Limits::default() };
    let libraries = [("lib", "{{ define \"row\" }}<td>{{ . }}</td>{{ end }}")];
    for (text, expected) in [
        (r#"{{ "<b>" }}"#, "&lt;b&gt;"),
        (r#"{{ "<b>" | safeHtml }}"#, "<b>"),
        ("{{ .Foo }}", ""),
        (r#"{{ define "a" }}x{{ end }}{{ $name := "a"}}{{ tmpl $name . }}"#, "x"),
        (r#"{{ template "row" "a<b" }}{{ tmpl "row" "c&d" }}"#, "<td>a&lt;b</td><td>c&amp;d</td>"),
    ] {
        let got = expand_html("c", text, &libraries, &Value::Nil, environment);
        assert_eq!(got.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn all_functions_of_upstream_are_there() {
    let Some(file) = crate::shared("metrics/prometheus/cmd/prometheus/testdata/features.json") else {
        return crate::skipped("../shared (features.json)");
    };
    let features: serde_json::Value = serde_json::from_str(&file).unwrap();
    let features = features.get("data").unwrap_or(&features);
    let expected: Vec<&str> =
        features["templating_functions"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(gotemplate::prometheus::function_names(), expected);
}
