//! `sextant test rules`: promtool's unit-test files.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use config::check::Files;
use config::{RuleFileOptions, parse_rule_file, parse_unit_test_file};
use ql_promql::parser::ParserOptions;
use rules::unittest::{UnitTestOptions, UnitTestReport, junit_xml, run as run_tests, unknown_alert_names};

use crate::check::Disk;
use crate::output;

/// Run tests.
#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Unit tests of rules, in promtool's format.
    Rules(RulesArgs),
}

#[derive(Debug, Args)]
struct RulesArgs {
    #[arg(required = true)]
    files: Vec<String>,
    /// Run only test groups whose name contains this; may be repeated.
    #[arg(long, value_name = "TEXT")]
    run: Vec<String>,
    /// Also write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(crate) fn run(test: &Test) -> ExitCode {
    let What::Rules(args) = &test.what;
    let options = UnitTestOptions {
        parser: ParserOptions::all(),
        only: args.run.clone(),
        ..UnitTestOptions::default()
    };
    let mut reports = Vec::new();
    for path in &args.files {
        output::line(&format!("Unit Testing:  {path}"));
        let report = one_file(path, &options);
        print(&report);
        reports.push(report);
    }
    if let Some(path) = &args.junit
        && let Err(error) = std::fs::write(path, junit_xml(&reports))
    {
        return crate::launch::fail(&format!("{}: {error}", path.display()));
    }
    if reports.iter().all(UnitTestReport::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one_file(path: &str, options: &UnitTestOptions) -> UnitTestReport {
    let refused =
        |error: String| UnitTestReport { file: path.to_owned(), error: Some(error), groups: Vec::new() };
    let file = match Disk
        .read(path)
        .map_err(|e| format!("{path}: {e}"))
        .and_then(|text| parse_unit_test_file(&text, path).map_err(|e| e.located()))
    {
        Ok(file) => file,
        Err(error) => return refused(error),
    };
    let rule_options = RuleFileOptions { parser: ParserOptions::all(), legacy_names: false };
    let mut rules = Vec::new();
    for pattern in &file.rule_files {
        let found = match Disk.glob(pattern) {
            Ok(found) => found,
            Err(error) => return refused(error),
        };
        if found.is_empty() {
            output::remark(&format!("  WARNING: no file match pattern {pattern}"));
        }
        for rule_path in found {
            let parsed = Disk
                .read(&rule_path)
                .and_then(|text| parse_rule_file(&text, &rule_path, &rule_options).map_err(|e| e.located()));
            match parsed {
                Ok(parsed) => rules.push(parsed),
                Err(error) => return refused(error),
            }
        }
    }
    for name in unknown_alert_names(&file, &rules) {
        output::remark(&format!("  WARNING: no rule is called {name:?}: its tests can only expect nothing"));
    }
    run_tests(&file, &rules, options)
}

fn print(report: &UnitTestReport) {
    if let Some(error) = &report.error {
        output::line("  FAILED:");
        output::line(&indented(error));
        return;
    }
    if report.passed() {
        output::line("  SUCCESS");
        return;
    }
    output::line("  FAILED:");
    for group in report.groups.iter().filter(|group| !group.failures.is_empty()) {
        if !group.name.is_empty() {
            output::line(&format!("    name: {}", group.name));
        }
        for failure in &group.failures {
            output::line(&indented(&failure.to_string()));
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
