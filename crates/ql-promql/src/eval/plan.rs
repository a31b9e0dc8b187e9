//! Preparation: from the syntax tree of a query and its time range to what is evaluated.
//!
//! Parentheses disappear, duration expressions and `@ start()` become numbers, `start()`, `end()`,
//! `range()` and `step()` become literals, and the largest step-invariant parts are marked, so that
//! they are evaluated once.

use model::Matcher;
use ql_core::Span;

use crate::ast::{
    AggregateExpr, AggregateOp, AtModifier, BinaryExpr, BinaryOp, Call, Expr, MatrixSelector, StringLiteral,
    SubqueryExpr, UnaryOp, ValueType, VectorMatching, VectorSelector,
};
use crate::eval::durations::QueryTimes;
use crate::eval::error::EvalError;
use crate::eval::split::FragmentNode;

/// A prepared expression.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    Number(f64),
    String(&'a StringLiteral),
    Vector(Box<Selector<'a>>),
    Matrix(Box<MatrixNode<'a>>),
    Subquery(Box<SubqueryNode<'a>>),
    Negate(Box<Node<'a>>),
    Binary(Box<BinaryNode<'a>>),
    Call(Box<CallNode<'a>>),
    Aggregate(Box<AggregateNode<'a>>),
    StepInvariant(Box<Node<'a>>),
    /// Only where a query is evaluated in fragments.
    Fragment(Box<FragmentNode<'a>>),
}

/// A vector selector, or that of a matrix selector.
#[derive(Debug)]
pub(crate) struct Selector<'a> {
    pub(crate) matchers: &'a [Matcher],
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
    pub(crate) anchored: bool,
    pub(crate) smoothed: bool,
    /// Only count and sum of histograms will be looked at.
    pub(crate) statistics_only: bool,
    pub(crate) position: Span,
}

impl Selector<'_> {
    /// The time whose data the selector means when it is evaluated at `t_ms`.
    pub(crate) fn reference_ms(&self, t_ms: i64) -> i64 {
        self.at_ms.unwrap_or(t_ms).saturating_sub(self.offset_ms)
    }
}

#[derive(Debug)]
pub(crate) struct MatrixNode<'a> {
    pub(crate) selector: Selector<'a>,
    pub(crate) range_ms: i64,
}

#[derive(Debug)]
pub(crate) struct SubqueryNode<'a> {
    pub(crate) expr: Node<'a>,
    pub(crate) range_ms: i64,
    /// 0 for the engine's default.
    pub(crate) step_ms: i64,
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

impl SubqueryNode<'_> {
    pub(crate) fn reference_ms(&self, t_ms: i64) -> i64 {
        self.at_ms.unwrap_or(t_ms).saturating_sub(self.offset_ms)
    }
}

/// The kinds of the operands of a binary expression.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operands<'a> {
    ScalarScalar,
    VectorScalar,
    ScalarVector,
    VectorVector(&'a VectorMatching),
}

#[derive(Debug)]
pub(crate) struct BinaryNode<'a> {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node<'a>,
    pub(crate) rhs: Node<'a>,
    pub(crate) operands: Operands<'a>,
    pub(crate) return_bool: bool,
    pub(crate) position: Span,
}

#[derive(Debug)]
pub(crate) struct CallNode<'a> {
    pub(crate) name: &'static str,
    pub(crate) args: Vec<Node<'a>>,
    /// Where each argument stands.
    pub(crate) arg_positions: Vec<Span>,
    pub(crate) position: Span,
}

#[derive(Debug)]
pub(crate) struct AggregateNode<'a> {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Node<'a>,
    pub(crate) param: Option<Node<'a>>,
    /// Sorted, without repetition.
    pub(crate) grouping: Vec<&'a str>,
    pub(crate) without: bool,
    pub(crate) position: Span,
    pub(crate) expr_position: Span,
    pub(crate) param_position: Span,
}

/// Functions whose value may change with the evaluation time although their arguments do not.
const TIME_DEPENDENT: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// A node with what its parent needs to know to mark step-invariant parts.
struct Prepared<'a> {
    node: Node<'a>,
    invariant: bool,
    /// Literals and range vectors are invariant without gain from being marked.
    worth_marking: bool,
}

impl<'a> Prepared<'a> {
    fn marked(self) -> Node<'a> {
        if self.worth_marking { Node::StepInvariant(Box::new(self.node)) } else { self.node }
    }
}

/// What is read of the histograms below a node, going by the functions above it.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    statistics: bool,
    buckets: bool,
}

impl Reading {
    fn below_call(self, function: &str) -> Self {
        match function {
            "histogram_count" | "histogram_sum" | "histogram_avg" => Self { statistics: true, ..self },
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => self.with_buckets(),
            _ => self,
        }
    }

    fn with_buckets(self) -> Self {
        Self { buckets: true, ..self }
    }

