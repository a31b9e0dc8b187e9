//! Types, argument counts and other rules that the grammar does not express.

use model::labels::{GoQuoted, METRIC_NAME};
use ql_core::Span;

use super::Parser;
use crate::ast::functions::Arity;
use crate::ast::{
    AggregateExpr, AggregateOp, BinaryExpr, Call, Expr, MatchCardinality, ValueType, VectorSelector,
};

impl Parser<'_> {
    /// Reports whatever is wrong with the expression, completes what the grammar left open, and
    /// gives its type.
    pub(super) fn check(&mut self, expr: &mut Expr) -> ValueType {
        let value_type = expr.value_type();
        let span = expr.span();
        match expr {
            Expr::Aggregate(e) => self.check_aggregate(e),
            Expr::Binary(e) => self.check_binary(e),
            Expr::Call(e) => self.check_call(e),
            Expr::Matrix(e) => self.check_selector(&e.selector),
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Paren(e) => {
                self.check(&mut e.expr);
            }
            Expr::StepInvariant(e) => {
                self.check(e);
            }
            Expr::Subquery(e) => {
                let found = self.check(&mut e.expr);
                if found != ValueType::Vector {
                    let found = found.as_str();
                    self.semantic(
                        span,
                        format!("subquery is only allowed on instant vector, got {found} instead"),
                    );
                }
            }
            Expr::Unary(e) => {
                let found = self.check(&mut e.expr);
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let found = GoQuoted(found.documented());
                    let rule =
                        "unary expression only allowed on expressions of type scalar or instant vector";
                    self.semantic(span, format!("{rule}, got {found}"));
                }
            }
            Expr::Vector(e) => self.check_selector(e),
        }
        value_type
    }

    fn expect_type(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let found = self.check(expr);
        self.require_type(expr.span(), wanted, found, context);
    }

    fn require_type(&mut self, span: Span, wanted: ValueType, found: ValueType, context: &str) {
        if found != wanted {
            let (wanted, found) = (wanted.documented(), found.documented());
            self.semantic(span, format!("expected type {wanted} in {context}, got {found}"));
        }
    }

    fn check_aggregate(&mut self, e: &mut AggregateExpr) {
        self.expect_type(&mut e.expr, ValueType::Vector, "aggregation expression");
        let wanted = if e.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        if let Some(param) = &mut e.param {
            self.expect_type(param, wanted, "aggregation parameter");
        }
    }

    fn check_binary(&mut self, e: &mut BinaryExpr) {
        let lhs = self.check(&mut e.lhs);
        let rhs = self.check(&mut e.rhs);
        let op = e.op;
        if e.return_bool && !op.is_comparison() {
            let span = self.operator_span(e);
            self.semantic(span, "bool modifier can only be used on comparison operators");
        }
        let scalars = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        if op.is_comparison() && !e.return_bool && scalars {
            let span = self.operator_span(e);
            self.semantic(span, "comparisons between scalars must use BOOL modifier");
        }
        self.check_matching_labels(e);
        for (operand, found) in [(&e.lhs, lhs), (&e.rhs, rhs)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                self.semantic(
                    operand.span(),
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        if lhs == ValueType::Vector && rhs == ValueType::Vector {
            self.check_set_matching(e);
        } else {
            self.drop_matching(e);
        }
        if (lhs == ValueType::Scalar || rhs == ValueType::Scalar) && op.is_set() {
            let op = GoQuoted(op.as_str());
            self.semantic(e.span(), format!("set operator {op} not allowed in binary scalar expression"));
        }
    }

    fn check_matching_labels(&mut self, e: &mut BinaryExpr) {
        let span = self.operator_span(e);
        let Some(matching) = &mut e.matching else { return };
        if e.op.is_set() && matching.cardinality == MatchCardinality::OneToOne {
            matching.cardinality = MatchCardinality::ManyToMany;
        }
        if !matching.on {
            return;
        }
        for label in &matching.labels {
            for _ in matching.include.iter().filter(|i| *i == label) {
                let label = GoQuoted(label);
                self.semantic(span, format!("label {label} must not occur in ON and GROUP clause at once"));
            }
        }
    }

    /// Both operands are vectors.
    fn check_set_matching(&mut self, e: &BinaryExpr) {
        let Some(matching) = e.matching.as_ref().filter(|_| e.op.is_set()) else { return };
        let span = e.span();
        if matches!(matching.cardinality, MatchCardinality::OneToMany | MatchCardinality::ManyToOne) {
            self.semantic(span, format!("no grouping allowed for {} operation", GoQuoted(e.op.as_str())));
        }
        if matching.cardinality != MatchCardinality::ManyToMany {
            self.semantic(span, "set operations must always be many-to-many");
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            self.semantic(span, "filling in missing series not allowed for set operators");
        }
    }

    /// An operand is no vector, so there is nothing to match.
    fn drop_matching(&mut self, e: &mut BinaryExpr) {
        let Some(matching) = e.matching.take() else { return };
        if !matching.labels.is_empty() {
            self.semantic(e.span(), "vector matching only allowed between instant vectors");
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            self.semantic(e.span(), "filling in missing series only allowed between instant vectors");
        }
    }

    /// From the operator to the last character before the right operand, blanks aside.
    fn operator_span(&self, e: &BinaryExpr) -> Span {
        let bytes = self.input.as_bytes();
        let is_blank = |at: u32| matches!(bytes.get(at as usize), Some(b' ' | b'\t' | b'\n' | b'\r'));
        let mut start = e.lhs.span().end;
        while is_blank(start) {
            start += 1;
        }
        let mut end = e.rhs.span().start.saturating_sub(1);
        while is_blank(end) {
            end -= 1;
        }
        Span::new(start, end)
    }

    fn check_call(&mut self, e: &mut Call) {
        let function = e.function;
        self.check_arg_count(e);
        if function.name == "info" && e.args.len() > 1 {
            self.check_info_selector(&mut e.args[1]);
        }
        let context = format!("call to function {}", GoQuoted(function.name));
        for (idx, arg) in e.args.iter_mut().enumerate() {
            let wanted = match (function.arg_types.get(idx), function.arity) {
                (Some(wanted), _) => *wanted,
                (None, Arity::Exact) => break,
                (None, _) => *function.arg_types.last().unwrap_or(&ValueType::None),
            };
            self.expect_type(arg, wanted, &context);
        }
    }

    fn check_arg_count(&mut self, e: &Call) {
        let (types, given) = (e.function.arg_types.len(), e.args.len());
        let required = if e.function.arity == Arity::Exact { types } else { types.saturating_sub(1) };
        let complaint = match e.function.arity {
            Arity::Exact if given != required => "expected",
            Arity::UpTo(_) | Arity::AtLeast if given < required => "expected at least",
            Arity::UpTo(more) if given > required + more => "expected at most",
            _ => return,
        };
        let limit = match e.function.arity {
            Arity::UpTo(more) if given > required => required + more,
            _ => required,
        };
        let name = GoQuoted(e.function.name);
        self.semantic(e.span, format!("{complaint} {limit} argument(s) in call to {name}, got {given}"));
    }

    /// The second argument of `info` is a selector without a name, whose conditions may all be empty.
    fn check_info_selector(&mut self, arg: &mut Expr) {
        let span = arg.span();
        self.require_type(span, ValueType::Vector, arg.value_type(), "call to function \"info\"");
        match arg {
            Expr::Vector(selector) if selector.name.is_empty() => selector.allows_empty_matchers = true,
            Expr::Vector(_) => {
                self.semantic(span, "expected label selectors only, got vector selector instead");
            }
            _ => self.semantic(span, "expected label selectors only"),
        }
    }

    fn check_selector(&mut self, selector: &VectorSelector) {
        if !selector.name.is_empty() {
            // The last matcher is the one of the name before the braces.
            let others = selector.matchers.len().saturating_sub(1);
            for matcher in selector.matchers[..others].iter().filter(|m| m.name == METRIC_NAME) {
                let (name, value) = (GoQuoted(&selector.name), GoQuoted(&matcher.value));
                self.semantic(selector.span, format!("metric name must not be set twice: {name} or {value}"));
            }
        } else if !selector.allows_empty_matchers
            && selector.matchers.iter().all(model::Matcher::matches_empty)
        {
            self.semantic(selector.span, "vector selector must contain at least one non-empty matcher");
        }
    }
}
