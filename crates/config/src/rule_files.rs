//! Rule files and unit-test files: text → the plain structs of `rules`, with every mistake reported
//! at once.

use std::collections::{BTreeMap, BTreeSet};

use model::labels::METRIC_NAME;
use model::validation::{is_legacy_label_name, is_legacy_metric_name};
use ql_promql::parser::{ParserOptions, parse_expr};
use rules::config::{
    AlertTest, ExpectedAlert, ExpectedSample, PromqlTest, RuleConfig, RuleFile, RuleGroupConfig, RuleKind,
    SourcePos, UnitTestFile, UnitTestGroup, UnitTestSeries,
};

use crate::decode::{Record, decode_node, parse_text};
use crate::error::{ConfigError, Problem};
use crate::path;
use crate::schema::rule_file::{RULE_FILE, UNIT_TEST_FILE, parse_start_ms};

const EVALUATION_INTERVAL_DEFAULT_MS: i64 = 60_000;

/// What a rule file may use.
#[derive(Debug, Clone, Copy)]
pub struct RuleFileOptions {
    /// Which experimental parts of PromQL are on.
    pub parser: ParserOptions,
    /// Refuses names outside the legacy alphabet.
    pub legacy_names: bool,
}

/// Reads a rule file. Only the first document of a file with several is used, as upstream does.
pub fn parse_rule_file(text: &str, path: &str, options: &RuleFileOptions) -> Result<RuleFile, ConfigError> {
    let empty = RuleFile { path: path.to_owned(), groups: Vec::new() };
    let Some(node) = parse_text(text).map_err(|err| err.prefixed(path))? else { return Ok(empty) };
    let record = decode_node(&node, &RULE_FILE).map_err(|err| err.prefixed(path))?;
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for group in record.sections("groups") {
        check_group(group, &mut names, options, &mut problems);
    }
    if problems.is_empty() {
        let groups = record.sections("groups").map(group_config).collect();
        return Ok(RuleFile { groups, ..empty });
    }
    let lines: Vec<String> = problems.iter().map(|(text, _)| format!("{path}: {text}")).collect();
    let problems = problems.into_iter().map(|(_, problem)| problem).collect();
    Err(ConfigError::new(path, problems, lines.join("\n")))
}

/// Upstream's line for a mistake, and the mistake with its place.
type Found = Vec<(String, Problem)>;

fn show(pos: SourcePos) -> String {
    format!("{}:{}", pos.line, pos.column)
}

fn check_group(group: &Record, names: &mut BTreeSet<String>, options: &RuleFileOptions, found: &mut Found) {
    let name = group.str("name");
    let mut add = |pos: SourcePos, text: String, message: String| {
        found.push((text, Problem { pos: Some(pos), message }));
    };
    if name.is_empty() {
        let message = "Groupname must not be empty".to_owned();
        add(group.pos, format!("{}: {message}", show(group.pos)), message);
    }
    if !names.insert(name.to_owned()) {
        let message = format!("groupname: \"{name}\" is repeated in the same file");
        add(group.pos, format!("{}: {message}", show(group.pos)), message);
    }
    for label in group.str_map("labels").keys() {
        if !is_label_name(label, options) || label == METRIC_NAME {
            let message = format!("invalid label name: {label}");
            add(group.place("labels").unwrap_or(group.pos), message.clone(), message);
        }
    }
    for (at, rule) in group.sections("rules").enumerate() {
        let rule_name = if rule.has("alert") { rule.str("alert") } else { rule.str("record") };
        for flaw in check_rule(rule, options) {
            let place = if flaw.shown.is_empty() { String::new() } else { format!("{}: ", flaw.shown) };
            let text = format!("{place}group {name:?}, rule {}, {rule_name:?}: {}", at + 1, flaw.message);
            let message = format!("group {name:?}, rule {}, {rule_name:?}: {}", at + 1, flaw.message);
            found.push((text, Problem { pos: Some(flaw.pos), message }));
        }
    }
}

fn is_label_name(name: &str, options: &RuleFileOptions) -> bool {
    if options.legacy_names { is_legacy_label_name(name) } else { !name.is_empty() }
}

