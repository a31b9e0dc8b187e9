//! Operators between operands: precedence and matching modifiers.

use super::expr::{starts_expr, unary_op};
use super::{Abort, Parsed, Parser};
use crate::ast::{BinaryExpr, BinaryOp, Expr, MatchCardinality, UnaryOp, VectorMatching};
use crate::lexer::token::{Keyword, TokenKind};

/// Accepts any operator.
pub(super) const LOWEST: u8 = 0;

/// What may follow an operand under a sign: a sign binds like `*`, so only `^` binds closer.
pub(super) const ABOVE_SIGN: u8 = POWER;

const POWER: u8 = 6;

fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => POWER,
        _ => 3,
    }
}

/// Between an operator and its right operand.
struct Modifiers {
    matching: VectorMatching,
    return_bool: bool,
}

impl Parser<'_> {
    /// An expression whose operators bind at least as closely as `lowest`.
    pub(super) fn parse_expr(&mut self, lowest: u8) -> Parsed<Expr> {
        self.nested(|p| {
            let mut lhs = p.parse_operand()?;
            while let TokenKind::Operator(op) = p.peek() {
                let level = precedence(op);
                if level < lowest {
                    break;
                }
                p.advance();
                let lhs_height = p.height;
                let modifiers = p.parse_modifiers()?;
                let rhs = p.parse_expr(if op == BinaryOp::Pow { level } else { level + 1 })?;
                p.grow(lhs_height.max(p.height))?;
                lhs = p.new_binary(op, lhs, rhs, modifiers);
            }
            Ok(lhs)
        })
    }

    fn new_binary(&mut self, op: BinaryOp, lhs: Expr, rhs: Expr, modifiers: Modifiers) -> Expr {
        let Modifiers { matching, return_bool } = modifiers;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        let expr = BinaryExpr { op, lhs, rhs, matching: Some(matching), return_bool };
        if fills && !self.options.binop_fill {
            self.semantic(expr.span(), "binop fill modifiers are experimental and not enabled");
        }
        Expr::Binary(Box::new(expr))
    }

    fn parse_modifiers(&mut self) -> Parsed<Modifiers> {
        let mut matching = VectorMatching::default();
        let return_bool = self.accept(TokenKind::Keyword(Keyword::Bool)).is_some();
        if let TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek() {
            self.advance();
            matching.on = keyword == Keyword::On;
            matching.labels = self.parse_grouping_labels()?;
            matching.cardinality = match self.peek() {
                TokenKind::Keyword(Keyword::GroupLeft) => MatchCardinality::ManyToOne,
                TokenKind::Keyword(Keyword::GroupRight) => MatchCardinality::OneToMany,
                _ => MatchCardinality::OneToOne,
            };
            if matching.cardinality != MatchCardinality::OneToOne {
                self.advance();
                let next = self.peek();
                if next == TokenKind::LeftParen || !starts_expr(next) {
                    matching.include = self.parse_grouping_labels()?;
                }
            }
        }
        self.parse_fill_modifiers(&mut matching)?;
        Ok(Modifiers { matching, return_bool })
    }

    fn parse_fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        let TokenKind::Keyword(first @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) =
            self.peek()
        else {
            return Ok(());
        };
        self.advance();
        let value = Some(self.parse_fill_value()?);
        if first != Keyword::FillRight {
            matching.fill_left = value;
        }
        if first != Keyword::FillLeft {
            matching.fill_right = value;
        }
        let second = match first {
            Keyword::FillLeft => Keyword::FillRight,
            Keyword::FillRight => Keyword::FillLeft,
            _ => return Ok(()),
        };
        if self.accept(TokenKind::Keyword(second)).is_some() {
            let value = Some(self.parse_fill_value()?);
            if second == Keyword::FillLeft {
                matching.fill_left = value;
            } else {
                matching.fill_right = value;
            }
        }
        Ok(())
    }

    fn parse_fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let sign = unary_op(self.peek());
        if sign.is_some() {
            self.advance();
        }
        if !matches!(self.peek(), TokenKind::Number | TokenKind::Duration) {
            return Err(Abort::Unexpected);
        }
        let value = self.parse_number_literal()?.value;
        self.expect(TokenKind::RightParen)?;
        Ok(if sign == Some(UnaryOp::Minus) { -value } else { value })
    }
}
