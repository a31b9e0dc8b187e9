//! The one way into the store: what it accepts is offered to remote write as well.

use std::sync::Arc;

use model::SeriesBatch;
use store_metrics::{AppendError, AppendOptions, AppendOutcome, MetricStore};

use crate::remote_write::RemoteWriting;

/// The store as scrapes, rules and receivers write to it.
#[derive(Debug)]
pub struct Ingest {
    pub store: Arc<MetricStore>,
    pub remote_writing: Arc<RemoteWriting>,
}

impl Ingest {
    /// Appends, and passes on a batch of which anything was kept. The store does not say which samples
    /// it refused, so those of a mixed batch are passed on too, for the receiver to judge. Blocks.
    pub fn append(&self, batch: &SeriesBatch, options: AppendOptions) -> Result<AppendOutcome, AppendError> {
        let outcome = self.store.append(batch, options)?;
        if !outcome.repeated && outcome.accepted + outcome.accepted_exemplars > 0 {
            self.remote_writing.offer(batch);
        }
        Ok(outcome)
    }
}
