//! Carries out plans: merge → put → commit → delete. Decides nothing and knows no content.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{CancelToken, TenantId};
use parking_lot::Mutex;

use crate::blob::{BlobError, BlobStore};
use crate::catalog::{Catalog, CatalogError, CatalogSnapshot, PartKey, ReclaimReport, Txn};
use crate::part::{OffsetRange, PartError, PartHeader, PartId, PartMeta, PartReader, PartStats, PartWriter};
use crate::part_family::{FamilyError, MergeContext, PartFamily};
use crate::plan::{self, CompactionPolicy, MergeTask, PartDrop, RetentionPolicy, StoreSize, drop_before_ms};

/// What maintenance is to achieve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MaintenancePolicy {
    pub compaction: CompactionPolicy,
    pub retention: RetentionPolicy,
    /// A merge is put off unless this much room is left beside its inputs' size, so that compaction is
    /// never what fills the disk.
    pub reserve_bytes: u64,
}

/// How long an input of a failed merge is left alone: somebody may have put it right by then.
const QUARANTINE_MS: i64 = 3_600_000;

/// What one round did.
#[derive(Debug, Default)]
pub struct RoundReport {
    pub drops: Vec<PartDrop>,
    pub merges: u64,
    pub rewrites: u64,
    pub merged_bytes: u64,
    pub tombstones_done: u64,
    pub reclaimed: ReclaimReport,
    /// Merges put off for want of room.
    pub put_off: u64,
    /// Merges that failed; the round went on with the others. Parts found corrupt are left alone for
    /// an hour.
    pub failures: Vec<MaintainError>,
}

/// Why maintenance could not do what was planned.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    #[error("no family {0:?} is known")]
    UnknownFamily(String),
    #[error("a merge has no inputs, or they are not of one family, tenant and shard range")]
    BadTask,
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Part(#[from] PartError),
    #[error(transparent)]
    Family(#[from] FamilyError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl MaintainError {
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Blob(e) => e.is_no_space(),
            Self::Part(e) | Self::Family(FamilyError::Part(e)) => e.is_no_space(),
            Self::Catalog(e) => e.is_no_space(),
            Self::UnknownFamily(_) | Self::BadTask | Self::Family(_) => false,
        }
    }

    /// The key of the part that is damaged or gone, if that is what went wrong.
    fn damaged_key(&self) -> Option<&str> {
        match self {
            Self::Part(e) | Self::Family(FamilyError::Part(e)) => e.damaged_key(),
            _ => None,
        }
    }
}

/// The executor. One per store; rounds do not overlap.
#[derive(Debug)]
pub struct Maintenance {
    blobs: Arc<dyn BlobStore>,
    catalog: Arc<dyn Catalog>,
    families: Vec<Arc<dyn PartFamily>>,
    /// Inputs of merges that found corruption, and when: left where they are for `doctor`.
    quarantined: Mutex<BTreeMap<PartId, i64>>,
}

impl Maintenance {
    pub fn new(
        blobs: Arc<dyn BlobStore>,
        catalog: Arc<dyn Catalog>,
        families: Vec<Arc<dyn PartFamily>>,
    ) -> Self {
        Self { blobs, catalog, families, quarantined: Mutex::new(BTreeMap::new()) }
    }

    /// Parts that no merge touches for now because they are damaged.
    pub fn quarantined(&self, now_ms: i64) -> BTreeSet<PartId> {
        let mut quarantined = self.quarantined.lock();
        quarantined.retain(|_, since_ms| now_ms.abs_diff(*since_ms) < QUARANTINE_MS.unsigned_abs());
        quarantined.keys().copied().collect()
    }

    /// Leaves a damaged input of a failed merge alone for a while; the others may be merged without it.
    fn quarantine(&self, task: &MergeTask, error: &MaintainError, now_ms: i64) {
        let Some(key) = error.damaged_key() else { return };
        let stem = key.rsplit('/').next().and_then(|name| name.strip_suffix(".part"));
        let damaged = stem.and_then(PartId::parse).filter(|id| task.inputs.contains(id));
        let mut quarantined = self.quarantined.lock();
        match damaged {
            Some(id) => quarantined.extend([(id, now_ms)]),
            None => quarantined.extend(task.inputs.iter().map(|id| (*id, now_ms))),
        }
    }