/// One mistake in a rule.
struct Flaw {
    pos: SourcePos,
    /// The places upstream prints before the message; empty when it prints none.
    shown: String,
    message: String,
}

fn check_rule(rule: &Record, options: &RuleFileOptions) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let place = |name: &str| rule.place(name).unwrap_or(rule.pos);
    // Upstream prints 0:0 for a field that is not there.
    let shown = |name: &str| show(rule.place(name).unwrap_or_default());
    let mut at = |name: &str, message: String| {
        flaws.push(Flaw { pos: place(name), shown: shown(name), message });
    };
    let (record, alert, expr) = (rule.str("record"), rule.str("alert"), rule.str("expr"));
    if expr.is_empty() {
        at("expr", "field 'expr' must be set in rule".to_owned());
    } else if let Err(err) = parse_expr(expr, &options.parser) {
        at("expr", format!("could not parse expression: {err}"));
    }
    if !record.is_empty() {
        for field in ["annotations", "for", "keep_firing_for"] {
            if rule.has(field) {
                at("record", format!("invalid field '{field}' in recording rule"));
            }
        }
        if options.legacy_names && !is_legacy_metric_name(record) {
            at("record", format!("invalid recording rule name: {record}"));
        }
        if record.contains(['{', '}']) {
            let hint = "braces present in the recording rule name; should it be in expr?";
            at("record", format!("{hint}: {record}"));
        }
    }
    if record.is_empty() == alert.is_empty() {
        let message = match record.is_empty() {
            true => "one of 'record' or 'alert' must be set",
            false => "only one of 'record' and 'alert' must be set",
        };
        let shown = format!("{}: {}", shown("record"), shown("alert"));
        let pos = rule.place("record").unwrap_or(rule.pos);
        flaws.insert(0, Flaw { pos, shown, message: message.to_owned() });
    }
    check_texts(rule, options, &mut flaws);
    flaws
}

/// Names of labels and annotations, and their templates.
fn check_texts(rule: &Record, options: &RuleFileOptions, flaws: &mut Vec<Flaw>) {
    let mut add = |field: &str, message: String| {
        let pos = rule.place(field).unwrap_or(rule.pos);
        flaws.push(Flaw { pos, shown: String::new(), message });
    };
    for name in rule.str_map("labels").keys() {
        if !is_label_name(name, options) || name == METRIC_NAME {
            add("labels", format!("invalid label name: {name}"));
        }
    }
    for name in rule.str_map("annotations").keys() {
        if !is_label_name(name, options) {
            add("annotations", format!("invalid annotation name: {name}"));
        }
    }
    let alert = rule.str("alert");
    if alert.is_empty() {
        return;
    }
    for (field, what) in [("labels", "label"), ("annotations", "annotation")] {
        for (name, text) in rule.str_map(field) {
            if let Err(err) = check_template(alert, &text) {
                add(field, format!("{what} {name:?}: {err}"));
            }
        }
    }
}

/// What alert templates find defined, as upstream puts it before each of them.
const TEMPLATE_DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                                    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

fn check_template(alert: &str, text: &str) -> Result<(), String> {
    let name = format!("__alert_{alert}");
    let whole = format!("{TEMPLATE_DEFINITIONS}{text}");
    gotemplate::prometheus::parse_test(&name, &whole).map_err(|err| err.to_string())
}

fn group_config(group: &Record) -> RuleGroupConfig {
    RuleGroupConfig {
        name: group.str("name").to_owned(),
        interval_ms: group.has("interval").then(|| group.int("interval")),
        query_offset_ms: group.has("query_offset").then(|| group.int("query_offset")),
        limit: group.uint("limit"),
        labels: group.str_map("labels"),
        rules: group.sections("rules").map(rule_config).collect(),
        pos: group.pos,
    }
}

fn rule_config(rule: &Record) -> RuleConfig {
    let kind = if rule.has("alert") {
        RuleKind::Alerting {
            alert: rule.str("alert").to_owned(),
            for_ms: rule.int("for"),
            keep_firing_for_ms: rule.int("keep_firing_for"),
            annotations: rule.str_map("annotations"),
        }
    } else {
        RuleKind::Recording { record: rule.str("record").to_owned() }
    };
    RuleConfig {
        kind,
        expr: rule.str("expr").to_owned(),
        labels: rule.str_map("labels"),
        pos: rule.pos,
        expr_pos: rule.place("expr").unwrap_or(rule.pos),
    }
}

