//! Every configuration file under `examples/` loads, names files that exist, and passes its tests.

use std::path::{Path, PathBuf};

use config::{Mode, PrometheusConfig, RuleFileOptions, SextantConfig, parse_rule_file, parse_unit_test_file};
use ql_promql::parser::ParserOptions;
use rules::unittest::{UnitTestOptions, run};

use crate::shared::read;

const OPTIONS: RuleFileOptions = RuleFileOptions { parser: ParserOptions::all(), legacy_names: false };

/// What an example is; a name that says nothing is refused, so that no example goes untested.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Sextant,
    Prometheus,
    Rules,
    RulesTest,
}

fn kind_of(name: &str) -> Option<Kind> {
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"))?;
    match stem {
        "sextant" => Some(Kind::Sextant),
        "prometheus" => Some(Kind::Prometheus),
        _ if stem.ends_with("rules_test") => Some(Kind::RulesTest),
        _ if stem.ends_with("rules") => Some(Kind::Rules),
        _ => None,
    }
}

/// Every YAML file below a folder, sorted.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "yml" || ext == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn assert_exists(path: &str, named_by: &Path) {
    assert!(Path::new(path).is_file(), "{}: {path} does not exist", named_by.display());
}

fn check(path: &Path) {
    let (text, shown) = (read(path), path.display().to_string());
    let name = path.file_name().unwrap().to_str().unwrap();
    let kind = kind_of(name).unwrap_or_else(|| panic!("{shown}: what is it? the name does not say"));
    match kind {
        Kind::Sextant => {
            let config =
                SextantConfig::parse(&text, &shown).unwrap_or_else(|err| panic!("{}", err.located()));
            assert!(config.warnings.is_empty(), "{shown}: {:?}", config.warnings);
            assert_exists(config.prometheus.as_deref().unwrap(), path);
        }
        Kind::Prometheus => {
            let config = PrometheusConfig::parse(&text, &shown, &|_| None, Mode::Server);
            let config = config.unwrap_or_else(|err| panic!("{}", err.located()));
            for rule_file in &config.rule_files {
                assert_exists(rule_file, path);
            }
        }
        Kind::Rules => {
            parse_rule_file(&text, &shown, &OPTIONS).unwrap_or_else(|err| panic!("{}", err.located()));
        }
        Kind::RulesTest => {
            let file = parse_unit_test_file(&text, &shown).unwrap_or_else(|err| panic!("{}", err.located()));
            let rules: Vec<_> = file
                .rule_files
                .iter()
                .map(|rules| parse_rule_file(&read(Path::new(rules)), rules, &OPTIONS).unwrap())
                .collect();
            let options = UnitTestOptions { parser: ParserOptions::all(), ..UnitTestOptions::default() };
            let report = run(&file, &rules, &options);
            assert!(report.passed(), "{shown}: {report:?}");
        }
    }
}

#[test]
fn every_example_loads() {
    let files = yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"));
    assert!(!files.is_empty());
    files.iter().for_each(|path| check(path));
}

#[test]
fn the_quickstart_is_what_the_readme_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart/sextant.yml");
    // As `make run` names it, from the root of the repository.
    let config = SextantConfig::parse(&read(&path), "examples/quickstart/sextant.yml").unwrap();
    let addresses: Vec<&str> = config.listeners.iter().map(|listener| listener.address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.1:3000", "127.0.0.1:9090"]);
    assert!(config.host_collector.enabled);
    assert_eq!(config.data_dir, "data", "what .gitignore names");
}

/// Strict reading finds keys that the reference invents or that were renamed.
#[test]
fn the_reference_of_settings_loads() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/sextant-yml.md");
    let page = read(&page);
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (text, _) = rest.split_once("\n```").unwrap();
    let config = SextantConfig::parse(text, "sextant.yml").unwrap_or_else(|err| panic!("{}", err.located()));
    let plain = SextantConfig::parse("", "sextant.yml").unwrap();
    for key in plain.to_yaml().lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key) {
        assert!(text.contains(&format!("{}:", key.trim_start_matches([' ', '-']))), "{key} is missing");
    }
    assert_eq!(config.query, plain.query);
    assert_eq!(config.retention.time_ms, plain.retention.time_ms);
    assert_eq!(config.host_collector.interval_ms, plain.host_collector.interval_ms);
    assert_eq!(config.host_collector.job_name, plain.host_collector.job_name);
    assert_eq!(config.tenants.limits.active_series, plain.tenants.limits.active_series);
    assert_eq!(config.data_dir, plain.data_dir);
    let addresses = |config: &SextantConfig| -> Vec<_> {
        config.listeners.iter().map(|listener| (listener.address.clone(), listener.speaks)).collect()
    };
    assert_eq!(addresses(&config), addresses(&plain));
}
