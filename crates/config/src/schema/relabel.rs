//! `relabel_configs` and its siblings.

use model::validation::is_legacy_label_name;

use super::{Field, Kind, Preset, Schema, always, opt};
use crate::decode::{Record, Value};

/// One relabelling rule.
pub(crate) const RELABEL: Schema = Schema::new(
    "relabel.plain",
    &[
        opt("source_labels", Kind::FlowList(&Kind::LabelName)),
        always("separator", Kind::Str).preset(Preset::Str(";")),
        opt("regex", Kind::Regex),
        opt("modulus", Kind::Uint),
        opt("target_label", Kind::Str),
        always("replacement", Kind::Str).preset(Preset::Str("$1")),
        opt("action", Kind::Word("relabel.Action", parse_action)).preset(Preset::Str("replace")),
    ],
);

/// A list of relabelling rules.
pub(crate) const fn relabel_list(name: &'static str) -> Field {
    opt(name, Kind::List(&Kind::MaybeSection(&RELABEL)))
}

const ACTIONS: [&str; 11] = [
    "replace",
    "keep",
    "drop",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
    "keepequal",
    "dropequal",
];

fn parse_action(text: &str) -> Result<String, String> {
    let lower = text.to_lowercase();
    if ACTIONS.contains(&lower.as_str()) {
        Ok(lower)
    } else {
        Err(format!("unknown relabel action {text:?}"))
    }
}

/// Refuses a null entry in a list of rules, naming the place as upstream does.
pub(crate) fn refuse_null(record: &Record, list: &str, message: &str) -> Result<(), String> {
    if record.list(list).contains(&Value::Null) { Err(message.to_owned()) } else { Ok(()) }
}

/// Upstream's `relabel.Config.Validate` for every rule of a list.
pub(crate) fn check_list(record: &Record, list: &str, legacy_names: bool) -> Result<(), String> {
    record.sections(list).try_for_each(|rule| check_rule(rule, legacy_names))
}

fn check_rule(rule: &Record, legacy_names: bool) -> Result<(), String> {
    let action = rule.str("action");
    let target = rule.str("target_label");
    let replacement = rule.str("replacement");
    let is_name = |name: &str| if legacy_names { is_legacy_label_name(name) } else { !name.is_empty() };
    let is_name_template =
        |text: &str| if legacy_names { is_legacy_template(text) } else { !text.is_empty() };

    if action.is_empty() {
        return Err("relabel action cannot be empty".to_owned());
    }
    if action == "hashmod" && !rule.has("modulus") {
        return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
    }
    let needs_target =
        matches!(action, "replace" | "hashmod" | "lowercase" | "uppercase" | "keepequal" | "dropequal");
    if needs_target && target.is_empty() {
        return Err(format!("relabel configuration for {action} action requires 'target_label' value"));
    }
    let target_good = match action {
        "replace" if target.contains('$') => is_name_template(target),
        "replace" | "lowercase" | "uppercase" | "keepequal" | "dropequal" | "hashmod" => is_name(target),
        _ => true,
    };
    let fixed_replacement = matches!(action, "lowercase" | "uppercase" | "keepequal" | "dropequal");
    if !target_good {
        return Err(format!("{target:?} is invalid 'target_label' for {action} action"));
    }
    let only_equal_fields = matches!(action, "keepequal" | "dropequal");
    if fixed_replacement && replacement != "$1" {
        return Err(format!("'replacement' can not be set for {action} action"));
    }
    if action == "labelmap" && !is_name_template(replacement) {
        return Err(format!("{replacement:?} is invalid 'replacement' for {action} action"));
    }
    let others_set = rule.has("modulus") || rule.str("separator") != ";" || replacement != "$1";
    if only_equal_fields && (rule.has("regex") || others_set) {
        return Err(format!(
            "{action} action requires only 'source_labels' and `target_label`, and no other fields"
        ));
    }
    if matches!(action, "labeldrop" | "labelkeep")
        && (rule.has("source_labels") || !target.is_empty() || others_set)
    {
        return Err(format!("{action} action requires only 'regex', and no other fields"));
    }
    Ok(())
}

/// `^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$`: a legacy name with variables in it.
fn is_legacy_template(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    // A digit is only a continuation: the first thing must be a letter, an underscore or a variable.
    if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$') {
        return false;
    }
    while let Some(c) = rest.chars().next() {
        if c != '$' {
            if !word(c) {
                return false;
            }
            rest = &rest[1..];
            continue;
        }
        let after = &rest[1..];
        let (name, tail) = match after.strip_prefix('{') {
            Some(braced) => match braced.split_once('}') {
                Some((name, tail)) => (name, tail),
                None => return false,
            },
            None => after.split_at(after.find(|c: char| !word(c)).unwrap_or(after.len())),
        };
        if name.is_empty() || !name.chars().all(word) {
            return false;
        }
        rest = tail;
    }
    true
}
