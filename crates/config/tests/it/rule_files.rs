//! Rule files of several projects, and promtool's unit-test files.

use std::path::Path;

use config::{RuleFileOptions, parse_rule_file, parse_unit_test_file};
use ql_promql::parser::ParserOptions;
use rules::config::{RuleConfig, RuleFile};

use crate::shared::{data, file_names, read};

const OPTIONS: RuleFileOptions = RuleFileOptions { parser: ParserOptions::all(), legacy_names: false };

fn load(folder: &Path, name: &str) -> Result<RuleFile, config::ConfigError> {
    let legacy_names = name.starts_with("legacy_validation");
    parse_rule_file(&read(&folder.join(name)), name, &RuleFileOptions { legacy_names, ..OPTIONS })
}

#[test]
fn bad_rule_files_fail_with_upstreams_words() {
    let Some(folder) = data("conformance/metrics/prometheus/model/rulefmt/testdata") else { return };
    for (name, want) in [
        ("duplicate_grp.bad.yaml", "groupname: \"yolo\" is repeated in the same file"),
        ("bad_expr.bad.yaml", "parse error"),
        ("record_and_alert.bad.yaml", "only one of 'record' and 'alert' must be set"),
        ("no_rec_alert.bad.yaml", "one of 'record' or 'alert' must be set"),
        ("noexpr.bad.yaml", "field 'expr' must be set in rule"),
        (
            "invalid_record_name.bad.yaml",
            "braces present in the recording rule name; should it be in expr?: strawberry{flavor=\"sweet\"}",
        ),
        ("bad_field.bad.yaml", "field annotation not found"),
        ("invalid_label_name.bad.yaml", "invalid label name"),
        ("record_and_for.bad.yaml", "invalid field 'for' in recording rule"),
        ("record_and_keep_firing_for.bad.yaml", "invalid field 'keep_firing_for' in recording rule"),
        ("legacy_validation_annotation.bad.yaml", "invalid annotation name: ins-tance"),
    ] {
        let err = load(&folder, name).unwrap_err();
        assert!(err.to_string().contains(want), "{name}: {err}");
        assert!(err.problems.iter().all(|problem| problem.pos.is_some()), "{name}: {err:?}");
    }
}

/// Every file of a folder loads, but for the named ones, which do not.
fn check_folder(folder: &str, bad: &[&str]) {
    let Some(folder) = data(folder) else { return };
    let mut wrong = Vec::new();
    for name in file_names(&folder) {
        let is_bad = name.contains(".bad.") || bad.contains(&name.as_str());
        match (load(&folder, &name), is_bad) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(err), false) => wrong.push(format!("{name}: {err}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rule_files_load_or_fail_by_their_names() {
    check_folder("conformance/metrics/prometheus/model/rulefmt/testdata", &[]);
    check_folder("conformance/metrics/prometheus/rules/fixtures", &["invalid_rules.yaml"]);
}

#[test]
fn files_of_other_projects_load_where_they_are_plain_prometheus() {
    if let Some(folder) = data("conformance/metrics/thanos/cmd/thanos/testdata/rules-files") {
        for name in file_names(&folder) {
            let text = read(&folder.join(&name));
            // A field of Thanos's own, which Prometheus refuses.
            let plain: Vec<&str> =
                text.lines().filter(|line| !line.contains("partial_response_strategy")).collect();
            let loaded = parse_rule_file(&plain.join("\n"), &name, &OPTIONS);
            assert_eq!(loaded.is_ok(), !name.starts_with("invalid"), "{name}: {loaded:?}");
            if plain.len() < text.lines().count() {
                let err = load(&folder, &name).unwrap_err();
                assert!(
                    err.to_string()
                        .contains("field partial_response_strategy not found in type rulefmt.RuleGroup")
                );
            }
        }
    }
    let Some(folder) = data("conformance/metrics/VictoriaMetrics/app/vmalert/config/testdata/rules") else {
        return;
    };
    // The other good ones use functions, fields or types of vmalert's own.
    for name in ["kube-good.rules", "rules_interval_good.rules"] {
        let loaded = load(&folder, name);
        assert!(loaded.is_ok(), "{name}: {}", loaded.unwrap_err());
    }
}

#[test]
fn the_seeds_rules_load() {
    let Some(folder) = data("seed") else { return };
    let file = load(&folder, "alerts.yaml").unwrap();
    let names: Vec<&str> = file.groups.iter().flat_map(|group| &group.rules).map(RuleConfig::name).collect();
    assert!(names.contains(&"HighErrorRate") && names.contains(&"DatabaseDown"), "{names:?}");
}

#[test]
fn unit_test_files_load() {
    let Some(folder) = data("conformance/metrics/prometheus/cmd/promtool/testdata") else { return };
    let mut count = 0;
    for name in file_names(&folder) {
        let text = read(&folder.join(&name));
        if !text.contains("\ntests:") {
            continue;
        }
        count += 1;
        let loaded = parse_unit_test_file(&text, &format!("testdata/{name}"));
        // `bad-input-series.yml` and its like are well-formed; they fail when they run.
        let file = loaded.unwrap_or_else(|err| panic!("{name}: {err}"));
        assert!(!file.tests.is_empty(), "{name}");
    }
    assert!(count >= 10, "{count} files");
    let file = parse_unit_test_file(&read(&folder.join("unittest.yml")), "testdata/unittest.yml").unwrap();
    assert_eq!(file.rule_files, ["testdata/rules.yml"]);
    assert_eq!(file.evaluation_interval_ms, 60_000);
    let started = parse_unit_test_file(
        "tests:\n- {start_timestamp: 2024-01-01T00:00:00Z}\n- {start_timestamp: 1609459200}\n- {interval: 5s}",
        "x.yml",
    );
    let starts: Vec<(i64, i64)> =
        started.unwrap().tests.iter().map(|test| (test.start_ms, test.interval_ms)).collect();
    assert_eq!(starts, [(1_704_067_200_000, 60_000), (1_609_459_200_000, 60_000), (0, 5_000)]);
}
