//! Comparing the annotations of a result with what was stated.

use super::script::{Eval, ExpectedAnnotations, Pattern};
use crate::query::QueryOutput;

/// How the annotations differ from what was stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationMismatch {
    #[error("expected {severity} annotations, got none")]
    None { severity: &'static str },
    #[error("no {severity} annotation matches {pattern}; there are {got:?}")]
    NoMatch { severity: &'static str, pattern: String, got: Vec<String> },
    #[error("unexpected {severity} annotation {got:?}")]
    Unexpected { severity: &'static str, got: String },
}

use AnnotationMismatch as Mismatch;

/// Checks warnings and infos as rendered with their positions in `query`.
pub(super) fn check(eval: &Eval, query: &str, output: &QueryOutput) -> Result<(), AnnotationMismatch> {
    check_severity("warn", &eval.warnings, output.warnings(query, 0))?;
    check_severity("info", &eval.infos, output.infos(query, 0))
}

fn check_severity(
    severity: &'static str,
    expected: &ExpectedAnnotations,
    got: Vec<String>,
) -> Result<(), AnnotationMismatch> {
    if got.is_empty() && (expected.some || !expected.patterns.is_empty()) {
        return Err(Mismatch::None { severity });
    }
    if let Some(unmatched) = expected.patterns.iter().find(|p| !got.iter().any(|text| p.matches(text))) {
        return Err(Mismatch::NoMatch { severity, pattern: unmatched.to_string(), got });
    }
    let allowed = |text: &String| {
        !expected.none
            && (expected.patterns.is_empty() || expected.patterns.iter().any(|p: &Pattern| p.matches(text)))
    };
    match got.into_iter().find(|text| !allowed(text)) {
        Some(got) => Err(Mismatch::Unexpected { severity, got }),
        None => Ok(()),
    }
}
