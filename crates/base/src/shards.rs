//! Virtual shards: the unit in which series are spread over machines. The number of shards is fixed
//! for ever; which machine holds which is data.

use std::fmt;

/// The number of virtual shards.
pub const SHARDS: u16 = 1024;

const WORDS: usize = SHARDS as usize / 64;

/// Neighbouring virtual shards, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardRange {
    pub first: u16,
    pub last: u16,
}

impl ShardRange {
    pub const ALL: Self = Self { first: 0, last: SHARDS - 1 };

    /// `None` if the ends are the wrong way round or there is no such shard.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last && last < SHARDS).then_some(Self { first, last })
    }

    pub fn contains(self, shard: u16) -> bool {
        self.first <= shard && shard <= self.last
    }

    /// The smallest range that holds this one and `shard`.
    pub fn extend(&mut self, shard: u16) {
        self.first = self.first.min(shard);
        self.last = self.last.max(shard);
    }
}

/// As in a map of shards: `7`, or `0-511`.
impl fmt::Display for ShardRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Any of the virtual shards: what one machine holds, or what one part of a query is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardSet([u64; WORDS]);

impl ShardSet {
    pub const EMPTY: Self = Self([0; WORDS]);
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// Shards from [`SHARDS`] on do not exist and are not inserted.
    pub fn insert(&mut self, shard: u16) {
        if let Some(word) = self.0.get_mut(usize::from(shard / 64)) {
            *word |= 1 << (shard % 64);
        }
    }

    pub fn contains(&self, shard: u16) -> bool {
        self.0.get(usize::from(shard / 64)).is_some_and(|word| word >> (shard % 64) & 1 == 1)
    }

    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether any shard of the range is in the set.
    pub fn overlaps(&self, range: ShardRange) -> bool {
        self.is_all() || (range.first..=range.last).any(|shard| self.contains(shard))
    }

    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..SHARDS).filter(|shard| self.contains(*shard))
    }

    /// The fewest ranges that make up the set, ascending.
    pub fn ranges(&self) -> Vec<ShardRange> {
        let mut ranges: Vec<ShardRange> = Vec::new();
        for shard in self.iter() {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == shard => range.last = shard,
                _ => ranges.push(ShardRange { first: shard, last: shard }),
            }
        }
        ranges
    }
}

impl From<ShardRange> for ShardSet {
    fn from(range: ShardRange) -> Self {
        (range.first..=range.last).collect()
    }
}

impl FromIterator<u16> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u16>>(shards: I) -> Self {
        let mut set = Self::EMPTY;
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

impl fmt::Debug for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges().iter().map(ToString::to_string)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_its_ranges() {
        let check = |pairs: &[(u16, u16)], len: u32| {
            let ranges: Vec<_> = pairs.iter().map(|(a, b)| ShardRange::new(*a, *b).unwrap()).collect();
            let set: ShardSet = ranges.iter().flat_map(|range| range.first..=range.last).collect();
            assert_eq!((set.ranges(), set.len(), set.is_empty()), (ranges.clone(), len, len == 0));
            assert_eq!(set.is_all(), len == 1024);
            for shard in 0..SHARDS {
                let inside = ranges.iter().any(|range| range.contains(shard));
                assert_eq!(set.contains(shard), inside, "{shard} in {set:?}");
                assert_eq!(set.overlaps(ShardRange { first: shard, last: shard }), inside);
            }
        };
        check(&[], 0);
        check(&[(0, 1023)], 1024);
        check(&[(0, 0), (63, 64), (1023, 1023)], 4);
        assert!(ShardSet::ALL.is_all() && !ShardSet::ALL.contains(1024));
        let some = ShardSet::from(ShardRange { first: 10, last: 20 });
        assert!(some.overlaps(ShardRange { first: 20, last: 30 }));
        assert!(!some.overlaps(ShardRange { first: 21, last: 1023 }));
    }

    #[test]
    fn a_range_is_within_the_shards() {
        assert_eq!(ShardRange::new(0, 1023), Some(ShardRange::ALL));
        assert_eq!((ShardRange::new(0, 1024), ShardRange::new(2, 1)), (None, None));
        let mut range = ShardRange { first: 5, last: 5 };
        assert_eq!(range.to_string(), "5");
        range.extend(3);
        range.extend(9);
        assert_eq!(range.to_string(), "3-9");
    }
}
