//! Operands: literals, parentheses, signs, calls and aggregations.

use model::labels::GoQuoted;
use ql_core::Span;
use ql_core::unquote::unquote_bytes;

use super::{Abort, Parsed, Parser, binary};
use crate::ast::functions::{Arity, function};
use crate::ast::{
    AggregateExpr, AggregateOp, BinaryOp, Call, Expr, FunctionSignature, ParenExpr, StringLiteral, UnaryExpr,
    UnaryOp, ValueType,
};
use crate::lexer::token::{Keyword, Token, TokenKind};

/// Stands for a function that does not exist, until parsing ends with the error reported for it.
static UNKNOWN_FUNCTION: FunctionSignature = FunctionSignature {
    name: "",
    arg_types: &[],
    arity: Arity::AtLeast,
    return_type: ValueType::None,
    experimental: false,
};

/// Labels of an aggregation: `by (a)` or `without (a)`.
#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

impl Parser<'_> {
    pub(super) fn parse_whole_expr(&mut self) -> Parsed<Expr> {
        if self.peek() == TokenKind::Eof {
            self.semantic(Span::default(), "no expression found in input");
            return Err(Abort::Reported);
        }
        let expr = self.parse_expr(binary::LOWEST)?;
        self.expect_end()?;
        Ok(expr)
    }

    /// A sign, or an operand with what follows it directly (`[5m]`, `offset`, `@`, ...).
    pub(super) fn parse_operand(&mut self) -> Parsed<Expr> {
        match unary_op(self.peek()) {
            Some(op) => self.parse_signed(op),
            None => {
                let operand = self.parse_primary()?;
                self.parse_postfix(operand)
            }
        }
    }

    fn parse_signed(&mut self, op: UnaryOp) -> Parsed<Expr> {
        let start = self.advance().span;
        let mut operand = self.parse_expr(binary::ABOVE_SIGN)?;
        if let Expr::Number(number) = &mut operand {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            number.span.start = start.start;
            return Ok(operand);
        }
        self.grow(self.height)?;
        let span = start.to(operand.span());
        Ok(Expr::Unary(Box::new(UnaryExpr { op, expr: operand, span })))
    }

    fn parse_primary(&mut self) -> Parsed<Expr> {
        self.height = 1;
        match self.peek() {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.parse_number_literal()?;
                Ok(Expr::Number(Box::new(number)))
            }
            TokenKind::String => {
                let token = self.advance();
                let value = self.unquote(token);
                let bytes = unquote_bytes(self.text(token)).unwrap_or_default();
                let not_utf8 = std::str::from_utf8(&bytes).is_err().then(|| bytes.into_boxed_slice());
                Ok(Expr::String(Box::new(StringLiteral { value, not_utf8, span: token.span })))
            }
            TokenKind::LeftParen => self.parse_paren(),
            TokenKind::LeftBrace => self.parse_selector_expr(None),
            TokenKind::Aggregate(op) => {
                let name = self.advance();
                match self.peek() {
                    TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                        self.parse_aggregate(name, op)
                    }
                    _ => self.parse_selector_expr(Some(name)),
                }
            }
            TokenKind::Identifier | TokenKind::Preprocessor(_) => {
                let name = self.advance();
                match self.peek() {
                    TokenKind::LeftParen => self.parse_call(name),
                    _ => self.parse_selector_expr(Some(name)),
                }
            }
            kind if is_metric_name(kind) => {
                let name = self.advance();
                self.parse_selector_expr(Some(name))
            }
            _ => Err(Abort::Unexpected),
        }
    }

    fn parse_paren(&mut self) -> Parsed<Expr> {
        let open = self.advance().span;
        let expr = self.parse_expr(binary::LOWEST)?;
        let close = self.expect(TokenKind::RightParen)?.span;
        self.grow(self.height)?;
        Ok(Expr::Paren(Box::new(ParenExpr { expr, span: open.to(close) })))
    }

    fn parse_call(&mut self, name: Token) -> Parsed<Expr> {
        let (args, close) = self.parse_call_args()?;
        let text = self.text(name);
        let found = function(text);
        if found.is_none() {
            self.semantic(name.span, format!("unknown function with name {}", GoQuoted(text)));
        }
        if found.is_some_and(|f| f.experimental) && !self.options.experimental_functions {
            self.semantic(name.span, format!("function {} is not enabled", GoQuoted(text)));
        }
        let function = found.unwrap_or(&UNKNOWN_FUNCTION);
        Ok(Expr::Call(Box::new(Call { function, args, span: name.span.to(close) })))
    }

    /// The arguments with their parentheses; also the span of the closing one.
    fn parse_call_args(&mut self) -> Parsed<(Vec<Expr>, Span)> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        let mut height = 0;
        if let Some(close) = self.accept(TokenKind::RightParen) {
            self.grow(0)?;
            return Ok((args, close.span));
        }
        args.push(self.parse_expr(binary::LOWEST)?);
        height = height.max(self.height);
        while let Some(comma) = self.accept(TokenKind::Comma) {
            if starts_expr(self.peek()) {
                args.push(self.parse_expr(binary::LOWEST)?);
                height = height.max(self.height);
            } else {
                self.semantic(comma.span, "trailing commas not allowed in function call args");
            }
        }
        let close = self.expect(TokenKind::RightParen)?;
        self.grow(height)?;
        Ok((args, close.span))
    }

    fn parse_aggregate(&mut self, name: Token, op: AggregateOp) -> Parsed<Expr> {
        let parsed = self.parse_aggregate_parts();
        let (grouping, args) = parsed.map_err(|abort| {
            if abort == Abort::Unexpected {
                self.report_unexpected("aggregation", "");
                let span = Span::new(name.span.start, self.last_closing);
                self.semantic(span, "no arguments for aggregate expression provided");
            }
            Abort::Reported
        })?;
        let span = Span::new(name.span.start, args.1);
        Ok(self.new_aggregate(op, grouping, args.0, span))
    }

    /// Grouping before or after the arguments; also the offset where the aggregation ends.
    fn parse_aggregate_parts(&mut self) -> Parsed<(Grouping, (Vec<Expr>, u32))> {
        if let Some(grouping) = self.parse_aggregate_grouping()? {
            let (args, close) = self.parse_call_args()?;
            return Ok((grouping, (args, close.end)));
        }
        let (args, close) = self.parse_call_args()?;
        let grouping = self.parse_aggregate_grouping()?;
        let end = if grouping.is_some() { self.last_closing } else { close.end };
        Ok((grouping.unwrap_or_default(), (args, end)))
    }

    fn parse_aggregate_grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek() {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(Grouping { labels: self.parse_grouping_labels()?, without }))
    }

    fn new_aggregate(&mut self, op: AggregateOp, grouping: Grouping, args: Vec<Expr>, span: Span) -> Expr {
        let placeholder =
            Expr::String(Box::new(StringLiteral { value: String::new(), not_utf8: None, span }));
        let wanted = 1 + usize::from(op.takes_parameter());
        let given = args.len();
        if given == 0 {
            self.semantic(span, "no arguments for aggregate expression provided");
        } else if op.is_experimental() && !self.options.experimental_functions {
            let flag = "--enable-feature=promql-experimental-functions";
            self.semantic(span, format!("{op}() is experimental and must be enabled with {flag}"));
        } else if given != wanted {
            let counts = format!("expected {wanted}, got {given}");
            self.semantic(
                span,
                format!("wrong number of arguments for aggregate expression provided, {counts}"),
            );
        }
        let mut args = args.into_iter();
        let param = if op.takes_parameter() { args.next() } else { None };
        let expr = args.next().unwrap_or(placeholder);
        let Grouping { labels, without } = grouping;
        Expr::Aggregate(Box::new(AggregateExpr { op, expr, param, grouping: labels, without, span }))
    }
}

pub(super) fn unary_op(kind: TokenKind) -> Option<UnaryOp> {
    match kind {
        TokenKind::Operator(BinaryOp::Add) => Some(UnaryOp::Plus),
        TokenKind::Operator(BinaryOp::Sub) => Some(UnaryOp::Minus),
        _ => None,
    }
}

/// Words that may stand for a metric where an operand is expected.
pub(super) fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregate(_)
        | TokenKind::Preprocessor(_)
        | TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
        TokenKind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
        ),
        _ => false,
    }
}

pub(super) fn starts_expr(kind: TokenKind) -> bool {
    is_metric_name(kind)
        || unary_op(kind).is_some()
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::LeftParen
                | TokenKind::LeftBrace
        )
}
