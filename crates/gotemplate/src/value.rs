//! What templates compute with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::function::{CallError, Param};
use crate::time::GoTime;

/// A value as Go's reflection would show it to the engine.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// An untyped nil or a missing map entry.
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(Arc<str>),
    /// A string that the HTML escaper trusts in one kind of place.
    Safe(SafeKind, Arc<str>),
    List(Arc<List>),
    Map(Arc<Map>),
    Time(GoTime),
    /// Nanoseconds.
    Duration(i64),
    Object(Arc<dyn Object>),
}

/// `html/template`'s typed strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SafeKind {
    Css,
    Html,
    HtmlAttr,
    Js,
    JsStr,
    Url,
    Srcset,
}

impl SafeKind {
    fn type_name(self) -> &'static str {
        match self {
            Self::Css => "template.CSS",
            Self::Html => "template.HTML",
            Self::HtmlAttr => "template.HTMLAttr",
            Self::Js => "template.JS",
            Self::JsStr => "template.JSStr",
            Self::Url => "template.URL",
            Self::Srcset => "template.Srcset",
        }
    }
}

/// A slice.
#[derive(Debug, Clone)]
pub struct List {
    /// As `%T` prints it: `[]string`.
    pub type_name: &'static str,
    pub items: Vec<Value>,
}

/// A map with string keys.
#[derive(Debug, Clone)]
pub struct Map {
    /// As `%T` prints it: `map[string]string`.
    pub type_name: &'static str,
    /// What a missing key gives under `missingkey=zero`.
    pub zero: Value,
    pub entries: BTreeMap<String, Value>,
}

/// A value with fields or methods of its own: a Go struct, or a named type with methods.
pub trait Object: fmt::Debug + Send + Sync {
    /// As `%T` prints it: `template.Alert`.
    fn type_name(&self) -> &str;
    /// The exported fields in order of declaration; empty for a named map, slice or number.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
    /// One field.
    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }
    /// The parameters of a method, `None` if there is no such method.
    fn method(&self, _name: &str) -> Option<&'static [Param]> {
        None
    }
    /// Calls a method that [`Object::method`] knows, with arguments of the declared types.
    fn call(&self, name: &str, _args: &[Value]) -> Result<Value, CallError> {
        Err(CallError::new(format!("no method {name}")))
    }
    /// The plain value below a named map, slice, string or number.
    fn underlying(&self) -> Option<Value> {
        None
    }
    /// The text of a `fmt.Stringer` or `error`.
    fn to_text(&self) -> Option<String> {
        None
    }
}

impl Value {
    /// A string.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// A `[]string`.
    pub fn strings<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::list("[]string", items.into_iter().map(Self::str).collect())
    }

    /// A slice of the given type.
    pub fn list(type_name: &'static str, items: Vec<Self>) -> Self {
        Self::List(Arc::new(List { type_name, items }))
    }

    /// A `map[string]string`.
    pub fn string_map<N: Into<String>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::Map(Arc::new(Map {
            type_name: "map[string]string",
            zero: Self::str(""),
            entries: pairs.into_iter().map(|(name, value)| (name.into(), Self::str(value))).collect(),
        }))
    }

    /// A `map[string]interface {}`.
    pub fn any_map<N: Into<String>>(pairs: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Map(Arc::new(Map {
            type_name: "map[string]interface {}",
            zero: Self::Nil,
            entries: pairs.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        }))
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// The Go type, as `%T` prints it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Safe(kind, _) => kind.type_name(),
            Self::List(list) => list.type_name,
            Self::Map(map) => map.type_name,
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Object(object) => object.type_name(),
        }
    }

    /// The value with named types taken off: a `KV` gives its map.
    pub fn plain(&self) -> Self {
        match self {
            Self::Object(object) => object.underlying().unwrap_or_else(|| self.clone()),
            Self::Safe(_, text) => Self::Str(Arc::clone(text)),
            Self::Duration(ns) => Self::Int(*ns),
            other => other.clone(),
        }
    }

    /// The text of a string or of a typed string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) | Self::Safe(_, text) => Some(text),
            _ => None,
        }
    }

    /// Whether `if` takes the value for true: not nil, zero or empty.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(v) | Self::Duration(v) => *v != 0,
            Self::Uint(v) => *v != 0,
            Self::Float(v) => *v != 0.0,
            Self::Str(text) | Self::Safe(_, text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Time(_) => true,
            Self::Object(object) => object.underlying().is_none_or(|value| value.truth()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Arc::from(text))
    }
}

impl Value {
    /// The parameters of a method of the value.
    pub(crate) fn method(&self, name: &str) -> Option<&'static [Param]> {
        match self {
            Self::Time(_) => crate::time::time_method(name),
            Self::Duration(_) => crate::time::duration_method(name),
            Self::Object(object) => object.method(name),
            _ => None,
        }
    }

    /// Calls a method that [`Value::method`] knows.
    pub(crate) fn call_method(&self, name: &str, args: &[Self]) -> Result<Self, CallError> {
        match self {
            Self::Time(time) => Ok(crate::time::call_time(time, name, args)),
            Self::Duration(ns) => Ok(crate::time::call_duration(*ns, name, args)),
            Self::Object(object) => object.call(name, args),
            _ => Err(CallError::new(format!("no method {name}"))),
        }
    }
}