    /// Plans and does everything once: retention, deletions, compaction, and the removal of objects that
    /// nobody reads any more. Stops early, between merges or within one, when cancelled.
    pub fn round(
        &self,
        policy: &MaintenancePolicy,
        now_ms: i64,
        journal_bytes: u64,
        cancel: &CancelToken,
    ) -> Result<RoundReport, MaintainError> {
        let mut report = RoundReport::default();
        // Retention first: it makes room for the rest.
        let disk_bytes = self.blobs.space()?.map(|space| space.total_bytes);
        let size = StoreSize { journal_bytes, disk_bytes };
        let view = self.catalog.snapshot();
        report.drops = plan::retention(&view.parts, now_ms, &policy.retention, size);
        drop(view);
        self.drop_parts(&report.drops)?;
        report.reclaimed = self.catalog.reclaim()?;

        let view = self.catalog.snapshot();
        let deletion = plan::deletion(&view, &self.quarantined(now_ms));
        drop(view);
        if !deletion.done.is_empty() {
            report.tombstones_done = deletion.done.len() as u64;
            self.catalog.commit(Txn { drop_tombstones: deletion.done, ..Txn::default() })?;
        }
        report.rewrites = self.merge_all(&deletion.rewrites, policy, now_ms, cancel, &mut report);

        let view = self.catalog.snapshot();
        let skip = self.quarantined(now_ms);
        let tasks = plan::compaction(&view.parts, now_ms, &policy.compaction, &skip);
        drop(view);
        report.merges = self.merge_all(&tasks, policy, now_ms, cancel, &mut report);

        let last = self.catalog.reclaim()?;
        report.reclaimed.deleted += last.deleted;
        report.reclaimed.deleted_bytes += last.deleted_bytes;
        report.reclaimed.waiting = last.waiting;
        Ok(report)
    }

    /// Does the tasks one after the other and returns how many were done.
    fn merge_all(
        &self,
        tasks: &[MergeTask],
        policy: &MaintenancePolicy,
        now_ms: i64,
        cancel: &CancelToken,
        report: &mut RoundReport,
    ) -> u64 {
        let mut n_done = 0;
        for task in tasks {
            if cancel.check().is_err() {
                break;
            }
            let room = self.blobs.space().ok().flatten().map_or(u64::MAX, |space| space.free_bytes);
            if room < task.input_bytes.saturating_add(policy.reserve_bytes) {
                report.put_off += 1;
                continue;
            }
            let before = |tenant: &TenantId| drop_before_ms(&policy.retention, tenant, now_ms);
            match self.merge(task, &before, cancel) {
                Ok(()) => {
                    n_done += 1;
                    report.merged_bytes += task.input_bytes;
                    // Deleting at once keeps the room that compaction needs small. A failure here comes
                    // back at the end of the round.
                    if let Ok(reclaimed) = self.catalog.reclaim() {
                        report.reclaimed.deleted += reclaimed.deleted;
                        report.reclaimed.deleted_bytes += reclaimed.deleted_bytes;
                    }
                }
                Err(error) => {
                    self.quarantine(task, &error, now_ms);
                    report.failures.push(error);
                }
            }
        }
        n_done
    }

    /// Removes parts from view; their objects go at the next [`Catalog::reclaim`].
    pub fn drop_parts(&self, drops: &[PartDrop]) -> Result<(), MaintainError> {
        if !drops.is_empty() {
            let remove = drops.iter().map(|d| d.id).collect();
            self.catalog.commit(Txn { remove, ..Txn::default() })?;
        }
        Ok(())
    }

