//! `label_replace` and `label_join`: functions of series, whatever their samples.

use model::labels::METRIC_NAME;
use model::regex::GoRegex;

use crate::ast::StringLiteral;
use crate::eval::aggregate::is_label_name;
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::grid::Grid;
use crate::eval::plan::{CallNode, Node};

fn text_arg<'a>(call: &CallNode<'a>, idx: usize) -> Result<&'a StringLiteral, EvalError> {
    match call.args.get(idx) {
        Some(Node::String(literal)) => Ok(literal),
        _ => Err(EvalError::Execution(format!(
            "argument {} of {} must be a string literal",
            idx + 1,
            call.name
        ))),
    }
}

/// The argument as a label name; `role` is what it names.
fn label_arg<'a>(call: &CallNode<'a>, idx: usize, role: &str) -> Result<&'a str, EvalError> {
    let literal = text_arg(call, idx)?;
    if is_label_name(literal) {
        return Ok(&literal.value);
    }
    let (function, name) = (call.name, &literal.value);
    Err(EvalError::Execution(format!("invalid {role} label name in {function}(): {name}")))
}

/// Sets a label; setting the metric name keeps it from being dropped later.
fn set_label(block: &mut Block, row: usize, name: &str, value: &str) {
    let mut builder = block.labels(row).to_builder();
    builder.set(name, value);
    block.set_labels(row, builder.build());
    if name == METRIC_NAME {
        block.set_drop_name(row, false);
    }
}

/// The most that a template becomes if every reference in it stands for the whole source.
fn room_bytes(template: &str, source: &str) -> u64 {
    let references = template.bytes().filter(|b| *b == b'$').count() as u64;
    template.len() as u64 + references * source.len() as u64
}

impl Evaluator<'_> {
    pub(crate) fn label_replace(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let (template, source) = (&text_arg(call, 2)?.value, &text_arg(call, 3)?.value);
        let pattern = &text_arg(call, 4)?.value;
        let regex = GoRegex::new_anchored(pattern).map_err(|_| {
            EvalError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        let destination = label_arg(call, 1, "destination")?;
        let context = self.context;
        let mut block = self.eval(&call.args[0], grid)?;
        for row in 0..block.n_rows() {
            let source = block.labels(row).get(source).unwrap_or("");
            let _room = context.budget.charge(room_bytes(template, source))?;
            let expanded = regex.captures(source).map(|captures| {
                let mut value = String::new();
                captures.expand(template, &mut value);
                value
            });
            if let Some(value) = expanded {
                set_label(&mut block, row, destination, &value);
            }
            context.pace(&mut block, row)?;
        }
        block.merge_duplicates()?;
        Ok(block)
    }

    pub(crate) fn label_join(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let separator = &text_arg(call, 2)?.value;
        let mut sources = Vec::with_capacity(call.args.len().saturating_sub(3));
        for idx in 3..call.args.len() {
            sources.push(label_arg(call, idx, "source")?);
        }
        let destination = label_arg(call, 1, "destination")?;
        let context = self.context;
        let mut block = self.eval(&call.args[0], grid)?;
        for row in 0..block.n_rows() {
            let values: Vec<&str> =
                sources.iter().map(|source| block.labels(row).get(source).unwrap_or("")).collect();
            let bytes: usize = values.iter().map(|value| value.len() + separator.len()).sum();
            let _room = context.budget.charge(bytes as u64)?;
            let joined = values.join(separator);
            set_label(&mut block, row, destination, &joined);
            context.pace(&mut block, row)?;
        }
        block.merge_duplicates()?;
        Ok(block)
    }
}
