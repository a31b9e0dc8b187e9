//! Scripts as commands.

use base::duration;
use model::Labels;
use ql_core::unquote::unquote;
use regex::Regex;

use super::start_times;
use crate::series_desc::{SequenceValue, parse_series_desc};

/// A parsed script.
#[derive(Debug, Clone)]
pub struct Script {
    pub commands: Vec<Command>,
}

#[derive(Debug, Clone)]
pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// `load <step>`: sample `i` of each series lies at `i` steps after time 0.
#[derive(Debug, Clone)]
pub struct Load {
    /// Counted from 1.
    pub line: usize,
    pub step_ms: i64,
    /// Also load native histograms with custom buckets, made from the classic ones.
    pub with_nhcb: bool,
    pub series: Vec<LoadedSeries>,
}

#[derive(Debug, Clone)]
pub struct LoadedSeries {
    pub labels: Labels,
    pub values: Vec<SequenceValue>,
    /// As long as `values` if given: start time of each sample relative to its time.
    pub start_offsets_ms: Vec<Option<i64>>,
}

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvalTime {
    Instant { t_ms: i64 },
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// `eval ...` with its expectations.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Counted from 1.
    pub line: usize,
    pub expr: String,
    pub time: EvalTime,
    pub expected: Expected,
    pub ordered: bool,
    /// The evaluation must fail, with an error that matches every pattern.
    pub fail: Option<Vec<Pattern>>,
    pub warnings: ExpectedAnnotations,
    pub infos: ExpectedAnnotations,
    /// `expect range vector`: the times of a matrix that an instant query gives.
    pub range_vector: Option<EvalTime>,
}

impl Eval {
    /// The times at which the expected series have their values.
    pub(super) fn expected_times(&self) -> EvalTime {
        self.range_vector.unwrap_or(self.time)
    }
}

/// What an evaluation must give.
#[derive(Debug, Clone)]
pub enum Expected {
    Scalar(f64),
    String(String),
    /// The series in script order, possibly none.
    Series(Vec<ExpectedSeries>),
}

#[derive(Debug, Clone)]
pub struct ExpectedSeries {
    pub labels: Labels,
    pub values: Vec<SequenceValue>,
}

/// What is said about the annotations of one severity.
#[derive(Debug, Clone, Default)]
pub struct ExpectedAnnotations {
    /// There must be some (`eval_warn`, `eval_info`).
    pub some: bool,
    /// There must be none.
    pub none: bool,
    /// If not empty: each must match some annotation, and each annotation some pattern.
    pub patterns: Vec<Pattern>,
}

/// How a text must look.
#[derive(Debug, Clone)]
pub enum Pattern {
    Any,
    Exactly(String),
    Matching(Regex),
}

impl Pattern {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == text,
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Exactly(expected) => write!(f, "the text {expected:?}"),
            Self::Matching(regex) => write!(f, "the pattern {:?}", regex.as_str()),
        }
    }
}

/// Where and why a script is malformed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    pub kind: ScriptErrorKind,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScriptErrorKind {
    #[error("invalid command {0:?}")]
    Command(String),
    #[error("invalid load command. (load[_with_nhcb] <step:duration>)")]
    Load,
    #[error(
        "invalid evaluation command. Must be either 'eval[_fail|_warn|_ordered|_info] instant [at <offset:duration>] <query>' or 'eval[_fail|_warn|_info] range from <from> to <to> step <step> <query>'"
    )]
    Eval,
    #[error("invalid duration {text:?}: {reason}")]
    Duration { text: String, reason: duration::InvalidDuration },
    #[error("end timestamp ({end}) is before start timestamp ({start})")]
    EndBeforeStart { start: String, end: String },
    #[error("the step of a range must be positive")]
    ZeroStep,
    #[error("invalid expect statement, must match `expect <type> <match_type>: <string>` format")]
    Expect,
    #[error("invalid regular expression: {0}")]
    Regex(String),
    #[error("{0} cannot be used together")]
    Contradiction(&'static str),
    #[error("multiple expect fail lines are not allowed")]
    SeveralFailures,
    #[error("invalid range vector definition {0:?}")]
    RangeVector(String),
    #[error("the expected string must be quoted")]
    StringLiteral,
    #[error(
        "expecting multiple values in instant evaluation not allowed. consider using 'expect range vector' directive to enable a range vector result for an instant query"
    )]
    SeveralValues,
    #[error("invalid start timestamp {item:?}")]
    StartTime { item: String },
    #[error("@st line has no following sample line")]
    DanglingStartTimes,
    #[error("@st metric does not match the following sample line metric")]
    StartTimesOfOtherMetric,
    #[error("@st line has {start_times} values but sample line has {samples}")]
    StartTimesLength { start_times: usize, samples: usize },
    #[error("{0}")]
    Series(String),
}

