//! Tree + table → record: strict about names and types, filling defaults, in upstream's words.

use std::collections::BTreeMap;

use base::duration;

use crate::error::{DecodeError, Problem};
use crate::schema::{Field, Kind, Preset, Schema};
use crate::suggest;
use crate::yaml::{self, Node, NodeKind, Resolved, SourcePos};

mod record;
mod scalar;

pub(crate) use record::{Record, Value};

/// Reads a text by a table. An empty document gives the presets.
pub(crate) fn decode_text(text: &str, schema: &'static Schema) -> Result<Record, DecodeError> {
    let Some(node) = parse_text(text)? else {
        return Ok(Record::preset(schema, SourcePos { line: 1, column: 1 }));
    };
    decode_node(&node, schema)
}

/// Reads the tree of a text; `None` when it holds no document.
pub(crate) fn parse_text(text: &str) -> Result<Option<Node>, DecodeError> {
    yaml::parse(text).map_err(|err| DecodeError::Syntax(Problem { pos: Some(err.pos), message: err.message }))
}

/// Reads a tree by a table.
pub(crate) fn decode_node(node: &Node, schema: &'static Schema) -> Result<Record, DecodeError> {
    let mut decoder = Decoder::default();
    let record = if node.is_null() {
        Some(Record::preset(schema, node.pos))
    } else {
        decoder.section(node, schema).map_err(DecodeError::Semantic)?
    };
    match record {
        Some(record) if decoder.type_problems.is_empty() => Ok(record),
        _ => Err(DecodeError::Types(decoder.type_problems)),
    }
}

/// Type problems are collected; a broken rule ends the decoding.
type Decoded<T> = Result<Option<T>, Problem>;

#[derive(Debug, Default)]
struct Decoder {
    type_problems: Vec<Problem>,
}

impl Decoder {
    fn type_problem(&mut self, pos: SourcePos, message: String) {
        self.type_problems.push(Problem { pos: Some(pos), message });
    }

    /// `cannot unmarshal !!str `abc` into int`
    fn wrong_type(&mut self, node: &Node, go_type: &str) {
        let what = match &node.kind {
            NodeKind::Sequence(_) => "!!seq".to_owned(),
            NodeKind::Mapping(_) => "!!map".to_owned(),
            NodeKind::Scalar(scalar) => {
                let tag = scalar.resolve().tag();
                let text = &scalar.text;
                match text.char_indices().nth(7) {
                    Some((cut, _)) if text.len() > 10 => format!("{tag} `{}...`", &text[..cut]),
                    _ => format!("{tag} `{text}`"),
                }
            }
        };
        self.type_problem(node.pos, format!("cannot unmarshal {what} into {go_type}"));
    }

    fn section(&mut self, node: &Node, schema: &'static Schema) -> Decoded<Record> {
        let Some(entries) = node.entries() else {
            self.wrong_type(node, schema.go_type);
            return Ok(None);
        };
        let before = self.type_problems.len();
        let mut record = Record::preset(schema, node.pos);
        for (key, value) in entries {
            let Some(name) = key.scalar_text() else {
                self.wrong_type(key, "string");
                continue;
            };
            self.field(&mut record, key.pos, name, value)?;
        }
        if self.type_problems.len() > before {
            return Ok(None);
        }
        check(&mut record).map_err(|message| {
            let pos = Some(record.blamed_pos(&message));
            Problem { pos, message }
        })?;
        Ok(Some(record))
    }

    fn field(
        &mut self,
        record: &mut Record,
        key_pos: SourcePos,
        name: &str,
        value: &Node,
    ) -> Result<(), Problem> {
        let go_type = record.schema.go_type;
        if record.locate(name).is_none() {
            self.type_problem(key_pos, unknown_field(name, record.schema));
            return Ok(());
        }
        let Some((slot_record, at)) = record.locate_mut(name) else { return Ok(()) };
        if slot_record.places[at].is_some() {
            self.type_problem(key_pos, format!("field {name} already set in type {go_type}"));
            return Ok(());
        }
        slot_record.places[at] = Some(value.pos);
        let field = &slot_record.schema.fields[at];
        if let Some(decoded) = self.value(value, &field.kind)? {
            slot_record.values[at] = decoded;
        }
        Ok(())
    }

    fn value(&mut self, node: &Node, kind: &Kind) -> Decoded<Value> {
        if node.is_null() && !matches!(kind, Kind::Any) {
            return Ok(Some(match kind {
                Kind::Regex => Value::Str(String::new()),
                _ => Value::zero(kind, node.pos),
            }));
        }
        match kind {
            Kind::List(inner) | Kind::FlowList(inner) => self.list(node, kind, inner),
            Kind::StrMap | Kind::LabelSet => self.string_map(node, kind),
            Kind::MapOf(inner) => self.map_of(node, kind, inner),
            Kind::Section(schema) | Kind::MaybeSection(schema) | Kind::Inline(schema) => {
                Ok(self.section(node, schema)?.map(|record| Value::Section(Box::new(record))))
            }
            Kind::Any => Ok(Some(any_value(node))),
            _ => match &node.kind {
                NodeKind::Scalar(text) => match scalar::decode(text, kind) {
                    scalar::Outcome::Value(value) => Ok(Some(value)),
                    scalar::Outcome::WrongType => {
                        self.wrong_type(node, &kind.go_type());
                        Ok(None)
                    }
                    scalar::Outcome::Broken(message) => Err(Problem { pos: Some(node.pos), message }),
                },
                _ => {
                    self.wrong_type(node, &kind.go_type());
                    Ok(None)
                }
            },
        }
    }

