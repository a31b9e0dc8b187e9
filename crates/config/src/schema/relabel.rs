//! `relabel_configs` and its siblings.

use model::relabel::{InvalidRelabel, RelabelAction};
use model::validation::NameValidation;

use super::{Field, Kind, Preset, Schema, always, opt};
use crate::decode::{Record, Value};
use crate::prometheus::relabel::relabel_config;

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

fn parse_action(text: &str) -> Result<String, String> {
    match RelabelAction::parse(text) {
        Some(action) => Ok(action.as_str().to_owned()),
        None => Err(format!("unknown relabel action {text:?}")),
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

/// Whether the section is a rule that is refused with this message.
pub(crate) fn refuses(section: &Record, message: &str) -> bool {
    let refused = |legacy_names| check_rule(section, legacy_names).is_err_and(|found| found == message);
    section.schema.go_type == RELABEL.go_type && (refused(false) || refused(true))
}

fn check_rule(rule: &Record, legacy_names: bool) -> Result<(), String> {
    if !rule.has("action") {
        return Err("relabel action cannot be empty".to_owned());
    }
    let mut config = relabel_config(rule);
    let equal = matches!(config.action, RelabelAction::KeepEqual | RelabelAction::DropEqual);
    let scheme = if legacy_names { NameValidation::Legacy } else { NameValidation::Utf8 };
    config.validate(scheme).map_err(|err| err.to_string())?;
    // Upstream refuses a written regex even when it is the default one.
    if equal && rule.has("regex") {
        return Err(InvalidRelabel::OnlySourceAndTarget(config.action).to_string());
    }
    Ok(())
}
