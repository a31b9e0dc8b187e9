//! Running scripts.

use std::fmt;

use super::annotated::{self, AnnotationMismatch};
use super::compare::{self, Mismatch};
use super::fragmented::{self, FragmentMismatch};
use super::load::{self, LoadError};
use super::pinned;
use super::script::{Command, Eval, EvalTime, Script, ScriptError};
use crate::ast::Expr;
use crate::eval::{EvalError, evaluate};
use crate::memory_source::MemorySource;
use crate::parser::{self, ParseErrors, ParserOptions};
use crate::query::{EngineOptions, EvalContext, QueryOutput, QueryParams};
use crate::value::{SampleValue, Value, VectorSample};

/// The distance of the steps of the range queries that repeat an instant query.
const RANGE_STEP_MS: i64 = 60_000;

/// The engine that scripts expect: small sample limit, metric names removed at the end, start
/// timestamps used.
pub fn engine_options() -> EngineOptions {
    EngineOptions {
        lookback_delta_ms: 300_000,
        samples_max: 10_000,
        no_step_subquery_interval_ms: 60_000,
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..EngineOptions::default()
    }
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// `eval` commands.
    pub n_evals: usize,
    /// Queries executed for them.
    pub n_queries: usize,
    /// One per `eval` or `load` that failed, in script order.
    pub failures: Vec<Failure>,
}

