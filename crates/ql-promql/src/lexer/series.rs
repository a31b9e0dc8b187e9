//! The notation for the values of a series in unit tests: `1+2x3 _ stale {{schema:0 sum:1}}`.

use model::histogram::CounterResetHint;
use model::labels::GoQuoted;

use super::token::{HistogramKey, TokenKind, word_kind};
use super::{GoChar, HistogramMode, Lexer, Mode, Step, is_alpha, is_space};
use crate::ast::BinaryOp;

const RESET_HINTS: [(&str, CounterResetHint); 4] = [
    ("unknown", CounterResetHint::Unknown),
    ("reset", CounterResetHint::Reset),
    ("not_reset", CounterResetHint::NotReset),
    ("gauge", CounterResetHint::Gauge),
];

impl Lexer<'_> {
    fn emit_space(&mut self) -> Step {
        let token = self.emit(TokenKind::Space);
        self.skip_spaces();
        token
    }

    pub(super) fn lex_value_sequence(&mut self) -> Step {
        let Some(c) = self.next() else {
            self.mode = Mode::Statements;
            return None;
        };
        match c {
            '{' if self.accept(b"{") => {
                self.histogram = HistogramMode::Open;
                self.emit(TokenKind::OpenHistogram)
            }
            c if is_space(c) => self.emit_space(),
            '+' => self.operator(BinaryOp::Add),
            '-' => self.operator(BinaryOp::Sub),
            'x' => self.emit(TokenKind::Times),
            '_' => self.emit(TokenKind::Blank),
            '0'..='9' => self.lex_series_number_here(),
            '.' if self.peek().is_some_and(|d| d.is_ascii_digit()) => self.lex_series_number_here(),
            c if is_alpha(c) => self.lex_keyword_or_identifier(),
            c => self.fail(format!("unexpected character in series sequence: {}", GoChar(Some(c)))),
        }
    }

    /// The first character has been consumed; the mode stays.
    fn lex_series_number_here(&mut self) -> Step {
        self.pos = self.start;
        if self.scan_number() {
            return self.emit(TokenKind::Number);
        }
        let message = format!("bad number syntax: {}", GoQuoted(self.pending()));
        self.fail(message)
    }

    /// A number that must follow a sign.
    pub(super) fn lex_series_number(&mut self) -> Step {
        self.mode = Mode::Statements;
        self.lex_series_number_here()
    }

    pub(super) fn lex_histogram(&mut self) -> Step {
        if let HistogramMode::Suffix(kind) = self.histogram {
            self.histogram = HistogramMode::None;
            self.mode = Mode::ValueSequence;
            self.next();
            return self.emit(kind);
        }
        self.mode = Mode::Statements;
        if self.bracket_open {
            return self.lex_buckets();
        }
        let c = self.next();
        match c {
            Some(c) if is_space(c) => self.emit_space(),
            Some(c) if is_alpha(c) => self.lex_histogram_word(),
            Some(':') => self.emit(TokenKind::Colon),
            Some('-') => self.operator(BinaryOp::Sub),
            Some('0'..='9') => self.lex_series_number_here(),
            Some('[') => {
                self.bracket_open = true;
                (self.got_colon, self.got_duration) = (false, false);
                self.emit(TokenKind::LeftBracket)
            }
            Some('}') if self.accept(b"}") => self.lex_histogram_end(),
            c => self.fail(format!("histogram description incomplete unexpected: {}", GoChar(c))),
        }
    }

    fn lex_histogram_end(&mut self) -> Step {
        self.histogram = match self.peek() {
            Some('x') => HistogramMode::Suffix(TokenKind::Times),
            Some('+') => HistogramMode::Suffix(TokenKind::Operator(BinaryOp::Add)),
            Some('-') => HistogramMode::Suffix(TokenKind::Operator(BinaryOp::Sub)),
            _ => HistogramMode::None,
        };
        self.mode = Mode::ValueSequence;
        self.emit(TokenKind::CloseHistogram)
    }

    fn lex_histogram_word(&mut self) -> Step {
        self.accept_while(is_alpha);
        let word = self.pending();
        if let Some((_, key)) = HistogramKey::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            if self.peek() == Some(':') {
                return self.emit(TokenKind::HistogramKey(*key));
            }
            return self.fail("missing `:` for histogram descriptor".to_owned());
        }
        if word_kind(word) == Some(TokenKind::Number) {
            return self.emit(TokenKind::Number);
        }
        if let Some((_, hint)) = RESET_HINTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            return self.emit(TokenKind::ResetHint(*hint));
        }
        let message = format!("bad histogram descriptor found: {}", GoQuoted(word));
        self.fail(message)
    }

    fn lex_buckets(&mut self) -> Step {
        let c = self.next();
        match c {
            Some(c) if is_space(c) => self.emit_space(),
            Some('-') => {
                self.mode = Mode::SeriesNumber;
                self.operator(BinaryOp::Sub)
            }
            Some('0'..='9') => self.lex_series_number_here(),
            Some(']') => {
                self.bracket_open = false;
                self.emit(TokenKind::RightBracket)
            }
            Some(c) if is_alpha(c) => {
                self.accept_while(is_alpha);
                if word_kind(self.pending()) == Some(TokenKind::Number) {
                    return self.emit(TokenKind::Number);
                }
                let message = format!("bad number syntax: {}", GoQuoted(self.pending()));
                self.fail(message)
            }
            c => self.fail(format!("invalid character in buckets description: {}", GoChar(c))),
        }
    }
}
