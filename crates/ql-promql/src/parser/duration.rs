//! Durations inside brackets and after `offset`, with arithmetic.

use ql_core::Span;

use super::expr::unary_op;
use super::{Abort, Parsed, Parser};
use crate::ast::{BinaryOp, DurationExpr, DurationKind, DurationOp, NumberLiteral, UnaryOp};
use crate::lexer::token::{Preprocessor, TokenKind};

const LOWEST: u8 = 0;
const POWER: u8 = 3;

/// A duration as selectors keep it: the literal, or 0 and an expression.
pub(super) struct ResolvedDuration {
    pub ms: i64,
    pub expr: Option<DurationExpr>,
}

impl ResolvedDuration {
    pub(super) fn new(duration: DurationExpr) -> Self {
        match duration.kind {
            DurationKind::Number(number) => Self { ms: seconds_to_ms(number.value), expr: None },
            _ => Self { ms: 0, expr: Some(duration) },
        }
    }
}

/// Rounded to nanoseconds, then cut to milliseconds, as upstream ends up with.
fn seconds_to_ms(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// Whether so many seconds do not fit Go's `time.Duration`.
fn out_of_range(seconds: f64) -> bool {
    const MAX_S: f64 = (1u64 << 63) as f64 / 1e9;
    !(-MAX_S..=MAX_S).contains(&seconds) && !seconds.is_nan()
}

fn operator(kind: TokenKind) -> Option<(DurationOp, u8)> {
    let TokenKind::Operator(op) = kind else { return None };
    Some(match op {
        BinaryOp::Add => (DurationOp::Add, 1),
        BinaryOp::Sub => (DurationOp::Sub, 1),
        BinaryOp::Mul => (DurationOp::Mul, 2),
        BinaryOp::Div => (DurationOp::Div, 2),
        BinaryOp::Mod => (DurationOp::Mod, 2),
        BinaryOp::Pow => (DurationOp::Pow, POWER),
        _ => return None,
    })
}

fn number(literal: NumberLiteral) -> DurationExpr {
    let span = literal.span;
    DurationExpr { kind: DurationKind::Number(literal), wrapped: false, span }
}

/// Stands for a duration that was refused.
fn zero() -> DurationExpr {
    number(NumberLiteral { value: 0.0, is_duration: false, span: Span::default() })
}

/// Marks a duration as parenthesised. A literal has no mark; it goes under a plus sign.
fn wrap(expr: DurationExpr, span: Span) -> DurationExpr {
    match expr.kind {
        DurationKind::Number(_) => DurationExpr {
            span: Span::new(span.start, expr.span.end),
            kind: DurationKind::Unary { op: UnaryOp::Plus, operand: Box::new(expr) },
            wrapped: true,
        },
        _ => DurationExpr { wrapped: true, ..expr },
    }
}

impl Parser<'_> {
    /// A duration inside brackets; a literal must be positive.
    pub(super) fn parse_positive_duration(&mut self) -> Parsed<ResolvedDuration> {
        let duration = self.parse_duration(LOWEST)?;
        match &duration.kind {
            DurationKind::Number(literal) if literal.value <= 0.0 => {
                self.semantic(duration.span, "duration must be greater than 0");
                Ok(ResolvedDuration { ms: 0, expr: None })
            }
            _ => Ok(ResolvedDuration::new(duration)),
        }
    }

    /// What follows `offset`. A literal or call ends there (`x offset 5m - y` subtracts `y`), while
    /// after a parenthesis arithmetic goes on.
    pub(super) fn parse_offset_duration(&mut self) -> Parsed<DurationExpr> {
        let Some(op) = unary_op(self.peek()) else {
            let first = self.parse_duration_primary()?;
            return if first.wrapped { self.parse_duration_rest(first, LOWEST) } else { Ok(first) };
        };
        let sign = self.advance().span;
        match self.peek() {
            TokenKind::Number | TokenKind::Duration => {
                let literal = self.parse_number_literal()?;
                Ok(self.signed_literal(op, sign, literal))
            }
            TokenKind::Preprocessor(_) => {
                let operand = self.parse_duration_primary()?;
                let span = sign.to(operand.span);
                let kind = DurationKind::Unary { op, operand: Box::new(operand) };
                Ok(DurationExpr { kind, wrapped: false, span })
            }
            TokenKind::LeftParen => {
                self.advance();
                let inner = self.parse_duration(LOWEST)?;
                self.expect(TokenKind::RightParen)?;
                let span = inner.span;
                Ok(self.signed(op, sign, wrap(inner, span)))
            }
            _ => {
                let operand = self.parse_duration(POWER)?;
                let signed = self.signed(op, sign, operand);
                self.parse_duration_rest(signed, LOWEST)
            }
        }
    }

    fn parse_duration(&mut self, lowest: u8) -> Parsed<DurationExpr> {
        self.nested(|p| {
            let first = match unary_op(p.peek()) {
                Some(op) => {
                    let sign = p.advance().span;
                    let operand = p.parse_duration(POWER)?;
                    p.signed(op, sign, operand)
                }
                None => p.parse_duration_primary()?,
            };
            p.parse_duration_rest(first, lowest)
        })
    }

    fn parse_duration_rest(&mut self, first: DurationExpr, lowest: u8) -> Parsed<DurationExpr> {
        let mut lhs = first;
        let mut chain = 0;
        while let Some((op, level)) = operator(self.peek()) {
            if level < lowest {
                break;
            }
            chain += 1;
            if chain > super::DEPTH_MAX {
                return Err(self.too_deep(super::DEPTH_MAX));
            }
            let op_span = self.advance().span;
            let rhs = self.parse_duration(if op == DurationOp::Pow { level } else { level + 1 })?;
            self.require_duration_expr(lhs.span);
            lhs = self.new_duration_binary(op, op_span, lhs, rhs);
        }
        Ok(lhs)
    }

    fn new_duration_binary(
        &mut self,
        op: DurationOp,
        op_span: Span,
        lhs: DurationExpr,
        rhs: DurationExpr,
    ) -> DurationExpr {
        let by_zero = matches!(&rhs.kind, DurationKind::Number(n) if n.value == 0.0);
        match op {
            DurationOp::Div if by_zero => {
                self.semantic(op_span, "division by zero");
                return zero();
            }
            DurationOp::Mod if by_zero => {
                self.semantic(op_span, "modulo by zero");
                return zero();
            }
            _ => {}
        }
        let span = lhs.span.to(rhs.span);
        let kind = DurationKind::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
        DurationExpr { kind, wrapped: false, span }
    }

    fn parse_duration_primary(&mut self) -> Parsed<DurationExpr> {
        match self.peek() {
            TokenKind::Number | TokenKind::Duration => {
                let literal = self.parse_number_literal()?;
                if out_of_range(literal.value) {
                    self.semantic(literal.span, "duration out of range");
                    return Ok(zero());
                }
                Ok(number(literal))
            }
            TokenKind::Preprocessor(Preprocessor::Step) => self.parse_duration_call(DurationKind::Step),
            TokenKind::Preprocessor(Preprocessor::Range) => self.parse_duration_call(DurationKind::Range),
            TokenKind::Preprocessor(Preprocessor::MaxOf) => self.parse_duration_choice(DurationOp::MaxOf),
            TokenKind::Preprocessor(Preprocessor::MinOf) => self.parse_duration_choice(DurationOp::MinOf),
            TokenKind::LeftParen => {
                let open = self.advance().span;
                let inner = self.parse_duration(LOWEST)?;
                let close = self.expect(TokenKind::RightParen)?.span;
                self.require_duration_expr(inner.span);
                Ok(wrap(inner, open.to(close)))
            }
            _ => Err(Abort::Unexpected),
        }
    }

    /// `step()` or `range()`.
    fn parse_duration_call(&mut self, kind: DurationKind) -> Parsed<DurationExpr> {
        let start = self.advance().span;
        self.expect(TokenKind::LeftParen)?;
        let span = start.to(self.expect(TokenKind::RightParen)?.span);
        self.require_duration_expr(span);
        Ok(DurationExpr { kind, wrapped: false, span })
    }

    /// `min_of(a, b)` or `max_of(a, b)`. The span is that of the arguments, as upstream reports it.
    fn parse_duration_choice(&mut self, op: DurationOp) -> Parsed<DurationExpr> {
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let lhs = self.parse_duration(LOWEST)?;
        self.expect(TokenKind::Comma)?;
        let rhs = self.parse_duration(LOWEST)?;
        self.expect(TokenKind::RightParen)?;
        let span = lhs.span.to(rhs.span);
        self.require_duration_expr(span);
        let kind = DurationKind::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
        Ok(DurationExpr { kind, wrapped: false, span })
    }

    fn signed(&mut self, op: UnaryOp, sign: Span, operand: DurationExpr) -> DurationExpr {
        match (operand.kind, op) {
            (DurationKind::Number(literal), _) => self.signed_literal(op, sign, literal),
            (kind, UnaryOp::Plus) => DurationExpr { kind, ..operand },
            (kind, UnaryOp::Minus) => {
                let operand = DurationExpr { kind, ..operand };
                let span = sign.to(operand.span);
                let kind = DurationKind::Unary { op, operand: Box::new(operand) };
                DurationExpr { kind, wrapped: false, span }
            }
        }
    }

    fn signed_literal(&mut self, op: UnaryOp, sign: Span, mut literal: NumberLiteral) -> DurationExpr {
        if op == UnaryOp::Minus {
            literal.value = -literal.value;
        }
        if out_of_range(literal.value) {
            self.semantic(sign, "duration out of range");
            return zero();
        }
        literal.span.start = sign.start;
        number(literal)
    }

    fn require_duration_expr(&mut self, span: Span) {
        if !self.options.duration_expr {
            self.semantic(span, "experimental duration expression is not enabled");
        }
    }
}