/// A command that did not do what the script states.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The line of the command, from 1.
    pub line: usize,
    /// The query that went wrong, perhaps a variant of the stated one; empty for a `load`.
    pub query: String,
    /// When it was evaluated, in words.
    pub time: String,
    pub kind: FailureKind,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum FailureKind {
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("the query does not parse: {0}")]
    Parse(#[from] ParseErrors),
    #[error("the query failed: {0}")]
    Eval(#[from] EvalError),
    #[error("the query should have failed")]
    Succeeded,
    #[error("the query should have failed with {expected}, but failed with {got:?}")]
    OtherError { expected: String, got: String },
    #[error("{0}")]
    Mismatch(#[from] Mismatch),
    #[error("as the middle step of a range query: {0}")]
    InRange(Mismatch),
    #[error("{0}")]
    Annotations(#[from] AnnotationMismatch),
    #[error("{0}")]
    Fragments(#[from] FragmentMismatch),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.query.is_empty() {
            return write!(f, "{}: {}", self.line, self.kind);
        }
        write!(f, "{}: {} {}\n    {}", self.line, self.query, self.time, self.kind)
    }
}

/// Runs every command of a script. The error is that of a malformed script; evaluations that
/// differ from what is stated are in the report.
pub fn run(text: &str) -> Result<Report, ScriptError> {
    run_in_fragments(text, &engine_options(), &[])
}

/// As [`run`], with engine options of one's own, and every query once more in fragments at each of these
/// numbers of places.
pub fn run_in_fragments(
    text: &str,
    options: &EngineOptions,
    n_places: &[usize],
) -> Result<Report, ScriptError> {
    let script = Script::parse(text)?;
    let (options, n_places) = (options.clone(), n_places.to_vec());
    let mut runner = Runner { source: MemorySource::new(), options, n_places, report: Report::default() };
    for command in &script.commands {
        match command {
            Command::Clear => runner.source.clear(),
            Command::Load(load) => {
                if let Err(e) = load::load(&mut runner.source, load) {
                    let (query, time) = (String::new(), String::new());
                    runner.report.failures.push(Failure { line: load.line, query, time, kind: e.into() });
                }
            }
            Command::Eval(eval) => {
                runner.report.n_evals += 1;
                if let Err(failure) = runner.eval(eval) {
                    runner.report.failures.push(*failure);
                }
            }
        }
    }
    Ok(runner.report)
}

struct Runner {
    source: MemorySource,
    options: EngineOptions,
    n_places: Vec<usize>,
    report: Report,
}

impl Runner {
    fn eval(&mut self, eval: &Eval) -> Result<(), Box<Failure>> {
        let failure = |query: &str, time: EvalTime, kind: FailureKind| {
            Box::new(Failure { line: eval.line, query: query.to_owned(), time: in_words(time), kind })
        };
        let expr = parse(&eval.expr).map_err(|e| failure(&eval.expr, eval.time, e.into()))?;
        let t_ms = match (eval.time, eval.range_vector) {
            (EvalTime::Range { start_ms, end_ms, step_ms }, _) => {
                let params = QueryParams::range(&expr, start_ms, end_ms, step_ms);
                return self
                    .query(eval, &eval.expr, &params)
                    .map(drop)
                    .map_err(|kind| failure(&eval.expr, eval.time, kind));
            }
            (EvalTime::Instant { .. }, Some(EvalTime::Range { end_ms, .. })) => end_ms,
            (EvalTime::Instant { t_ms }, _) => t_ms,
        };
        let at = |t_ms| EvalTime::Instant { t_ms };
        self.instant(eval, &eval.expr, &expr, t_ms).map_err(|kind| failure(&eval.expr, at(t_ms), kind))?;
        let Some(pinned) = pinned::pin(&expr, t_ms) else {
            return Ok(());
        };
        let query = pinned.to_string();
        let pinned = parse(&query).map_err(|e| failure(&query, at(t_ms), e.into()))?;
        let times =
            if t_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms] };
        for t_ms in times {
            self.instant(eval, &query, &pinned, t_ms).map_err(|kind| failure(&query, at(t_ms), kind))?;
        }
        Ok(())
    }

    /// An instant query, and again as the middle step of a range query.
    fn instant(&mut self, eval: &Eval, query: &str, expr: &Expr, t_ms: i64) -> Result<(), FailureKind> {
        let Some(output) = self.query(eval, query, &QueryParams::instant(expr, t_ms))? else {
            return Ok(());
        };
        let only_instant = eval.range_vector.is_some() || matches!(output.value, Value::String { .. });
        if only_instant || pinned::depends_on_range(query) {
            return Ok(());
        }
        let params = QueryParams::range(expr, t_ms - RANGE_STEP_MS, t_ms + RANGE_STEP_MS, RANGE_STEP_MS);
        let ranged = self.evaluate(&params)??;
        let Value::Matrix(series) = &ranged.value else {
            return Ok(());
        };
        if eval.ordered {
            // A matrix is sorted by labels, whatever order the instant vector had.
            return Ok(());
        }
        compare::check_sorted(series)?;
        let mut samples: Vec<VectorSample> = Vec::with_capacity(series.len());
        for s in series {
            let value = match (s.float_ts.binary_search(&t_ms), s.histogram_ts.binary_search(&t_ms)) {
                (Ok(idx), _) => SampleValue::Float(s.floats[idx]),
                (_, Ok(idx)) => SampleValue::Histogram(std::sync::Arc::clone(&s.histograms[idx])),
                (Err(_), Err(_)) => continue,
            };
            samples.push(VectorSample { labels: s.labels.clone(), value });
        }
        let middle = match (&output.value, samples.first()) {
            (Value::Scalar { .. }, Some(VectorSample { value: SampleValue::Float(value), .. })) => {
                Value::Scalar { t_ms, value: *value }
            }
            _ => Value::Vector { t_ms, samples },
        };
        compare::compare(eval, &middle).map_err(FailureKind::InRange)
    }

    /// Evaluates and compares; nothing comes back if the query failed as it should.
    fn query(
        &mut self,
        eval: &Eval,
        query: &str,
        params: &QueryParams<'_>,
    ) -> Result<Option<QueryOutput>, FailureKind> {
        let output = match (self.evaluate(params)?, &eval.fail) {
            (Ok(_), Some(_)) => return Err(FailureKind::Succeeded),
            (Ok(output), None) => output,
            (Err(e), None) => return Err(e.into()),
            (Err(e), Some(patterns)) => {
                let got = e.to_string();
                return match patterns.iter().find(|pattern| !pattern.matches(&got)) {
                    None => Ok(None),
                    Some(pattern) => Err(FailureKind::OtherError { expected: pattern.to_string(), got }),
                };
            }
        };
        annotated::check(eval, query, &output)?;
        compare::compare(eval, &output.value)?;
        Ok(Some(output))
    }

    /// The outcome of the whole query, after all of its outcomes in fragments were found to be the same.
    fn evaluate(
        &mut self,
        params: &QueryParams<'_>,
    ) -> Result<Result<QueryOutput, EvalError>, FragmentMismatch> {
        self.report.n_queries += 1;
        let whole = evaluate(&self.options, params, &self.source, &EvalContext::unbounded());
        for n_places in &self.n_places {
            fragmented::check(&self.options, params, &self.source, *n_places, &whole)?;
        }
        Ok(whole)
    }
}

fn parse(query: &str) -> Result<Expr, ParseErrors> {
    parser::parse_expr(query, &ParserOptions::all())
}

fn in_words(time: EvalTime) -> String {
    match time {
        EvalTime::Instant { t_ms } => format!("at {t_ms} ms"),
        EvalTime::Range { start_ms, end_ms, step_ms } => {
            format!("from {start_ms} to {end_ms} ms step {step_ms} ms")
        }
    }
}
