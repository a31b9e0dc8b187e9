//! What the catalog keeps of each part: enough to plan queries and maintenance without opening it.

use base::{ShardRange, TenantId};

use super::id::PartId;
use crate::encoding::{FieldError, FieldReader, FieldWriter};
use crate::journal::Offset;

/// Times in milliseconds since the Unix epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeRange {
    pub min_ms: i64,
    pub max_ms: i64,
}

impl TimeRange {
    pub const ALL: Self = Self { min_ms: i64::MIN, max_ms: i64::MAX };

    pub fn contains(&self, t_ms: i64) -> bool {
        self.min_ms <= t_ms && t_ms <= self.max_ms
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.min_ms <= other.max_ms && other.min_ms <= self.max_ms
    }

    /// The smallest range that holds this one and `t_ms`.
    pub fn extend(&mut self, t_ms: i64) {
        self.min_ms = self.min_ms.min(t_ms);
        self.max_ms = self.max_ms.max(t_ms);
    }
}

/// Journal offsets `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetRange {
    pub start: Offset,
    pub end: Offset,
}

/// One part as the catalog lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartMeta {
    pub id: PartId,
    pub family: String,
    pub schema_version: u16,
    pub tenant: TenantId,
    /// No row is of a shard outside.
    pub shards: ShardRange,
    pub level: u8,
    pub incarnation: u64,
    pub offsets: OffsetRange,
    pub tombstones_applied: u64,
    pub time: TimeRange,
    pub rows: u64,
    pub series: u64,
    /// The size of the whole object.
    pub len_bytes: u64,
}

impl PartMeta {
    /// The object's key.
    pub fn key(&self) -> String {
        Self::key_of(&self.family, &self.tenant, self.id)
    }

    pub fn key_of(family: &str, tenant: &TenantId, id: PartId) -> String {
        format!("parts/{family}/{tenant}/{id}.part")
    }

    pub(crate) fn encode(&self, w: &mut FieldWriter) {
        w.u128(self.id.0);
        w.text(&self.family);
        w.u16(self.schema_version);
        w.text(self.tenant.as_str());
        w.u16(self.shards.first);
        w.u16(self.shards.last);
        w.u8(self.level);
        w.u64(self.incarnation);
        w.u64(self.offsets.start.0);
        w.u64(self.offsets.end.0);
        w.u64(self.tombstones_applied);
        w.i64(self.time.min_ms);
        w.i64(self.time.max_ms);
        w.u64(self.rows);
        w.u64(self.series);
        w.u64(self.len_bytes);
    }

    pub(crate) fn decode(r: &mut FieldReader<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            id: PartId(r.u128()?),
            family: r.text()?.to_owned(),
            schema_version: r.u16()?,
            tenant: {
                let text = r.text()?;
                TenantId::new(text).map_err(|_| r.error("a tenant id before this"))?
            },
            shards: {
                let (first, last) = (r.u16()?, r.u16()?);
                ShardRange::new(first, last).ok_or_else(|| r.error("a range of shards before this"))?
            },
            level: r.u8()?,
            incarnation: r.u64()?,
            offsets: OffsetRange { start: Offset(r.u64()?), end: Offset(r.u64()?) },
            tombstones_applied: r.u64()?,
            time: TimeRange { min_ms: r.i64()?, max_ms: r.i64()? },
            rows: r.u64()?,
            series: r.u64()?,
            len_bytes: r.u64()?,
        })
    }
}
