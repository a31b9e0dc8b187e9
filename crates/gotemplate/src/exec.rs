//! Walks a tree over data.

mod eval;

use std::fmt;

use crate::format::{PRINTED_BYTES_MAX, print_value};
use crate::html::{self, Trees};
use crate::node::{Branch, Command, Invocation, Node, Operand, Pipe, Tree};
use crate::set::{TemplateError, TemplateSet};
use crate::value::Value;

/// What one execution may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of output, and of any text that a function makes; at most 4 MiB.
    pub output_bytes: usize,
    /// Templates within templates.
    pub depth: usize,
    /// Nodes and operands evaluated.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes: 4 << 20, depth: 64, steps: 2_000_000 }
    }
}

/// Which limit an execution met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    #[error("output is longer than {0} bytes")]
    Output(usize),
    #[error("a value is longer than {0} bytes")]
    Value(usize),
    #[error("exceeded maximum template depth ({0})")]
    Depth(usize),
    #[error("takes more than {0} steps")]
    Steps(usize),
}

/// Whether actions are escaped for the places they stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Text,
    Html,
}

pub(crate) fn execute(
    set: &TemplateSet<'_>,
    name: &str,
    data: &Value,
    mode: Mode,
) -> Result<String, TemplateError> {
    let mut usage = Usage::default();
    let mut out = String::new();
    run(set, name, data, mode, &mut out, &mut usage)?;
    Ok(out)
}

fn run(
    set: &TemplateSet<'_>,
    name: &str,
    data: &Value,
    mode: Mode,
    out: &mut String,
    usage: &mut Usage,
) -> Result<(), TemplateError> {
    let escaped;
    let trees = match mode {
        Mode::Text => &set.trees,
        Mode::Html => {
            escaped = html::escape(&set.trees, name).map_err(TemplateError::Exec)?;
            &escaped
        }
    };
    let Some(tree) = trees.get(name) else {
        let text =
            format!("template: no template {} associated with template", model::labels::GoQuoted(name));
        return Err(TemplateError::Exec(text));
    };
    let vars = vec![("$".to_owned(), data.clone())];
    let mut state = State { set, trees, mode, tree, vars, out, usage, at: Place::Start };
    state.walk_list(&tree.root, data).map(|_| ())
}

/// Work done so far, over all nested templates.
#[derive(Debug, Default)]
struct Usage {
    depth: usize,
    steps: usize,
}

