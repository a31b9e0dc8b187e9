//! The position in a text exposition that both lexers move, and the tokens they give.

use std::borrow::Cow;

use super::ExposeError;
use super::quote::QuotedBytes;

/// What a lexer found. Texts for errors are upstream's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Invalid,
    Eof,
    Linebreak,
    Whitespace,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Eof => "EOF",
            Self::Linebreak => "LINEBREAK",
            Self::Whitespace => "WHITESPACE",
            Self::Help => "HELP",
            Self::Type => "TYPE",
            Self::Unit => "UNIT",
            Self::EofWord => "EOFWORD",
            Self::Text => "TEXT",
            Self::Comment => "COMMENT",
            Self::MetricName => "MNAME",
            Self::QuotedString => "QSTRING",
            Self::BraceOpen => "BOPEN",
            Self::BraceClose => "BCLOSE",
            Self::LabelName => "LNAME",
            Self::LabelValue => "LVALUE",
            Self::Comma => "COMMA",
            Self::Equal => "EQUAL",
            Self::Timestamp => "TIMESTAMP",
            Self::Value => "VALUE",
        }
    }
}

/// Where in a line a lexer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Comment,
    MetaName,
    MetaText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    ExemplarValue,
    ExemplarTimestamp,
}

/// A read position with the start of the current token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// The Prometheus format reads as if a line break followed the input.
    closing_linebreak: bool,
    pub(super) pos: usize,
    pub(super) start: usize,
    pub(super) state: State,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], closing_linebreak: bool) -> Self {
        Self { bytes, closing_linebreak, pos: 0, start: 0, state: State::Init }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + usize::from(self.closing_linebreak)
    }

    pub(super) fn at_end(&self) -> bool {
        self.pos >= self.len()
    }

    /// The byte under the cursor, 0 at the end.
    #[inline]
    pub(super) fn byte(&self) -> u8 {
        match self.bytes.get(self.pos) {
            Some(byte) => *byte,
            None if self.closing_linebreak && self.pos == self.bytes.len() => b'\n',
            None => 0,
        }
    }

    /// Moves one byte on and gives the byte there, 0 at the end. Null bytes are skipped where the
    /// formats allow them: in label values, help texts and comments.
    #[inline]
    pub(super) fn advance(&mut self) -> u8 {
        self.pos += 1;
        let mut byte = self.byte();
        if byte == 0 && matches!(self.state, State::LabelValue | State::MetaText | State::Comment) {
            while byte == 0 && !self.at_end() {
                self.pos += 1;
                byte = self.byte();
            }
        }
        byte
    }

    /// Moves over the current byte and all that follow for which `matches` holds. Null bytes never
    /// match.
    #[inline]
    pub(super) fn skip_while(&mut self, matches: impl Fn(u8) -> bool) -> u8 {
        loop {
            let byte = self.advance();
            if byte == 0 || !matches(byte) {
                return byte;
            }
        }
    }

    /// Moves over `text`; false, at the first byte that differs, if something else is there.
    pub(super) fn skip_text(&mut self, text: &[u8]) -> bool {
        text.iter().all(|expected| {
            let same = self.byte() == *expected && !self.at_end();
            if same {
                self.advance();
            }
            same
        })
    }

    /// Moves over a quoted string that starts under the cursor, behind its closing quote. False if
    /// it does not end, or has a line break where none may be.
    pub(super) fn skip_quoted(&mut self, linebreaks: bool) -> bool {
        loop {
            match self.advance() {
                b'"' => {
                    self.advance();
                    return true;
                }
                b'\\' => {
                    if matches!(self.advance(), 0 | b'\n') {
                        return false;
                    }
                }
                0 => return false,
                b'\n' if !linebreaks => return false,
                _ => {}
            }
        }
    }

    /// The bytes of the current token.
    #[inline]
    pub(super) fn token_bytes(&self) -> &'a [u8] {
        self.slice(self.start, self.pos)
    }

    /// Input bytes; a closing line break that the input does not have is left out.
    #[inline]
    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let to = to.min(self.bytes.len());
        &self.bytes[from.min(to)..to]
    }

    /// Input bytes as errors show them, the closing line break included.
    fn shown(&self, from: usize, to: usize) -> Cow<'a, [u8]> {
        if to <= self.bytes.len() {
            return Cow::Borrowed(self.slice(from, to));
        }
        let mut bytes = self.slice(from, to).to_vec();
        bytes.push(b'\n');
        Cow::Owned(bytes)
    }

    pub(super) fn unexpected(&self, expected: &str, got: Token, line_start: usize) -> ExposeError {
        let end = self.len().min(self.pos + 1);
        ExposeError(format!(
            "{expected}, got {} ({}) while parsing: {}",
            QuotedBytes(&self.shown(self.start, end)),
            QuotedBytes(got.as_str().as_bytes()),
            QuotedBytes(&self.shown(line_start, end)),
        ))
    }

    /// An error about what has been read of the line.
    pub(super) fn refused(&self, what: &str, line_start: usize) -> ExposeError {
        ExposeError(format!("{what} while parsing: {}", QuotedBytes(&self.shown(line_start, self.pos))))
    }
}

pub(super) fn starts_metric_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

pub(super) fn in_metric_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

pub(super) fn starts_label_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(super) fn in_label_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
