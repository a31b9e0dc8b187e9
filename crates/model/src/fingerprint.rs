//! Series identity: a 128-bit fingerprint of tenant and labels, and the virtual shard it falls in.

use base::TenantId;

use crate::labels::Labels;

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

/// The virtual shard of a series, of [`base::SHARDS`]: the top ten bits of its fingerprint.
pub fn shard_of(id: SeriesId) -> u16 {
    (id.0 >> 118) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_and_shards_never_change() {
        // The test vectors of docs/formats/metrics-part.md.
        let check = |tenant: &str, pairs: &[(&str, &str)], fingerprint: &str, shard: u16| {
            let labels = Labels::from_pairs(pairs.iter().copied());
            let id = SeriesId::of(&TenantId::new(tenant).unwrap(), &labels);
            assert_eq!((format!("{:032x}", id.0).as_str(), shard_of(id)), (fingerprint, shard));
            assert!(shard < base::SHARDS);
        };
        let up = [("__name__", "up"), ("job", "node")];
        check("anonymous", &up, "909e207b168fff7852de9009a68f41f1", 578);
        check("b", &up, "f4c2b0ec656741abfabe881ec48e4709", 979);
        check("anonymous", &[], "e8356058b922afe5285de6f3901dd898", 928);
        let long = "x".repeat(300);
        check("anonymous", &[("__name__", "up"), ("path", &long)], "bc584d2b0bdcfffccf6f701540c87c57", 753);
    }
}
