//! promtool's own unit-test files: which pass, which fail and how the failure reads.

use std::path::{Path, PathBuf};

use config::rule_files::{RuleFileOptions, parse_rule_file, parse_unit_test_file};
use ql_promql::parser::ParserOptions;
use rules::unittest::{UnitTestOptions, UnitTestReport, junit_xml, run};

fn test_data() -> Option<PathBuf> {
    let root = std::env::var_os("SEXTANT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    Some(root.join("conformance/metrics/prometheus/cmd/promtool/testdata")).filter(|dir| dir.is_dir())
}

#[expect(clippy::print_stdout, reason = "a skipped test must be seen")]
fn skipped() {
    println!("SKIPPED: needs ../shared (promtool's test files)");
}

/// Runs one file as `promtool test rules --run <only>` would.
fn promtool(dir: &Path, name: &str, only: &[&str]) -> Result<UnitTestReport, String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let path = dir.join(name);
    let file = parse_unit_test_file(&read(&path)?, &path.to_string_lossy()).map_err(|e| e.to_string())?;
    let options = RuleFileOptions { parser: ParserOptions::default(), legacy_names: false };
    let mut rule_files = Vec::new();
    for path in &file.rule_files {
        rule_files.push(parse_rule_file(&read(Path::new(path))?, path, &options).map_err(|e| e.to_string())?);
    }
    let only = only.iter().map(|part| (*part).to_owned()).collect();
    Ok(run(&file, &rule_files, &UnitTestOptions { only, ..UnitTestOptions::default() }))
}

#[test]
fn files_pass_and_fail_as_promtool_says() {
    let Some(dir) = test_data() else { return skipped() };
    for (name, only, passes) in [
        ("unittest.yml", &[][..], true),
        ("long-period.yml", &[], true),
        ("at-modifier-test.yml", &[], true),
        ("negative-offset-test.yml", &[], true),
        ("no-test-group-interval.yml", &[], true),
        ("start-time-test.yml", &[], true),
        ("failing.yml", &[], false),
        ("bad-input-series.yml", &[], false),
        ("bad-promql.yml", &[], false),
        ("bad-rules-error-test.yml", &[], false),
        ("rules_run.yml", &["correct"], true),
        ("rules_run.yml", &["wrong"], false),
        ("rules_run_fuzzy.yml", &["correct"], true),
        ("rules_run_fuzzy.yml", &["wrong"], false),
        ("rules_run_no_fuzzy.yml", &[], false),
    ] {
        let report = promtool(&dir, name, only).unwrap();
        let failures: Vec<String> =
            report.groups.iter().flat_map(|g| &g.failures).map(ToString::to_string).collect();
        assert_eq!(report.passed(), passes, "{name} {only:?}\n{}", failures.join("\n"));
        assert!(!report.groups.is_empty(), "{name} ran nothing");
    }
    for name in ["bad-rules-syntax-test.yml", "rules_run_extrafields.yml"] {
        assert!(promtool(&dir, name, &[]).is_err(), "{name}");
    }
}

#[test]
fn differences_are_legible() {
    let Some(dir) = test_data() else { return skipped() };
    let report = promtool(&dir, "failing.yml", &[]).unwrap();
    let shown: Vec<String> =
        report.groups.iter().flat_map(|g| &g.failures).map(ToString::to_string).collect();
    let expected = [
        "    alertname: Test, time: 0s,\n      (- expected, + got)\n      + no alert\n      - {alertname=\"Test\"}",
        "    expr: \"test\", time: 0s,\n      (- expected, + got)\n      - {__name__=\"test\"} 1\n      + {__name__=\"test\"} 0",
        concat!(
            "    alertname: InstanceDown, time: 5m,\n      (- expected, + got)\n      - no alert\n",
            "      + {alertname=\"InstanceDown\", job=\"test\", severity=\"page\"}\n",
            "      +     description: \" of job test has been down for more than 5 minutes.\"\n",
            "      +     summary: \"Instance  down\"",
        ),
        concat!(
            "    alertname: AlwaysFiring, time: 5m,\n      (- expected, + got)\n      - no alert\n",
            "      + {alertname=\"AlwaysFiring\"}",
        ),
    ];
    assert_eq!(shown, expected);
    let xml = junit_xml(&[report]);
    assert!(xml.contains("tests=\"2\" failures=\"2\" errors=\"0\""), "{xml}");
    assert!(xml.contains("<failure message=\"\" type=\"\">    alertname: Test, time: 0s,&#xA;"), "{xml}");
}
