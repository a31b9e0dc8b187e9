//! Splitting a prepared query into fragments: the largest parts of it that can be evaluated for some of
//! the shards by themselves, and whose results for all shards can be merged into what the whole part
//! gives. What is around them is evaluated over the merged results.
//!
//! What depends on one series only is such a part: selectors, functions of range vectors, of subqueries
//! of such parts and of single floats, arithmetic with scalars. So is an aggregation of such a part, unless
//! it needs all values of a group at once, as `quantile` does. Scalar arguments must not read series.

use ql_core::Span;

use crate::ast::AggregateOp;
use crate::eval::plan::{AggregateNode, CallNode, Node, Operands, Selector};
use crate::eval::windows::names_one_metric;
use crate::functions::elementwise::float_function;

/// How the results of a fragment for different shards become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Each series is in one result.
    Rows,
    /// The accumulators of equal groups are added up, or the greater or smaller one stays.
    Groups,
    /// The counts of equal values are added up.
    Counts,
    /// The aggregation chooses once more among the series that were chosen for each shard.
    Contenders,
}

/// A part of a query that is evaluated for some shards at a time.
#[derive(Debug)]
pub(crate) struct FragmentNode<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) merge: Merge,
}

/// Wraps the largest parts of `node` that can be.
pub(crate) fn split(node: Node<'_>, delayed_name_removal: bool) -> Node<'_> {
    Splitter { delayed_name_removal }.split(node)
}

/// Where a node stands in the query.
pub(crate) fn position(node: &Node<'_>) -> Span {
    match node {
        Node::Number(_) | Node::String(_) => Span::default(),
        Node::Vector(selector) => selector.position,
        Node::Matrix(matrix) => matrix.selector.position,
        Node::Subquery(subquery) => position(&subquery.expr),
        Node::Negate(inner) | Node::StepInvariant(inner) => position(inner),
        Node::Binary(binary) => binary.position,
        Node::Call(call) => call.position,
        Node::Aggregate(aggregate) => aggregate.position,
        Node::Fragment(fragment) => position(&fragment.node),
    }
}

struct Splitter {
    delayed_name_removal: bool,
}

impl Splitter {
    fn split<'a>(&self, node: Node<'a>) -> Node<'a> {
        if let Some(merge) = self.merge_of(&node) {
            return Node::Fragment(Box::new(FragmentNode { node, merge }));
        }
        match node {
            Node::Number(_) | Node::String(_) | Node::Vector(_) | Node::Matrix(_) | Node::Fragment(_) => node,
            Node::Subquery(mut subquery) => {
                subquery.expr = self.split(subquery.expr);
                Node::Subquery(subquery)
            }
            Node::Negate(inner) => Node::Negate(Box::new(self.split(*inner))),
            Node::StepInvariant(inner) => Node::StepInvariant(Box::new(self.split(*inner))),
            Node::Binary(mut binary) => {
                binary.lhs = self.split(binary.lhs);
                binary.rhs = self.split(binary.rhs);
                Node::Binary(binary)
            }
            Node::Call(mut call) => {
                call.args = self.split_args(call.name, call.args);
                Node::Call(call)
            }
            Node::Aggregate(mut aggregate) => {
                aggregate.expr = self.split(aggregate.expr);
                aggregate.param = aggregate.param.map(|param| self.split(param));
                Node::Aggregate(aggregate)
            }
        }
    }

    fn split_args<'a>(&self, function: &str, args: Vec<Node<'a>>) -> Vec<Node<'a>> {
        let split = |(idx, arg): (usize, Node<'a>)| match (function, &arg) {
            // The function looks at the selector and not at its value.
            ("timestamp" | "start_timestamp", Node::Vector(_)) => arg,
            ("info", _) if idx > 0 => arg,
            _ => self.split(arg),
        };
        args.into_iter().enumerate().map(split).collect()
    }

    fn merge_of(&self, node: &Node<'_>) -> Option<Merge> {
        if self.is_per_series(node) {
            return Some(Merge::Rows);
        }
        match node {
            Node::Aggregate(aggregate) => self.merge_of_aggregate(aggregate),
            _ => None,
        }
    }

    fn merge_of_aggregate(&self, node: &AggregateNode<'_>) -> Option<Merge> {
        if !self.is_per_series(&node.expr) || node.param.as_ref().is_some_and(reads_series) {
            return None;
        }
        match node.op {
            AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Group
            | AggregateOp::Max
            | AggregateOp::Min
            | AggregateOp::Stddev
            | AggregateOp::Stdvar
            | AggregateOp::Sum => Some(Merge::Groups),
            AggregateOp::CountValues => Some(Merge::Counts),
            AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio | AggregateOp::TopK => {
                Some(Merge::Contenders)
            }
            // All values of a group must be known.
            AggregateOp::Quantile => None,
        }
    }

    /// Whether each series of the value of `node` comes from one stored series, and no other has a say.
    fn is_per_series(&self, node: &Node<'_>) -> bool {
        match node {
            Node::Vector(_) => true,
            Node::StepInvariant(inner) => self.is_per_series(inner),
            Node::Negate(inner) => self.is_per_series(inner) && self.may_lose_names(inner),
            Node::Binary(binary) => {
                let (vector, scalar) = match binary.operands {
                    Operands::VectorScalar => (&binary.lhs, &binary.rhs),
                    Operands::ScalarVector => (&binary.rhs, &binary.lhs),
                    Operands::ScalarScalar | Operands::VectorVector(_) => return false,
                };
                self.is_per_series(vector) && self.may_lose_names(vector) && !reads_series(scalar)
            }
            Node::Call(call) => self.is_per_series_call(call),
            Node::Number(_)
            | Node::String(_)
            | Node::Matrix(_)
            | Node::Subquery(_)
            | Node::Aggregate(_)
            | Node::Fragment(_) => false,
        }
    }

    fn is_per_series_call(&self, call: &CallNode<'_>) -> bool {
        let range = call.args.iter().position(|arg| matches!(arg, Node::Matrix(_) | Node::Subquery(_)));
        let series_idx = range.unwrap_or(0);
        let Some(series) = call.args.get(series_idx) else { return false };
        let others_are_scalars =
            call.args.iter().enumerate().all(|(idx, arg)| idx == series_idx || !reads_series(arg));
        let of_one = match series {
            Node::Matrix(_) => call.name != "absent_over_time",
            Node::Subquery(subquery) => call.name != "absent_over_time" && self.is_per_series(&subquery.expr),
            _ => maps_each_series(call.name) && self.is_per_series(series),
        };
        of_one && others_are_scalars && self.may_lose_names(series)
    }

    /// Without their names, series of different metrics may be the same, which only shows when all are
    /// seen. Those of one metric stay distinct, and names that are removed at the end of the query are
    /// still there.
    fn may_lose_names(&self, node: &Node<'_>) -> bool {
        self.delayed_name_removal
            || selector_of(node).is_some_and(|selector| names_one_metric(selector.matchers))
    }
}

