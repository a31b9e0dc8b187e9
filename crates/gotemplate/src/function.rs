//! Functions that templates call: their parameter types, as Go checks them, and their bodies.

use std::collections::BTreeMap;
use std::fmt;

use crate::value::Value;

/// Why a function refused; becomes `error calling name: text`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallError(String);

impl CallError {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The Go type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`
    Any,
    Str,
    Bool,
    Int,
    Float,
    Time,
    Duration,
    /// A type of the caller's, by the name its values give.
    Named(&'static str),
}

impl Param {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Str => "string",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float64",
            Self::Time => "time.Time",
            Self::Duration => "time.Duration",
            Self::Named(name) => name,
        }
    }
}

type NativeBody<'f> = Box<dyn Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'f>;

pub(crate) enum Body<'f> {
    Native(NativeBody<'f>),
    /// Executes the template named by the first argument with the second as data.
    Template,
}

/// A function with its signature.
pub struct Function<'f> {
    pub(crate) params: Vec<Param>,
    pub(crate) variadic: Option<Param>,
    pub(crate) body: Body<'f>,
}

impl<'f> Function<'f> {
    /// A function of fixed parameters.
    pub fn new(
        params: &[Param],
        body: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'f,
    ) -> Self {
        Self { params: params.to_vec(), variadic: None, body: Body::Native(Box::new(body)) }
    }

    /// A function of fixed parameters followed by any number of `rest`.
    pub fn variadic(
        params: &[Param],
        rest: Param,
        body: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'f,
    ) -> Self {
        Self { params: params.to_vec(), variadic: Some(rest), body: Body::Native(Box::new(body)) }
    }

    /// `tmpl name data`: the output of another template of the set, as trusted HTML.
    pub fn template() -> Self {
        Self { params: vec![Param::Str, Param::Any], variadic: None, body: Body::Template }
    }
}

impl fmt::Debug for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("params", &self.params).field("variadic", &self.variadic).finish()
    }
}

/// The caller's functions by name. They win over the built-in ones.
#[derive(Debug, Default)]
pub struct Functions<'f> {
    by_name: BTreeMap<&'static str, Function<'f>>,
}

impl<'f> Functions<'f> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, name: &'static str, function: Function<'f>) -> &mut Self {
        self.by_name.insert(name, function);
        self
    }

    pub fn get(&self, name: &str) -> Option<&Function<'f>> {
        self.by_name.get(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }
}