    /// Does one merge and commits it. Repeating an interrupted one makes the same parts again.
    pub fn merge(
        &self,
        task: &MergeTask,
        drop_before_ms: &dyn Fn(&TenantId) -> Option<i64>,
        cancel: &CancelToken,
    ) -> Result<(), MaintainError> {
        let view = self.catalog.snapshot();
        let mut metas = task.inputs.iter().map(|id| find(&view, *id)).collect::<Result<Vec<_>, _>>()?;
        metas.sort_by_key(|p| (p.offsets, p.id));
        let first = metas.first().ok_or(MaintainError::BadTask)?;
        let same =
            |p: &PartMeta| p.family == first.family && p.tenant == first.tenant && p.shards == first.shards;
        if !metas.iter().all(|p| same(p)) {
            return Err(MaintainError::BadTask);
        }
        let family = self.families.iter().find(|f| f.name() == first.family);
        let family = family.ok_or_else(|| MaintainError::UnknownFamily(first.family.clone()))?;
        let open = |p: &Arc<PartMeta>| PartReader::open(&self.blobs, &p.key());
        let readers = metas.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let of_family =
            |t: &&Arc<crate::catalog::Tombstone>| t.tenant == first.tenant && t.family == first.family;
        let tombstones: Vec<_> = view.tombstones.iter().filter(of_family).map(Arc::clone).collect();
        let mut outputs =
            Outputs { blobs: &*self.blobs, attempted: Vec::new(), waiting: None, made: Vec::new() };
        let mut made = Ok(());
        for window in &task.outputs {
            let ctx = MergeContext {
                drop_before_ms: drop_before_ms(&first.tenant),
                window: *window,
                level: task.level,
                tombstones: tombstones.clone(),
                cancel: cancel.clone(),
            };
            let header = output_header(task, &metas, &**family, &ctx, view.tombstone_seq);
            made = outputs.merge(&**family, &readers, header, &ctx);
            if made.is_err() {
                break;
            }
        }
        let attempted = std::mem::take(&mut outputs.attempted);
        let add = made.and_then(|()| outputs.finish()).inspect_err(|_| self.catalog.discard(&attempted))?;
        drop((metas, view));
        self.catalog.commit(Txn { add, remove: task.inputs.clone(), ..Txn::default() })?;
        Ok(())
    }
}

fn find(view: &CatalogSnapshot, id: PartId) -> Result<Arc<PartMeta>, MaintainError> {
    let found = view.parts.iter().find(|p| p.id == id);
    Ok(Arc::clone(found.ok_or(CatalogError::UnknownPart(id))?))
}

fn output_header(
    task: &MergeTask,
    inputs: &[Arc<PartMeta>],
    family: &dyn PartFamily,
    ctx: &MergeContext,
    tombstone_seq: u64,
) -> PartHeader {
    let first = &inputs[0];
    let offsets = inputs.iter().fold(first.offsets, |all, p| OffsetRange {
        start: all.start.min(p.offsets.start),
        end: all.end.max(p.offsets.end),
    });
    let (tenant, name) = (&first.tenant, family.name());
    let (level, window, before) = (task.level, ctx.window, ctx.drop_before_ms);
    PartHeader {
        id: PartId::of_merge(tenant, name, level, window, before, tombstone_seq, &task.inputs),
        family: name.to_owned(),
        schema_version: family.schema_version(),
        tenant: tenant.clone(),
        shards: first.shards,
        level,
        incarnation: inputs.iter().max_by_key(|p| p.offsets.end).map_or(first.incarnation, |p| p.incarnation),
        offsets,
        tombstones_applied: tombstone_seq,
        replaces: task.inputs.clone(),
        completes: true,
    }
}

/// The outputs of one merge. Each waits for the next, so that only the last one claims to complete the
/// replacement of the inputs.
struct Outputs<'a> {
    blobs: &'a dyn BlobStore,
    /// Everything that may exist when the merge fails.
    attempted: Vec<PartKey>,
    waiting: Option<(PartWriter, PartStats)>,
    made: Vec<PartMeta>,
}

impl Outputs<'_> {
    fn merge(
        &mut self,
        family: &dyn PartFamily,
        inputs: &[PartReader],
        header: PartHeader,
        ctx: &MergeContext,
    ) -> Result<(), MaintainError> {
        self.attempted.push(PartKey::of(&header));
        let mut out = PartWriter::new(self.blobs, header)?;
        let stats = family.merge(inputs, &mut out, ctx)?;
        if stats.rows == 0 {
            return Ok(());
        }
        if let Some((mut before, stats)) = self.waiting.replace((out, stats)) {
            before.expect_sibling();
            self.made.push(before.finish(stats)?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PartMeta>, MaintainError> {
        if let Some((last, stats)) = self.waiting.take() {
            self.made.push(last.finish(stats)?);
        }
        Ok(self.made)
    }
}

#[cfg(test)]
mod tests;
