//! Part names are computed, not drawn: doing the same work again gives the same name.

use std::fmt;

use base::TenantId;
use xxhash_rust::xxh3::Xxh3Default;

use super::meta::{OffsetRange, TimeRange};

/// Names one part: xxh3-128 of what it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub u128);

impl PartId {
    /// The `ordinal`th part of one tenant that a cut of the journal's `offsets` made.
    pub fn of_cut(
        tenant: &TenantId,
        family: &str,
        incarnation: u64,
        offsets: OffsetRange,
        ordinal: u32,
    ) -> Self {
        let mut hasher = Self::begin("cut", tenant, family);
        hasher.update(&incarnation.to_le_bytes());
        hasher.update(&offsets.start.0.to_le_bytes());
        hasher.update(&offsets.end.0.to_le_bytes());
        hasher.update(&ordinal.to_le_bytes());
        Self(hasher.digest128())
    }

    /// The part that merging `inputs` into `window` makes, with everything that decides its rows.
    pub fn of_merge(
        tenant: &TenantId,
        family: &str,
        level: u8,
        window: TimeRange,
        drop_before_ms: Option<i64>,
        tombstones_applied: u64,
        inputs: &[PartId],
    ) -> Self {
        let mut hasher = Self::begin("merge", tenant, family);
        hasher.update(&[level, u8::from(drop_before_ms.is_some())]);
        for number in [window.min_ms, window.max_ms, drop_before_ms.unwrap_or(0)] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&tombstones_applied.to_le_bytes());
        let mut sorted = inputs.to_vec();
        sorted.sort_unstable();
        for input in sorted {
            hasher.update(&input.0.to_le_bytes());
        }
        Self(hasher.digest128())
    }

    fn begin(how: &str, tenant: &TenantId, family: &str) -> Xxh3Default {
        let mut hasher = Xxh3Default::new();
        for text in [how, tenant.as_str(), family] {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        }
        hasher
    }

    /// Reads the 32 hexadecimal digits that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
