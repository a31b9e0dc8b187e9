//! Go templates, as text and as HTML, and the verbs and layouts they print with.

use gotemplate::prometheus::{
    ALERT_PREAMBLE, Environment, ExternalUrl, QuerySample, expand, expand_html, parse_test,
};
use gotemplate::{CallError, GoTime, Limits, Value, sprintf};
use model::Labels;

use crate::Target;
use crate::input::{Input, text};

const WORDS: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    "{{/* c */}}",
    "if ",
    "else",
    "end",
    "range ",
    "range $i, $v := ",
    "with ",
    "define \"t\"",
    "template \"t\" .",
    "block \"b\" .",
    "break",
    "continue",
    ".Labels",
    ".Labels.job",
    ".Value",
    "$x := ",
    "$labels",
    "$value",
    " | ",
    "printf \"%5.2f %v %q\" ",
    "len ",
    "index ",
    "slice ",
    "eq ",
    "lt ",
    "and ",
    "or ",
    "not ",
    "html ",
    "js ",
    "urlquery ",
    "print ",
    "println ",
    "call ",
    "query \"up\"",
    "first ",
    "value ",
    "label \"job\" ",
    "strvalue ",
    "humanize ",
    "humanize1024 ",
    "humanizeDuration ",
    "humanizePercentage ",
    "humanizeTimestamp ",
    "toTime ",
    "toDuration ",
    "title ",
    "toUpper ",
    "match \"a+\" ",
    "reReplaceAll \"(a)\" \"$1\" ",
    "sortByLabel \"job\" ",
    "tableLink ",
    "graphLink ",
    "stripPort ",
    "stripDomain ",
    "parseDuration ",
    "safeHtml ",
    "externalURL",
    "pathPrefix",
    "args 1 2",
    "tmpl \"t\" .",
    "(",
    ")",
    "\"a\"",
    "`a`",
    "'c'",
    "1.5",
    "-1",
    "0x10",
    "nil",
    "true",
    "<a href=\"",
    "\">",
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "<!--",
    "-->",
    " onclick=\"",
    " style='",
    "<p ",
    "/>",
];

pub(super) const TARGETS: &[Target] = &[
    Target::new("text_template", check_text, text_seeds)
        .with_words(WORDS)
        .with_heap(160 << 20, 16 << 10)
        .with_test_runs(5_000),
    Target::new("html_template", check_html, html_seeds)
        .with_words(WORDS)
        .with_heap(160 << 20, 16 << 10)
        .with_test_runs(5_000),
    Target::new("printf", check_printf, || {
        ["%5.2f|%-8v|%q|%x|%T|%+d|%[1]*d|%%|%!", "%#v %08.3e %U %c %t %s"].map(Vec::from).to_vec()
    })
    .with_words(&[
        "%",
        "%v",
        "%+v",
        "%#x",
        "%[2]d",
        "%*d",
        "%.3f",
        "%q",
        "%T",
        "%U",
        "%c",
        "%e",
        "%08d",
        "%-5s|",
        "%1000000d",
    ])
    .with_heap(64 << 20, 32 << 10)
    .with_test_runs(5_000),
    Target::new("time_layout", check_time, || {
        [
            "Mon Jan 2 15:04:05.000 MST 2006|2024-02-29T23:59:60.5+01:00",
            "2006-01-02T15:04:05Z07:00|0001-01-01T00:00:00Z",
        ]
        .map(Vec::from)
        .to_vec()
    })
    .with_words(&[
        "2006", "01", "Jan", "January", "02", "_2", "002", "15", "03", "PM", "04", "05", ".000", ",999",
        "MST", "-0700", "Z07:00", "Mon", "|",
    ]),
];

const OUTPUT_BYTES_MAX: usize = 32 << 10;

const LIMITS: Limits = Limits { output_bytes: OUTPUT_BYTES_MAX, depth: 32, steps: 20_000 };

fn answer(_query: &str) -> Result<Vec<QuerySample>, CallError> {
    let sample = |job, v| QuerySample {
        labels: Labels::from_pairs([("__name__", "up"), ("job", job)]),
        value: Value::Float(v),
    };
    Ok(vec![sample("b", 1.5), sample("a", f64::NAN)])
}

fn data() -> Value {
    let labels = Value::string_map([("job", "<b>\"api\" & co</b>"), ("instance", "host.example:9090")]);
    let entries = [
        ("Labels", labels),
        ("ExternalLabels", Value::string_map([("dc", "x")])),
        ("ExternalURL", Value::str("http://x/")),
        ("Value", Value::Float(1234.5)),
    ];
    Value::any_map(entries)
}

