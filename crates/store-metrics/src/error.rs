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
    /// A tenant that has nothing here yet, and there are as many as there may be.
    #[error("there are {tenants_max} tenants, which is as many as there may be")]
    Tenants { tenants_max: usize },
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
    /// The directory cannot be opened: in use, written by a newer release, or unreadable.
    #[error("{0}")]
    Open(String),
    #[error("the store is closed")]
    Closed,
}

impl From<store_core::PartError> for StoreError {
    fn from(error: store_core::PartError) -> Self {
        match error {
            store_core::PartError::Budget(refused) => refused.into(),
            store_core::PartError::Corrupt(corrupt) => {
                Self::Corrupt { what: format!("part {}", corrupt.key), detail: corrupt.to_string() }
            }
            other => match other.damaged_key() {
                Some(key) => Self::Corrupt { what: format!("part {key}"), detail: other.to_string() },
                None => Self::Storage(other.to_string()),
            },
        }
    }
}

impl From<store_core::FamilyError> for StoreError {
    fn from(error: store_core::FamilyError) -> Self {
        match error {
            store_core::FamilyError::Part(error) => error.into(),
            store_core::FamilyError::Cancelled(error) => error.into(),
            store_core::FamilyError::Budget(error) => error.into(),
            bad @ store_core::FamilyError::BadTombstone { .. } => Self::Storage(bad.to_string()),
        }
    }
}
