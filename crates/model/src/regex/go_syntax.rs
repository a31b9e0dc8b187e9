//! Go's regular expressions (RE2 with Perl's classes) rewritten for `regex-syntax`.
//!
//! The two agree on most of the syntax. What differs is spelled out here: classes such as `\d` and
//! word boundaries are ASCII in Go, `\Q...\E` quotes, `\C` is refused, counts end at 1000, names of
//! groups may repeat, set operations inside brackets do not exist. Refusals have Go's texts.

mod class;

use std::fmt::Write as _;

use super::InvalidRegex;

/// The largest count in `x{n,m}`, nested counts multiplied.
const REPEAT_MAX: u32 = 1_000;

/// How deep groups may be nested. Go stops at 1000; whatever walks the pattern recurses this deep.
const NESTING_MAX: usize = 250;

/// A pattern for `regex-syntax`, with Unicode mode on.
#[derive(Debug)]
pub(super) struct Translated {
    pub pattern: String,
    /// The name of each capture group, group 0 included; empty if it has none.
    pub group_names: Vec<String>,
}

/// Rewrites a pattern or says, as Go would, what is wrong with it.
pub(super) fn translate(pattern: &str) -> Result<Translated, InvalidRegex> {
    let mut translator = Translator {
        pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        group_names: vec![String::new()],
        frames: vec![Frame::default()],
        last_repeat: None,
    };
    translator.run()?;
    Ok(Translated { pattern: translator.out, group_names: translator.group_names })
}

pub(super) fn error(code: &str, text: &str) -> InvalidRegex {
    InvalidRegex(format!("error parsing regexp: {code}: `{text}`"))
}

/// One open group, or the whole pattern.
#[derive(Debug, Default)]
struct Frame {
    /// How often the heaviest part may repeat, nested counts multiplied.
    weight: u32,
    /// The weight of the part that a following `*` or `{2}` applies to; `None` if there is none.
    atom: Option<u32>,
}

#[derive(Debug)]
struct Translator<'p> {
    pattern: &'p str,
    rest: &'p str,
    out: String,
    group_names: Vec<String>,
    frames: Vec<Frame>,
    /// The pattern from the repetition that has just ended; another one must not follow.
    last_repeat: Option<&'p str>,
}

impl<'p> Translator<'p> {
    fn run(&mut self) -> Result<(), InvalidRegex> {
        while let Some(c) = self.rest.chars().next() {
            let before_repeat = self.last_repeat.take();
            match c {
                '(' => self.open_group()?,
                '|' => {
                    self.take(1);
                    self.out.push('|');
                    self.frame().atom = None;
                }
                ')' => self.close_group()?,
                '^' | '$' | '.' => {
                    self.take(1);
                    self.out.push(c);
                    self.atom(1);
                }
                '[' => {
                    let (rest, class) = class::translate(self.rest)?;
                    self.out.push_str(&class);
                    self.rest = rest;
                    self.atom(1);
                }
                '*' | '+' | '?' => self.repeat(before_repeat, 1, None)?,
                '{' => match parse_counts(self.rest) {
                    Some((length, counts)) => self.repeat(before_repeat, length, Some(counts))?,
                    None => self.literal(1, '{'),
                },
                '\\' => self.escape()?,
                c => self.literal(c.len_utf8(), c),
            }
        }
        if self.frames.len() > 1 {
            return Err(error("missing closing )", self.pattern));
        }
        Ok(())
    }

