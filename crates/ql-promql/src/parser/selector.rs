//! Selectors, label matchers, label sets and lists of label names.

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use ql_core::Span;

use super::expr::is_metric_name;
use super::{Abort, Parsed, Parser};
use crate::ast::{BinaryOp, Expr, VectorSelector};
use crate::lexer::token::{Keyword, Token, TokenKind};

/// A label name or quoted name, before what follows it is known.
struct LabelName {
    text: String,
    span: Span,
    quoted: bool,
}

impl Parser<'_> {
    /// A selector, whose name (if it stands before the braces) has been consumed.
    pub(super) fn parse_selector_expr(&mut self, name: Option<Token>) -> Parsed<Expr> {
        self.parse_selector_after(name).map(|selector| Expr::Vector(Box::new(selector)))
    }

    pub(super) fn parse_vector_selector(&mut self) -> Parsed<VectorSelector> {
        let name = is_metric_name(self.peek()).then(|| self.advance());
        if name.is_none() && self.peek() != TokenKind::LeftBrace {
            return Err(Abort::Unexpected);
        }
        self.parse_selector_after(name)
    }

    fn parse_selector_after(&mut self, name: Option<Token>) -> Parsed<VectorSelector> {
        let mut selector = VectorSelector::default();
        if name.is_none() || self.peek() == TokenKind::LeftBrace {
            let (matchers, span) = self.parse_label_matchers()?;
            selector.matchers = matchers;
            selector.span = span;
        }
        if let Some(name) = name {
            let end = selector.span.end.max(name.span.end);
            selector.span = Span::new(name.span.start, end);
            selector.name = self.text(name).to_owned();
            selector.matchers.push(Matcher::equal(METRIC_NAME, &selector.name));
        }
        self.height = 1;
        Ok(selector)
    }

    fn parse_label_matchers(&mut self) -> Parsed<(Vec<Matcher>, Span)> {
        let open = self.expect(TokenKind::LeftBrace)?.span;
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.accept(TokenKind::RightBrace) {
                return Ok((matchers, open.to(close.span)));
            }
            matchers.extend(self.parse_label_matcher()?);
            if self.accept(TokenKind::Comma).is_none() {
                let close =
                    self.within("label matching", "\",\" or \"}\"", |p| p.expect(TokenKind::RightBrace))?;
                return Ok((matchers, open.to(close.span)));
            }
        }
    }

    /// `None` if the matcher was refused for its regular expression.
    fn parse_label_matcher(&mut self) -> Parsed<Option<Matcher>> {
        let name = self.within("label matching", "identifier or \"}\"", Self::parse_label_name)?;
        let op = match self.peek() {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            TokenKind::MatchRegex => MatchOp::Regex,
            TokenKind::MatchNotRegex => MatchOp::NotRegex,
            _ if name.quoted => return Ok(Some(Matcher::equal(METRIC_NAME, &name.text))),
            _ => return self.within("label matching", "label matching operator", |_| Err(Abort::Unexpected)),
        };
        self.advance();
        let value = self.within("label matching", "string", |p| p.expect(TokenKind::String))?;
        let text = self.unquote(value);
        match Matcher::new(op, &name.text, &text) {
            Ok(matcher) => Ok(Some(matcher)),
            Err(e) => {
                self.literal_error(name.span.to(value.span), e.to_string());
                Ok(None)
            }
        }
    }

    fn parse_label_name(&mut self) -> Parsed<LabelName> {
        match self.peek() {
            TokenKind::Identifier => {
                let token = self.advance();
                Ok(LabelName { text: self.text(token).to_owned(), span: token.span, quoted: false })
            }
            TokenKind::String => {
                let token = self.advance();
                Ok(LabelName { text: self.unquote(token), span: token.span, quoted: true })
            }
            _ => Err(Abort::Unexpected),
        }
    }

    /// A metric with its labels, both optional.
    pub(super) fn parse_metric_labels(&mut self) -> Parsed<Labels> {
        let name = is_metric_name(self.peek()).then(|| self.advance());
        let mut labels = LabelsBuilder::new();
        if self.accept(TokenKind::LeftBrace).is_some() {
            self.parse_label_set(&mut labels)?;
        }
        if let Some(name) = name {
            labels.set(METRIC_NAME, self.text(name));
        }
        Ok(labels.build())
    }

    /// The opening brace has been consumed.
    fn parse_label_set(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        while self.accept(TokenKind::RightBrace).is_none() {
            let name = self.within("label set", "identifier or \"}\"", Self::parse_label_name)?;
            if self.accept(TokenKind::Assign).is_some() {
                let value = self.within("label set", "string", |p| p.expect(TokenKind::String))?;
                let value = self.unquote(value);
                labels.set(&name.text, &value);
            } else if name.quoted {
                labels.set(METRIC_NAME, &name.text);
            } else {
                return self.within("label set", "\"=\"", |_| Err(Abort::Unexpected));
            }
            if self.accept(TokenKind::Comma).is_none() {
                return self
                    .within("label set", "\",\" or \"}\"", |p| p.expect(TokenKind::RightBrace).map(|_| ()));
            }
        }
        Ok(())
    }

    /// `(a, b)`, after `by`, `on` and the like.
    pub(super) fn parse_grouping_labels(&mut self) -> Parsed<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        self.within(CONTEXT, "\"(\"", |p| p.expect(TokenKind::LeftParen))?;
        let mut labels = Vec::new();
        loop {
            if self.accept(TokenKind::RightParen).is_some() {
                return Ok(labels);
            }
            labels.push(self.within(CONTEXT, "label", Self::parse_grouping_label)?);
            if self.accept(TokenKind::Comma).is_none() {
                self.within(CONTEXT, "\",\" or \")\"", |p| p.expect(TokenKind::RightParen))?;
                return Ok(labels);
            }
        }
    }

    fn parse_grouping_label(&mut self) -> Parsed<String> {
        let kind = self.peek();
        if kind != TokenKind::String && !is_grouping_label(kind) {
            return Err(Abort::Unexpected);
        }
        let token = self.advance();
        if kind != TokenKind::String {
            return Ok(self.text(token).to_owned());
        }
        let label = self.unquote(token);
        if label.is_empty() {
            self.semantic(token.span, "invalid label name for grouping: \"\"");
        }
        Ok(label)
    }
}

/// Words that may be label names between the parentheses of `by` and the like.
fn is_grouping_label(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregate(_)
        | TokenKind::Preprocessor(_)
        | TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2) => true,
        TokenKind::Keyword(keyword) => keyword != Keyword::Without,
        _ => false,
    }
}
