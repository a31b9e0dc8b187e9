//! The metrics store as the simulator drives it: each row is a float sample of one of many series.

use std::path::Path;
use std::sync::Arc;

use base::{Budget, CancelToken, Clock, TenantId};
use model::{BatchSeries, FloatSample, Labels, Matcher, SeriesBatch};
use store_core::part_family::PartFamily;
use store_core::plan::CompactionPolicy;
use store_core::{JournalOptions, TimeRange, doctor};
use store_metrics::{
    AppendOptions, MetricStore, MetricsFamily, RetentionOptions, SampleColumns, StoreOptions,
};
use vfs::{FaultVfs, Vfs};

use crate::subject::{Row, Settings, Subject};

const DIR: &str = "data";
const NAME: &str = "sim";

/// A [`MetricStore`] on a simulated disk.
#[derive(Debug)]
pub struct MetricSubject {
    store: MetricStore,
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// The series of a value: its last byte is what deletions select by, two more bits spread the rest.
fn series_of(value: u64) -> Labels {
    let [last, next, ..] = value.to_le_bytes();
    let (last, next) = (last.to_string(), (next & 3).to_string());
    Labels::from_pairs([("__name__", NAME), ("last", &last), ("next", &next)])
}

impl Subject for MetricSubject {
    const NAME: &'static str = "metrics";

    fn open(vfs: &FaultVfs, settings: &Settings) -> Result<Self, String> {
        let vfs: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let journal =
            JournalOptions { segment_bytes_max: settings.segment_bytes_max, ..JournalOptions::default() };
        let compaction = CompactionPolicy {
            windows_ms: settings.windows_ms.clone(),
            grace_ms: settings.grace_ms,
            ..CompactionPolicy::default()
        };
        let time_ms = Some(settings.keep_ms);
        let options = StoreOptions {
            retention: RetentionOptions { time_ms, ..RetentionOptions::default() },
            compaction,
            reserve_bytes: 0,
            ..StoreOptions::default()
        };
        let clock = Arc::clone(&settings.clock) as Arc<dyn Clock>;
        let (store, report) =
            MetricStore::open_dir(vfs, Path::new(DIR), clock, journal, options).map_err(text)?;
        if report.problems.len() as u64 == report.torn_tails {
            Ok(Self { store })
        } else {
            Err(report.problems.join("; "))
        }
    }

    fn append(&mut self, rows: &[Row]) -> Result<(), String> {
        let tenant = TenantId::anonymous();
        let mut batch = SeriesBatch::new(tenant.clone());
        for row in rows {
            let series_idx = batch.add_series(BatchSeries::new(&tenant, series_of(row.value)));
            batch.floats.push(FloatSample { series_idx, st: 0, t: row.t_ms, v: row.value as f64 });
        }
        let outcome = self.store.append(&batch, AppendOptions::default()).map_err(text)?;
        if outcome.rejected.total() > 0 {
            return Err(format!("rejected: {:?}", outcome.rejected));
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), String> {
        self.store.cut().map(|_| ()).map_err(text)
    }

    fn delete(&mut self, last_byte: u8, time: TimeRange) -> Result<(), String> {
        let matchers = [Matcher::equal("last", &last_byte.to_string())];
        let tenant = TenantId::anonymous();
        let deleted = self.store.delete_series(&tenant, &matchers, time.min_ms, time.max_ms);
        deleted.map(|_| ()).map_err(text)
    }

    fn maintain(&mut self) -> Result<(), String> {
        let round = self.store.maintain(&CancelToken::unbounded()).map_err(text)?;
        round.failures.into_iter().next().map_or(Ok(()), Err)
    }

    fn rows(&self) -> Result<Vec<Row>, String> {
        let matchers = [Matcher::equal("__name__", NAME)];
        let (budget, cancel) = (Budget::unlimited(), CancelToken::unbounded());
        let view = self.store.view();
        let selected = view
            .select(&TenantId::anonymous(), &matchers, i64::MIN, i64::MAX, &budget, &cancel)
            .map_err(text)?;
        let mut rows = Vec::new();
        let mut columns = SampleColumns::default();
        for series_idx in 0..selected.len() {
            selected.read(series_idx, &mut columns).map_err(text)?;
            for (t_ms, v) in columns.float_ts.iter().zip(&columns.float_values) {
                let value = *v as u64;
                if series_of(value) != *selected.labels(series_idx) {
                    return Ok(vec![Row { t_ms: *t_ms, value: u64::MAX }]);
                }
                rows.push(Row { t_ms: *t_ms, value });
            }
        }
        Ok(rows)
    }

    fn verify(vfs: &FaultVfs) -> Result<Vec<String>, String> {
        let families: [Arc<dyn PartFamily>; 1] = [Arc::new(MetricsFamily::new(Budget::unlimited()))];
        let report =
            doctor::verify(&(Arc::new(vfs.clone()) as _), Path::new(DIR), &families).map_err(text)?;
        let mut defects: Vec<String> = report.defects.iter().map(|d| format!("{d:?}")).collect();
        if !report.is_healthy() && defects.is_empty() {
            defects.push(format!("{:?}", report.journal));
        }
        Ok(defects)
    }

    fn rebuild(vfs: &FaultVfs) -> Result<(), String> {
        doctor::rebuild_catalog(&(Arc::new(vfs.clone()) as _), Path::new(DIR)).map(|_| ()).map_err(text)
    }
}
