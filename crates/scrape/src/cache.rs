//! What one target exposed before: series by the bytes that name them, so that a repeated scrape
//! parses, relabels and hashes no label; which series to mark stale; metadata by family.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use model::{BatchSeries, Metadata, MetricType};

/// Scrapes that metadata outlives its family by.
const METADATA_KEPT_SCRAPES: u64 = 10;

/// A cache that failed scrapes have let grow beyond twice its last good size and this is flushed.
const GROWTH_ALLOWED: usize = 1000;

/// One known line.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None`: relabelling drops it.
    pub(crate) series: Option<BatchSeries>,
    seen: u64,
    tracked: u64,
    /// The start timestamp for which a zero sample was stored.
    pub(crate) zero_st_ms: i64,
}

/// What is known about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Unknown,
    Dropped,
    Series {
        idx: usize,
        /// The line was in this scrape already.
        repeated: bool,
    },
}

#[derive(Debug)]
pub(crate) struct ScrapeCache {
    by_raw: HashMap<Box<[u8]>, usize>,
    entries: Vec<Entry>,
    metadata: BTreeMap<String, (Metadata, u64)>,
    /// Counts scrapes, from 1 so that 0 means never.
    scrape: u64,
    size_after_success: usize,
}

impl ScrapeCache {
    pub(crate) fn new() -> Self {
        Self {
            by_raw: HashMap::new(),
            entries: Vec::new(),
            metadata: BTreeMap::new(),
            scrape: 1,
            size_after_success: 0,
        }
    }

    /// Takes over what a predecessor would have marked stale, so that series which the new settings
    /// no longer produce end with the next scrape.
    pub(crate) fn inherit(&mut self, tracked: Vec<BatchSeries>) {
        debug_assert!(self.entries.is_empty(), "only a fresh cache inherits");
        for series in tracked {
            self.entries.push(Entry { series: Some(series), seen: 1, tracked: 1, zero_st_ms: 0 });
        }
        self.scrape = 2;
    }

    pub(crate) fn look_up(&mut self, raw: &[u8]) -> Known {
        let Some(&idx) = self.by_raw.get(raw) else { return Known::Unknown };
        let entry = &mut self.entries[idx];
        let repeated = entry.seen == self.scrape;
        entry.seen = self.scrape;
        if entry.series.is_some() { Known::Series { idx, repeated } } else { Known::Dropped }
    }

    pub(crate) fn insert(&mut self, raw: &[u8], series: Option<BatchSeries>) -> usize {
        let idx = self.entries.len();
        self.entries.push(Entry { series, seen: self.scrape, tracked: 0, zero_st_ms: 0 });
        self.by_raw.insert(raw.into(), idx);
        idx
    }

    pub(crate) fn entry(&mut self, idx: usize) -> &mut Entry {
        &mut self.entries[idx]
    }

    /// If the series is missing from the next scrape, it gets a staleness marker.
    pub(crate) fn track(&mut self, idx: usize) {
        self.entries[idx].tracked = self.scrape;
    }

    /// Forgets what this scrape tracked: it failed, so everything known before is stale.
    pub(crate) fn untrack_current(&mut self) {
        for entry in &mut self.entries {
            if entry.tracked == self.scrape {
                entry.tracked = self.scrape - 1;
            }
        }
    }

    /// Series of the last scrape that this one lacks, whatever bytes named them.
    pub(crate) fn stale(&self) -> Vec<BatchSeries> {
        let of_scrape = |scrape| self.entries.iter().filter(move |e| e.tracked == scrape && scrape > 0);
        if of_scrape(self.scrape - 1).next().is_none() {
            return Vec::new();
        }
        let current: HashSet<u128> =
            of_scrape(self.scrape).filter_map(|e| e.series.as_ref()).map(|s| s.id.0).collect();
        let gone = of_scrape(self.scrape - 1).filter_map(|e| e.series.as_ref());
        gone.filter(|s| !current.contains(&s.id.0)).cloned().collect()
    }

    /// Every series that would be marked stale if the target went away now.
    pub(crate) fn tracked(&self) -> Vec<BatchSeries> {
        let last = self.scrape - 1;
        self.entries
            .iter()
            .filter(|e| last > 0 && e.tracked == last)
            .filter_map(|e| e.series.clone())
            .collect()
    }

    /// Ends a scrape. After a good one, lines it did not have are forgotten.
    pub(crate) fn finish(&mut self, good: bool) {
        let size = self.entries.len() + self.metadata.len();
        if good || size > self.size_after_success * 2 + GROWTH_ALLOWED {
            let scrape = self.scrape;
            if self.entries.iter().any(|e| e.seen != scrape) {
                self.forget_unseen();
            }
            self.metadata.retain(|_, (_, seen)| scrape - *seen <= METADATA_KEPT_SCRAPES);
        }
        if good {
            self.size_after_success = size;
        }
        self.scrape += 1;
    }

    fn forget_unseen(&mut self) {
        let scrape = self.scrape;
        let mut kept = Vec::with_capacity(self.entries.len());
        let mut new_idx = vec![usize::MAX; self.entries.len()];
        for (idx, entry) in std::mem::take(&mut self.entries).into_iter().enumerate() {
            if entry.seen == scrape {
                new_idx[idx] = kept.len();
                kept.push(entry);
            }
        }
        self.by_raw.retain(|_, idx| {
            *idx = new_idx[*idx];
            *idx != usize::MAX
        });
        self.entries = kept;
    }

    pub(crate) fn set_type(&mut self, family: &str, metric_type: MetricType) {
        self.metadata_mut(family).metric_type = metric_type;
    }

    pub(crate) fn set_help(&mut self, family: &str, help: &str) {
        let metadata = self.metadata_mut(family);
        if metadata.help != help {
            help.clone_into(&mut metadata.help);
        }
    }

    pub(crate) fn set_unit(&mut self, family: &str, unit: &str) {
        let metadata = self.metadata_mut(family);
        if metadata.unit != unit {
            unit.clone_into(&mut metadata.unit);
        }
    }

    fn metadata_mut(&mut self, family: &str) -> &mut Metadata {
        if !self.metadata.contains_key(family) {
            self.metadata.insert(family.to_owned(), (Metadata::default(), self.scrape));
        }
        let (metadata, seen) = self.metadata.get_mut(family).expect("inserted above");
        *seen = self.scrape;
        metadata
    }

    pub(crate) fn n_metadata(&self) -> usize {
        self.metadata.len()
    }

    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.metadata.iter().map(|(family, (metadata, _))| (family.as_str(), metadata))
    }
}
