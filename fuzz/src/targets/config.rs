//! Configuration files.

use config::{
    ConfigError, Mode, PrometheusConfig, RuleFileOptions, SextantConfig, WebConfig, parse_http_client_file,
    parse_rule_file, parse_target_file, parse_target_groups, parse_unit_test_file, yaml,
};
use ql_promql::parser::ParserOptions;

use crate::Target;
use crate::input::text;
use crate::seeds::{Files, Folder};

const fn conformance(path: &'static str, ending: &'static str) -> Files {
    Files { folder: Folder::Conformance(path), ending, prefix: &[] }
}

/// What every YAML file is made of.
const YAML: &[&str] = &[
    "&a ",
    "*a",
    "<<: *a\n",
    "- ",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "? ",
    "|\n",
    ">-\n",
    "!!binary ",
    "!!str ",
    "{",
    "}",
    "[",
    "]",
    "~",
    "null",
    "true",
    "0x10",
    "1e3",
    ".inf",
    "\"\\u0041\"",
    "'",
    "\"",
    "---\n",
    "...\n",
    "# c\n",
    "%YAML 1.1\n",
    "\t",
];

const PROMETHEUS: &[&str] = &[
    "global:\n",
    "scrape_configs:\n",
    "job_name: x\n",
    "rule_files:\n",
    "alerting:\n",
    "remote_write:\n",
    "remote_read:\n",
    "static_configs:\n",
    "targets: [",
    "relabel_configs:\n",
    "action: replace\n",
    "regex: ",
    "source_labels: [",
    "basic_auth:\n",
    "tls_config:\n",
    "url: http://x/\n",
    "scrape_interval: 1m\n",
    "file_sd_configs:\n",
    "dns_sd_configs:\n",
    "labels: {",
    "kubernetes_sd_configs:\n",
    "external_labels:\n",
    "storage:\n",
    "otlp:\n",
    "tracing:\n",
    "headers:\n",
    "- ",
    "\n    ",
    "\n  ",
    ": ",
    "&a ",
    "*a",
    "<<: *a\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "~",
];

pub(super) const TARGETS: &[Target] = &[
    Target::new("yaml", check_yaml, || {
        vec![b"a: &x [1, {b: c}]\n? k\n: *x\n<<: {d: |\n  text\n}\n".to_vec()]
    })
    .with_words(YAML)
    .with_heap(NODES_BYTES_MAX, 8 << 10),
    Target::new("prometheus_yml", check_prometheus, || vec![PROMETHEUS_SEED.into()])
        .with_files(&[conformance("metrics/prometheus/config/testdata", ".yml")])
        .with_words(PROMETHEUS)
        .with_heap(NODES_BYTES_MAX, 64 << 10)
        .with_test_runs(3_000),
    Target::new("sextant_yml", check_sextant, || vec![SEXTANT_SEED.into()])
        .with_files(&[Files {
            folder: Folder::Repository("examples/quickstart"),
            ending: ".yml",
            prefix: &[],
        }])
        .with_words(YAML)
        .with_heap(NODES_BYTES_MAX, 64 << 10)
        .with_test_runs(8_000),
    Target::new("web_config", check_web, || vec![WEB_SEED.into()])
        .with_files(&[conformance("metrics/exporter-toolkit/web/testdata", ".yml")])
        .with_words(YAML)
        .with_heap(NODES_BYTES_MAX, 64 << 10)
        .with_test_runs(8_000),
    Target::new("http_client_file", check_http_client, || vec![HTTP_CLIENT_SEED.into()])
        .with_files(&[conformance("metrics/common/config/testdata", ".yml")])
        .with_words(YAML)
        .with_heap(NODES_BYTES_MAX, 64 << 10)
        .with_test_runs(8_000),
    Target::new("rule_file", check_rules, || vec![RULES_SEED.into()])
        .with_files(&[
            conformance("alerting/promtool/cmd/promtool/testdata", ".yml"),
            conformance("metrics/prometheus/config/testdata", ".rules"),
        ])
        .with_words(YAML)
        .with_heap(NODES_BYTES_MAX, 64 << 10)
        .with_test_runs(8_000),
    Target::new("unit_test_file", check_unit_tests, || vec![UNIT_TESTS_SEED.into()])
        .with_files(&[conformance("alerting/promtool/cmd/promtool/testdata", ".yml")])
        .with_words(YAML)
        .with_heap(NODES_BYTES_MAX, 64 << 10)
        .with_test_runs(8_000),
    Target::new("target_groups", check_target_groups, || {
        let texts = [
            "- targets: ['a:1', 'b:2']\n  labels:\n    env: x\n",
            r#"[{"targets":["a:1"],"labels":{"x":"y"}}]"#,
        ];
        texts.map(Vec::from).to_vec()
    })
    .with_words(YAML)
    .with_heap(NODES_BYTES_MAX, 64 << 10)
    .with_test_runs(8_000),
];

/// Aliases may make a million nodes of a short text, and no more.
const NODES_BYTES_MAX: usize = 512 << 20;

const PATH: &str = "/etc/x/file.yml";

fn check_yaml(input: &[u8]) {
    let Some(text) = text(input) else { return };
    match yaml::parse(text) {
        Ok(node) => assert_eq!(yaml::parse(text), Ok(node), "the same text gives the same tree"),
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
    }
}

