//! `label_replace` and `label_join`: functions of series, whatever their samples.

use model::labels::METRIC_NAME;

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

impl Evaluator<'_> {
    pub(crate) fn label_replace(&mut self, call: &CallNode<'_>, grid: Grid) -> Result<Block, EvalError> {
        let (template, source) = (&text_arg(call, 2)?.value, &text_arg(call, 3)?.value);
        let pattern = &text_arg(call, 4)?.value;
        let regex = regex::Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| {
            EvalError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        let destination = label_arg(call, 1, "destination")?;
        let mut block = self.eval(&call.args[0], grid)?;
        for row in 0..block.n_rows() {
            let expanded = expand(&regex, block.labels(row).get(source).unwrap_or(""), template);
            if let Some(value) = expanded {
                set_label(&mut block, row, destination, &value);
            }
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
        let mut block = self.eval(&call.args[0], grid)?;
        for row in 0..block.n_rows() {
            let values: Vec<&str> =
                sources.iter().map(|source| block.labels(row).get(source).unwrap_or("")).collect();
            let joined = values.join(separator);
            set_label(&mut block, row, destination, &joined);
        }
        block.merge_duplicates()?;
        Ok(block)
    }
}

/// What `template` becomes where the pattern matches, with Go's `$1`, `${1}`, `$name` and `$$`.
fn expand(regex: &regex::Regex, value: &str, template: &str) -> Option<String> {
    let captures = regex.captures(value)?;
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = reference(rest) else {
            out.push('$');
            continue;
        };
        let group = match name.parse::<usize>() {
            Ok(idx) => captures.get(idx),
            Err(_) => captures.name(name),
        };
        out.push_str(group.map_or("", |group| group.as_str()));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// The name of a group at the start of `text`, braces or not, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (body, braced) = match text.strip_prefix('{') {
        Some(body) => (body, true),
        None => (text, false),
    };
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { after.strip_prefix('}').map(|after| (name, after)) } else { Some((name, after)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand_as_in_go() {
        let regex = regex::Regex::new("^(?s:(.*)-(?P<n>[0-9]+))$").unwrap();
        for (template, expected) in [
            ("$1", "a"),
            ("${1}x$2", "ax7"),
            ("$1x", ""),
            ("$n/$$/$", "7/$/$"),
            ("${n", "${n"),
            ("$3", ""),
            ("-", "-"),
        ] {
            assert_eq!(expand(&regex, "a-7", template).as_deref(), Some(expected), "{template}");
        }
        assert_eq!(expand(&regex, "a", "$1"), None);
    }
}
