//! What is wrong with a configuration file: upstream's one text for scripts that match on it, and
//! a list of problems with positions for people and editors.

use std::fmt;

use rules::config::SourcePos;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` when the problem is with the file as a whole.
    pub pos: Option<SourcePos>,
    pub message: String,
}

/// Why a file was refused. `Display` gives upstream's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The path as it was given.
    pub file: String,
    /// Never empty.
    pub problems: Vec<Problem>,
    text: String,
}

impl ConfigError {
    pub(crate) fn new(file: &str, problems: Vec<Problem>, text: String) -> Self {
        Self { file: file.to_owned(), problems, text }
    }

    /// ` (at path:line:column)` for the problems whose place upstream's text does not name, to follow it.
    pub fn places(&self) -> String {
        let unnamed = self.problems.iter().filter_map(|problem| problem.pos).filter(|pos| {
            let by_line = format!("line {}:", pos.line);
            let by_both = format!("{}:{}:", pos.line, pos.column);
            !self.text.contains(&by_line) && !self.text.contains(&by_both)
        });
        let places: Vec<String> =
            unnamed.map(|pos| format!("{}:{}:{}", self.file, pos.line, pos.column)).collect();
        if places.is_empty() { String::new() } else { format!(" (at {})", places.join(", ")) }
    }

    /// `path:line:column: message`, one problem a line.
    pub fn located(&self) -> String {
        let lines = self.problems.iter().map(|problem| match problem.pos {
            Some(pos) => format!("{}:{}:{}: {}", self.file, pos.line, pos.column, problem.message),
            None => format!("{}: {}", self.file, problem.message),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ConfigError {}

/// Why decoding stopped, before it is known which file it was and how upstream would wrap it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The text is no YAML.
    Syntax(Problem),
    /// Values of wrong types and unknown fields; upstream reports them together.
    Types(Vec<Problem>),
    /// A rule of the format is broken; upstream stops at the first.
    Semantic(Problem),
}

impl DecodeError {
    pub(crate) fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Syntax(problem) | Self::Semantic(problem) => vec![problem.clone()],
            Self::Types(problems) => problems.clone(),
        }
    }

    /// The text of the Go library for the same mistake.
    pub(crate) fn upstream_text(&self) -> String {
        let line = |problem: &Problem| problem.pos.map_or(0, |pos| pos.line);
        match self {
            Self::Syntax(problem) => format!("yaml: line {}: {}", line(problem), problem.message),
            Self::Semantic(problem) => problem.message.clone(),
            Self::Types(problems) => {
                let mut text = "yaml: unmarshal errors:".to_owned();
                for problem in problems {
                    text.push_str(&format!("\n  line {}: {}", line(problem), problem.message));
                }
                text
            }
        }
    }

    /// Wraps as upstream's loader does: `parsing YAML file <path>: <text>`.
    pub(crate) fn in_file(self, file: &str) -> ConfigError {
        let text = format!("parsing YAML file {file}: {}", self.upstream_text());
        ConfigError::new(file, self.problems(), text)
    }

    /// As it is, for texts that are no file.
    pub(crate) fn bare(self) -> ConfigError {
        let text = self.upstream_text();
        ConfigError::new("", self.problems(), text)
    }

    /// Wraps as most of upstream's tools do: `<path>: <text>`.
    pub(crate) fn prefixed(self, file: &str) -> ConfigError {
        let text = format!("{file}: {}", self.upstream_text());
        ConfigError::new(file, self.problems(), text)
    }
}
