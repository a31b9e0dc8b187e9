//! What follows an operand directly: `[5m]`, `[1h:5m]`, `offset`, `@`, `anchored`, `smoothed`.

use ql_core::Span;

use super::duration::ResolvedDuration;
use super::expr::unary_op;
use super::{Parsed, Parser};
use crate::ast::{AtModifier, DurationExpr, Expr, MatrixSelector, SubqueryExpr, UnaryOp, VectorSelector};
use crate::lexer::token::{Keyword, Preprocessor, TokenKind};

/// The fields that `offset` and `@` set, wherever they live.
struct TimeFields<'e> {
    offset_ms: &'e mut i64,
    offset_expr: &'e mut Option<DurationExpr>,
    at: &'e mut Option<AtModifier>,
    end: &'e mut u32,
}

/// An operand while its modifiers are read.
struct Operand {
    expr: Expr,
    /// A range over something that is no selector: refused, but read on for further errors.
    refused_range: bool,
}

impl Operand {
    fn time_fields(&mut self) -> Option<TimeFields<'_>> {
        match &mut self.expr {
            Expr::Vector(e) => {
                let VectorSelector { offset_ms, offset_expr, at, span, .. } = &mut **e;
                Some(TimeFields { offset_ms, offset_expr, at, end: &mut span.end })
            }
            Expr::Matrix(e) => {
                let MatrixSelector { selector, span, .. } = &mut **e;
                let VectorSelector { offset_ms, offset_expr, at, .. } = selector;
                Some(TimeFields { offset_ms, offset_expr, at, end: &mut span.end })
            }
            Expr::Subquery(e) => {
                let SubqueryExpr { offset_ms, offset_expr, at, span, .. } = &mut **e;
                Some(TimeFields { offset_ms, offset_expr, at, end: &mut span.end })
            }
            _ => None,
        }
    }
}