fn with_environment<T>(work: impl FnOnce(Environment<'_>) -> T) -> T {
    let url = ExternalUrl::new("http://localhost:9090/prefix");
    work(Environment { now_ms: 1_700_000_000_000, query: &answer, external_url: &url, limits: LIMITS })
}

fn check_text(input: &[u8]) {
    let Some(template) = text(input) else { return };
    let whole = format!("{ALERT_PREAMBLE}{template}");
    let once = || with_environment(|environment| expand("t", &whole, &data(), environment));
    let expanded = once();
    assert_eq!(expanded, once(), "the same template gives the same text");
    let Ok(output) = expanded else { return };
    assert!(output.len() <= OUTPUT_BYTES_MAX, "{} bytes of output", output.len());
    assert_eq!(parse_test("t", &whole), Ok(()), "what expands passes the check of rule files");
}

fn check_html(input: &[u8]) {
    let Some(template) = text(input) else { return };
    let libraries = [("lib", "{{define \"t\"}}<i>{{.}}</i>{{end}}")];
    let once =
        || with_environment(|environment| expand_html("c", template, &libraries, &data(), environment));
    let expanded = once();
    assert_eq!(expanded, once(), "the same template gives the same page");
    let Ok(output) = expanded else { return };
    assert!(output.len() <= OUTPUT_BYTES_MAX, "{} bytes of output", output.len());
    let trusts = template.contains("safeHtml") || template.contains("printf") || template.contains("<b>");
    assert!(trusts || !output.contains("<b>"), "data becomes no element: {template:?} gave {output:?}");
}

fn check_printf(input: &[u8]) {
    let Some(format) = text(input) else { return };
    let args = [
        Value::Int(-42),
        Value::Float(2.5),
        Value::str("é\n"),
        Value::Bool(true),
        Value::strings(["a", "b"]),
        data(),
    ];
    for n in [0, 1, args.len()] {
        assert_eq!(sprintf(format, &args[..n]), sprintf(format, &args[..n]));
    }
}

/// A layout, a bar, and a time.
fn check_time(input: &[u8]) {
    let mut rest = Input(input);
    let bar = input.iter().position(|b| *b == b'|').unwrap_or(0);
    let (Some(layout), Some(moment)) = (text(rest.take(bar)), text(rest.0)) else { return };
    let time = GoTime::parse_rfc3339(moment.trim_start_matches('|')).unwrap_or(GoTime::ZERO);
    assert_eq!(time.format(layout), time.format(layout));
    let printed = time.utc().format("2006-01-02T15:04:05.999999999Z07:00");
    // Years of more than four digits have no place in RFC 3339.
    if printed.find('-') == Some(4) {
        let again = GoTime::parse_rfc3339(&printed).map(|again| again.unix_ns());
        assert_eq!(again, Some(time.unix_ns()), "{moment} prints as {printed}");
    }
}

fn text_seeds() -> Vec<Vec<u8>> {
    [
        "{{ $labels.job }} is {{ $value | humanize }}{{ if gt .Value 1.0 }} high{{ else }} low{{ end }}",
        "{{ range $i, $v := query \"up\" }}{{ $i }}={{ $v | value | printf \"%.2f\" }} {{ .Labels.job }};{{ end }}",
        "{{ define \"x\" }}{{ . | toUpper | reReplaceAll \"A(.*)\" \"$1\" }}{{ end }}{{ template \"x\" .Labels.instance }}",
        "{{ with query \"up\" | sortByLabel \"job\" | first }}{{ . | label \"job\" }}{{ end }}{{- /* c */ -}} x",
        "{{ humanizeDuration 3661.5 }} {{ humanizePercentage 0.123 }} {{ (toTime 1.5).Year }} {{ 1024 | humanize1024 }}",
    ]
    .map(Vec::from)
    .to_vec()
}

fn html_seeds() -> Vec<Vec<u8>> {
    [
        "<a href=\"/x?q={{ .Labels.job }}\" title='{{ .Labels.job }}'>{{ .Labels.job }}</a>",
        "<script>var x = {{ .Labels }}; var y = \"{{ .Labels.job }}\"; // {{ .Value }}\n</script>",
        "<style>p { color: {{ .Labels.job }} }</style><p style=\"width: {{ .Value }}px\" onclick=\"f({{ .Labels.job }})\">",
        "<!-- {{ .Labels.job }} -->{{ template \"t\" .Labels.job }}{{ if true }}<b {{ else }}<i {{ end }}class={{ .Value }}>",
    ]
    .map(Vec::from)
    .to_vec()
}