    fn list(&mut self, node: &Node, kind: &Kind, inner: &'static Kind) -> Decoded<Value> {
        let Some(items) = node.items() else {
            self.wrong_type(node, &kind.go_type());
            return Ok(None);
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            if let Some(value) = self.value(item, inner)? {
                values.push(value);
            }
        }
        Ok(Some(Value::List(values)))
    }

    fn string_map(&mut self, node: &Node, kind: &Kind) -> Decoded<Value> {
        let Some(entries) = node.entries() else {
            self.wrong_type(node, &kind.go_type());
            return Ok(None);
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let (NodeKind::Scalar(name), NodeKind::Scalar(text)) = (&key.kind, &value.kind) else {
                let wrong = if matches!(key.kind, NodeKind::Scalar(_)) { value } else { key };
                self.wrong_type(wrong, "string");
                continue;
            };
            for (scalar, what, place) in [(name, "name", key.pos), (text, "value", value.pos)] {
                if let Some(bytes) = &scalar.invalid_utf8 {
                    let message = format!("{} is not a valid label {what}", quote_bytes(bytes));
                    return Err(Problem { pos: Some(place), message });
                }
            }
            if matches!(kind, Kind::LabelSet) && name.text.is_empty() {
                let message = "\"\" is not a valid label name".to_owned();
                return Err(Problem { pos: Some(key.pos), message });
            }
            let text = if value.is_null() { String::new() } else { text.text.clone() };
            if map.insert(name.text.clone(), text).is_some() {
                self.type_problem(key.pos, format!("key {:?} already set in map", name.text));
            }
        }
        Ok(Some(Value::StrMap(map)))
    }

    fn map_of(&mut self, node: &Node, kind: &Kind, inner: &'static Kind) -> Decoded<Value> {
        let Some(entries) = node.entries() else {
            self.wrong_type(node, &kind.go_type());
            return Ok(None);
        };
        let mut map: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in entries {
            let Some(name) = key.scalar_text() else {
                self.wrong_type(key, "string");
                continue;
            };
            if map.contains_key(name) {
                self.type_problem(key.pos, format!("key {name:?} already set in map"));
                continue;
            }
            if let Some(value) = self.value(value, inner)? {
                map.insert(name.to_owned(), value);
            }
        }
        Ok(Some(Value::Map(map)))
    }
}

/// Runs the checks of inlined sections' owners only: upstream checks an inlined section where its
/// owner says so, which the owner's own check does.
fn check(record: &mut Record) -> Result<(), String> {
    (record.schema.check)(record)
}

/// Upstream's words for upstream's files; for our own a suggestion.
fn unknown_field(name: &str, schema: &Schema) -> String {
    let go_type = schema.go_type;
    if !go_type.starts_with("sextant") {
        return format!("field {name} not found in type {go_type}");
    }
    let section = match go_type.strip_prefix("sextant.") {
        Some(section) => format!(" in {section}"),
        None => String::new(),
    };
    let names = schema.names();
    match suggest::nearest(name, &names) {
        Some(known) => format!("unknown key {name}{section}; did you mean {known}?"),
        None => format!("unknown key {name}{section}; known are: {}", names.join(", ")),
    }
}

fn any_value(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Sequence(items) => Value::List(items.iter().map(any_value).collect()),
        NodeKind::Mapping(entries) => {
            let entries = entries.iter();
            Value::Map(
                entries
                    .map(|(k, v)| (k.scalar_text().unwrap_or_default().to_owned(), any_value(v)))
                    .collect(),
            )
        }
        NodeKind::Scalar(scalar) => match scalar.resolve() {
            Resolved::Null => Value::Null,
            Resolved::Bool(value) => Value::Bool(value),
            Resolved::Int(value) => i64::try_from(value).map_or(Value::Float(value as f64), Value::Int),
            Resolved::Float(value) => Value::Float(value),
            Resolved::Str => Value::Str(scalar.text.clone()),
        },
    }
}

/// Go's `%q` of bytes that are no UTF-8.
fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = "\"".to_owned();
    for chunk in bytes.utf8_chunks() {
        out.extend(chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// What a field has when the file does not set it.
fn preset_value(field: &Field, pos: SourcePos) -> Value {
    match (field.preset, &field.kind) {
        (Preset::Zero, kind) => Value::zero(kind, pos),
        (Preset::Bool(value), _) => Value::Bool(value),
        (Preset::Int(value), _) => Value::Int(value),
        (Preset::Str(value), Kind::Secret) => Value::Secret(value.to_owned()),
        (Preset::Str(value), _) => Value::Str(value.to_owned()),
        (Preset::DurationMs(value), _) => Value::DurationMs(value),
        (Preset::Section, Kind::Section(schema) | Kind::Inline(schema) | Kind::MaybeSection(schema)) => {
            Value::Section(Box::new(Record::preset(schema, pos)))
        }
        (Preset::Section, kind) => Value::zero(kind, pos),
    }
}

/// Prints milliseconds as configurations show durations.
pub(crate) fn duration_text(ms: i64) -> String {
    duration::format_ms(ms)
}
