//! The store as a source of series for PromQL: one view per query, so that every selector of a query
//! sees the same state.

use base::{Budget, CancelToken, TenantId};
use model::Labels;
use ql_promql::source::{SelectRequest, SeriesBuffer, SeriesSet, SeriesSource, SourceError};
use store_metrics::{MetricsView, SampleColumns, SelectScope, SelectedSeries, StoreError};

/// One tenant's series in one view of the store.
#[derive(Debug, Clone)]
pub struct StoreSource {
    pub view: MetricsView,
    pub tenant: TenantId,
    pub budget: Budget,
    pub cancel: CancelToken,
}

impl SeriesSource for StoreSource {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SourceError> {
        let scope = SelectScope {
            matchers: request.matchers,
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            shards: request.shards,
        };
        let selected = self.view.select_in(&self.tenant, &scope, &self.budget, &self.cancel);
        selected.map(|series| Box::new(StoreSeries(series)) as Box<dyn SeriesSet>).map_err(source_error)
    }
}

struct StoreSeries(SelectedSeries);

impl SeriesSet for StoreSeries {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, idx: usize) -> &Labels {
        self.0.labels(idx)
    }

    fn read(&self, idx: usize, buffer: &mut SeriesBuffer) -> Result<(), SourceError> {
        // The two buffers hold the same columns under the names of two crates that must not know
        // each other; the vectors move over and back, so that their allocations are reused.
        let mut columns = SampleColumns {
            float_ts: std::mem::take(&mut buffer.float_ts),
            float_values: std::mem::take(&mut buffer.float_values),
            float_st: std::mem::take(&mut buffer.float_st),
            histogram_ts: std::mem::take(&mut buffer.histogram_ts),
            histograms: std::mem::take(&mut buffer.histograms),
            histogram_st: std::mem::take(&mut buffer.histogram_st),
        };
        let outcome = self.0.read(idx, &mut columns).map_err(source_error);
        *buffer = SeriesBuffer {
            float_ts: columns.float_ts,
            float_values: columns.float_values,
            float_st: columns.float_st,
            histogram_ts: columns.histogram_ts,
            histograms: columns.histograms,
            histogram_st: columns.histogram_st,
        };
        outcome
    }
}

fn source_error(error: StoreError) -> SourceError {
    match error {
        StoreError::Budget(refused) => SourceError::Budget(refused),
        StoreError::Cancelled(cancelled) => SourceError::Cancelled(cancelled),
        other => SourceError::Storage(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