impl Parser<'_> {
    pub(super) fn parse_postfix(&mut self, expr: Expr) -> Parsed<Expr> {
        let mut operand = Operand { expr, refused_range: false };
        loop {
            match self.peek() {
                TokenKind::At => self.parse_at(&mut operand)?,
                TokenKind::Keyword(Keyword::Offset) => self.parse_offset(&mut operand)?,
                TokenKind::Keyword(keyword @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.advance();
                    self.set_extension(&mut operand, keyword);
                }
                TokenKind::LeftBracket => operand = self.parse_bracket(operand)?,
                _ => return Ok(operand.expr),
            }
        }
    }

    /// The fields to set, or an error with the name of the modifier.
    fn time_fields<'e>(&mut self, operand: &'e mut Operand, modifier: &str) -> Option<TimeFields<'e>> {
        let span = operand.expr.span();
        if operand.refused_range {
            self.semantic(span, "ranges only allowed for vector selectors");
            return None;
        }
        let fields = operand.time_fields();
        if fields.is_none() {
            let allowed = "an instant vector selector or range vector selector or a subquery";
            self.semantic(span, format!("{modifier} modifier must be preceded by {allowed}"));
        }
        fields
    }

    fn parse_offset(&mut self, operand: &mut Operand) -> Parsed<()> {
        self.advance();
        let expected = "number, duration, step(), or range()";
        let duration = self.within("offset", expected, Self::parse_offset_duration)?;
        let span = operand.expr.span();
        let Some(fields) = self.time_fields(operand, "offset") else { return Ok(()) };
        if *fields.offset_ms != 0 || fields.offset_expr.is_some() {
            self.semantic(span, "offset may not be set multiple times");
        } else {
            let ResolvedDuration { ms, expr } = ResolvedDuration::new(duration);
            (*fields.offset_ms, *fields.offset_expr) = (ms, expr);
        }
        *fields.end = self.last_closing;
        Ok(())
    }

    fn parse_at(&mut self, operand: &mut Operand) -> Parsed<()> {
        self.advance();
        let span = operand.expr.span();
        let at = self.within("@", "timestamp", |p| p.parse_at_value(span))?;
        let Some(fields) = self.time_fields(operand, "@") else { return Ok(()) };
        if fields.at.is_some() {
            self.semantic(span, "@ <timestamp> may not be set multiple times");
            return Ok(());
        }
        *fields.at = Some(at);
        *fields.end = self.last_closing;
        Ok(())
    }

    fn parse_at_value(&mut self, operand: Span) -> Parsed<AtModifier> {
        if let TokenKind::Preprocessor(which @ (Preprocessor::Start | Preprocessor::End)) = self.peek() {
            self.advance();
            self.expect(TokenKind::LeftParen)?;
            self.expect(TokenKind::RightParen)?;
            return Ok(if which == Preprocessor::Start { AtModifier::Start } else { AtModifier::End });
        }
        let sign = unary_op(self.peek());
        if sign.is_some() {
            self.advance();
        }
        let value = self.parse_number_literal()?.value;
        let seconds = if sign == Some(UnaryOp::Minus) { -value } else { value };
        const LIMIT: f64 = i64::MAX as f64;
        if seconds.is_nan() || seconds >= LIMIT || seconds <= -LIMIT {
            let shown =
                if seconds.is_finite() { format!("{seconds:.6}") } else { base::gofloat::format_f(seconds) };
            self.semantic(operand, format!("timestamp out of bounds for @ modifier: {shown}"));
        }
        Ok(AtModifier::Timestamp((seconds * 1_000.0).round() as i64))
    }

    fn set_extension(&mut self, operand: &mut Operand, keyword: Keyword) {
        let span = operand.expr.span();
        let name = if keyword == Keyword::Anchored { "anchored" } else { "smoothed" };
        if !self.options.extended_range_selectors {
            self.semantic(span, format!("{name} modifier is experimental and not enabled"));
            return;
        }
        if operand.refused_range {
            return;
        }
        let selector = match &mut operand.expr {
            Expr::Vector(selector) => &mut **selector,
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                self.semantic(span, format!("{name} modifier is not supported for subqueries"));
                return;
            }
            _ => {
                self.semantic(span, format!("{name} modifier not implemented"));
                return;
            }
        };
        selector.anchored |= keyword == Keyword::Anchored;
        selector.smoothed |= keyword == Keyword::Smoothed;
        if selector.anchored && selector.smoothed {
            self.semantic(span, "anchored and smoothed modifiers cannot be used together");
        }
    }

    fn parse_bracket(&mut self, operand: Operand) -> Parsed<Operand> {
        let open = self.advance().span;
        let expected = "number, duration, step(), or range()";
        let range = self.within("subquery or range selector", expected, Self::parse_positive_duration)?;
        if let Some(close) = self.accept(TokenKind::RightBracket) {
            return self.new_matrix(operand, range, open.to(close.span));
        }
        self.within("subquery or range", "\":\" or \"]\"", |p| p.expect(TokenKind::Colon))?;
        let mut step = ResolvedDuration { ms: 0, expr: None };
        if self.peek() != TokenKind::RightBracket {
            let expected = "number, duration, step(), range(), or \"]\"";
            step = self.within("subquery selector", expected, Self::parse_positive_duration)?;
        }
        let close = self.within("subquery selector", "\"]\"", |p| p.expect(TokenKind::RightBracket))?.span;
        self.grow(self.height)?;
        let span = operand.expr.span().to(close);
        let subquery = SubqueryExpr {
            expr: operand.expr,
            range_ms: range.ms,
            range_expr: range.expr,
            step_ms: step.ms,
            step_expr: step.expr,
            offset_ms: 0,
            offset_expr: None,
            at: None,
            span,
        };
        Ok(Operand { expr: Expr::Subquery(Box::new(subquery)), refused_range: false })
    }

    fn new_matrix(&mut self, operand: Operand, range: ResolvedDuration, brackets: Span) -> Parsed<Operand> {
        let span = operand.expr.span().to(brackets);
        let (selector, refused) = match operand.expr {
            Expr::Vector(selector) if selector.offset_ms != 0 || selector.offset_expr.is_some() => {
                (*selector, Some("no offset modifiers allowed before range"))
            }
            Expr::Vector(selector) if selector.at.is_some() => {
                (*selector, Some("no @ modifiers allowed before range"))
            }
            Expr::Vector(selector) => (*selector, None),
            _ => (VectorSelector::default(), Some("ranges only allowed for vector selectors")),
        };
        if let Some(message) = refused {
            self.semantic(brackets, message);
        }
        let refused_range = refused.is_some() && selector.matchers.is_empty();
        let matrix = MatrixSelector { selector, range_ms: range.ms, range_expr: range.expr, span };
        self.height = 1;
        Ok(Operand { expr: Expr::Matrix(Box::new(matrix)), refused_range })
    }
}