fn check_prometheus(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let none = |_: &str| None;
    for mode in [Mode::Server, Mode::Agent] {
        let Ok(first) = PrometheusConfig::parse(text, PATH, &none, mode) else { continue };
        // Variables were replaced once; a value that looks like one afterwards would be replaced again.
        if !text.contains('$') {
            check_printing(&first.to_yaml(), |text| {
                PrometheusConfig::parse(text, PATH, &none, mode).map(|config| config.to_yaml())
            });
        }
    }
}

/// What was printed loads, and prints as itself from then on. Not at once: a section that is null in
/// the file is not printed, and one that is missing has its defaults.
fn check_printing(first: &str, reprint: impl Fn(&str) -> Result<String, ConfigError>) {
    let read =
        |text: &str| reprint(text).unwrap_or_else(|e| panic!("what was printed does not load: {e}\n{text}"));
    let second = read(first);
    assert_eq!(read(&second), second, "printed, read and printed");
}

fn check_sextant(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let Ok(first) = SextantConfig::parse(text, PATH) else { return };
    check_printing(&first.to_yaml(), |text| SextantConfig::parse(text, PATH).map(|config| config.to_yaml()));
}

fn check_web(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(config) = WebConfig::parse(text, PATH) {
        assert!(config.files().iter().all(|file| !file.is_empty()), "files have names");
    }
}

fn check_http_client(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(config) = parse_http_client_file(text, PATH) {
        assert!(!format!("{config:?}").contains("hidden-from-logs"), "secrets do not print");
    }
}

fn check_rules(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let options = RuleFileOptions { parser: ParserOptions::all(), legacy_names: false };
    match parse_rule_file(text, PATH, &options) {
        Ok(file) => {
            let legacy = RuleFileOptions { legacy_names: true, ..options };
            if let Ok(strict) = parse_rule_file(text, PATH, &legacy) {
                assert_eq!(strict.groups.len(), file.groups.len());
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            let strict = parse_rule_file(text, PATH, &RuleFileOptions { legacy_names: true, ..options });
            assert!(strict.is_err(), "what is refused is refused more strictly too");
        }
    }
}

fn check_unit_tests(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Err(error) = parse_unit_test_file(text, PATH) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
}

fn check_target_groups(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let bare = parse_target_groups(text);
    let named = parse_target_file(text, PATH);
    assert_eq!(bare.is_ok(), named.is_ok(), "a path decides nothing");
    if let (Ok(bare), Ok(named)) = (bare, named) {
        assert_eq!(bare.len(), named.len());
    }
}

const PROMETHEUS_SEED: &str = "global:\n  scrape_interval: 15s\n  external_labels: {a: b}\nrule_files: [r/*.yml]\n\
alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['am:9093']}]\nscrape_configs:\n- job_name: x\n  \
basic_auth: {username: u, password: p}\n  static_configs:\n  - targets: ['a:1']\n    labels: {l: v}\n  \
relabel_configs:\n  - {source_labels: [__address__], regex: '(.*):.*', target_label: host, replacement: '${1}'}\n\
remote_write:\n- url: http://h/w\n  queue_config: {capacity: 10}\n";

const SEXTANT_SEED: &str = "data_dir: data\nexternal_url: http://localhost:9090\nlisteners:\n- address: 127.0.0.1:9090\n  \
personality: prometheus\nretention:\n  time: 15d\n  size: 1GB\nlog:\n  level: info\n";

const WEB_SEED: &str = "tls_server_config:\n  cert_file: c.pem\n  key_file: k.pem\nhttp_server_config:\n  http2: true\n  \
headers:\n    X-Frame-Options: deny\nbasic_auth_users:\n  u: $2y$10$abcdefghijklmnopqrstuuJ1LmKzVZx4Y5m4Y5m4Y5m4Y5m4Y5m4Y\n\
rate_limit:\n  interval: 1s\n  burst: 3\n";

const HTTP_CLIENT_SEED: &str = "basic_auth:\n  username: u\n  password: hidden-from-logs\ntls_config:\n  ca_file: ca\n  \
insecure_skip_verify: true\nproxy_url: http://p:1\nfollow_redirects: false\nhttp_headers:\n  X: {values: [a]}\n";

const RULES_SEED: &str = "groups:\n- name: g\n  interval: 30s\n  limit: 3\n  labels: {t: x}\n  rules:\n  - record: a:b\n    \
expr: sum(a)\n    labels: {l: v}\n  - alert: Down\n    expr: up == 0\n    for: 5m\n    keep_firing_for: 1m\n    annotations:\n      \
s: '{{ $labels.job }} is {{ $value | humanize }}'\n";

const UNIT_TESTS_SEED: &str = "rule_files: [r.yml]\nevaluation_interval: 1m\ngroup_eval_order: [g]\ntests:\n- interval: 1m\n  \
name: n\n  input_series:\n  - {series: 'up{job=\"a\"}', values: '1 0x5'}\n  alert_rule_test:\n  - eval_time: 5m\n    \
alertname: Down\n    exp_alerts:\n    - exp_labels: {job: a}\n      exp_annotations: {s: x}\n  promql_expr_test:\n  \
- expr: up\n    eval_time: 1m\n    exp_samples:\n    - {labels: 'up{job=\"a\"}', value: 0}\n";
