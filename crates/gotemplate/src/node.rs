//! The parse tree. Printing a node gives the text that Go shows in errors.

use std::fmt;
use std::sync::Arc;

use model::labels::GoQuoted;

use crate::html::Escaper;
use crate::literal::Number;

/// One parsed template.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) name: String,
    /// The template whose text this one was found in; error positions refer to it.
    pub(crate) parse_name: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) root: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text { text: String },
    Action(Action),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Invocation),
    Break,
    Continue,
}

/// A value to be printed.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) pipe: Pipe,
    /// What an HTML template does to the value before it is printed.
    pub(crate) escapers: Vec<Escaper>,
}

#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) pos: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) pos: usize,
    pub(crate) assigns: bool,
    pub(crate) declared: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) pos: usize,
    pub(crate) operands: Vec<Operand>,
}

#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) pos: usize,
    pub(crate) kind: OperandKind,
}

#[derive(Debug, Clone)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    /// The text and how it was quoted.
    Str(Arc<str>, String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`; the first part is the variable.
    Variable(Vec<String>),
    Identifier(String),
    /// `(pipe).a.b`
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(b) => write!(f, "{b}"),
            OperandKind::Number(number) => f.write_str(&number.text),
            OperandKind::Str(_, quoted) => f.write_str(quoted),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Identifier(name) => f.write_str(name),
            OperandKind::Chain(base, names) => {
                match &base.kind {
                    OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{base}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, operand) in self.operands.iter().enumerate() {
            if idx > 0 {
                f.write_str(" ")?;
            }
            match &operand.kind {
                OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{operand}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declared.is_empty() {
            write!(f, "{} {} ", self.declared.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (idx, command) in self.commands.iter().enumerate() {
            if idx > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", GoQuoted(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

/// Whether nothing but white space is in the template: a later definition replaces it.
pub(crate) fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text { text } if text.trim().is_empty()))
}
