//! The functions every Go template has.

use std::sync::Arc;

use crate::compare::{equal, less};
use crate::escape::{escape_html, escape_js, escape_url_query};
use crate::format::{print_args, sprint, sprintf};
use crate::function::{CallError, Param};
use crate::value::{List, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Or,
    Not,
    Call,
    Html,
    Js,
    UrlQuery,
    Index,
    Slice,
    Len,
    Print,
    Printf,
    Println,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

pub(crate) struct Signature {
    pub(crate) fixed: usize,
    pub(crate) variadic: Option<Param>,
}

pub(crate) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "and" => Builtin::And,
        "or" => Builtin::Or,
        "not" => Builtin::Not,
        "call" => Builtin::Call,
        "html" => Builtin::Html,
        "js" => Builtin::Js,
        "urlquery" => Builtin::UrlQuery,
        "index" => Builtin::Index,
        "slice" => Builtin::Slice,
        "len" => Builtin::Len,
        "print" => Builtin::Print,
        "printf" => Builtin::Printf,
        "println" => Builtin::Println,
        "eq" => Builtin::Eq,
        "ne" => Builtin::Ne,
        "lt" => Builtin::Lt,
        "le" => Builtin::Le,
        "gt" => Builtin::Gt,
        "ge" => Builtin::Ge,
        _ => return None,
    })
}

impl Builtin {
    pub(crate) fn signature(self) -> Signature {
        let (fixed, more) = match self {
            Self::Print | Self::Println | Self::Html | Self::Js | Self::UrlQuery => (0, true),
            Self::And | Self::Or | Self::Call | Self::Index | Self::Slice | Self::Printf | Self::Eq => {
                (1, true)
            }
            Self::Not | Self::Len => (1, false),
            Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge => (2, false),
        };
        Signature { fixed, variadic: more.then_some(Param::Any) }
    }
}

/// Calls a builtin other than `and` and `or` with a checked number of arguments.
pub(crate) fn call(builtin: Builtin, args: &[Value]) -> Result<Value, CallError> {
    Ok(match builtin {
        // `and` and `or` evaluate lazily, in the engine.
        Builtin::And | Builtin::Or => args.last().cloned().unwrap_or_default(),
        Builtin::Not => Value::Bool(!args[0].truth()),
        Builtin::Call => {
            return Err(CallError::new(match &args[0] {
                Value::Nil => "call of nil".to_owned(),
                other => format!("non-function of type {}", other.type_name()),
            }));
        }
        Builtin::Html => escape_html(&print_args(args)).into(),
        Builtin::Js => escape_js(&print_args(args)).into(),
        Builtin::UrlQuery => escape_url_query(&print_args(args)).into(),
        Builtin::Index => index(&args[0], &args[1..])?,
        Builtin::Slice => slice(&args[0], &args[1..])?,
        Builtin::Len => Value::Int(len(&args[0])?),
        Builtin::Print => sprint(args).into(),
        Builtin::Println => {
            let shown: Vec<String> = args.iter().map(|arg| sprint(std::slice::from_ref(arg))).collect();
            (shown.join(" ") + "\n").into()
        }
        Builtin::Printf => match args[0].plain() {
            Value::Str(format) => sprintf(&format, &args[1..]).into(),
            other => {
                return Err(CallError::new(format!(
                    "wrong type for value; expected string; got {}",
                    other.type_name()
                )));
            }
        },
        Builtin::Eq => Value::Bool(equal_any(&args[0], &args[1..])?),
        Builtin::Ne => Value::Bool(!equal(&args[0], &args[1])?),
        Builtin::Lt => Value::Bool(less(&args[0], &args[1])?),
        Builtin::Le => Value::Bool(less(&args[0], &args[1])? || equal(&args[0], &args[1])?),
        // Go defines these two as negations, so that they hold for NaN.
        Builtin::Gt => Value::Bool(!(less(&args[0], &args[1])? || equal(&args[0], &args[1])?)),
        Builtin::Ge => Value::Bool(!less(&args[0], &args[1])?),
    })
}

fn equal_any(first: &Value, others: &[Value]) -> Result<bool, CallError> {
    if others.is_empty() {
        return Err(CallError::new("missing argument for comparison"));
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn len(value: &Value) -> Result<i64, CallError> {
    let n = match value.plain() {
        Value::Str(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err(CallError::new("len of nil pointer")),
        _ => return Err(CallError::new(format!("len of type {}", value.type_name()))),
    };
    Ok(i64::try_from(n).unwrap_or(i64::MAX))
}

fn position(value: &Value, len: usize) -> Result<usize, CallError> {
    let at = match value.plain() {
        Value::Int(v) => i128::from(v),
        Value::Uint(v) => i128::from(v),
        Value::Nil => return Err(CallError::new("cannot index slice/array with nil")),
        _ => {
            return Err(CallError::new(format!("cannot index slice/array with type {}", value.type_name())));
        }
    };
    usize::try_from(at)
        .ok()
        .filter(|at| *at <= len)
        .ok_or_else(|| CallError::new(format!("index out of range: {at}")))
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, CallError> {
    let mut item = value.clone();
    for key in keys {
        item = match item.plain() {
            Value::List(list) => {
                let at = position(key, list.items.len())?;
                let found = list.items.get(at).cloned();
                found.ok_or_else(|| CallError::new(format!("index out of range: {at}")))?
            }
            Value::Str(text) => {
                let at = position(key, text.len())?;
                let byte = text.as_bytes().get(at);
                let byte = byte.ok_or_else(|| CallError::new(format!("index out of range: {at}")))?;
                Value::Int(i64::from(*byte))
            }
            Value::Map(map) => match key.as_str() {
                Some(key) => map.entries.get(key).unwrap_or(&map.zero).clone(),
                None => {
                    let got = key.type_name();
                    return Err(CallError::new(format!("value has type {got}; should be string")));
                }
            },
            Value::Nil => return Err(CallError::new("index of untyped nil")),
            other => {
                return Err(CallError::new(format!("can't index item of type {}", other.type_name())));
            }
        };
    }
    Ok(item)
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, CallError> {
    if bounds.len() > 3 {
        return Err(CallError::new(format!("too many slice indexes: {}", bounds.len())));
    }
    let plain = value.plain();
    let len = match &plain {
        Value::Str(_) if bounds.len() == 3 => return Err(CallError::new("cannot 3-index slice a string")),
        Value::Str(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Nil => return Err(CallError::new("slice of untyped nil")),
        _ => return Err(CallError::new(format!("can't slice item of type {}", value.type_name()))),
    };
    let start = bounds.first().map_or(Ok(0), |bound| position(bound, len))?;
    let end = bounds.get(1).map_or(Ok(len), |bound| position(bound, len))?;
    if start > end {
        return Err(CallError::new(format!("invalid slice index: {start} > {end}")));
    }
    Ok(match plain {
        Value::Str(text) => String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned().into(),
        Value::List(list) => {
            let items = list.items[start..end].to_vec();
            Value::List(Arc::new(List { type_name: list.type_name, items }))
        }
        _ => Value::Nil,
    })
}
