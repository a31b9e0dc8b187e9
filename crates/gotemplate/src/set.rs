//! A set of templates that may call each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builtins;
use crate::exec::{self, LimitExceeded, Limits, Mode};
use crate::function::{Function, Functions};
use crate::node::Tree;
use crate::parse;
use crate::value::Value;

/// Why a template gave no text. The texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template.
    #[error("{0}")]
    Parse(String),
    /// The template failed on this data.
    #[error("{0}")]
    Exec(String),
    /// The template wanted more than it may have.
    #[error("{location}: {limit}")]
    Limit { location: String, limit: LimitExceeded },
}

/// What a missing map key gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// `<no value>`
    #[default]
    Default,
    /// The zero value of the map's elements.
    Zero,
    /// An error.
    Error,
}

/// Templates by name, the functions they may call, and their options.
#[derive(Debug)]
pub struct TemplateSet<'f> {
    pub(crate) trees: BTreeMap<String, Arc<Tree>>,
    pub(crate) functions: Functions<'f>,
    pub(crate) missing_key: MissingKey,
    pub(crate) limits: Limits,
}

impl<'f> TemplateSet<'f> {
    /// An empty set.
    pub fn new(functions: Functions<'f>, missing_key: MissingKey, limits: Limits) -> Self {
        Self { trees: BTreeMap::new(), functions, missing_key, limits }
    }

    /// Parses `text` as the template `name`, together with the templates it defines. On an error
    /// the set is as before.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        let mut trees = self.trees.clone();
        let known = |function: &str| self.function(function).is_some();
        parse::parse(name, text, &mut trees, &known).map_err(TemplateError::Parse)?;
        self.trees = trees;
        Ok(())
    }

    /// The names of all templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }

    /// Runs the template `name` on `data`.
    pub fn execute(&self, name: &str, data: &Value) -> Result<String, TemplateError> {
        exec::execute(self, name, data, Mode::Text)
    }

    /// Runs the template `name` as `html/template` does, escaping every action for its place.
    pub fn execute_html(&self, name: &str, data: &Value) -> Result<String, TemplateError> {
        exec::execute(self, name, data, Mode::Html)
    }

    pub(crate) fn function(&self, name: &str) -> Option<FunctionRef<'_, 'f>> {
        match self.functions.get(name) {
            Some(function) => Some(FunctionRef::Given(function)),
            None => builtins::find(name).map(FunctionRef::Builtin),
        }
    }
}

/// A function a template may name.
pub(crate) enum FunctionRef<'s, 'f> {
    Given(&'s Function<'f>),
    Builtin(builtins::Builtin),
}
