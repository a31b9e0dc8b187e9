//! The one way into the store: each tenant at its own pace, and what is accepted is offered to remote
//! write as well.

mod rates;

use std::sync::Arc;

use model::SeriesBatch;
use store_metrics::{AppendError, AppendOptions, AppendOutcome, MetricStore};

use crate::remote_write::RemoteWriting;
pub use rates::{RateExceeded, Rates};

/// Why nothing of a batch was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Store(#[from] AppendError),
    #[error(transparent)]
    Rate(#[from] RateExceeded),
}

impl IngestError {
    /// Whether the same batch may be taken a little later.
    pub(crate) fn is_back_pressure(&self) -> bool {
        matches!(self, Self::Rate(_) | Self::Store(AppendError::Budget(_) | AppendError::Tenants { .. }))
    }
}

/// The store as scrapes, rules and receivers write to it.
#[derive(Debug)]
pub struct Ingest {
    pub store: Arc<MetricStore>,
    pub remote_writing: Arc<RemoteWriting>,
    pub rates: Rates,
}

impl Ingest {
    /// Appends, and passes on a batch of which anything was kept. The store does not say which samples
    /// it refused, so those of a mixed batch are passed on too, for the receiver to judge. Blocks.
    pub fn append(&self, batch: &SeriesBatch, options: AppendOptions) -> Result<AppendOutcome, IngestError> {
        self.rates.admit(&batch.tenant, (batch.floats.len() + batch.histograms.len()) as u64)?;
        let outcome = self.store.append(batch, options)?;
        if !outcome.repeated && outcome.accepted + outcome.accepted_exemplars > 0 {
            self.remote_writing.offer(batch);
        }
        Ok(outcome)
    }
}