/// The node that an error would be blamed on.
#[derive(Clone, Copy)]
enum Place<'t> {
    Start,
    Operand(&'t Operand),
    Command(&'t Command),
    Pipe(&'t Pipe),
    Invocation(&'t Invocation),
}

impl Place<'_> {
    fn pos(self) -> usize {
        match self {
            Self::Start => 0,
            Self::Operand(operand) => operand.pos,
            Self::Command(command) => command.pos,
            Self::Pipe(pipe) => pipe.pos,
            Self::Invocation(invocation) => invocation.pos,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => Ok(()),
            Self::Operand(operand) => operand.fmt(f),
            Self::Command(command) => command.fmt(f),
            Self::Pipe(pipe) => pipe.fmt(f),
            Self::Invocation(invocation) => invocation.fmt(f),
        }
    }
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

type Exec<T> = Result<T, TemplateError>;

struct State<'s, 'f, 'o> {
    set: &'s TemplateSet<'f>,
    trees: &'s Trees,
    mode: Mode,
    tree: &'s Tree,
    vars: Vec<(String, Value)>,
    out: &'o mut String,
    usage: &'o mut Usage,
    at: Place<'s>,
}

impl<'s> State<'s, '_, '_> {
    fn location(&self) -> String {
        let before = &self.tree.text[..self.at.pos()];
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let parse_name = &self.tree.parse_name;
        let executing = model::labels::GoQuoted(&self.tree.name);
        format!("template: {parse_name}:{line}:{column}: executing {executing} at <{}>", self.at)
    }

    fn error<T>(&self, message: impl fmt::Display) -> Exec<T> {
        Err(TemplateError::Exec(format!("{}: {message}", self.location())))
    }

    fn limit<T>(&self, limit: LimitExceeded) -> Exec<T> {
        Err(TemplateError::Limit { location: self.location(), limit })
    }

    fn step(&mut self) -> Exec<()> {
        self.usage.steps += 1;
        if self.usage.steps > self.set.limits.steps {
            return self.limit(LimitExceeded::Steps(self.set.limits.steps));
        }
        Ok(())
    }

    fn output_bytes_max(&self) -> usize {
        self.set.limits.output_bytes.min(PRINTED_BYTES_MAX)
    }

    fn write(&mut self, text: &str) -> Exec<()> {
        let bytes_max = self.output_bytes_max();
        if self.out.len() + text.len() > bytes_max {
            return self.limit(LimitExceeded::Output(bytes_max));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn walk_list(&mut self, nodes: &'s [Node], dot: &Value) -> Exec<Flow> {
        for node in nodes {
            let flow = self.walk(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn walk(&mut self, node: &'s Node, dot: &Value) -> Exec<Flow> {
        self.step()?;
        match node {
            Node::Text { text } => self.write(text)?,
            Node::Action(action) => {
                let value = self.eval_pipeline(dot, &action.pipe)?;
                if action.pipe.declared.is_empty() {
                    let value = action.escapers.iter().fold(value, |value, escaper| escaper.apply(&value));
                    self.write(&print_value(&value))?;
                }
            }
            Node::If(branch) => return self.walk_if(branch, dot, false),
            Node::With(branch) => return self.walk_if(branch, dot, true),
            Node::Range(branch) => return self.walk_range(branch, dot),
            Node::Template(invocation) => self.walk_template(invocation, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn walk_if(&mut self, branch: &'s Branch, dot: &Value, moves_dot: bool) -> Exec<Flow> {
        let mark = self.vars.len();
        let value = self.eval_pipeline(dot, &branch.pipe)?;
        let flow = if value.truth() {
            self.walk_list(&branch.body, if moves_dot { &value } else { dot })?
        } else {
            self.walk_list(&branch.otherwise, dot)?
        };
        self.vars.truncate(mark);
        Ok(flow)
    }

    fn walk_range(&mut self, branch: &'s Branch, dot: &Value) -> Exec<Flow> {
        let mark = self.vars.len();
        let value = self.eval_pipeline(dot, &branch.pipe)?;
        let inner = self.vars.len();
        let mut iterated = false;
        match value.plain() {
            Value::List(list) => {
                for (idx, item) in list.items.iter().enumerate() {
                    iterated = true;
                    let idx = Value::Int(i64::try_from(idx).unwrap_or(i64::MAX));
                    if self.iterate(branch, idx, item, inner)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in &map.entries {
                    iterated = true;
                    if self.iterate(branch, Value::str(key), item, inner)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(n) => {
                if branch.pipe.declared.len() > 1 {
                    return self.error(format_args!("can't use {n} to iterate over more than one variable"));
                }
                for idx in 0..n {
                    iterated = true;
                    if self.iterate(branch, Value::Int(idx), &Value::Int(idx), inner)? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Nil => {}
            other => return self.error(format_args!("range can't iterate over {}", print_value(&other))),
        }
        let mut flow = Flow::Next;
        if !iterated {
            flow = self.walk_list(&branch.otherwise, dot)?;
        }
        self.vars.truncate(mark);
        Ok(flow)
    }

    fn iterate(&mut self, branch: &'s Branch, key: Value, item: &Value, inner: usize) -> Exec<Flow> {
        self.step()?;
        match branch.pipe.declared.as_slice() {
            [] => {}
            [single] => self.set_loop_variable(branch, single, item.clone(), inner - 1)?,
            [first, second, ..] => {
                self.set_loop_variable(branch, first, key, inner - 2)?;
                self.set_loop_variable(branch, second, item.clone(), inner - 1)?;
            }
        }
        let flow = self.walk_list(&branch.body, item)?;
        self.vars.truncate(inner);
        Ok(flow)
    }

    fn set_loop_variable(&mut self, branch: &Branch, name: &str, value: Value, slot: usize) -> Exec<()> {
        if branch.pipe.assigns {
            return self.assign(name, value);
        }
        self.vars[slot].1 = value;
        Ok(())
    }

    fn walk_template(&mut self, invocation: &'s Invocation, dot: &Value) -> Exec<()> {
        self.at = Place::Invocation(invocation);
        let name = &invocation.name;
        let set = self.set;
        let Some(tree) = self.trees.get(name) else {
            return self.error(format_args!("template {} not defined", model::labels::GoQuoted(name)));
        };
        if self.usage.depth >= set.limits.depth {
            return self.limit(LimitExceeded::Depth(set.limits.depth));
        }
        let data = match &invocation.pipe {
            Some(pipe) => self.eval_pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        self.usage.depth += 1;
        let vars = vec![("$".to_owned(), data.clone())];
        let mut inner = State {
            set,
            trees: self.trees,
            mode: self.mode,
            tree,
            vars,
            out: &mut *self.out,
            usage: &mut *self.usage,
            at: Place::Start,
        };
        inner.walk_list(&tree.root, &data)?;
        self.usage.depth -= 1;
        Ok(())
    }
}
