//! `sextant.yml`, reloads and the checks of the command line.

use std::collections::BTreeMap;

use config::check::{ConfigCheck, Files, Lints, Severity, check_config, check_rules, check_sextant};
use config::reload::{diff, diff_sextant};
use config::sextant::{Deltas, Personality};
use config::{Mode, PrometheusConfig, RuleFileOptions, SextantConfig};
use ql_promql::parser::ParserOptions;

fn no_environment(_: &str) -> Option<String> {
    None
}

#[test]
fn an_empty_sextant_file_has_the_defaults() {
    let config = SextantConfig::parse("", "/etc/sextant/sextant.yml").unwrap();
    let listeners: Vec<(&str, Personality)> =
        config.listeners.iter().map(|listener| (listener.address.as_str(), listener.speaks)).collect();
    assert_eq!(
        listeners,
        [("127.0.0.1:3000", Personality::All), ("127.0.0.1:9090", Personality::Prometheus)]
    );
    assert_eq!(config.data_dir, "/etc/sextant/data");
    assert_eq!(config.retention.time_ms, 15 * 86_400_000);
    assert_eq!((config.query.timeout_ms, config.query.max_samples), (120_000, 50_000_000));
    assert_eq!(config.tenants.limits.query_concurrency, 20);
    let otlp = config.otlp;
    assert_eq!(
        (otlp.deltas, otlp.delta_max_stale_ms, otlp.delta_max_streams),
        (Deltas::Refuse, 300_000, 1_000_000)
    );
    assert!(!config.host_collector.enabled && config.prometheus.is_none());
}

#[test]
fn sextant_files_are_read_strictly() {
    for (text, want) in [
        ("listners: []", "s.yml:1:1: unknown key listners; did you mean listeners?"),
        ("query:\n  timeuot: 3s", "s.yml:2:3: unknown key timeuot in query; did you mean timeout?"),
        ("data_dir: ", "s.yml:1:9: data_dir must name a directory"),
        ("host_collector: {interval: 0s}", "s.yml:1:28: interval must be positive"),
        ("log: {level: loud}", "s.yml:1:14: \"loud\" is no log level: debug, info, warn, error"),
        ("listeners: [{address: 'localhost:1'}, null]", "address \"\" is not host:port"),
        ("listeners: [{address: nowhere}]", "s.yml:1:23: address \"nowhere\" is not host:port"),
        (
            "auth: {users: {bob: {password_hash: hunter2}}}",
            "password_hash must be a bcrypt ($2…) or argon2 ($argon2…) hash; never a password",
        ),
        ("auth: {users: {bob: {password_hash: $2y$10$abc}}}", "password_hash is a damaged bcrypt hash"),
        (
            "auth: {tokens: [{name: ci, file: t, tenants: [a]}]}",
            "auth: tenants of users and tokens need tenants.multi_tenant: true",
        ),
        ("auth: {tokens: [{name: ci, file: t, tenants: [a/b]}]}", "tenants: invalid tenant id \"a/b\""),
        ("auth: {tokens: [{name: ci}]}", "a token needs exactly one of sha256 and file"),
        ("retention: {disk_percentage: 120}", "disk_percentage must be between 0 and 100"),
        ("query: {max_samples: 0}", "max_samples must be positive"),
        (
            "listeners: [{address: '127.0.0.1:1', speaks: otlp}]",
            "\"otlp\" is nothing a listener can speak: all, prometheus, otlp-http, otlp-grpc",
        ),
        ("otlp: {delta_max_stale: 0s}", "delta_max_stale must be positive"),
        ("otlp: {deltas: drop}", "\"drop\" is nothing to do with deltas: refuse, keep, convert"),
        ("retention: {time: soon}", "not a valid duration string: \"soon\""),
    ] {
        let err = SextantConfig::parse(text, "s.yml").unwrap_err().located();
        assert!(err.contains(want), "{text}: {err}");
        assert!(err.starts_with("s.yml:"), "{err}");
    }
    let text =
        "listeners: [{address: '[::1]:1', speaks: otlp-http}, {address: '[::1]:2', speaks: otlp-grpc}]";
    let speaks: Vec<Personality> =
        SextantConfig::parse(text, "s.yml").unwrap().listeners.iter().map(|l| l.speaks).collect();
    assert_eq!(speaks, [Personality::OtlpHttp, Personality::OtlpGrpc]);
    let text = "auth: {users: {bob: {password_hash: $2y$05$EkTgMN5mJ3YEhkeLDZ87uugcZciP0WaUxokpide08tIYqYurM6DXe, admin: true}}}\n\
                listeners: [{address: '0.0.0.0:9090', speaks: prometheus}]\n\
                budgets: {process_memory: 2GB}\nprometheus: prom/prometheus.yml\n";
    let config = SextantConfig::parse(text, "s.yml").unwrap();
    assert_eq!(config.budgets.process_memory.unwrap().0, 2 << 30);
    assert_eq!(config.prometheus.as_deref(), Some("prom/prometheus.yml"));
    assert!(config.auth.users["bob"].rights.admin);
    assert!(config.to_yaml().contains("password_hash: <secret>"), "{}", config.to_yaml());
}

