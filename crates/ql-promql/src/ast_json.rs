//! The syntax tree as the JSON of `/api/v1/parse_query`: keys in alphabetical order, characters
//! escaped as Go's encoder does.

use std::fmt::Write as _;

use base::gofloat::format_f;
use model::Matcher;

use crate::ast::functions::Arity;
use crate::ast::{
    AtModifier, BinaryExpr, Call, DurationExpr, DurationKind, Expr, SubqueryExpr, VectorMatching,
    VectorSelector,
};

/// The tree as JSON text.
pub fn to_json(expr: &Expr) -> String {
    let mut out = String::new();
    push_expr(&mut out, expr);
    out
}

/// Writes `{"name":value,...}`; names must come sorted.
struct Object<'o> {
    out: &'o mut String,
    empty: bool,
}

impl<'o> Object<'o> {
    fn new(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Starts a field; the value is written to what this gives.
    fn field(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
        push_string(self.out, name);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, name: &str, value: &str) {
        push_string(self.field(name), value);
    }

    /// A value whose text is JSON already: a number, `true`, `false`.
    fn raw(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.field(name), "{value}").expect("writing to a String cannot fail");
    }

    fn expr(&mut self, name: &str, value: Option<&Expr>) {
        let out = self.field(name);
        match value {
            Some(expr) => push_expr(out, expr),
            None => out.push_str("null"),
        }
    }

    fn duration(&mut self, name: &str, value: Option<&DurationExpr>) {
        let out = self.field(name);
        match value {
            Some(expr) => push_duration(out, expr),
            None => out.push_str("null"),
        }
    }

    fn strings<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        push_list(self.field(name), values, push_string);
    }

    fn end(self) {
        self.out.push('}');
    }
}

