//! Rule files and promtool's unit-test files.

use super::{Kind, Schema, opt};

const RULE: Schema = Schema::new(
    "rulefmt.Rule",
    &[
        opt("record", Kind::Str),
        opt("alert", Kind::Str),
        opt("expr", Kind::Str),
        opt("for", Kind::Duration),
        opt("keep_firing_for", Kind::Duration),
        opt("labels", Kind::StrMap),
        opt("annotations", Kind::StrMap),
    ],
);

const GROUP: Schema = Schema::new(
    "rulefmt.RuleGroup",
    &[
        opt("name", Kind::Str),
        opt("interval", Kind::Duration),
        opt("query_offset", Kind::MaybeDuration),
        opt("limit", Kind::Int),
        opt("rules", Kind::List(&Kind::Section(&RULE))),
        opt("labels", Kind::StrMap),
    ],
);

/// A rule file.
pub(crate) const RULE_FILE: Schema =
    Schema::new("rulefmt.RuleGroups", &[opt("groups", Kind::List(&Kind::Section(&GROUP)))]);

const SERIES: Schema = Schema::new("main.series", &[opt("series", Kind::Str), opt("values", Kind::Str)]);

const EXPECTED_ALERT: Schema =
    Schema::new("main.alert", &[opt("exp_labels", Kind::StrMap), opt("exp_annotations", Kind::StrMap)]);

const ALERT_TEST: Schema = Schema::new(
    "main.alertTestCase",
    &[
        opt("eval_time", Kind::Duration),
        opt("alertname", Kind::Str),
        opt("exp_alerts", Kind::List(&Kind::Section(&EXPECTED_ALERT))),
    ],
);

const EXPECTED_SAMPLE: Schema = Schema::new(
    "main.sample",
    &[opt("labels", Kind::Str), opt("value", Kind::Float), opt("histogram", Kind::Str)],
);

const PROMQL_TEST: Schema = Schema::new(
    "main.promqlTestCase",
    &[
        opt("expr", Kind::Str),
        opt("eval_time", Kind::Duration),
        opt("exp_samples", Kind::List(&Kind::Section(&EXPECTED_SAMPLE))),
    ],
);

const TEST_GROUP: Schema = Schema::new(
    "main.testGroup",
    &[
        opt("interval", Kind::Duration),
        opt("input_series", Kind::List(&Kind::Section(&SERIES))),
        opt("alert_rule_test", Kind::List(&Kind::Section(&ALERT_TEST))),
        opt("promql_expr_test", Kind::List(&Kind::Section(&PROMQL_TEST))),
        opt("external_labels", Kind::StrMap),
        opt("external_url", Kind::Str),
        opt("name", Kind::Str),
        opt("start_timestamp", Kind::Word("main.testStartTimestamp", check_start)),
    ],
);

fn check_start(text: &str) -> Result<String, String> {
    match parse_start_ms(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("cannot parse {text:?} to a valid timestamp")),
    }
}

/// Unix seconds (with a fraction) or RFC 3339, in milliseconds.
pub(crate) fn parse_start_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.abs() < 9e15).then(|| (seconds * 1000.0).round() as i64);
    }
    let time = gotemplate::GoTime::parse_rfc3339(text)?;
    i64::try_from(time.unix_ns() / 1_000_000).ok()
}

/// A unit-test file.
pub(crate) const UNIT_TEST_FILE: Schema = Schema::new(
    "main.unitTestFile",
    &[
        opt("rule_files", Kind::List(&Kind::Path)),
        opt("evaluation_interval", Kind::Duration),
        opt("group_eval_order", Kind::List(&Kind::Str)),
        opt("tests", Kind::List(&Kind::Section(&TEST_GROUP))),
        opt("fuzzy_compare", Kind::Bool),
    ],
)
.checked(|file| {
    let mut seen: Vec<&str> = Vec::new();
    for name in file.list("group_eval_order") {
        if seen.contains(&name.as_str()) {
            return Err(format!("group name repeated in evaluation order: {}", name.as_str()));
        }
        seen.push(name.as_str());
    }
    Ok(())
});
