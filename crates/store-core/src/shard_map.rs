//! Which owner holds which virtual shard. Data, and not code: a record of the [`ConfigStore`] that is
//! changed by compare-and-swap, so that moving a shard renames no series and rewrites no part.
//!
//! The record is text, a line per range of shards: `0-511 node-a`. On one machine there is no record,
//! and [`ShardMap::of_one`] is the map.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base::{SHARDS, ShardRange, ShardSet};

use crate::config_store::{ConfigStore, ConfigStoreError, Expect};

/// The key of the record.
const KEY: &str = "shards/map";

/// The longest name of an owner.
const OWNER_BYTES_MAX: usize = 64;

/// Every shard has one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMap {
    /// None of the sets is empty; together they are all shards, and no two have one in common.
    owners: BTreeMap<String, ShardSet>,
}

/// Why something is no map of shards, or could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ShardMapError {
    #[error("shard {shard} belongs to {first:?} and to {second:?}")]
    Overlap { shard: u16, first: String, second: String },
    #[error("shard {shard} belongs to nobody")]
    Unowned { shard: u16 },
    #[error(
        "{owner:?} cannot own shards: a name has 1 to {OWNER_BYTES_MAX} letters, digits, '.', '_' or '-'"
    )]
    BadOwner { owner: String },
    #[error("line {line} of the shard map is not `first-last owner` with shards from 0 to 1023")]
    BadLine { line: usize },
    #[error(transparent)]
    Config(#[from] ConfigStoreError),
}

impl ShardMap {
    /// All shards belong to one owner.
    pub fn of_one(owner: &str) -> Result<Self, ShardMapError> {
        Self::new([(owner, ShardSet::ALL)])
    }

    /// The map of who owns what; an owner may be named several times.
    pub fn new<'a>(owned: impl IntoIterator<Item = (&'a str, ShardSet)>) -> Result<Self, ShardMapError> {
        let mut owners: BTreeMap<String, ShardSet> = BTreeMap::new();
        let mut owner_of: Vec<Option<&str>> = vec![None; usize::from(SHARDS)];
        for (owner, shards) in owned {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if owner.is_empty() || owner.len() > OWNER_BYTES_MAX || !owner.chars().all(is_plain) {
                return Err(ShardMapError::BadOwner { owner: owner.to_owned() });
            }
            for shard in shards.iter() {
                if let Some(first) = owner_of[usize::from(shard)].replace(owner) {
                    let (first, second) = (first.to_owned(), owner.to_owned());
                    return Err(ShardMapError::Overlap { shard, first, second });
                }
                owners.entry(owner.to_owned()).or_insert(ShardSet::EMPTY).insert(shard);
            }
        }
        match (0..SHARDS).zip(&owner_of).find(|(_, owner)| owner.is_none()) {
            Some((shard, _)) => Err(ShardMapError::Unowned { shard }),
            None => Ok(Self { owners }),
        }
    }

    pub fn owner_of(&self, shard: u16) -> Option<&str> {
        self.owners().find(|(_, shards)| shards.contains(shard)).map(|(owner, _)| owner)
    }

    /// The shards of an owner; none if it is not in the map.
    pub fn shards_of(&self, owner: &str) -> ShardSet {
        self.owners.get(owner).copied().unwrap_or(ShardSet::EMPTY)
    }

    /// Every owner with its shards, by name.
    pub fn owners(&self) -> impl Iterator<Item = (&str, &ShardSet)> {
        self.owners.iter().map(|(owner, shards)| (owner.as_str(), shards))
    }

    /// The map after some shards have moved to another owner.
    pub fn with_moved(&self, moved: &ShardSet, to: &str) -> Result<Self, ShardMapError> {
        let stays = |shards: &ShardSet| shards.iter().filter(|shard| !moved.contains(*shard)).collect();
        let others = self.owners().map(|(owner, shards)| (owner, stays(shards)));
        Self::new(others.chain([(to, *moved)]))
    }

    /// The recorded map and its version, if there is one.
    pub fn load(store: &dyn ConfigStore) -> Result<Option<(Self, u64)>, ShardMapError> {
        let Some(record) = store.get(KEY)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&record.value);
        Ok(Some((text.parse()?, record.version)))
    }

    /// Records the map if nobody has changed it meanwhile; gives its version.
    pub fn save(&self, store: &dyn ConfigStore, expect: Expect) -> Result<u64, ShardMapError> {
        Ok(store.put(KEY, self.to_string().as_bytes(), expect)?)
    }
}

/// A line per range, ascending by shard.
impl fmt::Display for ShardMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_owner = |(owner, shards): (_, &ShardSet)| shards.ranges().into_iter().map(move |r| (r, owner));
        let mut lines: Vec<(ShardRange, &str)> = self.owners().flat_map(of_owner).collect();
        lines.sort_unstable();
        lines.iter().try_for_each(|(range, owner)| writeln!(f, "{range} {owner}"))
    }
}

