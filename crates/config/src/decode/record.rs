//! A decoded section: a value for every field of its table.

use std::collections::BTreeMap;

use super::preset_value;
use crate::schema::{Kind, Schema, relabel};
use crate::yaml::SourcePos;

/// A decoded value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Absent behind a pointer.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Secret(String),
    DurationMs(i64),
    Bytes(i64),
    List(Vec<Value>),
    StrMap(BTreeMap<String, String>),
    Map(BTreeMap<String, Value>),
    Section(Box<Record>),
}

impl Value {
    /// Go's zero value.
    pub(crate) fn zero(kind: &Kind, pos: SourcePos) -> Self {
        match kind {
            Kind::Bool => Self::Bool(false),
            Kind::Int | Kind::Uint => Self::Int(0),
            Kind::Float => Self::Float(0.0),
            Kind::Str | Kind::Path | Kind::Word(..) | Kind::LabelName => Self::Str(String::new()),
            Kind::Secret => Self::Secret(String::new()),
            Kind::Duration => Self::DurationMs(0),
            Kind::Bytes => Self::Bytes(0),
            Kind::List(_) | Kind::FlowList(_) => Self::List(Vec::new()),
            Kind::StrMap | Kind::LabelSet => Self::StrMap(BTreeMap::new()),
            Kind::MapOf(_) => Self::Map(BTreeMap::new()),
            Kind::Section(schema) | Kind::Inline(schema) => {
                Self::Section(Box::new(Record::zero(schema, pos)))
            }
            Kind::MaybeSection(_)
            | Kind::MaybeBool
            | Kind::MaybeDuration
            | Kind::MaybeUrl
            | Kind::Regex
            | Kind::Any => Self::Null,
        }
    }

    /// Whether `omitempty` leaves it out. A pointer that is set is never empty.
    pub(crate) fn is_zero(&self, kind: &Kind) -> bool {
        match (self, kind) {
            (Self::Null, _) => true,
            (
                _,
                Kind::MaybeBool | Kind::MaybeDuration | Kind::MaybeUrl | Kind::Regex | Kind::MaybeSection(_),
            ) => false,
            (Self::Bool(value), _) => !value,
            (Self::Int(value) | Self::DurationMs(value) | Self::Bytes(value), _) => *value == 0,
            (Self::Float(value), _) => *value == 0.0,
            (Self::Str(value) | Self::Secret(value), _) => value.is_empty(),
            (Self::List(values), _) => values.is_empty(),
            (Self::StrMap(map), _) => map.is_empty(),
            (Self::Map(map), _) => map.is_empty(),
            (Self::Section(record), _) => record.is_zero(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Str(text) | Self::Secret(text) => text,
            _ => "",
        }
    }

    pub(crate) fn as_section(&self) -> Option<&Record> {
        match self {
            Self::Section(record) => Some(record),
            _ => None,
        }
    }
}

/// A decoded section. Look-ups by name see inlined sections' fields too; a name the table lacks
/// reads as absent.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) schema: &'static Schema,
    pub(crate) pos: SourcePos,
    /// One per field of the table.
    pub(crate) values: Vec<Value>,
    /// Where the file sets the field; `None` for a preset.
    pub(crate) places: Vec<Option<SourcePos>>,
}

impl PartialEq for Record {
    /// Equal contents; positions do not matter.
    fn eq(&self, other: &Self) -> bool {
        self.schema.go_type == other.schema.go_type && self.values == other.values
    }
}

impl Record {
    /// Every field at its preset.
    pub(crate) fn preset(schema: &'static Schema, pos: SourcePos) -> Self {
        let values: Vec<Value> = schema.fields.iter().map(|field| preset_value(field, pos)).collect();
        let places = vec![None; values.len()];
        Self { schema, pos, values, places }
    }

    /// Every field at Go's zero.
    pub(crate) fn zero(schema: &'static Schema, pos: SourcePos) -> Self {
        let values: Vec<Value> = schema.fields.iter().map(|field| Value::zero(&field.kind, pos)).collect();
        let places = vec![None; values.len()];
        Self { schema, pos, values, places }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.schema.fields.iter().zip(&self.values).all(|(field, value)| value.is_zero(&field.kind))
    }

    pub(crate) fn locate(&self, name: &str) -> Option<(&Self, usize)> {
        for (at, field) in self.schema.fields.iter().enumerate() {
            match (&field.kind, &self.values[at]) {
                (Kind::Inline(_), Value::Section(inner)) => {
                    if let Some(found) = inner.locate(name) {
                        return Some(found);
                    }
                }
                _ if field.name == name => return Some((self, at)),
                _ => {}
            }
        }
        None
    }