fn push_list<T>(out: &mut String, items: impl IntoIterator<Item = T>, push: impl Fn(&mut String, T)) {
    out.push('[');
    for (idx, item) in items.into_iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push_expr(out: &mut String, expr: &Expr) {
    if let Expr::StepInvariant(inner) = expr {
        return push_expr(out, inner);
    }
    let mut object = Object::new(out);
    match expr {
        Expr::Aggregate(e) => {
            object.expr("expr", Some(&e.expr));
            object.strings("grouping", e.grouping.iter().map(String::as_str));
            object.text("op", e.op.as_str());
            object.expr("param", e.param.as_ref());
            object.text("type", "aggregation");
            object.raw("without", e.without);
        }
        Expr::Binary(e) => push_binary(&mut object, e),
        Expr::Call(e) => push_call(&mut object, e),
        Expr::Matrix(e) => {
            push_selector(&mut object, &e.selector, Some((e.range_ms, e.range_expr.as_ref())));
        }
        Expr::Number(e) => {
            object.text("type", "numberLiteral");
            object.text("val", &format_f(e.value));
        }
        Expr::Paren(e) => {
            object.expr("expr", Some(&e.expr));
            object.text("type", "parenExpr");
        }
        Expr::String(e) => {
            object.text("type", "stringLiteral");
            object.text("val", &e.value);
        }
        Expr::Subquery(e) => push_subquery(&mut object, e),
        Expr::Unary(e) => {
            object.expr("expr", Some(&e.expr));
            object.text("op", e.op.as_str());
            object.text("type", "unaryExpr");
        }
        Expr::Vector(e) => push_selector(&mut object, e, None),
        Expr::StepInvariant(_) => unreachable!("unwrapped above"),
    }
    object.end();
}

fn push_binary(object: &mut Object<'_>, e: &BinaryExpr) {
    object.raw("bool", e.return_bool);
    object.expr("lhs", Some(&e.lhs));
    let out = object.field("matching");
    match &e.matching {
        Some(matching) => push_matching(out, matching),
        None => out.push_str("null"),
    }
    object.text("op", e.op.as_str());
    object.expr("rhs", Some(&e.rhs));
    object.text("type", "binaryExpr");
}

fn push_matching(out: &mut String, matching: &VectorMatching) {
    let mut object = Object::new(out);
    object.text("card", matching.cardinality.as_str());
    let mut fills = Object::new(object.field("fillValues"));
    for (name, value) in [("lhs", matching.fill_left), ("rhs", matching.fill_right)] {
        // JSON has no infinities; upstream fails to answer there.
        fills.raw(name, value.filter(|v| v.is_finite()).map_or_else(|| "null".to_owned(), format_json_float));
    }
    fills.end();
    object.strings("include", matching.include.iter().map(String::as_str));
    object.strings("labels", matching.labels.iter().map(String::as_str));
    object.raw("on", matching.on);
    object.end();
}

/// As Go's JSON encoder writes floats: an exponent below 1e-6 and from 1e21 on.
fn format_json_float(v: f64) -> String {
    if v != 0.0 && !(1e-6..1e21).contains(&v.abs()) {
        return base::gofloat::format_e(v).replace("e-0", "e-");
    }
    format_f(v)
}

fn push_call(object: &mut Object<'_>, e: &Call) {
    push_list(object.field("args"), &e.args, push_expr);
    let mut function = Object::new(object.field("func"));
    function.strings("argTypes", e.function.arg_types.iter().map(|t| t.as_str()));
    function.text("name", e.function.name);
    function.text("returnType", e.function.return_type.as_str());
    match e.function.arity {
        Arity::Exact => function.raw("variadic", 0),
        Arity::UpTo(more) => function.raw("variadic", more),
        Arity::AtLeast => function.raw("variadic", -1),
    }
    function.end();
    object.text("type", "call");
}

fn push_selector(
    object: &mut Object<'_>,
    selector: &VectorSelector,
    range: Option<(i64, Option<&DurationExpr>)>,
) {
    object.raw("anchored", selector.anchored);
    push_list(object.field("matchers"), &selector.matchers, push_matcher);
    object.text("name", &selector.name);
    object.raw("offset", selector.offset_ms);
    object.duration("offsetExpr", selector.offset_expr.as_ref());
    if let Some((ms, expr)) = range {
        object.raw("range", ms);
        object.duration("rangeExpr", expr);
    }
    object.raw("smoothed", selector.smoothed);
    push_at(object, selector.at);
    object.text("type", if range.is_some() { "matrixSelector" } else { "vectorSelector" });
}

fn push_matcher(out: &mut String, matcher: &Matcher) {
    let mut object = Object::new(out);
    object.text("name", &matcher.name);
    object.text("type", matcher.op.as_str());
    object.text("value", &matcher.value);
    object.end();
}

fn push_at(object: &mut Object<'_>, at: Option<AtModifier>) {
    match at {
        Some(AtModifier::Start) => object.text("startOrEnd", "start"),
        Some(AtModifier::End) => object.text("startOrEnd", "end"),
        _ => object.raw("startOrEnd", "null"),
    }
    match at {
        Some(AtModifier::Timestamp(ms)) => object.raw("timestamp", ms),
        _ => object.raw("timestamp", "null"),
    }
}

fn push_subquery(object: &mut Object<'_>, e: &SubqueryExpr) {
    object.expr("expr", Some(&e.expr));
    object.raw("offset", e.offset_ms);
    object.duration("offsetExpr", e.offset_expr.as_ref());
    object.raw("range", e.range_ms);
    object.duration("rangeExpr", e.range_expr.as_ref());
    push_at_of_subquery(object, e);
    object.text("type", "subquery");
}

/// `startOrEnd`, `step`, `stepExpr` and `timestamp`, which the alphabet interleaves.
fn push_at_of_subquery(object: &mut Object<'_>, e: &SubqueryExpr) {
    match e.at {
        Some(AtModifier::Start) => object.text("startOrEnd", "start"),
        Some(AtModifier::End) => object.text("startOrEnd", "end"),
        _ => object.raw("startOrEnd", "null"),
    }
    object.raw("step", e.step_ms);
    object.duration("stepExpr", e.step_expr.as_ref());
    match e.at {
        Some(AtModifier::Timestamp(ms)) => object.raw("timestamp", ms),
        _ => object.raw("timestamp", "null"),
    }
}

fn push_duration(out: &mut String, expr: &DurationExpr) {
    let mut object = Object::new(out);
    if let DurationKind::Number(number) = &expr.kind {
        object.raw("duration", number.is_duration);
        object.text("type", "numberLiteral");
        object.text("val", &format_f(number.value));
        return object.end();
    }
    let (lhs, op, rhs) = match &expr.kind {
        DurationKind::Binary { op, lhs, rhs } => (Some(&**lhs), op.as_str(), Some(&**rhs)),
        DurationKind::Unary { op, operand } => (None, op.as_str(), Some(&**operand)),
        DurationKind::Range => (None, "range", None),
        DurationKind::Step | DurationKind::Number(_) => (None, "step", None),
    };
    object.duration("lhs", lhs);
    object.text("op", op);
    object.duration("rhs", rhs);
    object.text("type", "durationExpr");
    object.raw("wrapped", expr.wrapped);
    object.end();
}

#[cfg(test)]
mod tests;
