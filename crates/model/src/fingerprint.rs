//! Series identity: a 128-bit fingerprint of tenant and labels, and the virtual shard it falls in.

use base::TenantId;

use crate::labels::Labels;

/// The number of virtual shards, fixed for ever: the map from shard to node is data.
pub const SHARDS: u16 = 1024;

/// Names one series everywhere: xxh3-128 of the tenant id, a zero byte, and the label encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u128);

impl SeriesId {
    pub fn of(tenant: &TenantId, labels: &Labels) -> Self {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(tenant.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(labels.as_bytes());
        Self(hasher.digest128())
    }
}

/// The virtual shard of a series: the top ten bits of its fingerprint.
pub fn shard_of(id: SeriesId) -> u16 {
    (id.0 >> 118) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_and_shards_never_change() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]);
        let id = SeriesId::of(&TenantId::anonymous(), &labels);
        assert_eq!(format!("{:032x}", id.0), VECTOR_HEX);
        assert_eq!(shard_of(id), VECTOR_SHARD);
        let other = SeriesId::of(&TenantId::new("b").unwrap(), &labels);
        assert_ne!(id, other);
        assert!(shard_of(other) < SHARDS);
    }

    const VECTOR_HEX: &str = "909e207b168fff7852de9009a68f41f1";
    const VECTOR_SHARD: u16 = 578;
}
