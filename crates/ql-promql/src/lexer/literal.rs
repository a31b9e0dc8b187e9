//! Numbers, durations and strings.

use super::token::TokenKind;
use super::{Lexer, Mode, Step, is_alphanumeric};

const DIGITS: &[u8] = b"0123456789";
const HEX_DIGITS: &[u8] = b"0123456789abcdefABCDEF";

impl Lexer<'_> {
    /// The first character has been consumed.
    pub(super) fn lex_number_or_duration(&mut self) -> Step {
        self.pos = self.start;
        self.mode = Mode::Statements;
        if self.scan_number() {
            return self.emit(TokenKind::Number);
        }
        if self.scan_rest_of_duration() {
            return self.emit(TokenKind::Duration);
        }
        let message = format!("bad number or duration syntax: {}", model::labels::GoQuoted(self.pending()));
        self.fail(message)
    }

    fn is_next(&self, set: &[u8]) -> bool {
        self.input.as_bytes().get(self.pos).is_some_and(|b| set.contains(b))
    }

    fn accept_all(&mut self, set: &[u8]) {
        while self.accept(set) {}
    }

    /// Consumes what looks like a number; whether it is one is for the parser to say. On failure
    /// the offending character is consumed too, since error messages show it.
    pub(super) fn scan_number(&mut self) -> bool {
        let begin = self.pos;
        let mut digits = DIGITS;
        // The `x` of `0x5` is the times sign in a series description.
        if !self.series && self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = HEX_DIGITS;
        }
        self.accept(b".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        while self.is_next(digits) || self.is_next(b"._eE") {
            if dot && self.accept(b".") || exponent && self.accept(b"eE") {
                return false;
            }
            if self.accept(b".") {
                dot = true;
                if self.accept(b"_.") || digits.len() > 10 {
                    return false;
                }
            } else if self.accept(b"eE") {
                exponent = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.pos == self.input.len() {
                    return false;
                }
            } else if self.accept(b"_") {
                if self.accept(b"._eE") || self.pos == self.input.len() {
                    return false;
                }
            } else {
                self.accept_all(digits);
            }
        }
        if self.pos == begin {
            return false;
        }
        match self.peek() {
            Some('x') if self.series => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }

    /// After the digits of a first number: its unit, and any further numbers with units. On failure
    /// the offending character is consumed too.
    fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        // The second letter of `ms`; units such as `hs` are refused when the duration is read.
        self.accept(b"s");
        while self.accept(DIGITS) {
            self.accept_all(DIGITS);
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        match self.peek() {
            Some(c) if is_alphanumeric(c) => {
                self.next();
                false
            }
            _ => true,
        }
    }

    /// The opening quote has been consumed.
    pub(super) fn lex_string(&mut self, quote: char) -> Step {
        self.mode = Mode::Statements;
        loop {
            match self.next() {
                Some('\\') => {
                    if let Err(message) = self.scan_escape(quote) {
                        return self.fail(message);
                    }
                }
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune".to_owned()),
                None | Some('\n') => return self.fail("unterminated quoted string".to_owned()),
                Some(c) if c == quote => return self.emit(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    pub(super) fn lex_raw_string(&mut self) -> Step {
        self.mode = Mode::Statements;
        loop {
            match self.next() {
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune".to_owned()),
                None => return self.fail("unterminated raw string".to_owned()),
                Some('`') => return self.emit(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// The backslash has been consumed.
    fn scan_escape(&mut self, quote: char) -> Result<(), String> {
        const NOT_TERMINATED: &str = "escape sequence not terminated";
        let c = self.next().ok_or(NOT_TERMINATED)?;
        let (mut value, digits, radix, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (c.to_digit(8).unwrap_or(0), 2, 8, 255),
            'x' => (0, 2, 16, 255),
            'u' => (0, 4, 16, u32::from(char::MAX)),
            'U' => (0, 8, 16, u32::from(char::MAX)),
            c => return Err(format!("unknown escape sequence U+{:04X} '{c}'", u32::from(c))),
        };
        for _ in 0..digits {
            let c = self.next().ok_or(NOT_TERMINATED)?;
            let digit = c.to_digit(radix).ok_or_else(|| {
                format!("illegal character U+{:04X} '{c}' in escape sequence", u32::from(c))
            })?;
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}
