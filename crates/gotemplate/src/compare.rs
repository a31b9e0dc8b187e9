//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use crate::format::print_value;
use crate::function::CallError;
use crate::value::Value;

fn incompatible() -> CallError {
    CallError::new("incompatible types for comparison")
}

/// Whether the values are equal; both of the same basic kind, or signed with unsigned.
pub(crate) fn equal(left: &Value, right: &Value) -> Result<bool, CallError> {
    if matches!(left, Value::Nil) || matches!(right, Value::Nil) {
        return Ok(matches!(left, Value::Nil) && matches!(right, Value::Nil));
    }
    if let (Value::Time(a), Value::Time(b)) = (left, right) {
        return Ok(a == b);
    }
    for value in [right, left] {
        if matches!(value.plain(), Value::Map(_) | Value::List(_)) {
            let shown = print_value(value);
            return Err(CallError::new(format!("non-comparable type {shown}: {}", value.type_name())));
        }
    }
    match (left.plain(), right.plain()) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Object(_) | Value::Time(_), Value::Object(_) | Value::Time(_)) => {
            Err(CallError::new(format!("non-comparable type {}: {}", print_value(left), left.type_name())))
        }
        (a, b) => match order(&a, &b) {
            Some(ordering) => Ok(ordering == Some(Ordering::Equal)),
            None => Err(incompatible()),
        },
    }
}

/// `None` when the kinds differ; `Some(None)` when one is NaN.
fn order(left: &Value, right: &Value) -> Option<Option<Ordering>> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(Some(a.cmp(b))),
        (Value::Uint(a), Value::Uint(b)) => Some(Some(a.cmp(b))),
        (Value::Int(a), Value::Uint(b)) => Some(Some(i128::from(*a).cmp(&i128::from(*b)))),
        (Value::Uint(a), Value::Int(b)) => Some(Some(i128::from(*a).cmp(&i128::from(*b)))),
        (Value::Float(a), Value::Float(b)) => Some(a.partial_cmp(b)),
        (Value::Str(a), Value::Str(b)) => Some(Some(a.cmp(b))),
        _ => None,
    }
}

/// Whether `left` is ordered before `right`.
pub(crate) fn less(left: &Value, right: &Value) -> Result<bool, CallError> {
    let (left, right) = (left.plain(), right.plain());
    for value in [&left, &right] {
        if !matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Str(_) | Value::Bool(_))
        {
            return Err(CallError::new("invalid type for comparison"));
        }
    }
    if let (Value::Bool(_), Value::Bool(_)) = (&left, &right) {
        return Err(CallError::new("invalid type for comparison"));
    }
    order(&left, &right).map(|o| o == Some(Ordering::Less)).ok_or_else(incompatible)
}