use ScriptErrorKind as Kind;

impl Script {
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = Lines::new(text);
        let mut commands = Vec::new();
        while let Some(line) = lines.next_line() {
            if line.is_empty() {
                continue;
            }
            let at = |kind| ScriptError { line: lines.number, kind };
            let word = line.split([' ', '\t']).next().unwrap_or(line).to_lowercase();
            commands.push(match word.as_str() {
                "clear" => Command::Clear,
                word if word.starts_with("load") => Command::Load(parse_load(line, &mut lines)?),
                word if word.starts_with("eval") => Command::Eval(Box::new(parse_eval(line, &mut lines)?)),
                _ => return Err(at(Kind::Command(line.to_owned()))),
            });
        }
        Ok(Self { commands })
    }
}

/// Trimmed lines; those that begin with `#` are empty.
struct Lines<'a> {
    rest: std::str::Split<'a, char>,
    /// The number of the line read last, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.split('\n'), number: 0 }
    }

    fn next_line(&mut self) -> Option<&'a str> {
        let line = self.rest.next()?.trim();
        self.number += 1;
        Some(if line.starts_with('#') { "" } else { line })
    }

    /// The next line of a command's body, which an empty line ends.
    fn next_in_body(&mut self) -> Option<&'a str> {
        self.next_line().filter(|line| !line.is_empty())
    }

    fn error(&self, kind: Kind) -> ScriptError {
        ScriptError { line: self.number, kind }
    }

    fn series(&self, line: &str) -> Result<(Labels, Vec<SequenceValue>), ScriptError> {
        parse_series_desc(line).map_err(|e| self.error(Kind::Series(e.to_string())))
    }

    fn duration_ms(&self, text: &str) -> Result<i64, ScriptError> {
        let invalid = |reason| self.error(Kind::Duration { text: text.to_owned(), reason });
        duration::parse_ms(text).map_err(invalid)
    }

    fn range(&self, start: &str, end: &str, step: &str) -> Result<EvalTime, ScriptError> {
        let (start_ms, end_ms) = (self.duration_ms(start)?, self.duration_ms(end)?);
        let step_ms = self.duration_ms(step)?;
        if end_ms < start_ms {
            let (start, end) = (start.to_owned(), end.to_owned());
            return Err(self.error(Kind::EndBeforeStart { start, end }));
        }
        if step_ms <= 0 {
            return Err(self.error(Kind::ZeroStep));
        }
        Ok(EvalTime::Range { start_ms, end_ms, step_ms })
    }
}