#[test]
fn reloads_name_what_changed() {
    let parse = |text: &str| PrometheusConfig::parse(text, "p.yml", &no_environment, Mode::Server).unwrap();
    let old =
        parse("scrape_configs:\n- job_name: a\n- {job_name: b, basic_auth: {password: x}}\n- job_name: c\n");
    let same = parse(
        "# moved\nscrape_configs:\n\n- job_name: c\n- job_name: a\n- job_name: b\n  basic_auth: {password: x}\n",
    );
    assert!(diff(&old, &same).is_empty());
    let new = parse(
        "rule_files: [x.yml]\nscrape_configs:\n- job_name: a\n- {job_name: b, basic_auth: {password: y}}\n- job_name: d\n",
    );
    let changes = diff(&old, &new);
    assert_eq!(changes.jobs_added, ["d"]);
    assert_eq!(changes.jobs_removed, ["c"]);
    assert_eq!(changes.jobs_changed, ["b"], "a changed secret counts");
    assert!(changes.rule_files && !changes.global && !changes.storage);
    let global = parse("global: {scrape_interval: 30s}\nscrape_configs:\n- job_name: a\n");
    assert_eq!(diff(&old, &global).jobs_changed, ["a"], "an inherited default counts");

    let sextant = |text: &str| SextantConfig::parse(text, "s.yml").unwrap();
    let changes = diff_sextant(&sextant(""), &sextant("data_dir: /x\nquery: {timeout: 1s}\n"));
    assert_eq!((changes.restart, changes.live), (vec!["data_dir"], vec!["query"]));
}

#[test]
fn overrides_of_tenants_inherit_what_they_do_not_name() {
    let text = "tenants:\n  limits: {active_series: 7, query_memory: 1GB}\n  overrides:\n    a: {active_series: 9}\n    \
                b: {query_memory: 2GB, active_series: 0}\n";
    let tenants = SextantConfig::parse(text, "s.yml").unwrap().tenants;
    let of = |id: &str| {
        let limits = tenants.overrides[&base::TenantId::new(id).unwrap()];
        (limits.active_series, limits.query_memory.unwrap().0 >> 30, limits.label_names_per_series)
    };
    assert_eq!((of("a"), of("b")), ((9, 1, 64), (0, 2, 64)));
}

struct InMemory(BTreeMap<&'static str, &'static str>);

impl Files for InMemory {
    fn read(&self, path: &str) -> Result<String, String> {
        let found = self.0.get(path).map(|text| (*text).to_owned());
        found.ok_or_else(|| format!("open {path}: no such file or directory"))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let directory = config::path::directory_of(pattern);
        let name = pattern.rsplit('/').next().unwrap();
        let inside = self.0.keys().filter(|path| config::path::directory_of(path) == directory);
        let matching =
            inside.filter(|path| config::path::file_name_matches(name, path.rsplit('/').next().unwrap()));
        Ok(matching.map(|path| (*path).to_owned()).collect())
    }
}

fn how(lint: &str) -> ConfigCheck {
    ConfigCheck {
        mode: Mode::Server,
        syntax_only: false,
        lints: Lints::parse(lint, 300_000).0,
        rules: RuleFileOptions { parser: ParserOptions::all(), legacy_names: false },
    }
}

#[test]
fn checks_find_everything_in_every_file() {
    let files = InMemory(BTreeMap::from([
        (
            "d/good.yml",
            "rule_files: [r/*.yml]\nscrape_configs: [{job_name: a, file_sd_configs: [{files: [t.json]}]}]",
        ),
        ("d/t.json", r#"[{"targets": ["h:1"], "labels": {"a": "b"}}]"#),
        ("d/r/one.yml", "groups: [{name: g, rules: [{record: a, expr: up}, {record: a, expr: up}]}]"),
        (
            "d/bad.yml",
            "scrape_configs:\n- job_name: a\n  scrape_intervall: 3s\n- job_name: b\n  sample_limit: x\n",
        ),
        (
            "d/missing.yml",
            "rule_files: [nowhere.yml]\nscrape_configs: [{job_name: a, authorization: {credentials_file: c}}]",
        ),
        ("d/slow.yml", "scrape_configs: [{job_name: slow, scrape_interval: 10m}]"),
        ("d/s.yml", "prometheus: good.yml\nloki: loki.yml\n"),
    ]));
    let check = |path: &str, lint: &str| check_config(path, &files, &no_environment, &how(lint));
    let good = check("d/good.yml", "none");
    assert_eq!((good.exit_code(true), good.findings.len()), (0, 0), "{good:?}");
    assert!(good.successes.contains(&"2 rules found".to_owned()), "{good:?}");
    let linted = check("d/good.yml", "duplicate-rules");
    assert_eq!((linted.exit_code(true), linted.exit_code(false)), (3, 0), "{linted:?}");

    let bad = check("d/bad.yml", "all");
    let shown: Vec<String> = bad.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "d/bad.yml:3:3: field scrape_intervall not found in type config.ScrapeConfig",
            "d/bad.yml:5:17: cannot unmarshal !!str `x` into uint"
        ]
    );
    assert_eq!(bad.exit_code(false), 1);
    assert_eq!(check("d/missing.yml", "none").findings.len(), 2);
    assert_eq!(check("d/slow.yml", "too-long-scrape-interval").exit_code(true), 3);
    assert_eq!(check("d/none.yml", "none").exit_code(false), 1);

    let rules = check_rules(&["d/r/one.yml".to_owned()], &files, &how("all"));
    assert_eq!(rules.findings[0].severity, Severity::Lint);
    let sextant = check_sextant("d/s.yml", &files, &no_environment, &how("none"));
    assert_eq!((sextant.exit_code(true), sextant.findings.len()), (0, 1), "{sextant:?}");
}
