//! Numbers about the store: self-metrics, cardinality, metadata.

use std::sync::atomic::Ordering;

use base::TenantId;
use model::Metadata;
use store_core::TimeRange;

use crate::cardinality::{CardinalityStats, HeadStats};
use crate::outcome::{PartInfo, StoreStats};
use crate::part::FAMILY;
use crate::part::family::is_metrics;
use crate::store::Shared;

/// The runs of samples that a series has in memory.
fn n_logs(series: &crate::live::series::LiveSeries) -> u64 {
    series.state.lock().logs().filter(|log| !log.is_empty()).count() as u64
}

impl Shared {
    pub(super) fn cardinality(&self, tenant: &TenantId, limit: usize) -> CardinalityStats {
        let Some(live) = self.known_tenant(tenant) else {
            let head = HeadStats { min_time_ms: i64::MAX, max_time_ms: i64::MIN, ..HeadStats::default() };
            return CardinalityStats { head, ..CardinalityStats::default() };
        };
        let index = live.index.read();
        let (min_time_ms, max_time_ms) = live.bounds();
        CardinalityStats {
            head: HeadStats {
                n_series: index.len() as u64,
                n_label_pairs: index.n_label_pairs(),
                chunk_count: index.all_series().iter().map(|series| n_logs(series)).sum(),
                min_time_ms,
                max_time_ms,
            },
            series_by_metric_name: index.top_series_by_value(model::labels::METRIC_NAME, limit),
            values_by_label_name: index.top_values_by_name(limit),
            memory_bytes_by_label_name: index.top_memory_by_name(limit),
            series_by_label_pair: index.top_pairs(limit),
        }
    }

    /// Looks at every live series of every tenant.
    pub(super) fn n_live_logs(&self) -> u64 {
        let tenants: Vec<_> = self.tenants.read().values().cloned().collect();
        let mut n = 0;
        for live in tenants {
            // Not under the lock of the index, which appends of new series want.
            let series = live.index.read().all_series().to_vec();
            n += series.iter().map(|series| n_logs(series)).sum::<u64>();
        }
        n
    }

    pub(super) fn for_each_metadata(
        &self,
        tenant: &TenantId,
        metric: Option<&str>,
        each: &mut dyn FnMut(&str, &[Metadata]),
    ) {
        let Some(live) = self.known_tenant(tenant) else { return };
        let families = live.metadata.lock();
        match metric {
            Some(metric) => families.get(metric).into_iter().for_each(|entries| each(metric, entries)),
            None => families.iter().for_each(|(family, entries)| each(family, entries)),
        }
    }

    pub(super) fn part_infos(&self, tenant: &TenantId) -> Vec<PartInfo> {
        let snapshot = self.catalog.snapshot();
        let parts = snapshot.parts_for(FAMILY, tenant, TimeRange::ALL);
        parts
            .map(|part| PartInfo {
                id: part.id.0,
                min_time_ms: part.time.min_ms,
                max_time_ms: part.time.max_ms,
                n_samples: part.rows,
                n_series: part.series,
                level: part.level,
                bytes: part.len_bytes,
            })
            .collect()
    }

    pub(super) fn stats(&self) -> StoreStats {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let snapshot = self.catalog.snapshot();
        let damage = self.damage.lock();
        let (corrupt_parts, corrupt_blocks, corruption) =
            (damage.n_parts(), damage.n_blocks(), damage.sentences());
        drop(damage);
        let mut stats = StoreStats {
            series_created: load(&counters.series_created),
            series_removed: load(&counters.series_removed),
            samples_appended: load(&counters.samples),
            histograms_appended: load(&counters.histograms),
            exemplars_appended: load(&counters.exemplars),
            rejected: *counters.rejected.lock(),
            out_of_order_samples: load(&counters.out_of_order),
            live_bytes: self.live_charge.bytes(),
            cache_bytes: self.cache.used_bytes(),
            cuts: load(&counters.cuts),
            cut_failures: load(&counters.cut_failures),
            merges: load(&counters.merges),
            merge_failures: load(&counters.merge_failures),
            part_open_failures: load(&counters.part_open_failures),
            journal_corruptions: journal_corruptions(self.journal.recovery())
                + load(&counters.strange_records),
            journal_segments_read: self.journal.recovery().n_segments,
            journal_bytes: self.journal.len_bytes(),
            journal_segment: self.journal.segment_of(self.journal.end_offset()).0,
            corrupt_parts,
            corrupt_blocks,
            corruption,
            read_only: self.read_only.read().is_some(),
            ..StoreStats::default()
        };
        let mut bounds: Option<(i64, i64)> = None;
        let mut cover = |min_t: i64, max_t: i64| {
            let (all_min, all_max) = bounds.unwrap_or((min_t, max_t));
            bounds = Some((all_min.min(min_t), all_max.max(max_t)));
        };
        for meta in snapshot.parts.iter().filter(|meta| is_metrics(meta)) {
            stats.parts += 1;
            stats.parts_bytes += meta.len_bytes;
            stats.part_samples += meta.rows;
            cover(meta.time.min_ms, meta.time.max_ms);
        }
        for live in self.tenants.read().values() {
            stats.active_series += live.n_series();
            stats.exemplars_in_storage += live.exemplars.lock().len() as u64;
            let (min_t, max_t) = live.bounds();
            if min_t <= max_t {
                cover(min_t, max_t);
            }
        }
        stats.min_time_ms = bounds.map(|b| b.0);
        stats.max_time_ms = bounds.map(|b| b.1);
        stats
    }
}

/// A torn end counts, as upstream's does, although nobody was told that it was stored.
fn journal_corruptions(found: &store_core::journal::RecoveryReport) -> u64 {
    let at_the_end = u64::from(found.torn.is_some()) + u64::from(found.emptied.is_some());
    at_the_end + (found.lost.len() + found.damaged_headers.len()) as u64
}
