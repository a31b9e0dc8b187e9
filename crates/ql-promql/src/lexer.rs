//! Bytes to tokens. The lexer knows whether it is inside braces or brackets, as upstream's does,
//! because words and colons mean different things there and because its error texts depend on it.

mod literal;
mod series;
pub(crate) mod token;

use ql_core::Span;

use crate::ast::BinaryOp;
use token::{Keyword, Preprocessor, Token, TokenKind, word_kind};

/// What the next token is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Statements,
    /// Right after `[` and after operators there.
    DurationExpr,
    /// The values of a series description.
    ValueSequence,
    /// A number must follow, in a histogram of a series description.
    SeriesNumber,
}

/// Progress inside a `{{...}}` of a series description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistogramMode {
    None,
    Open,
    /// Right after `}}` with an `x`, `+` or `-` behind it.
    Suffix(TokenKind),
}

#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    mode: Mode,
    paren_depth: u32,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    series: bool,
    histogram: HistogramMode,
    error: Option<String>,
}

/// A token, or `None` if only blanks or a comment were consumed.
type Step = Option<Token>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str) -> Self {
        Self {
            input,
            pos: 0,
            start: 0,
            mode: Mode::Statements,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            series: false,
            histogram: HistogramMode::None,
            error: None,
        }
    }

    /// A lexer for a metric and its values in the notation of unit tests.
    pub(crate) fn for_series(input: &'a str) -> Self {
        Self { series: true, ..Self::new(input) }
    }

    /// The message of the [`TokenKind::Error`] that was returned last.
    pub(crate) fn take_error(&mut self) -> Option<String> {
        self.error.take()
    }

    /// The next token; comments and blanks are skipped. After an error or the end of the input,
    /// the end of the input.
    pub(crate) fn next_token(&mut self) -> Token {
        loop {
            let step = match (self.mode, self.histogram) {
                (Mode::SeriesNumber, _) => self.lex_series_number(),
                (Mode::DurationExpr, _) => self.lex_duration_expr(),
                (Mode::ValueSequence, HistogramMode::None) => self.lex_value_sequence(),
                (Mode::Statements, HistogramMode::None) if self.brace_open => self.lex_inside_braces(),
                (Mode::Statements, HistogramMode::None) => self.lex_statements(),
                (Mode::Statements | Mode::ValueSequence, _) => self.lex_histogram(),
            };
            if let Some(token) = step {
                return token;
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.input[self.pos..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let found = self.input.as_bytes().get(self.pos).is_some_and(|b| set.contains(b));
        self.pos += usize::from(found);
        found
    }

    fn accept_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.next();
        }
    }

    /// What has been consumed since the last token.
    fn pending(&self) -> &'a str {
        &self.input[self.start..self.pos]
    }

    fn emit(&mut self, kind: TokenKind) -> Step {
        let token = Token { kind, span: span(self.start, self.pos) };
        self.start = self.pos;
        Some(token)
    }

    fn operator(&mut self, op: BinaryOp) -> Step {
        self.emit(TokenKind::Operator(op))
    }

    /// Ends the input here. The span reaches from the pending token to the end.
    fn fail(&mut self, message: String) -> Step {
        let token = Token { kind: TokenKind::Error, span: span(self.start, self.input.len()) };
        self.error = Some(message);
        self.pos = self.input.len();
        self.start = self.pos;
        (self.mode, self.brace_open, self.bracket_open, self.paren_depth) =
            (Mode::Statements, false, false, 0);
        self.histogram = HistogramMode::None;
        Some(token)
    }

    fn skip_spaces(&mut self) -> Step {
        self.accept_while(is_space);
        self.start = self.pos;
        None
    }

    fn skip_comment(&mut self) -> Step {
        self.accept_while(|c| c != '\n' && c != '\r');
        self.start = self.pos;
        None
    }

    fn lex_statements(&mut self) -> Step {
        if self.peek() == Some('#') {
            return self.skip_comment();
        }
        let Some(c) = self.next() else {
            return if self.paren_depth != 0 {
                self.fail("unclosed left parenthesis".to_owned())
            } else if self.bracket_open {
                self.fail("unclosed left bracket".to_owned())
            } else {
                self.emit(TokenKind::Eof)
            };
        };
        match c {
            ',' => self.emit(TokenKind::Comma),
            c if is_space(c) => self.skip_spaces(),
            '*' => self.operator(BinaryOp::Mul),
            '/' => self.operator(BinaryOp::Div),
            '%' => self.operator(BinaryOp::Mod),
            '+' => self.operator(BinaryOp::Add),
            '-' => self.operator(BinaryOp::Sub),
            '^' => self.operator(BinaryOp::Pow),
            '=' | '!' | '<' | '>' => self.lex_comparison(c),
            '0'..='9' => self.lex_number_or_duration(),
            '.' if self.peek().is_some_and(|d| d.is_ascii_digit()) => self.lex_number_or_duration(),
            '"' | '\'' => self.lex_string(c),
            '`' => self.lex_raw_string(),
            c if is_alpha(c) || c == ':' => self.lex_word(c),
            '(' | ')' => self.lex_paren(c),
            '{' => {
                self.brace_open = true;
                self.emit(TokenKind::LeftBrace)
            }
            '[' | ']' => self.lex_bracket(c),
            '@' => self.emit(TokenKind::At),
            c => self.fail(format!("unexpected character: {}", GoChar(Some(c)))),
        }
    }

    fn lex_comparison(&mut self, first: char) -> Step {
        let second = self.peek();
        match (first, second) {
            ('=', Some('=')) => {
                self.next();
                self.operator(BinaryOp::Eq)
            }
            ('=', Some('~')) => self.fail("unexpected character after '=': '~'".to_owned()),
            ('=', _) => self.emit(TokenKind::Assign),
            ('!', Some('=')) => {
                self.next();
                self.operator(BinaryOp::Ne)
            }
            ('!', other) => self.fail(format!("unexpected character after '!': {}", GoChar(other))),
            (_, Some('=')) => {
                self.next();
                self.operator(if first == '<' { BinaryOp::Le } else { BinaryOp::Ge })
            }
            (_, Some('/')) => {
                self.next();
                self.operator(if first == '<' { BinaryOp::TrimUpper } else { BinaryOp::TrimLower })
            }
            _ => self.operator(if first == '<' { BinaryOp::Lt } else { BinaryOp::Gt }),
        }
    }

    fn lex_paren(&mut self, c: char) -> Step {
        if c == '(' {
            self.paren_depth += 1;
            return self.emit(TokenKind::LeftParen);
        }
        let token = self.emit(TokenKind::RightParen);
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                token
            }
            None => self.fail(format!("unexpected right parenthesis {}", GoChar(Some(c)))),
        }
    }

    fn lex_bracket(&mut self, c: char) -> Step {
        match (c, self.bracket_open) {
            ('[', true) => self.fail("unexpected left bracket '['".to_owned()),
            ('[', false) => {
                self.got_colon = false;
                self.bracket_open = true;
                self.mode = Mode::DurationExpr;
                self.emit(TokenKind::LeftBracket)
            }
            (_, false) => self.fail("unexpected right bracket ']'".to_owned()),
            (_, true) => {
                self.bracket_open = false;
                self.emit(TokenKind::RightBracket)
            }
        }
    }

    /// A word or a colon, whose first character has been consumed.
    fn lex_word(&mut self, first: char) -> Step {
        if !self.bracket_open {
            return self.lex_keyword_or_identifier();
        }
        if first == ':' {
            if self.got_colon {
                return self.fail(format!("unexpected colon {}", GoChar(Some(first))));
            }
            self.got_colon = true;
            return self.emit(TokenKind::Colon);
        }
        match self.lex_duration_keyword(first) {
            Some(token) => Some(token),
            None => self.fail(format!("unexpected character: {}, expected ':'", GoChar(Some(first)))),
        }
    }

    fn lex_keyword_or_identifier(&mut self) -> Step {
        self.accept_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.pending();
        let fill = matches!(
            word_kind(word),
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
        );
        let kind = match word_kind(word) {
            // Fill modifiers came late; metrics of that name must keep working.
            Some(_) if fill && !self.left_paren_follows() => TokenKind::Identifier,
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        self.mode =
            if self.series && self.peek() != Some('{') { Mode::ValueSequence } else { Mode::Statements };
        self.emit(kind)
    }

    fn left_paren_follows(&self) -> bool {
        self.input[self.pos..].trim_start_matches(is_space).starts_with('(')
    }

    /// `step`, `range`, `max_of` or `min_of`, whose first character has been consumed.
    fn lex_duration_keyword(&mut self, first: char) -> Step {
        if !matches!(first, 's' | 'S' | 'r' | 'R' | 'm' | 'M') {
            return None;
        }
        self.accept_while(is_alpha);
        match word_kind(self.pending()) {
            Some(
                kind @ TokenKind::Preprocessor(
                    Preprocessor::Step | Preprocessor::Range | Preprocessor::MaxOf | Preprocessor::MinOf,
                ),
            ) => self.emit(kind),
            _ => None,
        }
    }

    /// Inside brackets, before a literal has been seen since the last operator.
    fn lex_duration_expr(&mut self) -> Step {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input in duration expression".to_owned());
        };
        match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.mode = Mode::Statements;
                self.emit(TokenKind::RightBracket)
            }
            ':' => self.lex_duration_colon(),
            '(' | ')' => self.lex_paren(c),
            c if is_space(c) => self.skip_spaces(),
            '+' => self.operator(BinaryOp::Add),
            '-' => self.operator(BinaryOp::Sub),
            '*' => self.operator(BinaryOp::Mul),
            '/' => self.operator(BinaryOp::Div),
            '%' => self.operator(BinaryOp::Mod),
            '^' => self.operator(BinaryOp::Pow),
            ',' => self.emit(TokenKind::Comma),
            '0'..='9' => {
                self.got_duration = true;
                self.lex_number_or_duration()
            }
            '.' if self.peek().is_some_and(|d| d.is_ascii_digit()) => {
                self.got_duration = true;
                self.lex_number_or_duration()
            }
            c => match self.lex_duration_keyword(c) {
                Some(token) => Some(token),
                None => {
                    self.fail(format!("unexpected character in duration expression: {}", GoChar(Some(c))))
                }
            },
        }
    }

    fn lex_duration_colon(&mut self) -> Step {
        let token = self.emit(TokenKind::Colon);
        if !self.got_duration {
            return self.fail("unexpected colon before duration in duration expression".to_owned());
        }
        if self.got_colon {
            return self.fail("unexpected repeated colon in duration expression".to_owned());
        }
        self.got_colon = true;
        token
    }

    /// Between `{` and `}`: words are never keywords.
    fn lex_inside_braces(&mut self) -> Step {
        if self.peek() == Some('#') {
            return self.skip_comment();
        }
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input inside braces".to_owned());
        };
        match c {
            c if is_space(c) => self.skip_spaces(),
            c if is_alpha(c) => {
                self.accept_while(is_alphanumeric);
                self.emit(TokenKind::Identifier)
            }
            ',' => self.emit(TokenKind::Comma),
            '"' | '\'' => self.lex_string(c),
            '`' => self.lex_raw_string(),
            '=' if self.accept(b"~") => self.emit(TokenKind::MatchRegex),
            '=' => self.emit(TokenKind::Assign),
            '!' if self.accept(b"~") => self.emit(TokenKind::MatchNotRegex),
            '!' if self.accept(b"=") => self.operator(BinaryOp::Ne),
            '!' => {
                let message =
                    format!("unexpected character after '!' inside braces: {}", GoChar(self.peek()));
                self.fail(message)
            }
            '{' => self.fail("unexpected left brace '{'".to_owned()),
            '}' => {
                self.brace_open = false;
                if self.series {
                    self.mode = Mode::ValueSequence;
                }
                self.emit(TokenKind::RightBrace)
            }
            c => self.fail(format!("unexpected character inside braces: {}", GoChar(Some(c)))),
        }
    }
}

fn span(start: usize, end: usize) -> Span {
    let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span::new(clamp(start), clamp(end))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

/// A character as Go's `%q` shows it; the end of the input as the replacement character.
struct GoChar(Option<char>);

impl std::fmt::Display for GoChar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.unwrap_or(char::REPLACEMENT_CHARACTER) {
            '\'' => f.write_str("'\\''"),
            '"' => f.write_str("'\"'"),
            c => {
                let quoted = model::labels::GoQuoted(c.encode_utf8(&mut [0; 4])).to_string();
                write!(f, "'{}'", quoted.trim_start_matches('"').trim_end_matches('"'))
            }
        }
    }
}