/// Reads a promtool unit-test file. `rule_files` come out joined with its directory, patterns as
/// they are: whoever opens files expands them.
pub fn parse_unit_test_file(text: &str, path: &str) -> Result<UnitTestFile, ConfigError> {
    let node = parse_text(text).map_err(|err| err.prefixed(path))?;
    let mut record = match node {
        Some(node) => decode_node(&node, &UNIT_TEST_FILE).map_err(|err| err.prefixed(path))?,
        None => Record::preset(&UNIT_TEST_FILE, SourcePos { line: 1, column: 1 }),
    };
    record.join_paths(&path::directory_of(path));
    let interval_ms = match record.int("evaluation_interval") {
        0 => EVALUATION_INTERVAL_DEFAULT_MS,
        set => set,
    };
    Ok(UnitTestFile {
        path: path.to_owned(),
        rule_files: record.strings("rule_files"),
        evaluation_interval_ms: interval_ms,
        group_eval_order: record.strings("group_eval_order"),
        fuzzy_compare: record.bool("fuzzy_compare"),
        tests: record.sections("tests").map(|test| test_group(test, interval_ms)).collect(),
    })
}

fn test_group(test: &Record, evaluation_interval_ms: i64) -> UnitTestGroup {
    UnitTestGroup {
        name: test.str("name").to_owned(),
        interval_ms: if test.has("interval") { test.int("interval") } else { evaluation_interval_ms },
        start_ms: parse_start_ms(test.str("start_timestamp")).unwrap_or(0),
        input_series: test
            .sections("input_series")
            .map(|series| UnitTestSeries {
                series: series.str("series").to_owned(),
                values: series.str("values").to_owned(),
                pos: series.pos,
            })
            .collect(),
        alert_tests: test.sections("alert_rule_test").map(alert_test).collect(),
        promql_tests: test.sections("promql_expr_test").map(promql_test).collect(),
        external_labels: test.str_map("external_labels"),
        external_url: test.str("external_url").to_owned(),
        pos: test.pos,
    }
}

fn alert_test(test: &Record) -> AlertTest {
    let expected = test.sections("exp_alerts").map(|alert| ExpectedAlert {
        labels: alert.str_map("exp_labels"),
        annotations: alert.str_map("exp_annotations"),
    });
    AlertTest {
        eval_time_ms: test.int("eval_time"),
        alertname: test.str("alertname").to_owned(),
        expected: expected.collect(),
        pos: test.pos,
    }
}

fn promql_test(test: &Record) -> PromqlTest {
    let expected = test.sections("exp_samples").map(|sample| ExpectedSample {
        labels: sample.str("labels").to_owned(),
        value: sample.float("value"),
        histogram: sample.str("histogram").to_owned(),
    });
    PromqlTest {
        expr: test.str("expr").to_owned(),
        eval_time_ms: test.int("eval_time"),
        expected: expected.collect(),
        pos: test.pos,
    }
}

/// Rules of several files that give the same series or alert: (name, labels) that occur more than
/// once. promtool's `duplicate-rules` lint.
pub fn duplicate_rules(files: &[RuleFile]) -> Vec<DuplicateRule> {
    let mut seen = BTreeMap::new();
    let mut duplicates = Vec::new();
    for file in files {
        for group in &file.groups {
            for rule in &group.rules {
                // Upstream looks at the rule's own labels only, and at records and alerts alike.
                let count = seen.entry((rule.name(), &rule.labels)).or_insert(0u32);
                *count += 1;
                if *count == 2 {
                    duplicates.push(DuplicateRule {
                        path: file.path.clone(),
                        pos: rule.pos,
                        metric: rule.name().to_owned(),
                        labels: rule.labels.clone(),
                    });
                }
            }
        }
    }
    duplicates
}

/// A rule that repeats an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateRule {
    pub path: String,
    pub pos: SourcePos,
    /// The value of `record` or `alert`.
    pub metric: String,
    pub labels: BTreeMap<String, String>,
}
