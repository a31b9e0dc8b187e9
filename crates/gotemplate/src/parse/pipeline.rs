//! Pipelines, commands and operands: what stands between the braces.

use std::sync::Arc;

use model::labels::GoQuoted;

use super::{Parsed, Parser};
use crate::lex::Kind;
use crate::literal::{Number, unquote};
use crate::node::{Command, Operand, OperandKind, Pipe};

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let pos = self.peek_non_space().pos;
        let mut pipe = Pipe { pos, assigns: false, declared: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back_up();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check_pipeline(&pipe, context)?;
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let mark = self.next;
            let variable = self.peek_non_space().clone();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.advance();
            let next = self.peek_non_space().clone();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.advance();
                    pipe.assigns = next.kind == Kind::Assign;
                    pipe.declared.push(variable.text.clone());
                    self.vars.push(variable.text);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.advance();
                    pipe.declared.push(variable.text.clone());
                    self.vars.push(variable.text);
                    if context != "range" || pipe.declared.len() >= 2 {
                        return self.error(format_args!("too many declarations in {context}"));
                    }
                    let after = self.peek_non_space().kind;
                    if !matches!(after, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.next = mark;
                    return Ok(());
                }
            }
        }
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error(format_args!("missing value for {context}"));
        }
        for (idx, command) in pipe.commands.iter().enumerate().skip(1) {
            use OperandKind::{Bool, Dot, Nil, Number, Str};
            if matches!(command.operands[0].kind, Bool(_) | Dot | Nil | Number(_) | Str(..)) {
                let stage = idx + 1;
                return self.error(format_args!("non executable command in pipeline stage {stage}"));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().pos;
        let mut operands = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.advance();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.back_up();
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if operands.is_empty() {
            return self.error("empty command");
        }
        Ok(Command { pos, operands })
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.peek().pos;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.advance().text[1..].to_owned());
        }
        let kind = match term.kind {
            OperandKind::Field(mut first) => {
                first.append(&mut names);
                OperandKind::Field(first)
            }
            OperandKind::Variable(mut first) => {
                first.append(&mut names);
                OperandKind::Variable(first)
            }
            OperandKind::Bool(_)
            | OperandKind::Str(..)
            | OperandKind::Number(_)
            | OperandKind::Nil
            | OperandKind::Dot => {
                let shown = term.to_string();
                return self.error(format_args!("unexpected . after term {}", GoQuoted(&shown)));
            }
            _ => OperandKind::Chain(Box::new(term), names),
        };
        Ok(Some(Operand { pos, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                if !(self.has_function)(&token.text) {
                    return self.error(format_args!("function {} not defined", GoQuoted(&token.text)));
                }
                OperandKind::Identifier(token.text)
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.vars.contains(&token.text) {
                    return self.error(format_args!("undefined variable {}", GoQuoted(&token.text)));
                }
                OperandKind::Variable(vec![token.text])
            }
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match Number::parse(&token.text) {
                Ok(number) => OperandKind::Number(number),
                Err(message) => return self.error(message),
            },
            Kind::LeftParen => {
                let pipe =
                    self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                OperandKind::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(text) => OperandKind::Str(Arc::from(text), token.text),
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.back_up();
                return Ok(None);
            }
        };
        let pos = token.pos;
        // Go places a parenthesised pipeline at its first token, after the parenthesis.
        let pos = if let OperandKind::Pipe(pipe) = &kind { pipe.pos } else { pos };
        Ok(Some(Operand { pos, kind }))
    }
}
