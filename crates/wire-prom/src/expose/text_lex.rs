//! The tokens of the Prometheus text format.

use super::cursor::{
    Cursor, State, Token, in_label_name, in_metric_name, starts_label_name, starts_metric_name,
};

impl Cursor<'_> {
    /// The next token of the Prometheus text format, white space left out.
    pub(super) fn next_text_token(&mut self) -> Token {
        loop {
            let token = self.text_token();
            if token != Token::Whitespace {
                return token;
            }
        }
    }

    fn text_token(&mut self) -> Token {
        if self.at_end() {
            return Token::Eof;
        }
        self.start = self.pos;
        let byte = self.byte();
        if is_blank(byte) && self.state != State::MetaText {
            self.skip_while(is_blank);
            return Token::Whitespace;
        }
        match self.state {
            State::Init => self.text_line_start(byte),
            State::MetaName => self.meta_name(byte),
            State::MetaText => self.meta_text(byte),
            State::Labels => self.text_label_token(byte),
            State::LabelValue => self.text_label_value(byte),
            State::Value => self.text_value(byte),
            State::Timestamp => self.text_timestamp(byte),
            State::Comment => self.comment(),
            State::Exemplar | State::ExemplarValue | State::ExemplarTimestamp => Token::Invalid,
        }
    }

    fn text_line_start(&mut self, byte: u8) -> Token {
        match byte {
            0 => {
                self.advance();
                Token::Eof
            }
            b'\n' => {
                self.advance();
                Token::Linebreak
            }
            b'#' => {
                if !is_blank(self.advance()) {
                    return self.comment();
                }
                self.skip_while(is_blank);
                self.state = State::Comment;
                self.meta_keyword()
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

    fn meta_keyword(&mut self) -> Token {
        let (keyword, token): (&[u8], _) = match self.byte() {
            b'H' => (b"HELP", Token::Help),
            b'T' => (b"TYPE", Token::Type),
            _ => return self.comment(),
        };
        if !self.skip_text(keyword) || !is_blank(self.byte()) {
            return self.comment();
        }
        self.skip_while(is_blank);
        self.state = State::MetaName;
        token
    }

    /// The rest of the line. A null byte ends the input, except where the line began with `# `.
    fn comment(&mut self) -> Token {
        let mut byte = self.byte();
        loop {
            match byte {
                0 => return Token::Eof,
                b'\n' => {
                    self.state = State::Init;
                    return Token::Comment;
                }
                _ => byte = self.advance(),
            }
        }
    }

    pub(super) fn meta_name(&mut self, byte: u8) -> Token {
        let found = match byte {
            b'"' => self.skip_quoted(true),
            b if starts_metric_name(b) => {
                self.skip_while(in_metric_name);
                true
            }
            _ => false,
        };
        if found {
            self.state = State::MetaText;
            Token::MetricName
        } else {
            Token::Invalid
        }
    }

    fn meta_text(&mut self, byte: u8) -> Token {
        if is_blank(byte) {
            // Blanks alone are white space before an empty text.
            let behind = self.skip_while(is_blank);
            if matches!(behind, 0 | b'\n') {
                return Token::Whitespace;
            }
            self.skip_while(|b| b != b'\n');
        } else if byte != 0 && byte != b'\n' {
            self.skip_while(|b| b != b'\n');
        }
        self.state = State::Init;
        Token::Text
    }

    fn text_label_token(&mut self, byte: u8) -> Token {
        match byte {
            b'"' if self.skip_quoted(true) => Token::QuotedString,
            b'"' => Token::Invalid,
            _ => self.label_punctuation(byte, State::Value, State::LabelValue),
        }
    }

    /// Names and signs between braces; `}` and `=` lead to the given states.
    pub(super) fn label_punctuation(&mut self, byte: u8, behind: State, value: State) -> Token {
        let token = match byte {
            b'}' => Token::BraceClose,
            b'=' => Token::Equal,
            b',' => Token::Comma,
            b if starts_label_name(b) => {
                self.skip_while(in_label_name);
                return Token::LabelName;
            }
            _ => return Token::Invalid,
        };
        self.advance();
        match token {
            Token::BraceClose => self.state = behind,
            Token::Equal => self.state = value,
            _ => {}
        }
        token
    }

    fn text_label_value(&mut self, byte: u8) -> Token {
        if byte == b'"' && self.skip_quoted(true) {
            self.state = State::Labels;
            Token::LabelValue
        } else {
            Token::Invalid
        }
    }

    fn text_value(&mut self, byte: u8) -> Token {
        match byte {
            b'{' => {
                self.advance();
                self.state = State::Labels;
                Token::BraceOpen
            }
            0 | b'\n' => Token::Invalid,
            _ => {
                self.skip_while(|b| !is_blank(b) && b != b'\n' && b != b'{');
                self.state = State::Timestamp;
                Token::Value
            }
        }
    }

    fn text_timestamp(&mut self, byte: u8) -> Token {
        match byte {
            b'\n' => {
                self.advance();
                self.state = State::Init;
                Token::Linebreak
            }
            b if b.is_ascii_digit() => {
                self.skip_while(|b| b.is_ascii_digit());
                Token::Timestamp
            }
            _ => Token::Invalid,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
