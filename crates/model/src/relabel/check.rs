//! Whether a rule makes sense, in upstream's words.

use super::{DEFAULT_REGEX, DEFAULT_REPLACEMENT, DEFAULT_SEPARATOR, RelabelAction, RelabelConfig};
use crate::labels::GoQuoted;
use crate::regex::GoRegex;
use crate::validation::NameValidation;

/// Legacy names with `$1` and `${name}` among their letters.
const LEGACY_TEMPLATE: &str = r"(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+";

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelabel {
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    NoModulus,
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(RelabelAction),
    #[error("{} is invalid 'target_label' for {action} action", GoQuoted(.target))]
    Target { action: RelabelAction, target: String },
    #[error("{} is invalid 'replacement' for {action} action", GoQuoted(.replacement))]
    Replacement { action: RelabelAction, replacement: String },
    #[error("'replacement' can not be set for {0} action")]
    ReplacementSet(RelabelAction),
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(RelabelAction),
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(RelabelAction),
}

impl RelabelConfig {
    /// Checks the rule and takes over the general name validation if it has none of its own.
    pub fn validate(&mut self, general: NameValidation) -> Result<(), InvalidRelabel> {
        use RelabelAction::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        let action = self.action;
        if self.modulus == 0 && action == HashMod {
            return Err(InvalidRelabel::NoModulus);
        }
        let has_target = matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if has_target && self.target_label.is_empty() {
            return Err(InvalidRelabel::NoTarget(action));
        }
        let scheme = *self.name_validation_scheme.get_or_insert(general);
        let is_template = action == Replace && self.target_label.contains('$');
        let target_fits = match is_template {
            true => allows_template(scheme, &self.target_label),
            false => !has_target || scheme.allows_label_name(&self.target_label),
        };
        let target_error = InvalidRelabel::Target { action, target: self.target_label.clone() };
        if !target_fits && action != HashMod {
            return Err(target_error);
        }
        let fixed_replacement = matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual);
        if fixed_replacement && self.replacement != DEFAULT_REPLACEMENT {
            return Err(InvalidRelabel::ReplacementSet(action));
        }
        if action == LabelMap && !allows_template(scheme, &self.replacement) {
            return Err(InvalidRelabel::Replacement { action, replacement: self.replacement.clone() });
        }
        if !target_fits {
            return Err(target_error);
        }
        let defaults = self.modulus == 0
            && self.separator == DEFAULT_SEPARATOR
            && self.replacement == DEFAULT_REPLACEMENT;
        match action {
            DropEqual | KeepEqual if !defaults || self.regex_text() != DEFAULT_REGEX => {
                Err(InvalidRelabel::OnlySourceAndTarget(action))
            }
            LabelDrop | LabelKeep
                if !defaults || !self.source_labels.is_empty() || !self.target_label.is_empty() =>
            {
                Err(InvalidRelabel::OnlyRegex(action))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a template may give a name: any text with UTF-8 names.
fn allows_template(scheme: NameValidation, template: &str) -> bool {
    match scheme {
        NameValidation::Utf8 => !template.is_empty(),
        NameValidation::Legacy => {
            GoRegex::new_anchored(LEGACY_TEMPLATE).expect("the pattern is valid").is_match(template)
        }
    }
}
