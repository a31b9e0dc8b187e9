//! Duration expressions, which become milliseconds once the query's range and step are known.

use ql_core::Span;

use crate::ast::{DurationExpr, DurationKind, DurationOp, UnaryOp};
use crate::eval::error::EvalError;

/// Go counts durations in nanoseconds in an `i64`; upstream refuses what exceeds it.
const DURATION_SECONDS_MAX: f64 = 9_223_372_036.854_775;

/// The times of the whole query, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryTimes {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
}

impl QueryTimes {
    /// The value of `start()`, `end()`, `range()` and `step()`, in seconds.
    pub(crate) fn folded(&self, function: &str) -> Option<f64> {
        let is_range = self.start_ms != self.end_ms;
        let ms = match function {
            "start" => self.start_ms,
            "end" => self.end_ms,
            "range" => self.end_ms - self.start_ms,
            "step" if is_range => self.step_ms,
            "step" => 0,
            _ => return None,
        };
        Some(ms as f64 / 1000.0)
    }

    /// An offset, which may be negative.
    pub(crate) fn offset_ms(&self, literal_ms: i64, expr: Option<&DurationExpr>) -> Result<i64, EvalError> {
        expr.map_or(Ok(literal_ms), |expr| self.resolve(expr, true))
    }

    /// A range or step, which must be positive where it is computed.
    pub(crate) fn length_ms(&self, literal_ms: i64, expr: Option<&DurationExpr>) -> Result<i64, EvalError> {
        expr.map_or(Ok(literal_ms), |expr| self.resolve(expr, false))
    }

    fn resolve(&self, expr: &DurationExpr, may_be_negative: bool) -> Result<i64, EvalError> {
        let seconds = self.seconds(expr)?;
        if !seconds.is_finite() {
            return Err(refuse(expr.span, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !may_be_negative {
            return Err(refuse(expr.span, "duration must be greater than 0"));
        }
        if seconds.abs() > DURATION_SECONDS_MAX {
            return Err(refuse(expr.span, "duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, EvalError> {
        Ok(match &expr.kind {
            DurationKind::Number(literal) => literal.value,
            DurationKind::Step => self.step_ms as f64 / 1000.0,
            DurationKind::Range => (self.end_ms - self.start_ms) as f64 / 1000.0,
            DurationKind::Unary { op: UnaryOp::Plus, operand } => self.seconds(operand)?,
            DurationKind::Unary { op: UnaryOp::Minus, operand } => -self.seconds(operand)?,
            DurationKind::Binary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    DurationOp::Add => lhs + rhs,
                    DurationOp::Sub => lhs - rhs,
                    DurationOp::Mul => lhs * rhs,
                    DurationOp::Div if rhs == 0.0 => return Err(refuse(expr.span, "division by zero")),
                    DurationOp::Div => lhs / rhs,
                    DurationOp::Mod if rhs == 0.0 => return Err(refuse(expr.span, "modulo by zero")),
                    DurationOp::Mod => lhs % rhs,
                    DurationOp::Pow => lhs.powf(rhs),
                    DurationOp::MinOf => crate::functions::math::go_min(lhs, rhs),
                    DurationOp::MaxOf => crate::functions::math::go_max(lhs, rhs),
                }
            }
        })
    }
}

fn refuse(span: Span, why: &str) -> EvalError {
    EvalError::Preparation(format!("{}:{}: {why}", span.start, span.end))
}
