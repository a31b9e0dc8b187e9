//! What a run of unit tests found, and how people read it.

use std::collections::BTreeMap;
use std::fmt;

use base::duration::{format_go_ns, format_ms};
use base::gofloat::format_g;
use model::Labels;
use model::labels::GoQuoted;
use ql_promql::value::{SampleValue, VectorSample};

use super::compare::line_diff;

/// The report on one file.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitTestReport {
    pub file: String,
    /// The file as a whole could not be run.
    pub error: Option<String>,
    pub groups: Vec<TestGroupReport>,
}

impl UnitTestReport {
    pub fn passed(&self) -> bool {
        self.error.is_none() && self.groups.iter().all(|group| group.failures.is_empty())
    }
}

/// The report on one entry of `tests`.
#[derive(Debug, Clone, PartialEq)]
pub struct TestGroupReport {
    pub name: String,
    pub failures: Vec<UnitTestFailure>,
}

/// An alert, as expected or as it fired.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownAlert {
    pub labels: Labels,
    pub annotations: BTreeMap<String, String>,
}

/// A sample, as expected or as the query gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownSample {
    pub labels: Labels,
    pub value: ShownValue,
}

/// The value of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum ShownValue {
    Float(f64),
    /// In the notation of test files.
    Histogram(String),
}

impl From<VectorSample> for ShownSample {
    fn from(sample: VectorSample) -> Self {
        let value = match sample.value {
            SampleValue::Float(v) => ShownValue::Float(v),
            SampleValue::Histogram(h) => ShownValue::Histogram(h.test_expression()),
        };
        Self { labels: sample.labels, value }
    }
}

/// One thing that is not as expected. Times are offsets from the start of the test unless they are
/// named otherwise.
#[derive(Debug, Clone, PartialEq)]
pub enum UnitTestFailure {
    /// Rules or series could not be set up.
    Setup(String),
    InputSeries {
        series: String,
        line: u32,
        error: String,
    },
    NoAlertName {
        eval_time_ms: i64,
    },
    /// A rule failed; `t_ms` is since the Unix epoch.
    Rule {
        rule: String,
        t_ms: i64,
        error: String,
    },
    Query {
        expr: String,
        eval_time_ms: i64,
        error: String,
    },
    Alerts {
        alertname: String,
        eval_time_ms: i64,
        expected: Vec<ShownAlert>,
        got: Vec<ShownAlert>,
    },
    Samples {
        expr: String,
        eval_time_ms: i64,
        expected: Vec<ShownSample>,
        got: Vec<ShownSample>,
    },
}

fn alert_lines(alerts: &[ShownAlert]) -> Vec<String> {
    let mut lines = Vec::new();
    for alert in alerts {
        lines.push(alert.labels.to_string());
        let annotations = alert.annotations.iter();
        lines.extend(annotations.map(|(name, text)| format!("    {name}: {}", GoQuoted(text))));
    }
    lines
}

fn sample_lines(samples: &[ShownSample]) -> Vec<String> {
    let shown = |sample: &ShownSample| match &sample.value {
        ShownValue::Float(v) => format!("{} {}", sample.labels, format_g(*v)),
        ShownValue::Histogram(h) => format!("{} {h}", sample.labels),
    };
    samples.iter().map(shown).collect()
}

/// The two sides line by line; a side without lines is said to be empty.
fn push_diff(f: &mut fmt::Formatter<'_>, expected: &[String], got: &[String], nothing: &str) -> fmt::Result {
    f.write_str("\n      (- expected, + got)")?;
    for (side, sign) in [(expected, '-'), (got, '+')] {
        if side.is_empty() {
            write!(f, "\n      {sign} {nothing}")?;
        }
    }
    for line in line_diff(expected, got).lines() {
        write!(f, "\n      {line}")?;
    }
    Ok(())
}

impl fmt::Display for UnitTestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(text) => write!(f, "    {text}"),
            Self::InputSeries { series, line, error } => {
                write!(f, "    line {line}: input series {}: {error}", GoQuoted(series))
            }
            Self::NoAlertName { eval_time_ms } => write!(
                f,
                "    an item under alert_rule_test misses required attribute alertname at eval_time {}",
                format_ms(*eval_time_ms)
            ),
            Self::Rule { rule, t_ms, error } => {
                let time = format_go_ns(t_ms.saturating_mul(1_000_000));
                write!(f, "    rule: {rule}, time: {time}, err: {error}")
            }
            Self::Query { expr, eval_time_ms, error } => {
                write!(f, "    expr: {}, time: {}, err: {error}", GoQuoted(expr), format_ms(*eval_time_ms))
            }
            Self::Alerts { alertname, eval_time_ms, expected, got } => {
                write!(f, "    alertname: {alertname}, time: {},", format_ms(*eval_time_ms))?;
                push_diff(f, &alert_lines(expected), &alert_lines(got), "no alert")
            }
            Self::Samples { expr, eval_time_ms, expected, got } => {
                write!(f, "    expr: {}, time: {},", GoQuoted(expr), format_ms(*eval_time_ms))?;
                push_diff(f, &sample_lines(expected), &sample_lines(got), "no sample")
            }
        }
    }
}
