//! Types, helps and units of metric families, as batches brought them.

use std::collections::BTreeMap;

use model::histogram::split_classic_name;
use model::{Metadata, SeriesBatch};
use parking_lot::RwLock;

/// Families that are remembered; what comes later is not.
const FAMILIES_MAX: usize = 100_000;

/// Shared by all remotes.
#[derive(Debug, Default)]
pub(super) struct KnownMetadata(RwLock<BTreeMap<String, Metadata>>);

impl KnownMetadata {
    pub(super) fn learn(&self, entries: &[(String, Metadata)]) {
        let is_new = |known: &BTreeMap<String, Metadata>| {
            entries.iter().any(|(family, metadata)| known.get(family) != Some(metadata))
        };
        // Scrapes repeat themselves.
        if entries.is_empty() || !is_new(&self.0.read()) {
            return;
        }
        let mut known = self.0.write();
        for (family, metadata) in entries {
            if known.len() < FAMILIES_MAX || known.contains_key(family) {
                known.insert(family.clone(), metadata.clone());
            }
        }
    }

    /// Everything, sorted by family.
    pub(super) fn snapshot(&self) -> Vec<(String, Metadata)> {
        self.0.read().iter().map(|(family, metadata)| (family.clone(), metadata.clone())).collect()
    }

    /// Puts what is known of the request's series into it.
    pub(super) fn attach_to(&self, request: &mut SeriesBatch) {
        let known = self.0.read();
        let mut found = BTreeMap::new();
        for series in &request.series {
            let name = series.labels.metric_name();
            let family = split_classic_name(name).map_or(name, |(family, _)| family);
            let entry = known.get_key_value(name).or_else(|| known.get_key_value(family));
            if let Some((family, metadata)) = entry {
                found.entry(family).or_insert(metadata);
            }
        }
        request.metadata = found.into_iter().map(|(f, m)| (f.clone(), m.clone())).collect();
    }
}
