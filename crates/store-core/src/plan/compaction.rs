//! Which parts to merge. Time is divided into aligned windows, one size per level: 2 h, 1 day, 31 days.
//! Once a window has passed, the parts that lie inside it become one part of its level. Late arrivals
//! wait until together they are worth rewriting what is there already. A part that lies across a
//! boundary waits for the next larger window; one that lies across the largest is split.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::MergeTask;
use crate::part::{PartId, PartMeta, TimeRange};

/// How to compact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// The window of level 1, 2, …; each a multiple of the one before.
    pub windows_ms: Vec<i64>,
    /// A window has passed this long after its end, so that ordinary stragglers are in.
    pub grace_ms: i64,
    /// No merge has more input than this.
    pub part_bytes_max: u64,
    /// No merge opens more parts than this.
    pub inputs_max: usize,
    /// A part already at the window's level is rewritten only when it is at most this many times as
    /// large as all that would join it.
    pub rewrite_ratio_max: u64,
    /// A part is split into at most this many windows; one that spans more is left alone.
    pub split_max: usize,
}

const HOUR_MS: i64 = 3_600_000;

impl Default for CompactionPolicy {
    fn default() -> Self {
        Self {
            windows_ms: vec![2 * HOUR_MS, 24 * HOUR_MS, 31 * 24 * HOUR_MS],
            grace_ms: 10 * 60_000,
            part_bytes_max: 16 << 30,
            inputs_max: 256,
            rewrite_ratio_max: 8,
            split_max: 64,
        }
    }
}

/// The aligned window that holds `t_ms`.
pub fn window_of(t_ms: i64, window_ms: i64) -> TimeRange {
    let min_ms = t_ms.saturating_sub(t_ms.rem_euclid(window_ms));
    TimeRange { min_ms, max_ms: min_ms.saturating_add(window_ms - 1) }
}

/// The merges to do now. No part is in two of them. `skip` names parts to leave alone, such as corrupt
/// ones.
pub fn compaction(
    parts: &[Arc<PartMeta>],
    now_ms: i64,
    policy: &CompactionPolicy,
    skip: &BTreeSet<PartId>,
) -> Vec<MergeTask> {
    let mut groups: BTreeMap<_, Vec<&PartMeta>> = BTreeMap::new();
    for part in parts.iter().filter(|p| !skip.contains(&p.id)) {
        groups.entry((&part.family, &part.tenant, part.shards)).or_default().push(part);
    }
    let mut tasks = Vec::new();
    for mut group in groups.into_values() {
        // From the largest window down, so that a backlog is rewritten once and not once per level.
        for (window_idx, window_ms) in policy.windows_ms.iter().enumerate().rev() {
            let level = u8::try_from(window_idx + 1).expect("a handful of levels");
            if window_idx + 1 == policy.windows_ms.len() {
                tasks.extend(group.iter().filter_map(|p| split(p, level, *window_ms, policy)));
            }
            let mut windows: BTreeMap<TimeRange, Vec<&PartMeta>> = BTreeMap::new();
            for part in &group {
                let window = window_of(part.time.min_ms, *window_ms);
                let has_passed = window.max_ms.saturating_add(policy.grace_ms) < now_ms;
                if part.level <= level && part.time.max_ms <= window.max_ms && has_passed {
                    windows.entry(window).or_default().push(part);
                }
            }
            let merges: Vec<_> =
                windows.into_values().filter_map(|inside| merge(inside, level, policy)).collect();
            group.retain(|p| !merges.iter().any(|task| task.inputs.contains(&p.id)));
            tasks.extend(merges);
        }
    }
    tasks
}

/// The merge of the parts inside one window, if it is worth it.
fn merge(inside: Vec<&PartMeta>, level: u8, policy: &CompactionPolicy) -> Option<MergeTask> {
    let (mut settled, mut inputs): (Vec<_>, Vec<_>) = inside.into_iter().partition(|p| p.level == level);
    // Smallest first: each that joins makes the next larger one affordable.
    settled.sort_by_key(|p| (p.len_bytes, p.id));
    let mut input_bytes: u64 = inputs.iter().map(|p| p.len_bytes).sum();
    for part in settled {
        // Several parts of one level in one window are left from splits or from the limit on bytes.
        let affordable = part.len_bytes <= input_bytes.saturating_mul(policy.rewrite_ratio_max);
        if inputs.is_empty() || affordable {
            input_bytes += part.len_bytes;
            inputs.push(part);
        }
    }
    inputs.sort_by_key(|p| (p.offsets, p.id));
    let mut taken_bytes = 0u64;
    let mut taken = Vec::new();
    for part in inputs {
        let total_bytes = taken_bytes.saturating_add(part.len_bytes);
        if taken.len() < policy.inputs_max && total_bytes <= policy.part_bytes_max {
            taken_bytes = total_bytes;
            taken.push(part.id);
        }
    }
    let outputs = vec![TimeRange::ALL];
    (taken.len() >= 2).then_some(MergeTask { inputs: taken, level, outputs, input_bytes: taken_bytes })
}

/// The task that cuts a part at the boundaries of the largest windows, if it lies across one.
fn split(part: &PartMeta, level: u8, window_ms: i64, policy: &CompactionPolicy) -> Option<MergeTask> {
    let mut outputs = vec![window_of(part.time.min_ms, window_ms)];
    while let Some(last) = outputs.last().filter(|last| last.max_ms < part.time.max_ms) {
        if outputs.len() == policy.split_max {
            return None;
        }
        outputs.push(window_of(last.max_ms.saturating_add(1), window_ms));
    }
    // The pieces keep the part's level, below the one they will be merged into.
    let level = part.level.min(level - 1);
    let input_bytes = part.len_bytes;
    (outputs.len() > 1).then(|| MergeTask { inputs: vec![part.id], level, outputs, input_bytes })
}
