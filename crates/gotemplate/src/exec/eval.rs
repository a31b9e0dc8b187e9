//! Pipelines, commands and operands into values.

use std::sync::Arc;

use model::labels::GoQuoted;

use super::{Exec, LimitExceeded, Place, State, run};
use crate::builtins::{self, Builtin};
use crate::function::{Body, CallError, Function, Param};
use crate::node::{Command, Operand, OperandKind, Pipe};
use crate::set::{FunctionRef, MissingKey};
use crate::value::{SafeKind, Value};

/// The operands of a call after the first, and the value piped in.
#[derive(Clone, Copy)]
struct Args<'s, 'v> {
    operands: &'s [Operand],
    piped: Option<&'v Value>,
}

impl Args<'_, '_> {
    const NONE: Args<'static, 'static> = Args { operands: &[], piped: None };

    fn is_empty(self) -> bool {
        self.operands.is_empty() && self.piped.is_none()
    }

    fn len(self) -> usize {
        self.operands.len() + usize::from(self.piped.is_some())
    }
}

impl<'s> State<'s, '_, '_> {
    pub(super) fn eval_pipeline(&mut self, dot: &Value, pipe: &'s Pipe) -> Exec<Value> {
        self.at = Place::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.eval_command(dot, command, value.as_ref())?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.declared {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.vars.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    pub(super) fn assign(&mut self, name: &str, value: Value) -> Exec<()> {
        match self.vars.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => self.error(format_args!("undefined variable: {name}")),
        }
    }

    fn variable(&self, name: &str) -> Exec<Value> {
        match self.vars.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format_args!("undefined variable: {name}")),
        }
    }

    fn eval_command(&mut self, dot: &Value, command: &'s Command, piped: Option<&Value>) -> Exec<Value> {
        self.step()?;
        let first = &command.operands[0];
        let args = Args { operands: &command.operands[1..], piped };
        match &first.kind {
            OperandKind::Field(names) => {
                self.at = Place::Operand(first);
                self.eval_chain(dot, dot.clone(), names, Place::Operand(first), args)
            }
            OperandKind::Chain(base, names) => self.eval_chain_operand(dot, first, base, names, args),
            OperandKind::Identifier(name) => {
                self.at = Place::Operand(first);
                self.eval_function(dot, name, Place::Command(command), args)
            }
            OperandKind::Pipe(pipe) => {
                self.not_a_function(first, args)?;
                self.eval_pipeline(dot, pipe)
            }
            OperandKind::Variable(names) => {
                self.at = Place::Operand(first);
                let value = self.variable(&names[0])?;
                if names.len() == 1 {
                    self.not_a_function(first, args)?;
                    return Ok(value);
                }
                self.eval_chain(dot, value, &names[1..], Place::Operand(first), args)
            }
            constant => {
                self.at = Place::Operand(first);
                self.not_a_function(first, args)?;
                if matches!(constant, OperandKind::Nil) {
                    return self.error("nil is not a command");
                }
                self.eval_constant(dot, constant)
            }
        }
    }

    fn not_a_function(&self, first: &Operand, args: Args<'_, '_>) -> Exec<()> {
        if args.is_empty() {
            return Ok(());
        }
        self.error(format_args!("can't give argument to non-function {first}"))
    }

    fn eval_constant(&self, dot: &Value, kind: &OperandKind) -> Exec<Value> {
        Ok(match kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Bool(b) => Value::Bool(*b),
            OperandKind::Str(text, _) => Value::Str(Arc::clone(text)),
            OperandKind::Number(number) => match (number.float, number.int) {
                (Some(v), _) if number.looks_float() => Value::Float(v),
                (_, Some(v)) => Value::Int(v),
                _ => return self.error(format_args!("{} overflows int", number.text)),
            },
            _ => Value::Nil,
        })
    }

    fn eval_chain_operand(
        &mut self,
        dot: &Value,
        operand: &'s Operand,
        base: &'s Operand,
        names: &'s [String],
        args: Args<'s, '_>,
    ) -> Exec<Value> {
        self.at = Place::Operand(operand);
        if matches!(base.kind, OperandKind::Nil) {
            return self.error(format_args!("indirection through explicit nil in {operand}"));
        }
        let value = self.eval_arg(dot, Param::Any, base)?;
        self.eval_chain(dot, value, names, Place::Operand(operand), args)
    }

    fn eval_chain(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        names: &'s [String],
        place: Place<'s>,
        args: Args<'s, '_>,
    ) -> Exec<Value> {
        let (last, before) = names.split_last().expect("a chain has a name");
        for name in before {
            receiver = self.eval_field(dot, &receiver, name, place, Args::NONE)?;
        }
        self.eval_field(dot, &receiver, last, place, args)
    }

    fn eval_field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        name: &str,
        place: Place<'s>,
        args: Args<'s, '_>,
    ) -> Exec<Value> {
        if let Value::Nil = receiver {
            if self.set.missing_key == MissingKey::Error {
                return self.error(format_args!("nil data; no entry for key {}", GoQuoted(name)));
            }
            return Ok(Value::Nil);
        }
        if let Some(params) = receiver.method(name) {
            self.check_count(name, params.len(), None, args)?;
            let values = self.eval_args(dot, params, None, args)?;
            return match receiver.call_method(name, &values) {
                Ok(value) => Ok(value),
                Err(error) => self.call_failed(place, name, &error),
            };
        }
        if let Value::Object(object) = receiver
            && let Some(value) = object.field(name)
        {
            if !args.is_empty() {
                return self.error(format_args!("{name} has arguments but cannot be invoked as function"));
            }
            return Ok(value);
        }
        let Value::Map(map) = receiver.plain() else {
            let type_name = receiver.type_name();
            return self.error(format_args!("can't evaluate field {name} in type {type_name}"));
        };
        if !args.is_empty() {
            return self.error(format_args!("{name} is not a method but has arguments"));
        }
        match (map.entries.get(name), self.set.missing_key) {
            (Some(value), _) => Ok(value.clone()),
            (None, MissingKey::Default) => Ok(Value::Nil),
            (None, MissingKey::Zero) => Ok(map.zero.clone()),
            (None, MissingKey::Error) => {
                self.error(format_args!("map has no entry for key {}", GoQuoted(name)))
            }
        }
    }

    fn call_failed<T>(&mut self, place: Place<'s>, name: &str, error: &CallError) -> Exec<T> {
        self.at = place;
        self.error(format_args!("error calling {name}: {error}"))
    }

    fn check_count(&self, name: &str, fixed: usize, variadic: Option<Param>, args: Args<'_, '_>) -> Exec<()> {
        let got = args.len();
        if variadic.is_some() && got < fixed {
            let got = args.operands.len();
            return self
                .error(format_args!("wrong number of args for {name}: want at least {fixed} got {got}"));
        }
        if variadic.is_none() && got != fixed {
            return self.error(format_args!("wrong number of args for {name}: want {fixed} got {got}"));
        }
        Ok(())
    }

    fn eval_args(
        &mut self,
        dot: &Value,
        params: &[Param],
        variadic: Option<Param>,
        args: Args<'s, '_>,
    ) -> Exec<Vec<Value>> {
        let param = |idx: usize| params.get(idx).copied().or(variadic).unwrap_or(Param::Any);
        let mut values = Vec::with_capacity(args.len());
        for (idx, operand) in args.operands.iter().enumerate() {
            values.push(self.eval_arg(dot, param(idx), operand)?);
        }
        if let Some(piped) = args.piped {
            values.push(self.validate(piped.clone(), param(values.len()))?);
        }
        Ok(values)
    }

    fn eval_function(
        &mut self,
        dot: &Value,
        name: &str,
        place: Place<'s>,
        args: Args<'s, '_>,
    ) -> Exec<Value> {
        let set = self.set;
        let result = match set.function(name) {
            None => return self.error(format_args!("{} is not a defined function", GoQuoted(name))),
            Some(FunctionRef::Builtin(builtin)) => {
                let signature = builtin.signature();
                self.check_count(name, signature.fixed, signature.variadic, args)?;
                if let Builtin::And | Builtin::Or = builtin {
                    return self.eval_logic(dot, builtin, args);
                }
                let values = self.eval_args(dot, &[], Some(Param::Any), args)?;
                builtins::call(builtin, &values)
            }
            Some(FunctionRef::Given(function)) => {
                let Function { params, variadic, body } = function;
                self.check_count(name, params.len(), *variadic, args)?;
                let values = self.eval_args(dot, params, *variadic, args)?;
                match body {
                    Body::Native(call) => call(&values),
                    Body::Template => return self.call_template(place, name, &values),
                }
            }
        };
        match result {
            // A loop that doubles a text would fill the memory long before anything is printed.
            Ok(value) if value.as_str().is_some_and(|text| text.len() > self.output_bytes_max()) => {
                self.limit(LimitExceeded::Value(self.output_bytes_max()))
            }
            Ok(value) => Ok(value),
            Err(error) => self.call_failed(place, name, &error),
        }
    }

    /// `and` and `or` stop at the first operand that decides.
    fn eval_logic(&mut self, dot: &Value, builtin: Builtin, args: Args<'s, '_>) -> Exec<Value> {
        let mut value = Value::Nil;
        for operand in args.operands {
            value = self.eval_arg(dot, Param::Any, operand)?;
            if value.truth() == matches!(builtin, Builtin::Or) {
                return Ok(value);
            }
        }
        Ok(args.piped.cloned().unwrap_or(value))
    }

    fn call_template(&mut self, place: Place<'s>, name: &str, values: &[Value]) -> Exec<Value> {
        if self.usage.depth >= self.set.limits.depth {
            return self.limit(LimitExceeded::Depth(self.set.limits.depth));
        }
        let called = values.first().and_then(Value::as_str).unwrap_or_default();
        let data = values.get(1).cloned().unwrap_or_default();
        let mut out = String::new();
        self.usage.depth += 1;
        let result = run(self.set, called, &data, self.mode, &mut out, self.usage);
        self.usage.depth -= 1;
        match result {
            Ok(()) => Ok(Value::Safe(SafeKind::Html, Arc::from(out))),
            Err(error) => self.call_failed(place, name, &CallError::new(error.to_string())),
        }
    }

    fn validate(&self, value: Value, param: Param) -> Exec<Value> {
        let fits = match (param, &value) {
            (Param::Any, _)
            | (Param::Str, Value::Str(_))
            | (Param::Bool, Value::Bool(_))
            | (Param::Int, Value::Int(_))
            | (Param::Float, Value::Float(_))
            | (Param::Time, Value::Time(_))
            | (Param::Duration, Value::Duration(_)) => true,
            (Param::Named(name), value) => value.type_name() == name,
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        let expected = param.type_name();
        if matches!(value, Value::Nil) {
            return self.error(format_args!("invalid value; expected {expected}"));
        }
        let got = value.type_name();
        self.error(format_args!("wrong type for value; expected {expected}; got {got}"))
    }

    fn eval_arg(&mut self, dot: &Value, param: Param, operand: &'s Operand) -> Exec<Value> {
        self.step()?;
        self.at = Place::Operand(operand);
        let place = Place::Operand(operand);
        let value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => {
                if param == Param::Any {
                    return Ok(Value::Nil);
                }
                return self.error(format_args!("cannot assign nil to {}", param.type_name()));
            }
            OperandKind::Field(names) => self.eval_chain(dot, dot.clone(), names, place, Args::NONE)?,
            OperandKind::Variable(names) => {
                let value = self.variable(&names[0])?;
                if names.len() == 1 {
                    value
                } else {
                    self.eval_chain(dot, value, &names[1..], place, Args::NONE)?
                }
            }
            OperandKind::Pipe(pipe) => self.eval_pipeline(dot, pipe)?,
            OperandKind::Identifier(name) => self.eval_function(dot, name, place, Args::NONE)?,
            OperandKind::Chain(base, names) => {
                self.eval_chain_operand(dot, operand, base, names, Args::NONE)?
            }
            constant => return self.constant_arg(dot, param, operand, constant),
        };
        self.validate(value, param)
    }

    /// A constant takes the type of its parameter where Go allows it.
    fn constant_arg(
        &self,
        dot: &Value,
        param: Param,
        operand: &Operand,
        constant: &OperandKind,
    ) -> Exec<Value> {
        let expected = match (param, constant) {
            (Param::Any, constant) => return self.eval_constant(dot, constant),
            (Param::Str, OperandKind::Str(text, _)) => return Ok(Value::Str(Arc::clone(text))),
            (Param::Bool, OperandKind::Bool(b)) => return Ok(Value::Bool(*b)),
            (Param::Int, OperandKind::Number(number)) if number.int.is_some() => {
                return Ok(Value::Int(number.int.unwrap_or_default()));
            }
            (Param::Duration, OperandKind::Number(number)) if number.int.is_some() => {
                return Ok(Value::Duration(number.int.unwrap_or_default()));
            }
            (Param::Float, OperandKind::Number(number)) if number.float.is_some() => {
                return Ok(Value::Float(number.float.unwrap_or_default()));
            }
            (Param::Str, _) => "string",
            (Param::Bool, _) => "bool",
            (Param::Int | Param::Duration, _) => "integer",
            (Param::Float, _) => "float",
            (Param::Time | Param::Named(_), _) => {
                let type_name = param.type_name();
                return self.error(format_args!("can't handle {operand} for arg of type {type_name}"));
            }
        };
        self.error(format_args!("expected {expected}; found {operand}"))
    }
}
