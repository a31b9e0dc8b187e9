//! An expression with all its selectors pinned to one time.

use crate::ast::{AtModifier, Expr};

/// Functions whose result depends on the evaluation time although their arguments are pinned.
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

/// Functions whose value differs between an instant and a range query.
const RANGE_DEPENDENT: [&str; 4] = ["start()", "end()", "range()", "step()"];

/// Whether a text calls a function of the query's range, in a duration expression for instance.
pub(super) fn depends_on_range(query: &str) -> bool {
    RANGE_DEPENDENT.iter().any(|call| query.contains(call))
}

/// The expression with `@ t_ms` on every selector and subquery that has no time of its own
/// (`@ start()` is none), except below a subquery. `None` if the result would still depend on the evaluation time.
pub(super) fn pin(expr: &Expr, t_ms: i64) -> Option<Expr> {
    let mut time_dependent = false;
    expr.walk(&mut |node, path| {
        let below_pinned = path.iter().any(|p| matches!(p, Expr::Subquery(_)));
        if let Expr::Call(call) = node {
            time_dependent |= !below_pinned && TIME_DEPENDENT.contains(&call.function.name);
        }
    });
    if time_dependent {
        return None;
    }
    let mut pinned = expr.clone();
    pin_below(&mut pinned, AtModifier::Timestamp(t_ms));
    Some(pinned)
}

fn pin_below(expr: &mut Expr, at: AtModifier) {
    let pin = |modifier: &mut Option<AtModifier>| {
        if !matches!(modifier, Some(AtModifier::Timestamp(_))) {
            *modifier = Some(at);
        }
    };
    match expr {
        Expr::Vector(selector) => pin(&mut selector.at),
        Expr::Matrix(matrix) => pin(&mut matrix.selector.at),
        Expr::Subquery(subquery) => {
            pin(&mut subquery.at);
            return;
        }
        _ => {}
    }
    for child in expr.children_mut() {
        pin_below(child, at);
    }
}
