//! The live label index of one tenant: series by ordinal in order of arrival (which is scrape order,
//! so that postings are runs), postings per label pair, values sorted.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use model::Labels;
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::cardinality::Count;
use crate::live::series::LiveSeries;
use crate::matching::LabelIndex;

/// The ordinals of one label pair. Most values of most high-cardinality labels have one series.
#[derive(Debug)]
pub(crate) enum Postings {
    One(u32),
    Many(RoaringBitmap),
}

impl Postings {
    fn push(&mut self, ordinal: u32) {
        if let Self::One(first) = *self {
            *self = Self::Many(RoaringBitmap::from_iter([first]));
        }
        if let Self::Many(set) = self {
            set.insert(ordinal);
        }
    }

    fn union_into(&self, all: &mut RoaringBitmap) {
        match self {
            Self::One(ordinal) => {
                all.insert(*ordinal);
            }
            Self::Many(set) => *all |= set,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(set) => set.len(),
        }
    }

    pub(crate) fn meets(&self, set: &RoaringBitmap) -> bool {
        match self {
            Self::One(ordinal) => set.contains(*ordinal),
            Self::Many(own) => !own.is_disjoint(set),
        }
    }
}

type Values = BTreeMap<Box<str>, Postings>;

#[derive(Debug, Default)]
pub(crate) struct LiveIndex {
    series: Vec<Arc<LiveSeries>>,
    names: BTreeMap<Box<str>, Values>,
    /// For the first part of [`LiveIndex::sorted`], the ordinals by labels; extended when asked.
    sorted: Mutex<Arc<Vec<u32>>>,
}

impl LiveIndex {
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn series(&self, ordinal: u32) -> &Arc<LiveSeries> {
        &self.series[ordinal as usize]
    }

    pub(crate) fn all_series(&self) -> &[Arc<LiveSeries>] {
        &self.series
    }

    /// Adds a series. The caller limits the number of series far below 2^32.
    pub(crate) fn insert(&mut self, series: Arc<LiveSeries>) {
        let ordinal = u32::try_from(self.series.len()).expect("series limits are below 2^32");
        for (name, value) in series.labels() {
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(Box::from(name)).or_default(),
            };
            match values.get_mut(value) {
                Some(postings) => postings.push(ordinal),
                None => {
                    values.insert(Box::from(value), Postings::One(ordinal));
                }
            }
        }
        self.series.push(series);
    }

    /// A new index of the series that `keep` wants, in the same order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&LiveSeries) -> bool) {
        let mut kept = Self::default();
        for series in std::mem::take(&mut self.series) {
            if keep(&series) {
                kept.insert(series);
            }
        }
        *self = kept;
    }

    /// All ordinals in the order of their labels. Computed when asked and kept: arrivals since the
    /// last time are sorted and merged in.
    pub(crate) fn sorted(&self) -> Arc<Vec<u32>> {
        let mut sorted = self.sorted.lock();
        if sorted.len() < self.series.len() {
            let labels = |ordinal: &u32| self.series[*ordinal as usize].labels();
            let mut fresh: Vec<u32> = (sorted.len() as u32..self.series.len() as u32).collect();
            fresh.sort_unstable_by(|a, b| labels(a).cmp(labels(b)));
            let mut merged = Vec::with_capacity(self.series.len());
            let mut old = sorted.iter().copied().peekable();
            for ordinal in fresh {
                while let Some(next) = old.next_if(|o| labels(o) < labels(&ordinal)) {
                    merged.push(next);
                }
                merged.push(ordinal);
            }
            merged.extend(old);
            *sorted = Arc::new(merged);
        }
        Arc::clone(&sorted)
    }

    /// The ordinals of `set` in the order of their labels.
    pub(crate) fn in_label_order(&self, set: &RoaringBitmap) -> Vec<u32> {
        if set.len() * 8 >= self.series.len() as u64 {
            return self.sorted().iter().copied().filter(|ordinal| set.contains(*ordinal)).collect();
        }
        let mut ordinals: Vec<u32> = set.iter().collect();
        ordinals.sort_unstable_by(|a, b| self.labels(*a).cmp(self.labels(*b)));
        ordinals
    }

    fn labels(&self, ordinal: u32) -> &Labels {
        self.series[ordinal as usize].labels()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.names.iter().map(|(name, values)| (name.as_ref(), values))
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &Postings)> {
        self.names.get(name).into_iter().flatten().map(|(value, postings)| (value.as_ref(), postings))
    }

    pub(crate) fn n_label_pairs(&self) -> u64 {
        self.names.values().map(|values| values.len() as u64).sum()
    }

    pub(crate) fn top_series_by_value(&self, name: &str, limit: usize) -> Vec<Count> {
        top(self.values(name).map(|(value, postings)| (value, postings.len())), limit)
    }

    pub(crate) fn top_values_by_name(&self, limit: usize) -> Vec<Count> {
        top(self.names().map(|(name, values)| (name, values.len() as u64)), limit)
    }

    /// As upstream counts: the bytes of every series' value of the label.
    pub(crate) fn top_memory_by_name(&self, limit: usize) -> Vec<Count> {
        let bytes_of = |values: &Values| -> u64 {
            values.iter().map(|(value, postings)| value.len() as u64 * postings.len()).sum()
        };
        top(self.names().map(|(name, values)| (name, bytes_of(values))), limit)
    }

    pub(crate) fn top_pairs(&self, limit: usize) -> Vec<Count> {
        let pairs = self.names().flat_map(|(name, values)| {
            values.iter().map(move |(value, postings)| ((name, value.as_ref()), postings.len()))
        });
        let named = |((name, value), n)| Count { name: format!("{name}={value}"), value: n };
        largest(pairs, limit).into_iter().map(named).collect()
    }
}

