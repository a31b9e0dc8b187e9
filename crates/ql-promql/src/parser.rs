//! Text to syntax tree: a hand-written precedence parser with upstream's error texts.
//!
//! An unexpected token is reported by the innermost construct around it that has a message of its
//! own (an aggregation, a label matcher, a bracket, ...); see [`Abort`].

mod binary;
mod check;
mod duration;
mod error;
mod expr;
mod modifier;
mod number;
mod selector;
mod series;

use model::{Labels, Matcher};
use ql_core::Span;

use crate::ast::Expr;
use crate::lexer::Lexer;
use crate::lexer::token::{Token, TokenKind};

pub use error::{ParseError, ParseErrorKind, ParseErrors};
pub(crate) use series::parse_series_tokens;

/// How deep an expression may be nested, counting each operator of a chain such as `a or b or c`.
/// Everything that walks the tree recurses as deep as this.
pub const DEPTH_MAX: u32 = 1_000;

/// How deep parentheses, arguments and signs may be nested. It bounds the parser's own stack.
pub const NESTING_MAX: u32 = 150;

/// The longest expression that is looked at.
pub const EXPRESSION_BYTES_MAX: usize = 16 << 20;

/// Features that are off unless the user turned them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParserOptions {
    /// `promql-experimental-functions`
    pub experimental_functions: bool,
    /// `promql-duration-expr`
    pub duration_expr: bool,
    /// `promql-extended-range-selectors`
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`
    pub binop_fill: bool,
}

impl ParserOptions {
    /// Everything on, as the tests of upstream have it.
    pub const fn all() -> Self {
        Self {
            experimental_functions: true,
            duration_expr: true,
            extended_range_selectors: true,
            binop_fill: true,
        }
    }
}

/// Parses and type-checks an expression.
pub fn parse_expr(input: &str, options: &ParserOptions) -> Result<Expr, ParseErrors> {
    Parser::new(input, Lexer::new(input), *options).run(|p| {
        let mut expr = p.parse_whole_expr()?;
        if p.errors.is_empty() {
            p.check(&mut expr);
        }
        Ok(expr)
    })
}

/// Parses a series selector (`up{job="a"}`), as `match[]` parameters have it. Selectors without a
/// condition, such as `{}`, are the caller's to refuse.
pub fn parse_metric_selector(input: &str) -> Result<Vec<Matcher>, ParseErrors> {
    Parser::new(input, Lexer::new(input), ParserOptions::default()).run(|p| {
        let selector = p.parse_vector_selector()?;
        p.expect_end()?;
        Ok(selector.matchers)
    })
}

/// Parses the name and labels of one series: `up{job="a"}`.
pub fn parse_metric(input: &str) -> Result<Labels, ParseErrors> {
    Parser::new(input, Lexer::new(input), ParserOptions::default()).run(|p| {
        let labels = p.parse_metric_labels()?;
        p.expect_end()?;
        Ok(labels)
    })
}

/// Why a parse function gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abort {
    /// The next token does not fit; whoever has a message for its surroundings reports it.
    Unexpected,
    /// Already reported.
    Reported,
}

type Parsed<T> = Result<T, Abort>;

struct Parser<'a> {
    input: &'a str,
    lexer: Lexer<'a>,
    options: ParserOptions,
    lookahead: Option<Token>,
    /// The token read last, which may still be the lookahead.
    last: Token,
    /// Where the last token ended that can end a selector.
    last_closing: u32,
    errors: Vec<ParseError>,
    /// How many nested parse functions are active.
    nesting: u32,
    /// The depth of the tree that the last parse function returned.
    height: u32,
}

impl<'a> Parser<'a> {
    fn new(input: &'a str, lexer: Lexer<'a>, options: ParserOptions) -> Self {
        Self {
            input,
            lexer,
            options,
            lookahead: None,
            last: Token { kind: TokenKind::Eof, span: Span::default() },
            last_closing: 0,
            errors: Vec::new(),
            nesting: 0,
            height: 0,
        }
    }

    fn run<T>(mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Result<T, ParseErrors> {
        if self.input.len() > EXPRESSION_BYTES_MAX {
            let kind = ParseErrorKind::TooLong { limit: EXPRESSION_BYTES_MAX };
            return Err(ParseErrors::new("", vec![ParseError { span: Span::default(), kind }]));
        }
        match parse(&mut self) {
            Ok(value) if self.errors.is_empty() => return Ok(value),
            Ok(_) | Err(Abort::Reported) => {}
            Err(Abort::Unexpected) => self.report_unexpected("", ""),
        }
        Err(ParseErrors::new(self.input, self.errors))
    }

    /// The next token, which stays the next.
    fn peek(&mut self) -> TokenKind {
        self.peek_token().kind
    }

    fn peek_token(&mut self) -> Token {
        if let Some(token) = self.lookahead {
            return token;
        }
        let token = self.lexer.next_token();
        match token.kind {
            TokenKind::Error => {
                let message = self.lexer.take_error().unwrap_or_default();
                self.errors.push(ParseError { span: token.span, kind: ParseErrorKind::Lexical(message) });
            }
            TokenKind::RightBrace
            | TokenKind::RightParen
            | TokenKind::RightBracket
            | TokenKind::Duration
            | TokenKind::Number => self.last_closing = token.span.end,
            _ => {}
        }
        self.lookahead = Some(token);
        self.last = token;
        token
    }

    fn advance(&mut self) -> Token {
        let token = self.peek_token();
        self.lookahead = None;
        token
    }

    /// Consumes the next token if it is of this kind.
    fn accept(&mut self, kind: TokenKind) -> Option<Token> {
        (self.peek() == kind).then(|| self.advance())
    }

    fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        self.accept(kind).ok_or(Abort::Unexpected)
    }

    fn expect_end(&mut self) -> Parsed<()> {
        self.expect(TokenKind::Eof).map(|_| ())
    }

    fn text(&self, token: Token) -> &'a str {
        token.span.text(self.input)
    }

    fn report(&mut self, span: Span, kind: ParseErrorKind) {
        self.errors.push(ParseError { span, kind });
    }

    fn semantic(&mut self, span: Span, message: impl Into<String>) {
        self.report(span, ParseErrorKind::Semantic(message.into()));
    }

    fn literal_error(&mut self, span: Span, message: impl Into<String>) {
        self.report(span, ParseErrorKind::Literal(message.into()));
    }

    /// Complains about the token read last; lexical errors have been reported when they were read.
    fn report_unexpected(&mut self, context: &str, expected: &str) {
        if self.last.kind == TokenKind::Error {
            return;
        }
        let mut message = format!("unexpected {}", self.last.describe(self.input));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.report(self.last.span, ParseErrorKind::Syntax(message));
    }

    /// Runs `parse`; if it meets an unexpected token that nobody inside has a message for, says
    /// where that was and what would have fitted.
    fn within<T>(
        &mut self,
        context: &str,
        expected: &str,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        parse(self).map_err(|abort| {
            if abort == Abort::Unexpected {
                self.report_unexpected(context, expected);
            }
            Abort::Reported
        })
    }

    /// Runs `parse` one nesting level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= NESTING_MAX {
            return Err(self.too_deep(NESTING_MAX));
        }
        self.nesting += 1;
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    /// Notes that a node was put above trees of the given depth.
    fn grow(&mut self, below: u32) -> Parsed<()> {
        self.height = below + 1;
        if self.height > DEPTH_MAX { Err(self.too_deep(DEPTH_MAX)) } else { Ok(()) }
    }

    fn too_deep(&mut self, limit: u32) -> Abort {
        let span = self.peek_token().span;
        self.report(span, ParseErrorKind::TooDeep { limit });
        Abort::Reported
    }

    fn unquote(&mut self, token: Token) -> String {
        let text = self.text(token);
        ql_core::unquote::unquote(text).unwrap_or_else(|e| {
            let message = format!("error unquoting string {}: {e}", model::labels::GoQuoted(text));
            self.literal_error(self.last.span, message);
            String::new()
        })
    }
}

#[cfg(test)]
mod tests;
