//! The tokens of OpenMetrics, where every single space counts.

use super::cursor::{Cursor, State, Token, in_metric_name, starts_metric_name};

impl Cursor<'_> {
    /// The next token of OpenMetrics.
    pub(super) fn next_openmetrics_token(&mut self) -> Token {
        if self.at_end() {
            return Token::Eof;
        }
        self.start = self.pos;
        let byte = self.byte();
        match self.state {
            State::Init => self.openmetrics_line_start(byte),
            State::Comment => self.openmetrics_keyword(),
            State::MetaName => self.meta_name(byte),
            State::MetaText => self.openmetrics_meta_text(byte),
            State::Labels => match byte {
                b'"' if self.skip_quoted(true) => Token::QuotedString,
                b'"' => Token::Invalid,
                _ => self.label_punctuation(byte, State::Value, State::LabelValue),
            },
            State::LabelValue => self.openmetrics_label_value(byte, State::Labels),
            State::Value if byte == b'{' => {
                self.advance();
                self.state = State::Labels;
                Token::BraceOpen
            }
            State::Value => self.number(byte, Token::Value, State::Timestamp),
            State::Timestamp => self.behind_value(byte),
            State::Exemplar => match byte {
                b'"' if self.skip_quoted(false) => Token::QuotedString,
                b'"' => Token::Invalid,
                _ => self.label_punctuation(byte, State::ExemplarValue, State::ExemplarValue),
            },
            State::ExemplarValue if byte == b'"' => self.openmetrics_label_value(byte, State::Exemplar),
            State::ExemplarValue => self.number(byte, Token::Value, State::ExemplarTimestamp),
            State::ExemplarTimestamp if byte == b'\n' => self.linebreak(),
            State::ExemplarTimestamp => self.number(byte, Token::Timestamp, State::ExemplarTimestamp),
        }
    }

    fn openmetrics_line_start(&mut self, byte: u8) -> Token {
        match byte {
            b'#' => {
                if self.advance() != b' ' {
                    return Token::Invalid;
                }
                self.advance();
                self.state = State::Comment;
                self.openmetrics_keyword()
            }
            b'{' => {
                self.advance();
                self.state = State::Labels;
                Token::BraceOpen
            }
            b if starts_metric_name(b) => {
                self.skip_while(in_metric_name);
                self.state = State::Value;
                Token::MetricName
            }
            _ => Token::Invalid,
        }
    }

    fn openmetrics_keyword(&mut self) -> Token {
        let (keyword, token): (&[u8], _) = match self.byte() {
            b'H' => (b"HELP ", Token::Help),
            b'T' => (b"TYPE ", Token::Type),
            b'U' => (b"UNIT ", Token::Unit),
            b'E' => (b"EOF", Token::EofWord),
            _ => return Token::Invalid,
        };
        if !self.skip_text(keyword) {
            return Token::Invalid;
        }
        if token == Token::EofWord {
            if self.byte() == b'\n' {
                self.advance();
            }
            self.state = State::Init;
        } else {
            self.state = State::MetaName;
        }
        token
    }

    fn openmetrics_meta_text(&mut self, byte: u8) -> Token {
        if byte != b' ' || self.skip_while(|b| b != b'\n') != b'\n' {
            return Token::Invalid;
        }
        self.advance();
        self.state = State::Init;
        Token::Text
    }

    fn openmetrics_label_value(&mut self, byte: u8, then: State) -> Token {
        if byte == b'"' && self.skip_quoted(false) {
            self.state = then;
            Token::LabelValue
        } else {
            Token::Invalid
        }
    }

    /// A space and at least one byte that is neither space nor line break.
    fn number(&mut self, byte: u8, token: Token, then: State) -> Token {
        if byte != b' ' || matches!(self.advance(), 0 | b' ' | b'\n') {
            return Token::Invalid;
        }
        self.skip_while(|b| b != b' ' && b != b'\n');
        self.state = then;
        token
    }

    fn behind_value(&mut self, byte: u8) -> Token {
        match byte {
            b'\n' => return self.linebreak(),
            b' ' => {}
            _ => return Token::Invalid,
        }
        match self.advance() {
            0 | b' ' | b'\n' => Token::Invalid,
            b'#' => match self.advance() {
                b' ' => {
                    if self.advance() != b'{' {
                        return Token::Invalid;
                    }
                    self.advance();
                    self.state = State::Exemplar;
                    Token::Comment
                }
                0 | b'\n' => Token::Timestamp,
                _ => {
                    self.skip_while(|b| b != b' ' && b != b'\n');
                    Token::Timestamp
                }
            },
            _ => {
                self.skip_while(|b| b != b' ' && b != b'\n');
                Token::Timestamp
            }
        }
    }

    fn linebreak(&mut self) -> Token {
        self.advance();
        self.state = State::Init;
        Token::Linebreak
    }
}
