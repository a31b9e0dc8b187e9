//! Which parts to drop because they are too old, or because together they are too large.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::TenantId;

use crate::part::{PartId, PartMeta};

/// How long and how much to keep. Whatever is `None` does not limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RetentionPolicy {
    pub time_ms: Option<i64>,
    /// Tenants with a retention time of their own.
    pub tenant_time_ms: BTreeMap<TenantId, i64>,
    /// All bytes of the store, its journal included.
    pub size_bytes: Option<u64>,
    /// The same as a share of the disk's size, above 0 and at most 1.
    pub disk_share: Option<f64>,
}

/// What the size limits are compared with, besides the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSize {
    pub journal_bytes: u64,
    /// The size of the disk, where it is known.
    pub disk_bytes: Option<u64>,
}

/// Why a part is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    Time,
    Size,
}

/// Remove this part from the catalog and delete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartDrop {
    pub id: PartId,
    pub reason: DropReason,
}

/// Rows of `tenant` before this time are beyond retention.
pub fn drop_before_ms(policy: &RetentionPolicy, tenant: &TenantId, now_ms: i64) -> Option<i64> {
    let keep_ms = policy.tenant_time_ms.get(tenant).copied().or(policy.time_ms)?;
    Some(now_ms.saturating_sub(keep_ms))
}

/// The parts to drop now: those that lie wholly beyond the retention time, then the oldest ones until
/// the rest fits the size limits.
pub fn retention(
    parts: &[Arc<PartMeta>],
    now_ms: i64,
    policy: &RetentionPolicy,
    size: StoreSize,
) -> Vec<PartDrop> {
    let mut drops = Vec::new();
    let mut kept = Vec::new();
    for part in parts {
        if drop_before_ms(policy, &part.tenant, now_ms).is_some_and(|before| part.time.max_ms < before) {
            drops.push(PartDrop { id: part.id, reason: DropReason::Time });
        } else {
            kept.push(part);
        }
    }
    let share = policy.disk_share.zip(size.disk_bytes);
    let share_bytes = share.map(|(share, disk_bytes)| (disk_bytes as f64 * share) as u64);
    let Some(limit_bytes) = policy.size_bytes.into_iter().chain(share_bytes).min() else { return drops };
    kept.sort_by_key(|p| (p.time.max_ms, p.id));
    let mut total_bytes = size.journal_bytes + kept.iter().map(|p| p.len_bytes).sum::<u64>();
    for part in kept {
        if total_bytes <= limit_bytes {
            break;
        }
        total_bytes -= part.len_bytes;
        drops.push(PartDrop { id: part.id, reason: DropReason::Size });
    }
    debug_assert_eq!(drops.iter().map(|d| d.id).collect::<BTreeSet<_>>().len(), drops.len());
    drops
}