    fn statistics_only(self) -> bool {
        self.statistics && !self.buckets
    }
}

/// What preparation knows above a node.
#[derive(Debug, Clone, Copy)]
struct Above<'t> {
    times: &'t QueryTimes,
    reading: Reading,
}

/// Prepares `expr` for evaluation over `times`.
pub(crate) fn prepare<'a>(expr: &'a Expr, times: &QueryTimes) -> Result<Node<'a>, EvalError> {
    let above = Above { times, reading: Reading::default() };
    Ok(prepare_node(expr, above)?.marked())
}

fn without_parens(mut expr: &Expr) -> &Expr {
    while let Expr::Paren(inner) = expr {
        expr = &inner.expr;
    }
    expr
}

fn prepare_node<'a>(expr: &'a Expr, above: Above<'_>) -> Result<Prepared<'a>, EvalError> {
    let leaf = |node| Prepared { node, invariant: true, worth_marking: false };
    Ok(match expr {
        Expr::Number(literal) => leaf(Node::Number(literal.value)),
        Expr::String(literal) => leaf(Node::String(literal)),
        Expr::Paren(inner) => prepare_node(&inner.expr, above)?,
        Expr::StepInvariant(inner) => prepare_node(inner, above)?,
        Expr::Vector(selector) => {
            let selector = prepare_selector(selector, above)?;
            let invariant = selector.at_ms.is_some();
            Prepared { node: Node::Vector(Box::new(selector)), invariant, worth_marking: invariant }
        }
        Expr::Matrix(matrix) => prepare_matrix(matrix, above)?,
        Expr::Subquery(subquery) => prepare_subquery(subquery, above)?,
        Expr::Unary(unary) => {
            let inner = prepare_node(&unary.expr, above)?;
            match unary.op {
                UnaryOp::Plus => inner,
                UnaryOp::Minus => Prepared { node: Node::Negate(Box::new(inner.node)), ..inner },
            }
        }
        Expr::Binary(binary) => prepare_binary(binary, above)?,
        Expr::Call(call) => prepare_call(call, above)?,
        Expr::Aggregate(aggregate) => prepare_aggregate(aggregate, above)?,
    })
}

fn resolve_at(at: Option<AtModifier>, times: &QueryTimes) -> Option<i64> {
    at.map(|at| match at {
        AtModifier::Timestamp(t_ms) => t_ms,
        AtModifier::Start => times.start_ms,
        AtModifier::End => times.end_ms,
    })
}

fn prepare_selector<'a>(selector: &'a VectorSelector, above: Above<'_>) -> Result<Selector<'a>, EvalError> {
    Ok(Selector {
        matchers: &selector.matchers,
        at_ms: resolve_at(selector.at, above.times),
        offset_ms: above.times.offset_ms(selector.offset_ms, selector.offset_expr.as_ref())?,
        anchored: selector.anchored,
        smoothed: selector.smoothed,
        statistics_only: above.reading.statistics_only(),
        position: selector.span,
    })
}

fn prepare_matrix<'a>(matrix: &'a MatrixSelector, above: Above<'_>) -> Result<Prepared<'a>, EvalError> {
    let range_ms = above.times.length_ms(matrix.range_ms, matrix.range_expr.as_ref())?;
    let selector = prepare_selector(&matrix.selector, above)?;
    let invariant = selector.at_ms.is_some();
    let node = Node::Matrix(Box::new(MatrixNode { selector, range_ms }));
    Ok(Prepared { node, invariant, worth_marking: false })
}

fn prepare_subquery<'a>(subquery: &'a SubqueryExpr, above: Above<'_>) -> Result<Prepared<'a>, EvalError> {
    let offset_ms = above.times.offset_ms(subquery.offset_ms, subquery.offset_expr.as_ref())?;
    let step_ms = above.times.length_ms(subquery.step_ms, subquery.step_expr.as_ref())?;
    let range_ms = above.times.length_ms(subquery.range_ms, subquery.range_expr.as_ref())?;
    // Resets between samples that a subquery picks show only in the buckets.
    let inner = prepare_node(&subquery.expr, Above { reading: above.reading.with_buckets(), ..above })?;
    let expr = if inner.invariant && inner.worth_marking { inner.marked() } else { inner.node };
    let at_ms = resolve_at(subquery.at, above.times);
    let node = Node::Subquery(Box::new(SubqueryNode { expr, range_ms, step_ms, offset_ms, at_ms }));
    Ok(Prepared { node, invariant: at_ms.is_some(), worth_marking: false })
}