    pub(crate) fn locate_mut(&mut self, name: &str) -> Option<(&mut Self, usize)> {
        let direct = self
            .schema
            .fields
            .iter()
            .position(|field| field.name == name && !matches!(field.kind, Kind::Inline(_)));
        if let Some(at) = direct {
            return Some((self, at));
        }
        self.schema.fields.iter().zip(&mut self.values).find_map(|(field, value)| {
            match (&field.kind, value) {
                (Kind::Inline(_), Value::Section(inner)) => inner.locate_mut(name),
                _ => None,
            }
        })
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.locate(name).map_or(&Value::Null, |(record, at)| &record.values[at])
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.locate_mut(name).map(|(record, at)| &mut record.values[at])
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.get_mut(name) {
            *slot = value;
        }
    }

    /// Whether the field holds anything but zero.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.locate(name).is_some_and(|(record, at)| {
            let kind = &record.schema.fields[at].kind;
            !record.values[at].is_zero(kind)
        })
    }

    /// How many of the fields hold anything but zero.
    pub(crate) fn count_set(&self, names: &[&str]) -> usize {
        names.iter().filter(|name| self.has(name)).count()
    }

    pub(crate) fn str(&self, name: &str) -> &str {
        self.get(name).as_str()
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Value::Bool(true))
    }

    pub(crate) fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(value) | Value::DurationMs(value) | Value::Bytes(value) => *value,
            _ => 0,
        }
    }

    pub(crate) fn uint(&self, name: &str) -> u64 {
        u64::try_from(self.int(name)).unwrap_or(0)
    }

    pub(crate) fn float(&self, name: &str) -> f64 {
        match self.get(name) {
            Value::Float(value) => *value,
            _ => 0.0,
        }
    }

    pub(crate) fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Value::List(values) => values,
            _ => &[],
        }
    }

    pub(crate) fn strings(&self, name: &str) -> Vec<String> {
        self.list(name).iter().map(|value| value.as_str().to_owned()).collect()
    }

    pub(crate) fn str_map(&self, name: &str) -> BTreeMap<String, String> {
        match self.get(name) {
            Value::StrMap(map) => map.clone(),
            _ => BTreeMap::new(),
        }
    }

    pub(crate) fn section(&self, name: &str) -> Option<&Self> {
        self.get(name).as_section()
    }

    /// The sections of a list; absent (null) elements are left out.
    pub(crate) fn sections<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Self> {
        self.list(name).iter().filter_map(Value::as_section)
    }

    pub(crate) fn sections_mut<'a>(&'a mut self, name: &str) -> impl Iterator<Item = &'a mut Self> {
        let values: &mut [Value] = match self.get_mut(name) {
            Some(Value::List(values)) => values,
            _ => &mut [],
        };
        values.iter_mut().filter_map(|value| match value {
            Value::Section(record) => Some(&mut **record),
            _ => None,
        })
    }

    /// Where the file sets a field.
    pub(crate) fn place(&self, name: &str) -> Option<SourcePos> {
        self.locate(name).and_then(|(record, at)| record.places[at])
    }

    /// The place to show for a message about this section: the first set field the message names,
    /// else the part below that it is about, else the section itself.
    pub(crate) fn blamed_pos(&self, message: &str) -> SourcePos {
        let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named = words.filter(|word| word.len() > 2).find_map(|word| self.place(word));
        named.or_else(|| self.blamed_below(message)).unwrap_or(self.pos)
    }

    /// The last section below whose name the message quotes, or the relabelling rule that it refuses:
    /// of two jobs of one name the second is too many.
    fn blamed_below(&self, message: &str) -> Option<SourcePos> {
        let sections = self.values.iter().flat_map(|value| match value {
            Value::Section(section) => vec![&**section],
            Value::List(values) => values.iter().filter_map(Value::as_section).collect(),
            _ => Vec::new(),
        });
        let sections: Vec<&Self> = sections.collect();
        let blamed = |section: &&Self| {
            if relabel::refuses(section, message) {
                return Some(section.pos);
            }
            let named = ["job_name", "name"].into_iter().filter(|field| section.has(field));
            let quoted =
                named.into_iter().find(|field| message.contains(&format!("{:?}", section.str(field))));
            quoted.and_then(|field| section.place(field)).or_else(|| section.blamed_below(message))
        };
        sections.iter().rev().find_map(blamed)
    }

    /// Joins every relative path below with the directory of the configuration file.
    pub(crate) fn join_paths(&mut self, directory: &str) {
        for (field, value) in self.schema.fields.iter().zip(&mut self.values) {
            join_paths(value, &field.kind, directory);
        }
    }
}

fn join_paths(value: &mut Value, kind: &Kind, directory: &str) {
    match (value, kind) {
        (Value::Str(path), Kind::Path) => *path = crate::path::join(directory, path),
        (Value::List(values), Kind::List(inner) | Kind::FlowList(inner)) => {
            for value in values {
                join_paths(value, inner, directory);
            }
        }
        (Value::Map(map), Kind::MapOf(inner)) => {
            for value in map.values_mut() {
                join_paths(value, inner, directory);
            }
        }
        (Value::Section(record), _) => record.join_paths(directory),
        _ => {}
    }
}
