//! Text and actions into tokens.

use model::labels::GoQuoted;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Complex,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    fn is_keyword(self) -> bool {
        use Kind::{Block, Break, Continue, Define, Dot, Else, End, If, Nil, Range, Template, With};
        matches!(
            self,
            Dot | Block | Break | Continue | Define | Else | End | If | Nil | Range | Template | With
        )
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) pos: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Token {
    /// The token as parse errors name it.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            kind if kind.is_keyword() => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let short: String = self.text.chars().take(10).collect();
                format!("{}...", GoQuoted(&short))
            }
            _ => GoQuoted(&self.text).to_string(),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// All tokens of a template, the last being `Eof` or `Error`.
pub(crate) fn tokens(input: &str) -> Vec<Token> {
    let mut lexer =
        Lexer { input, pos: 0, start: 0, paren_depth: 0, line: 1, start_line: 1, out: Vec::new() };
    if let Err(message) = lexer.run() {
        lexer.out.push(Token { kind: Kind::Error, pos: lexer.start, line: lexer.start_line, text: message });
    }
    lexer.out
}

struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    paren_depth: usize,
    line: usize,
    start_line: usize,
    out: Vec<Token>,
}

type Lexed = Result<(), String>;

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn unicode_name(c: char) -> String {
    if c.is_control() || (c.is_whitespace() && c != ' ') {
        format!("U+{:04X}", c as u32)
    } else {
        format!("U+{:04X} '{c}'", c as u32)
    }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.input[self.start..self.pos].to_owned();
        self.out.push(Token { kind, pos: self.start, line: self.start_line, text });
        self.ignore();
    }

    fn ignore(&mut self) {
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn advance_to(&mut self, pos: usize) {
        self.line += self.input[self.pos..pos].matches('\n').count();
        self.pos = pos;
    }

    /// `{{- ` trims only when white space follows the dash; else the dash begins a number.
    fn has_left_trim(text: &str) -> bool {
        text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
    }

    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with(is_space) && rest[1..].starts_with("-}}") {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn run(&mut self) -> Lexed {
        loop {
            let Some(found) = self.rest().find(LEFT) else {
                self.advance_to(self.input.len());
                if self.pos > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::Eof);
                return Ok(());
            };
            self.text_before(self.pos + found);
            self.action()?;
        }
    }

    fn text_before(&mut self, delim: usize) {
        let text = &self.input[self.pos..delim];
        let kept = if Self::has_left_trim(&self.input[delim + LEFT.len()..]) {
            text.trim_end_matches(SPACES).len()
        } else {
            text.len()
        };
        let end = self.pos + kept;
        self.advance_to(end);
        if self.pos > self.start {
            self.emit(Kind::Text);
        }
        self.advance_to(delim);
        self.ignore();
    }

    fn action(&mut self) -> Lexed {
        self.pos += LEFT.len();
        let trim = if Self::has_left_trim(self.rest()) { 2 } else { 0 };
        if self.input[self.pos + trim..].starts_with("/*") {
            self.pos += trim;
            self.ignore();
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        let after_trim = self.pos + trim;
        self.advance_to(after_trim);
        self.ignore();
        self.paren_depth = 0;
        while !self.inside_action()? {}
        Ok(())
    }

    fn comment(&mut self) -> Lexed {
        let Some(end) = self.rest().find("*/") else { return Err("unclosed comment".to_owned()) };
        let after = self.pos + end + 2;
        self.advance_to(after);
        let Some(trim) = self.right_delim() else {
            return Err("comment ends before closing delimiter".to_owned());
        };
        self.close_action(trim);
        self.ignore();
        Ok(())
    }

    fn close_action(&mut self, trim: bool) {
        let after = self.pos + if trim { 2 } else { 0 } + RIGHT.len();
        self.advance_to(after);
        if trim {
            let rest = self.rest();
            let skipped = self.pos + rest.len() - rest.trim_start_matches(SPACES).len();
            self.advance_to(skipped);
        }
    }

    /// Scans one element; true after the closing delimiter.
    fn inside_action(&mut self) -> Result<bool, String> {
        if let Some(trim) = self.right_delim() {
            if self.paren_depth > 0 {
                return Err("unclosed left paren".to_owned());
            }
            if trim {
                self.advance_to(self.pos + 2);
                self.ignore();
            }
            self.pos += RIGHT.len();
            self.emit(Kind::RightDelim);
            if trim {
                let rest = self.rest();
                let skipped = self.pos + rest.len() - rest.trim_start_matches(SPACES).len();
                self.advance_to(skipped);
                self.ignore();
            }
            return Ok(true);
        }
        let Some(c) = self.next() else { return Err("unclosed action".to_owned()) };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', "unterminated quoted string", Kind::String)?,
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant)?,
            '`' => self.raw_string()?,
            '$' => self.field_or_variable(Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.field_or_variable(Kind::Field)?,
            '.' | '+' | '-' | '0'..='9' => {
                self.pos -= 1;
                self.number()?;
            }
            c if is_alphanumeric(c) => self.identifier()?,
            '(' => {
                self.emit(Kind::LeftParen);
                self.paren_depth += 1;
            }
            ')' => {
                if self.paren_depth == 0 {
                    return Err("unexpected right paren".to_owned());
                }
                self.emit(Kind::RightParen);
                self.paren_depth -= 1;
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return Err(format!("unrecognized character in action: {}", unicode_name(c))),
        }
        Ok(false)
    }

    /// A run of spaces, leaving the one that belongs to ` -}}`.
    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            if self.right_delim() == Some(true) {
                break;
            }
            self.next();
        }
        let before = self.pos - 1;
        if self.input[before..].starts_with(is_space) && self.input[before + 1..].starts_with("-}}") {
            self.pos = before;
            if self.input[before..].starts_with('\n') {
                self.line -= 1;
            }
            if self.pos == self.start {
                return;
            }
        }
        self.emit(Kind::Space);
    }

    fn identifier(&mut self) -> Lexed {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        self.check_terminator()?;
        let kind = match &self.input[self.start..self.pos] {
            "true" | "false" => Kind::Bool,
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "nil" => Kind::Nil,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn field_or_variable(&mut self, kind: Kind) -> Lexed {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
            return Ok(());
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        self.check_terminator()?;
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        self.peek().is_none_or(|c| is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(' | '}'))
    }

    fn check_terminator(&self) -> Lexed {
        match self.peek() {
            Some(c) if !self.at_terminator() => Err(format!("bad character {}", unicode_name(c))),
            _ => Ok(()),
        }
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Lexed {
        loop {
            match self.next() {
                Some('\\') => {
                    if self.next().is_none_or(|c| c == '\n') {
                        return Err(unterminated.to_owned());
                    }
                }
                None | Some('\n') => return Err(unterminated.to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn raw_string(&mut self) -> Lexed {
        let Some(end) = self.rest().find('`') else {
            return Err("unterminated raw quoted string".to_owned());
        };
        let after = self.pos + end + 1;
        self.advance_to(after);
        self.emit(Kind::RawString);
        Ok(())
    }

    fn number(&mut self) -> Lexed {
        let mut complex = false;
        let mut good = self.scan_number();
        if good && self.rest().starts_with(['+', '-']) {
            complex = true;
            good = self.scan_number() && self.input[..self.pos].ends_with('i');
        }
        if !good {
            return Err(format!("bad number syntax: {}", GoQuoted(&self.input[self.start..self.pos])));
        }
        self.emit(if complex { Kind::Complex } else { Kind::Number });
        Ok(())
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.pos += 1;
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = if digits.len() == 11 { "eE" } else { "pP" };
        if (digits.len() == 11 || digits.len() == 23) && self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}