impl FromStr for ShardMap {
    type Err = ShardMapError;

    fn from_str(text: &str) -> Result<Self, ShardMapError> {
        let owned = (1..).zip(text.lines()).map(|(number, line)| {
            let (range, owner) = parse_line(line).ok_or(ShardMapError::BadLine { line: number })?;
            Ok((owner, ShardSet::from(range)))
        });
        Self::new(owned.collect::<Result<Vec<_>, ShardMapError>>()?)
    }
}

fn parse_line(line: &str) -> Option<(ShardRange, &str)> {
    let (range, owner) = line.split_once(' ')?;
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Some((ShardRange::new(first.parse().ok()?, last.parse().ok()?)?, owner))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::blob::LocalBlobStore;
    use crate::config_store::LocalConfigStore;

    fn set(first: u16, last: u16) -> ShardSet {
        ShardSet::from(ShardRange { first, last })
    }

    /// What every map of shards promises.
    fn check_contract(map: &ShardMap) {
        let mut all = ShardSet::EMPTY;
        for (owner, shards) in map.owners() {
            assert!(!shards.is_empty() && map.shards_of(owner) == *shards);
            for shard in shards.iter() {
                assert!(!all.contains(shard), "{shard} has one owner");
                assert_eq!(map.owner_of(shard), Some(owner));
                all.insert(shard);
            }
        }
        assert!(all.is_all(), "every shard has an owner");
        assert_eq!(map.owner_of(SHARDS), None);
        assert!(map.shards_of("nobody").is_empty());
        assert_eq!(&map.to_string().parse::<ShardMap>().unwrap(), map);
    }

    #[test]
    fn every_map_of_shards_gives_each_shard_one_owner() {
        let one = ShardMap::of_one("a").unwrap();
        let two = one.with_moved(&set(512, 1023), "b").unwrap();
        let three = two.with_moved(&set(500, 600), "node-3.example").unwrap();
        let back = three.with_moved(&set(0, 511), "b").unwrap();
        let gone = back.with_moved(&ShardSet::ALL, "a").unwrap();
        for map in [&one, &two, &three, &back, &gone] {
            check_contract(map);
        }
        assert_eq!(three.to_string(), "0-499 a\n500-600 node-3.example\n601-1023 b\n");
        assert_eq!(back.owners().map(|(owner, _)| owner).collect::<Vec<_>>(), ["b", "node-3.example"]);
        assert_eq!(gone, one);
    }

    #[test]
    fn what_is_no_map_of_shards_is_refused_by_name() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<ShardMap>().unwrap_err().to_string(), expected, "{text:?}");
        };
        check("", "shard 0 belongs to nobody");
        check("0-1022 a\n", "shard 1023 belongs to nobody");
        check("0-600 a\n600-1023 b\n", "shard 600 belongs to \"a\" and to \"b\"");
        check("0-1023 a\n7 a\n", "shard 7 belongs to \"a\" and to \"a\"");
        for line in ["0-1024 a", "5-4 a", "a", "", "x-1 a", "-1 a"] {
            let expected = "line 1 of the shard map is not `first-last owner` with shards from 0 to 1023";
            check(&format!("{line}\n0-1023 b\n"), expected);
        }
        for owner in ["", "a b", "ä", &"x".repeat(65)] {
            let expected = "cannot own shards: a name has 1 to 64 letters, digits, '.', '_' or '-'";
            check(&format!("0-1023 {owner}\n"), &format!("{owner:?} {expected}"));
        }
    }

    #[test]
    fn a_map_of_shards_is_a_record_that_two_cannot_change_at_once() {
        let vfs = vfs::MemVfs::default();
        let open = |vfs: &vfs::MemVfs| {
            let blobs = LocalBlobStore::open(Arc::new(vfs.clone()), std::path::Path::new("d")).unwrap();
            LocalConfigStore::new(Arc::new(blobs))
        };
        let store = open(&vfs);
        assert!(ShardMap::load(&store).unwrap().is_none());
        let one = ShardMap::of_one("a").unwrap();
        assert_eq!(one.save(&store, Expect::Absent).unwrap(), 1);
        let two = one.with_moved(&set(512, 1023), "b").unwrap();
        assert_eq!(two.save(&store, Expect::Version(1)).unwrap(), 2);
        let late = one.with_moved(&set(0, 511), "c").unwrap().save(&store, Expect::Version(1));
        assert!(matches!(late, Err(ShardMapError::Config(ConfigStoreError::Conflict { .. }))));
        let store = open(&vfs.crash());
        assert_eq!(ShardMap::load(&store).unwrap().unwrap(), (two, 2));
    }
}
