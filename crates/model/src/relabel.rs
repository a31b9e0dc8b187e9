//! Relabelling rules, as Prometheus applies them to targets, samples, alerts and remote writes.

mod check;

use std::borrow::Cow;
use std::fmt;

use md5::{Digest, Md5};

use crate::regex::GoRegex;
use crate::validation::NameValidation;
use crate::{Labels, LabelsBuilder};

pub use check::InvalidRelabel;

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";
const DEFAULT_SEPARATOR: &str = ";";

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RelabelAction {
    /// Sets the target to the replacement if the source matches.
    #[default]
    Replace,
    /// Drops everything whose source does not match.
    Keep,
    /// Drops everything whose source matches.
    Drop,
    /// Drops everything whose source is not the target's value.
    KeepEqual,
    /// Drops everything whose source is the target's value.
    DropEqual,
    /// Sets the target to a hash of the source, modulo `modulus`.
    HashMod,
    /// Copies labels whose names match to the names the replacement gives.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target to the source in lower case.
    Lowercase,
    /// Sets the target to the source in upper case.
    Uppercase,
}

impl RelabelAction {
    pub const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The name in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    /// Reads a name in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for RelabelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule. [`RelabelConfig::validate`] has to pass before it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelConfig {
    /// The labels whose values make up the source; missing ones are empty.
    pub source_labels: Vec<String>,
    /// Stands between the values.
    pub separator: String,
    /// Made with [`GoRegex::new_anchored`].
    pub regex: GoRegex,
    /// Of [`RelabelAction::HashMod`], else 0.
    pub modulus: u64,
    /// May refer to groups of the regex if the action is [`RelabelAction::Replace`].
    pub target_label: String,
    pub replacement: String,
    pub action: RelabelAction,
    /// `None` until [`RelabelConfig::validate`] has filled in the general setting.
    pub name_validation_scheme: Option<NameValidation>,
}

impl Default for RelabelConfig {
    /// What a rule has where its file says nothing.
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: GoRegex::new_anchored(DEFAULT_REGEX).expect("the default pattern is valid"),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: RelabelAction::Replace,
            name_validation_scheme: None,
        }
    }
}

impl RelabelConfig {
    /// The pattern as written, without the anchors.
    pub fn regex_text(&self) -> &str {
        self.regex.as_str()
    }

    fn allows_name(&self, name: &str) -> bool {
        self.name_validation_scheme.unwrap_or_default().allows_label_name(name)
    }

    fn source<'l>(&self, labels: &'l LabelsBuilder) -> Cow<'l, str> {
        match self.source_labels.as_slice() {
            [] => Cow::Borrowed(""),
            [name] => Cow::Borrowed(labels.get(name)),
            names => {
                let values: Vec<&str> = names.iter().map(|name| labels.get(name)).collect();
                Cow::Owned(values.join(&self.separator))
            }
        }
    }

    /// Whether the labels are kept.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let source = self.source(labels);
        match self.action {
            RelabelAction::Drop => return !self.regex.is_match(&source),
            RelabelAction::Keep => return self.regex.is_match(&source),
            RelabelAction::DropEqual => return labels.get(&self.target_label) != source,
            RelabelAction::KeepEqual => return labels.get(&self.target_label) == source,
            RelabelAction::Replace => {
                if let Some((target, value)) = self.replacement_of(&source) {
                    labels.set(&target, &value);
                }
            }
            RelabelAction::Lowercase => {
                let value = map_chars(&source, |c| if c == 'İ' { 'i' } else { only(c.to_lowercase(), c) });
                labels.set(&self.target_label, &value);
            }
            RelabelAction::Uppercase => {
                let value = map_chars(&source, |c| only(c.to_uppercase(), c));
                labels.set(&self.target_label, &value);
            }
            RelabelAction::HashMod => {
                let value = hash(&source).checked_rem(self.modulus).unwrap_or(0).to_string();
                labels.set(&self.target_label, &value);
            }
            RelabelAction::LabelMap => self.map_names(labels),
            RelabelAction::LabelDrop => {
                labels.retain(|name, _| !self.regex.is_match(name));
            }
            RelabelAction::LabelKeep => {
                labels.retain(|name, _| self.regex.is_match(name));
            }
        }
        true
    }

    /// The target and its value, empty to remove it; `None` to leave everything as it is.
    fn replacement_of(&self, source: &str) -> Option<(String, String)> {
        let fixed = !self.target_label.contains('$') && !self.replacement.contains('$');
        if fixed && self.regex.as_str() == DEFAULT_REGEX {
            // Whatever the source is, it matches; upstream checks no name where it is empty.
            return (source.is_empty() || self.allows_name(&self.target_label))
                .then(|| (self.target_label.clone(), self.replacement.clone()));
        }
        let captures = self.regex.captures(source)?;
        let mut target = String::new();
        captures.expand(&self.target_label, &mut target);
        if !self.allows_name(&target) {
            return None;
        }
        let mut value = String::new();
        captures.expand(&self.replacement, &mut value);
        Some((target, value))
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter(|(name, _)| self.regex.is_match(name))
            .map(|(name, value)| (self.regex.replace_all(name, &self.replacement), value.to_owned()))
            .collect();
        for (name, value) in mapped {
            labels.set(&name, &value);
        }
    }
}

/// The last eight bytes of MD5, which upstream has always used.
fn hash(source: &str) -> u64 {
    let digest: [u8; 16] = Md5::digest(source.as_bytes()).into();
    digest[8..].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn map_chars(text: &str, map: impl Fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

/// The single character of a mapping, or `same`: Go maps characters one to one.
fn only(mut mapped: impl Iterator<Item = char>, same: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(c), None) => c,
        _ => same,
    }
}

/// Applies the rules in order. `None` if one of them drops the labels.
pub fn process(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.to_builder();
    process_builder(&mut builder, rules).then(|| builder.build())
}

/// [`process`] in place. Whether the labels are kept; if not, they are left as they were then.
pub fn process_builder(labels: &mut LabelsBuilder, rules: &[RelabelConfig]) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// What one rule of a list left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelStep {
    /// Empty once the labels have been dropped.
    pub output: Labels,
    pub keep: bool,
}

/// The labels after each rule, for those who wonder where theirs went.
pub fn trace(labels: &Labels, rules: &[RelabelConfig]) -> Vec<RelabelStep> {
    let mut builder = labels.to_builder();
    let mut keep = true;
    let step = |rule: &RelabelConfig| {
        keep = keep && rule.apply(&mut builder);
        RelabelStep { output: if keep { builder.clone().build() } else { Labels::empty() }, keep }
    };
    rules.iter().map(step).collect()
}

#[cfg(test)]
mod tests;