fn prepare_binary<'a>(binary: &'a BinaryExpr, above: Above<'_>) -> Result<Prepared<'a>, EvalError> {
    let operands = match (binary.lhs.value_type(), binary.rhs.value_type(), &binary.matching) {
        (ValueType::Scalar, ValueType::Scalar, _) => Operands::ScalarScalar,
        (_, ValueType::Scalar, _) => Operands::VectorScalar,
        (ValueType::Scalar, _, _) => Operands::ScalarVector,
        (_, _, Some(matching)) => Operands::VectorVector(matching),
        (_, _, None) => {
            return Err(EvalError::Preparation(
                "a binary operation between vectors lacks matching".to_owned(),
            ));
        }
    };
    let above = match binary.op {
        BinaryOp::TrimLower | BinaryOp::TrimUpper => Above { reading: above.reading.with_buckets(), ..above },
        _ => above,
    };
    let lhs = prepare_node(&binary.lhs, above)?;
    let rhs = prepare_node(&binary.rhs, above)?;
    let invariant = lhs.invariant && rhs.invariant;
    let (lhs, rhs) = if invariant { (lhs.node, rhs.node) } else { (lhs.marked(), rhs.marked()) };
    let node = Node::Binary(Box::new(BinaryNode {
        op: binary.op,
        lhs,
        rhs,
        operands,
        return_bool: binary.return_bool,
        position: binary.span(),
    }));
    Ok(Prepared { node, invariant, worth_marking: invariant })
}

fn prepare_call<'a>(call: &'a Call, above: Above<'_>) -> Result<Prepared<'a>, EvalError> {
    let name = call.function.name;
    if let Some(value) = above.times.folded(name) {
        return Ok(Prepared { node: Node::Number(value), invariant: true, worth_marking: false });
    }
    let above = Above { reading: above.reading.below_call(name), ..above };
    let mut args = Vec::with_capacity(call.args.len());
    let mut arg_positions = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        let arg = without_parens(arg);
        arg_positions.push(arg.span());
        args.push(prepare_node(arg, above)?);
    }
    let all_invariant = args.iter().all(|arg| arg.invariant);
    // The time of a sample that is found at a fixed time is fixed, that of a computed one is not.
    let timestamp_of_fixed =
        name == "timestamp" && args.iter().all(|arg| matches!(arg.node, Node::Vector(_)));
    let invariant = all_invariant && (!TIME_DEPENDENT.contains(&name) || timestamp_of_fixed);
    let args = args.into_iter().map(|arg| if invariant { arg.node } else { arg.marked() }).collect();
    let node = Node::Call(Box::new(CallNode { name, args, arg_positions, position: call.span }));
    Ok(Prepared { node, invariant, worth_marking: invariant })
}

fn prepare_aggregate<'a>(aggregate: &'a AggregateExpr, above: Above<'_>) -> Result<Prepared<'a>, EvalError> {
    let expr = without_parens(&aggregate.expr);
    let inner = prepare_node(expr, above)?;
    let (param, param_position) = match &aggregate.param {
        Some(param) => {
            let param = without_parens(param);
            (Some(prepare_node(param, above)?.node), param.span())
        }
        None => (None, Span::default()),
    };
    let mut grouping: Vec<&str> = aggregate.grouping.iter().map(String::as_str).collect();
    grouping.sort_unstable();
    grouping.dedup();
    let node = Node::Aggregate(Box::new(AggregateNode {
        op: aggregate.op,
        expr: inner.node,
        param,
        grouping,
        without: aggregate.without,
        position: aggregate.span,
        expr_position: expr.span(),
        param_position,
    }));
    Ok(Prepared { node, invariant: inner.invariant, worth_marking: inner.worth_marking })
}

impl Node<'_> {
    /// The `@` time and the offset that govern the first vector selector below: the innermost `@` of
    /// it and its enclosing subqueries, and the offsets up to there.
    pub(crate) fn first_selector_time(&self) -> Option<(Option<i64>, i64)> {
        match self {
            Self::Number(_) | Self::String(_) => None,
            Self::Vector(selector) => Some((selector.at_ms, selector.offset_ms)),
            Self::Matrix(matrix) => Some((matrix.selector.at_ms, matrix.selector.offset_ms)),
            Self::Subquery(subquery) => {
                let (at_ms, offset_ms) = subquery.expr.first_selector_time()?;
                Some(match at_ms {
                    Some(_) => (at_ms, offset_ms),
                    None => (subquery.at_ms, offset_ms + subquery.offset_ms),
                })
            }
            Self::Negate(inner) | Self::StepInvariant(inner) => inner.first_selector_time(),
            Self::Fragment(fragment) => fragment.node.first_selector_time(),
            Self::Binary(binary) => {
                binary.lhs.first_selector_time().or_else(|| binary.rhs.first_selector_time())
            }
            Self::Call(call) => call.args.iter().find_map(Self::first_selector_time),
            Self::Aggregate(aggregate) => aggregate
                .expr
                .first_selector_time()
                .or_else(|| aggregate.param.as_ref().and_then(Self::first_selector_time)),
        }
    }
}