    /// Consumes so many bytes.
    fn take(&mut self, bytes: usize) -> &'p str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the frame of the whole pattern is never closed")
    }

    fn atom(&mut self, weight: u32) {
        let frame = self.frame();
        frame.atom = Some(weight);
        frame.weight = frame.weight.max(weight);
    }

    fn literal(&mut self, bytes: usize, c: char) {
        self.take(bytes);
        push_literal(&mut self.out, c);
        self.atom(1);
    }

    fn close_group(&mut self) -> Result<(), InvalidRegex> {
        if self.frames.len() == 1 {
            return Err(error("unexpected )", self.pattern));
        }
        self.take(1);
        self.out.push(')');
        let weight = self.frames.pop().map_or(1, |frame| frame.weight.max(1));
        self.atom(weight);
        Ok(())
    }

    fn push_frame(&mut self) -> Result<(), InvalidRegex> {
        if self.frames.len() > NESTING_MAX {
            return Err(error("expression nests too deeply", self.pattern));
        }
        self.frames.push(Frame::default());
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), InvalidRegex> {
        if !self.rest.starts_with("(?") {
            self.take(1);
            self.out.push('(');
            self.group_names.push(String::new());
            return self.push_frame();
        }
        let name_start = ["(?P<", "(?<"].into_iter().find(|start| self.rest.starts_with(start));
        match name_start {
            Some(start) => self.open_named_group(start.len()),
            None => self.open_flag_group(),
        }
    }

    fn open_named_group(&mut self, name_at: usize) -> Result<(), InvalidRegex> {
        let end = self.rest.find('>').ok_or_else(|| error("invalid named capture", self.rest))?;
        let name = self.rest.get(name_at..end).unwrap_or("");
        let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(error("invalid named capture", &self.rest[..=end]));
        }
        self.group_names.push(name.to_owned());
        self.take(end + 1);
        self.out.push('(');
        self.push_frame()
    }

    /// `(?i)`, `(?i-s:` or `(?:`.
    fn open_flag_group(&mut self) -> Result<(), InvalidRegex> {
        let (mut on, mut off) = (String::new(), String::new());
        let (mut negated, mut saw_flag) = (false, false);
        for (at, c) in self.rest.char_indices().skip(2) {
            match c {
                'i' | 'm' | 's' | 'U' => {
                    saw_flag = true;
                    on.retain(|f| f != c);
                    off.retain(|f| f != c);
                    if negated { off.push(c) } else { on.push(c) }
                }
                '-' if !negated => (negated, saw_flag) = (true, false),
                ':' | ')' if !negated || saw_flag => {
                    self.take(at + 1);
                    let flags = if off.is_empty() { on } else { format!("{on}-{off}") };
                    if c == ':' {
                        write!(self.out, "(?{flags}:").expect("writing to a String cannot fail");
                        return self.push_frame();
                    }
                    if !flags.is_empty() {
                        write!(self.out, "(?{flags})").expect("writing to a String cannot fail");
                    }
                    return Ok(());
                }
                _ => {
                    let end = at + c.len_utf8();
                    return Err(error("invalid or unsupported Perl syntax", &self.rest[..end]));
                }
            }
        }
        Err(error("missing closing )", self.pattern))
    }

    /// A repetition operator of `length` bytes, with its counts if it is `{n,m}`.
    fn repeat(
        &mut self,
        before: Option<&'p str>,
        length: usize,
        counts: Option<Counts>,
    ) -> Result<(), InvalidRegex> {
        let start = self.rest;
        let op = self.take(length);
        if counts
            .is_some_and(|c| c.min > REPEAT_MAX || c.max.is_some_and(|max| max > REPEAT_MAX || max < c.min))
        {
            return Err(error("invalid repeat count", op));
        }
        let Some(weight) = self.frame().atom else {
            return Err(error("missing argument to repetition operator", op));
        };
        let lazy = self.rest.starts_with('?');
        self.take(usize::from(lazy));
        if let Some(first) = before {
            return Err(error("invalid nested repetition operator", &first[..first.len() - self.rest.len()]));
        }
        self.out.push_str(op);
        if lazy {
            self.out.push('?');
        }
        if let Some(counts) = counts {
            let times = counts.max.unwrap_or(counts.min).max(1);
            let weight = weight.saturating_mul(times);
            if times >= 2 && weight > REPEAT_MAX {
                return Err(error("invalid repeat count", op));
            }
            self.atom(weight);
        }
        self.last_repeat = Some(start);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), InvalidRegex> {
        let Some(c) = self.rest[1..].chars().next() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let simple = match c {
            'A' => "\\A",
            'z' => "\\z",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            'Q' => {
                self.quoted();
                return Ok(());
            }
            'C' => return Err(error("invalid escape sequence", "\\C")),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P' => {
                let (rest, class) = class::translate_escape(self.rest)?;
                self.out.push_str(&class);
                self.rest = rest;
                self.atom(1);
                return Ok(());
            }
            _ => {
                let (rest, c) = unescape(self.rest)?;
                self.rest = rest;
                push_literal(&mut self.out, c);
                self.atom(1);
                return Ok(());
            }
        };
        self.take(2);
        self.out.push_str(simple);
        self.atom(1);
        Ok(())
    }

    /// `\Q...\E`; the end may be missing.
    fn quoted(&mut self) {
        self.take(2);
        let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in text.chars() {
            push_literal(&mut self.out, c);
            self.atom(1);
        }
    }
}

/// The counts of `{n}`, `{n,}` or `{n,m}`.
#[derive(Debug, Clone, Copy)]
struct Counts {
    min: u32,
    max: Option<u32>,
}

/// The length and counts of a `{n,m}`; `None` if the brace means itself. Counts that are too large
/// come out larger than [`REPEAT_MAX`].
fn parse_counts(text: &str) -> Option<(usize, Counts)> {
    let end = text.find('}')?;
    let (min, max) = match text[1..end].split_once(',') {
        Some((min, "")) => (parse_count(min)?, None),
        Some((min, max)) => (parse_count(min)?, Some(parse_count(max)?)),
        None => {
            let n = parse_count(&text[1..end])?;
            (n, Some(n))
        }
    };
    Some((end + 1, Counts { min, max }))
}

fn parse_count(text: &str) -> Option<u32> {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if text.is_empty() || leading_zero || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

/// A character that means itself, inside or outside of brackets.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        write!(out, "\\x{{{:x}}}", u32::from(c)).expect("writing to a String cannot fail");
    }
}

/// The character of an escape such as `\n`, `\x{1F}`, `\07` or `\.`, and what follows it. `text`
/// starts with the backslash.
fn unescape(text: &str) -> Result<(&str, char), InvalidRegex> {
    let c = text[1..].chars().next().ok_or_else(|| error("trailing backslash at end of expression", ""))?;
    let after = &text[1 + c.len_utf8()..];
    let invalid = |rest: &str| Err(error("invalid escape sequence", &text[..text.len() - rest.len()]));
    let value = match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '0'..='7' => {
            // A digit that is no zero must be followed by another; there are no back references.
            let digits = after.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
            if c != '0' && digits == 0 {
                return invalid(after);
            }
            let code = u32::from_str_radix(&text[1..2 + digits], 8).unwrap_or(0);
            return Ok((&after[digits..], char::from_u32(code).unwrap_or('\0')));
        }
        'x' => return unescape_hex(text),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return invalid(after),
    };
    Ok((after, value))
}

fn unescape_hex(text: &str) -> Result<(&str, char), InvalidRegex> {
    let after = &text[2..];
    let (digits, length) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        Some((digits, _)) => (digits, digits.len() + 2),
        None => (after.get(..2).unwrap_or(""), 2),
    };
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    match u32::from_str_radix(digits, 16).ok().filter(|_| valid).and_then(char::from_u32) {
        Some(c) => Ok((&after[length..], c)),
        None => {
            let end = after.char_indices().nth(2).map_or(after.len(), |(at, _)| at);
            Err(error("invalid escape sequence", &text[..2 + end]))
        }
    }
}
