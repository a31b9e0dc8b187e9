//! Relabelling rules: record → the model's own type.

use model::regex::GoRegex;
use model::relabel::{RelabelAction, RelabelConfig};

use crate::decode::{Record, Value};

/// The rules of a list, already checked.
pub(crate) fn relabel_configs(owner: &Record, list: &str) -> Vec<RelabelConfig> {
    owner.sections(list).map(relabel_config).collect()
}

/// One rule.
pub(crate) fn relabel_config(rule: &Record) -> RelabelConfig {
    let default = RelabelConfig::default();
    RelabelConfig {
        source_labels: rule.strings("source_labels"),
        separator: rule.str("separator").to_owned(),
        regex: match rule.get("regex") {
            Value::Str(pattern) => GoRegex::new_anchored(pattern).expect("the decoder has compiled it"),
            _ => default.regex,
        },
        modulus: rule.uint("modulus"),
        target_label: rule.str("target_label").to_owned(),
        replacement: rule.str("replacement").to_owned(),
        action: RelabelAction::parse(rule.str("action")).unwrap_or_default(),
        name_validation_scheme: None,
    }
}
