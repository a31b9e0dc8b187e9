//! Compaction, retention, deletion and snapshots: what the substrate plans and does, for metrics.

use std::sync::atomic::Ordering;

use base::{CancelToken, TenantId};
use model::Matcher;
use store_core::catalog::NewTombstone;
use store_core::maintain::{MaintenancePolicy, RoundReport};
use store_core::plan::RetentionPolicy;
use store_core::{TimeRange, Txn};

use crate::error::StoreError;
use crate::options::LiveSamples;
use crate::outcome::{DeleteOutcome, MaintainOutcome, SnapshotReport};
use crate::part::FAMILY;
use crate::selector;
use crate::store::{Extent, Shared};

impl Shared {
    fn policy(&self) -> MaintenancePolicy {
        let retention = *self.retention.read();
        MaintenancePolicy {
            compaction: self.options.compaction.clone(),
            retention: RetentionPolicy {
                time_ms: retention.time_ms,
                size_bytes: retention.size_bytes,
                disk_share: retention.disk_percent.map(|percent| f64::from(percent) / 100.0),
                ..RetentionPolicy::default()
            },
            reserve_bytes: self.options.reserve_bytes,
        }
    }

    pub(super) fn maintain(&self, cancel: &CancelToken) -> Result<MaintainOutcome, StoreError> {
        self.clear();
        let now_ms = self.clock.now_ms();
        let round = self.maintenance_tasks.round(&self.policy(), now_ms, self.journal.len_bytes(), cancel);
        let report = round.map_err(|error| {
            self.counters.merge_failures.fetch_add(1, Ordering::Relaxed);
            if error.is_no_space() {
                self.read_only(&error.to_string());
            }
            StoreError::Storage(error.to_string())
        })?;
        self.forget_parts(&self.catalog.snapshot());
        Ok(self.note_round(&report))
    }

    fn note_round(&self, report: &RoundReport) -> MaintainOutcome {
        let merges = report.merges + report.rewrites;
        self.counters.merges.fetch_add(merges, Ordering::Relaxed);
        self.counters.merge_failures.fetch_add(report.failures.len() as u64, Ordering::Relaxed);
        MaintainOutcome {
            merges,
            parts_dropped: report.drops.len() as u64,
            bytes_read: report.merged_bytes,
            bytes_reclaimed: report.reclaimed.deleted_bytes,
            put_off: report.put_off,
            failures: report.failures.iter().map(ToString::to_string).collect(),
            more: merges > 0,
        }
    }

    /// What is live is cut first, so that the deletion is about parts alone and needs no record in the
    /// journal: samples that arrive later stay.
    pub(super) fn delete_series(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<DeleteOutcome, StoreError> {
        self.cut()?;
        let snapshot = self.catalog.snapshot();
        let time = TimeRange { min_ms: start_ms, max_ms: end_ms };
        let mut outcome = DeleteOutcome::default();
        let mut has_unreadable = false;
        for meta in snapshot.parts_for(FAMILY, tenant, time) {
            match self.part(meta).and_then(|part| Ok(part.select(matchers)?.len())) {
                Ok(n_series) => outcome.series += n_series,
                // It is deleted from there too, should the part become readable again.
                Err(error) => {
                    self.set_aside(meta, Extent::Part, error)?;
                    has_unreadable = true;
                }
            }
        }
        if outcome.series > 0 || has_unreadable {
            let tombstone = NewTombstone {
                tenant: tenant.clone(),
                family: FAMILY.to_owned(),
                time,
                before: snapshot.committed,
                selector: selector::encode(matchers),
            };
            let txn = Txn { add_tombstones: vec![tombstone], ..Txn::default() };
            self.catalog.commit(txn).map_err(|e| StoreError::Storage(e.to_string()))?;
        }
        Ok(outcome)
    }

    /// A round of maintenance rewrites every part that a tombstone touches before anything else.
    pub(super) fn clean_tombstones(&self) -> Result<MaintainOutcome, StoreError> {
        self.maintain(&CancelToken::unbounded())
    }

    pub(super) fn snapshot(&self, name: &str, live: LiveSamples) -> Result<SnapshotReport, StoreError> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(StoreError::InvalidName(format!("invalid snapshot name {name:?}")));
        }
        if live == LiveSamples::CutFirst {
            self.cut()?;
        }
        let folder = format!("{FAMILY}/");
        let taken = store_core::snapshot::take(&*self.blobs, &*self.catalog, name, &folder)
            .map_err(|e| StoreError::Storage(e.to_string()))?;
        Ok(SnapshotReport {
            name: name.to_owned(),
            prefix: taken.prefix,
            parts: taken.n_parts,
            bytes: taken.len_bytes,
        })
    }
}