/// Functions of instant vectors that map each series by itself.
fn maps_each_series(function: &str) -> bool {
    float_function(function).is_some()
        || matches!(
            function,
            "clamp"
                | "clamp_max"
                | "clamp_min"
                | "day_of_month"
                | "day_of_week"
                | "day_of_year"
                | "days_in_month"
                | "histogram_avg"
                | "histogram_count"
                | "histogram_stddev"
                | "histogram_stdvar"
                | "histogram_sum"
                | "hour"
                | "minute"
                | "month"
                | "round"
                | "start_timestamp"
                | "timestamp"
                | "year"
        )
}

/// The selector that the series of a per-series node come from: the first one below, since no other
/// argument reads series.
fn selector_of<'n, 'a>(node: &'n Node<'a>) -> Option<&'n Selector<'a>> {
    match node {
        Node::Number(_) | Node::String(_) => None,
        Node::Vector(selector) => Some(selector),
        Node::Matrix(matrix) => Some(&matrix.selector),
        Node::Subquery(subquery) => selector_of(&subquery.expr),
        Node::Negate(inner) | Node::StepInvariant(inner) => selector_of(inner),
        Node::Binary(binary) => selector_of(&binary.lhs).or_else(|| selector_of(&binary.rhs)),
        Node::Call(call) => call.args.iter().find_map(selector_of),
        Node::Aggregate(aggregate) => {
            selector_of(&aggregate.expr).or_else(|| aggregate.param.as_ref().and_then(selector_of))
        }
        Node::Fragment(fragment) => selector_of(&fragment.node),
    }
}

fn reads_series(node: &Node<'_>) -> bool {
    selector_of(node).is_some()
}
