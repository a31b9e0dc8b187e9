//! Why an evaluation gave no value.

use base::{BudgetExceeded, Cancelled};

use crate::source::SourceError;

/// The stage upstream names in its texts.
const EVALUATION: &str = "expression evaluation";

/// Every way an evaluation can fail. The HTTP layer answers 400 to [`EvalError::Preparation`], 422 to [`EvalError::Execution`] and
/// [`EvalError::TooManySamples`], 503 to [`EvalError::Timeout`], [`EvalError::Cancelled`] and
/// [`EvalError::Budget`], 500 to [`EvalError::Storage`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The query cannot be evaluated whatever the data; the text is upstream's.
    #[error("{0}")]
    Preparation(String),
    #[error("query timed out in {EVALUATION}")]
    Timeout,
    #[error("query was canceled in {EVALUATION}")]
    Cancelled,
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    #[error(transparent)]
    Budget(BudgetExceeded),
    #[error("expanding series: {0}")]
    Storage(String),
    /// What the query asks for makes no sense on these data; the text is upstream's.
    #[error("{0}")]
    Execution(String),
}

impl EvalError {
    pub(crate) fn duplicate_labelset() -> Self {
        Self::Execution("vector cannot contain metrics with the same labelset".to_owned())
    }
}

impl From<Cancelled> for EvalError {
    fn from(cancelled: Cancelled) -> Self {
        match cancelled {
            Cancelled::ByCaller => Self::Cancelled,
            Cancelled::Deadline => Self::Timeout,
        }
    }
}

impl From<BudgetExceeded> for EvalError {
    fn from(refused: BudgetExceeded) -> Self {
        Self::Budget(refused)
    }
}

impl From<SourceError> for EvalError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Budget(refused) => Self::Budget(refused),
            SourceError::Cancelled(cancelled) => cancelled.into(),
            SourceError::Storage(text) => Self::Storage(text),
        }
    }
}
