//! Closed sets of what can go wrong.

use base::{BudgetExceeded, Cancelled};

/// Why nothing of a batch was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Memory for samples is used up; the sender should try later (429 or 503 with Retry-After).
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    /// The disk is full or failing; appends go on by themselves when there is room.
    #[error("storage is read-only: {0}")]
    ReadOnly(String),
    #[error("journal: {0}")]
    Journal(String),
    #[error("the batch is larger than a journal record may be ({bytes} of {limit_bytes} bytes)")]
    TooLarge { bytes: u64, limit_bytes: u64 },
    #[error("the store is closed")]
    Closed,
}

/// Why a read or a piece of maintenance failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A part or a journal record does not decode; which and where is in the text.
    #[error("corrupt {what}: {detail}")]
    Corrupt { what: String, detail: String },
    #[error("storage: {0}")]
    Storage(String),
    #[error("{0}")]
    InvalidName(String),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn corrupt(what: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), detail: detail.to_string() }
    }
}