/// Candidates that are kept besides the best, so that they are sorted rarely; what this takes does not
/// grow with cardinality.
const CANDIDATES_MAX: usize = 4_096;

/// The `limit` largest counts, ties by what is counted.
fn largest<T: Ord>(counts: impl Iterator<Item = (T, u64)>, limit: usize) -> Vec<(T, u64)> {
    let mut best: Vec<(T, u64)> = Vec::new();
    let keep_best = |best: &mut Vec<(T, u64)>| {
        best.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        best.truncate(limit);
    };
    for count in counts {
        best.push(count);
        if best.len() >= limit.saturating_add(CANDIDATES_MAX) {
            keep_best(&mut best);
        }
    }
    keep_best(&mut best);
    best
}

fn top<'a>(counts: impl Iterator<Item = (&'a str, u64)>, limit: usize) -> Vec<Count> {
    largest(counts, limit).into_iter().map(|(name, value)| Count { name: name.to_owned(), value }).collect()
}

impl LabelIndex for LiveIndex {
    type Error = Infallible;

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series.len() as u32);
        all
    }

    fn with_value(&self, name: &str, value: &str) -> Result<RoaringBitmap, Infallible> {
        let mut set = RoaringBitmap::new();
        if let Some(postings) = self.names.get(name).and_then(|values| values.get(value)) {
            postings.union_into(&mut set);
        }
        Ok(set)
    }

    fn with_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Infallible> {
        let mut set = RoaringBitmap::new();
        let Some(values) = self.names.get(name) else { return Ok(set) };
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (value, postings) in values.range::<str, _>(from) {
            if !value.starts_with(prefix) {
                break;
            }
            if keep(value) {
                postings.union_into(&mut set);
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_counts_are_those_that_sorting_all_would_give() {
        let check = |n: u64, limit: usize| {
            let counts: Vec<(u64, u64)> = (0..n).map(|i| (i, i.wrapping_mul(7_919) % 1_009)).collect();
            let mut sorted = counts.clone();
            sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            sorted.truncate(limit);
            assert_eq!(largest(counts.into_iter(), limit), sorted, "{limit} of {n}");
        };
        check(0, 10);
        check(5, 10);
        check(5, 0);
        check(20_000, 10);
        check(20_000, 5_000);
        check(20_000, usize::MAX);
    }
}
