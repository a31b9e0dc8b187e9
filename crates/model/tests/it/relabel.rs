//! Upstream's table of label sets before and after relabelling.

use model::Labels;
use model::regex::GoRegex;
use model::relabel::{RelabelAction, RelabelConfig, process};
use model::validation::NameValidation;
use serde_json::Value;

use crate::conformance::rows;

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().expect("an object").iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())))
}

/// A rule; fields the row leaves out have their defaults, as upstream's test has it.
fn rule(row: &Value) -> RelabelConfig {
    let text = |name: &str, default: &str| row[name].as_str().unwrap_or(default).to_owned();
    let mut rule = RelabelConfig {
        source_labels: row["source_labels"]
            .as_array()
            .map(|names| names.iter().map(|name| name.as_str().expect("a text").to_owned()).collect())
            .unwrap_or_default(),
        separator: text("separator", ";"),
        regex: GoRegex::new_anchored(&text("regex", "(.*)")).expect("a pattern"),
        modulus: row["modulus"].as_u64().unwrap_or(0),
        target_label: text("target_label", ""),
        replacement: text("replacement", "$1"),
        action: RelabelAction::parse(&text("action", "replace")).expect("an action"),
        name_validation_scheme: None,
    };
    rule.validate(NameValidation::Utf8).expect("upstream accepts the rules of its table");
    rule
}

#[test]
fn labels_come_out_as_upstream_has_them() {
    for row in rows("metrics/derived/relabel_cases.json") {
        let rules: Vec<RelabelConfig> = row["relabel"].as_array().unwrap().iter().map(rule).collect();
        let expected = (row["drop"] != Value::Bool(true)).then(|| labels(&row["output"]));
        assert_eq!(process(&labels(&row["input"]), &rules), expected, "{row}");
    }
}
