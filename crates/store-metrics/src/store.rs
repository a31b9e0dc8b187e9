//! The store: one owner of journal, live store, parts and catalog.

use std::collections::BTreeMap;

use base::{Budget, CancelToken, TenantId};
use model::{Matcher, Metadata, SeriesBatch};

use crate::cardinality::CardinalityStats;
use crate::error::{AppendError, StoreError};
use crate::options::AppendOptions;
use crate::outcome::{AppendOutcome, CutOutcome, DeleteOutcome, MaintainOutcome, SnapshotReport, StoreStats};
use crate::selection::{ExemplarSeries, LabelAnswer, LabelScope, SelectedSeries, SeriesAnswer};

/// All methods take `&self` and may be called from any thread.
#[derive(Debug)]
pub struct MetricStore {}

impl MetricStore {
    /// Journals the batch (one group-committed fsync), then makes it searchable.
    pub fn append(&self, batch: &SeriesBatch, options: AppendOptions) -> Result<AppendOutcome, AppendError> {
        let _ = (batch, options);
        Err(AppendError::Closed)
    }

    /// One catalog snapshot plus the live store above its committed offset.
    pub fn view(&self) -> MetricsView {
        MetricsView {}
    }

    /// Whether age or size of the live generation asks for a [`MetricStore::cut`].
    pub fn wants_cut(&self) -> bool {
        false
    }

    /// Freezes the live generation, writes it as parts, commits them, trims the journal.
    pub fn cut(&self) -> Result<CutOutcome, StoreError> {
        Err(StoreError::Closed)
    }

    /// One round of planned compaction and retention.
    pub fn maintain(&self, cancel: &CancelToken) -> Result<MaintainOutcome, StoreError> {
        let _ = cancel;
        Err(StoreError::Closed)
    }

    /// Deletes samples of matching series within the time range, both ends inclusive.
    pub fn delete_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<DeleteOutcome, StoreError> {
        let _ = (tenant, matchers, start_ms, end_ms);
        Err(StoreError::Closed)
    }

    /// Rewrites parts with deleted samples so that their space is free.
    pub fn clean_tombstones(&self) -> Result<MaintainOutcome, StoreError> {
        Err(StoreError::Closed)
    }

    /// Keeps the present state under `name`, without copying samples.
    pub fn snapshot(&self, name: &str) -> Result<SnapshotReport, StoreError> {
        let _ = name;
        Err(StoreError::Closed)
    }

    /// Statistics of the live store; `limit` entries per top list.
    pub fn cardinality(&self, tenant: &TenantId, limit: usize) -> CardinalityStats {
        let _ = (tenant, limit);
        CardinalityStats::default()
    }

    /// Metadata by family, from appended batches: of `metric` only if given, at most `limit`
    /// families (0: all).
    pub fn metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
        limit: usize,
    ) -> BTreeMap<String, Vec<Metadata>> {
        let _ = (tenant, metric, limit);
        BTreeMap::new()
    }

    pub fn stats(&self) -> StoreStats {
        StoreStats::default()
    }

    /// Why appends are refused, if they are.
    pub fn read_only_reason(&self) -> Option<String> {
        None
    }

    /// Cuts what is live and refuses appends from then on.
    pub fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// An atomically consistent view; cheap to make, holds no locks.
#[derive(Debug, Clone)]
pub struct MetricsView {}

impl MetricsView {
    /// The series that all `matchers` select and that may have samples in `[start_ms, end_ms]`.
    /// Memory of the answer is charged to `budget` until it is dropped.
    pub fn select(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<SelectedSeries, StoreError> {
        let _ = (tenant, matchers, start_ms, end_ms, budget, cancel);
        Err(StoreError::Closed)
    }

    pub fn label_names(&self, tenant: &TenantId, scope: &LabelScope<'_>) -> Result<LabelAnswer, StoreError> {
        let _ = (tenant, scope);
        Err(StoreError::Closed)
    }

    pub fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        scope: &LabelScope<'_>,
    ) -> Result<LabelAnswer, StoreError> {
        let _ = (tenant, name, scope);
        Err(StoreError::Closed)
    }

    /// The label sets of the series in scope.
    pub fn series(
        &self,
        tenant: &TenantId,
        scope: &LabelScope<'_>,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<SeriesAnswer, StoreError> {
        let _ = (tenant, scope, budget, cancel);
        Err(StoreError::Closed)
    }

    /// Exemplars of series that any of the `selectors` match, within the time range, sorted by labels.
    pub fn query_exemplars(
        &self,
        tenant: &TenantId,
        selectors: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<ExemplarSeries>, StoreError> {
        let _ = (tenant, selectors, start_ms, end_ms);
        Err(StoreError::Closed)
    }
}