/// Splits off the first word.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn parse_load(line: &str, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let (command, step) = split_word(line);
    let with_nhcb = match command {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(lines.error(Kind::Load)),
    };
    if step.is_empty() {
        return Err(lines.error(Kind::Load));
    }
    let mut load =
        Load { line: lines.number, step_ms: lines.duration_ms(step)?, with_nhcb, series: Vec::new() };
    let mut pending: Option<(Labels, Vec<Option<i64>>)> = None;
    while let Some(line) = lines.next_in_body() {
        if let Some((metric, values)) = start_times::split_line(line) {
            if pending.is_some() {
                return Err(lines.error(Kind::DanglingStartTimes));
            }
            let (labels, _) = lines.series(&format!("{metric} _"))?;
            let offsets = start_times::parse_values(values).map_err(|kind| lines.error(kind))?;
            pending = Some((labels, offsets));
            continue;
        }
        let (labels, values) = lines.series(line)?;
        let start_offsets_ms = match pending.take() {
            None => Vec::new(),
            Some((metric, _)) if metric != labels => return Err(lines.error(Kind::StartTimesOfOtherMetric)),
            Some((_, offsets)) if offsets.len() != values.len() => {
                let (start_times, samples) = (offsets.len(), values.len());
                return Err(lines.error(Kind::StartTimesLength { start_times, samples }));
            }
            Some((_, offsets)) => offsets,
        };
        load.series.retain(|series| series.labels != labels);
        load.series.push(LoadedSeries { labels, values, start_offsets_ms });
    }
    if pending.is_some() {
        return Err(lines.error(Kind::DanglingStartTimes));
    }
    Ok(load)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Fail,
    Warn,
    Info,
    Ordered,
}

fn parse_eval(line: &str, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let (command, rest) = split_word(line);
    let (kind, rest) = split_word(rest);
    let mode = match command {
        "eval" => Mode::Plain,
        "eval_fail" => Mode::Fail,
        "eval_warn" => Mode::Warn,
        "eval_info" => Mode::Info,
        "eval_ordered" if kind == "instant" => Mode::Ordered,
        _ => return Err(lines.error(Kind::Eval)),
    };
    let (time, expr) = parse_eval_time(kind, rest, lines)?;
    let mut eval = Eval {
        line: lines.number,
        expr: expr.to_owned(),
        time,
        expected: Expected::Series(Vec::new()),
        ordered: mode == Mode::Ordered,
        fail: (mode == Mode::Fail).then(Vec::new),
        warnings: ExpectedAnnotations { some: mode == Mode::Warn, ..ExpectedAnnotations::default() },
        infos: ExpectedAnnotations { some: mode == Mode::Info, ..ExpectedAnnotations::default() },
        range_vector: None,
    };
    while let Some(line) = lines.next_in_body() {
        if parse_expectation(&mut eval, mode, line, lines)? {
            break;
        }
    }
    Ok(eval)
}

fn parse_eval_time<'a>(
    kind: &str,
    rest: &'a str,
    lines: &Lines<'_>,
) -> Result<(EvalTime, &'a str), ScriptError> {
    let malformed = || lines.error(Kind::Eval);
    match kind {
        "instant" => {
            let Some(rest) = rest.strip_prefix("at").filter(|rest| rest.starts_with([' ', '\t'])) else {
                return Err(malformed());
            };
            let (at, expr) = split_word(rest);
            let time = EvalTime::Instant { t_ms: lines.duration_ms(at)? };
            if expr.is_empty() { Err(malformed()) } else { Ok((time, expr)) }
        }
        "range" => {
            let mut rest = rest;
            let mut times = [""; 3];
            for (keyword, time) in ["from", "to", "step"].into_iter().zip(&mut times) {
                let (word, after) = split_word(rest);
                if word != keyword {
                    return Err(malformed());
                }
                (*time, rest) = split_word(after);
            }
            let [start, end, step] = times;
            let time = lines.range(start, end, step)?;
            if rest.is_empty() { Err(malformed()) } else { Ok((time, rest)) }
        }
        _ => Err(malformed()),
    }
}

/// Takes one line of an evaluation's body; true if it must be the last.
fn parse_expectation(
    eval: &mut Eval,
    mode: Mode,
    line: &str,
    lines: &Lines<'_>,
) -> Result<bool, ScriptError> {
    if mode == Mode::Fail {
        let patterns = eval.fail.get_or_insert_default();
        if let Some(message) = line.strip_prefix("expected_fail_message") {
            patterns.push(Pattern::Exactly(message.trim().to_owned()));
            return Ok(true);
        }
        if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            patterns.push(regex_pattern(pattern, lines)?);
            return Ok(true);
        }
    }
    if let Some(times) = line.strip_prefix("expect range vector") {
        eval.range_vector = Some(parse_range_vector(line, times, lines)?);
        return Ok(false);
    }
    if let Some(literal) = line.strip_prefix("expect string") {
        let text = unquote(literal.trim()).map_err(|_| lines.error(Kind::StringLiteral))?;
        eval.expected = Expected::String(text);
        return Ok(false);
    }
    if line.split(' ').next() == Some("expect") {
        parse_expect(eval, line, lines)?;
        return Ok(false);
    }
    if let Some(number) = parse_number(line) {
        eval.expected = Expected::Scalar(number);
        return Ok(true);
    }
    let (labels, values) = lines.series(line)?;
    if values.len() > 1 && matches!(eval.expected_times(), EvalTime::Instant { .. }) {
        return Err(lines.error(Kind::SeveralValues));
    }
    if let Expected::Series(series) = &mut eval.expected {
        series.push(ExpectedSeries { labels, values });
    }
    Ok(false)
}

fn parse_range_vector(line: &str, times: &str, lines: &Lines<'_>) -> Result<EvalTime, ScriptError> {
    let words: Vec<&str> = times.split_whitespace().collect();
    match words.as_slice() {
        ["from", start, "to", end, "step", step] => lines.range(start, end, step),
        _ => Err(lines.error(Kind::RangeVector(line.to_owned()))),
    }
}

/// `expect <type>[ (msg|regex): <text>]`.
fn parse_expect(eval: &mut Eval, line: &str, lines: &Lines<'_>) -> Result<(), ScriptError> {
    let malformed = || lines.error(Kind::Expect);
    let (_, rest) = split_word(line);
    let (kind, rest) = split_word(rest);
    let pattern = match rest.split_once(':') {
        _ if rest.is_empty() => Pattern::Any,
        Some(("msg", text)) if !text.is_empty() => Pattern::Exactly(text.trim().to_owned()),
        Some(("regex", text)) if !text.is_empty() => regex_pattern(text, lines)?,
        _ => return Err(malformed()),
    };
    match kind {
        "ordered" => eval.ordered = true,
        "fail" if eval.fail.as_ref().is_some_and(|patterns| !patterns.is_empty()) => {
            return Err(lines.error(Kind::SeveralFailures));
        }
        "fail" => eval.fail.get_or_insert_default().push(pattern),
        "warn" => eval.warnings.patterns.push(pattern),
        "info" => eval.infos.patterns.push(pattern),
        "no_warn" => eval.warnings.none = true,
        "no_info" => eval.infos.none = true,
        _ => return Err(malformed()),
    }
    if eval.warnings.none && !eval.warnings.patterns.is_empty() {
        return Err(lines.error(Kind::Contradiction("warn and no_warn")));
    }
    if eval.infos.none && !eval.infos.patterns.is_empty() {
        return Err(lines.error(Kind::Contradiction("info and no_info")));
    }
    Ok(())
}

fn regex_pattern(text: &str, lines: &Lines<'_>) -> Result<Pattern, ScriptError> {
    let compiled = Regex::new(text.trim());
    compiled.map(Pattern::Matching).map_err(|e| lines.error(Kind::Regex(e.to_string())))
}

/// A number on a line of its own, as Go's `ParseInt` with base prefixes or `ParseFloat` reads it.
fn parse_number(text: &str) -> Option<f64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    let whole = prefixed
        .into_iter()
        .find_map(|(prefix, radix)| i64::from_str_radix(body.strip_prefix(prefix)?, radix).ok());
    if let Some(whole) = whole {
        return Some(if negative { -(whole as f64) } else { whole as f64 });
    }
    base::gofloat::parse(text)
}
