//! Decoded blocks of parts, shared by all queries, bounded in bytes: the least recently used go.

use std::sync::Arc;

use base::Budget;
use base::Charge;
use hashbrown::HashMap;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use store_core::PartId;

use crate::part::builder::Pair;
use crate::part::symbols::SymbolTable;

/// Where one timestamp column is, and what it spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeEntry {
    pub(crate) n: u32,
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// Where one page is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageEntry {
    pub(crate) flags: u8,
    pub(crate) time_ref: u32,
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// Some values of a label: `first` is the symbol of the first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueChunk {
    pub(crate) first: u32,
    pub(crate) n: u32,
    pub(crate) block: u32,
    pub(crate) offset: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct NameEntry {
    pub(crate) name: u32,
    pub(crate) chunks: Vec<ValueChunk>,
}

/// What nearly every use of a part needs.
#[derive(Debug)]
pub(crate) struct PartIndex {
    pub(crate) symbols: SymbolTable,
    pub(crate) names: Vec<NameEntry>,
    pub(crate) times: Vec<TimeEntry>,
}

/// Lists of lists, flat: list `i` is `items[starts[i]..starts[i + 1]]`.
#[derive(Debug)]
pub(crate) struct Lists<T> {
    pub(crate) starts: Vec<u32>,
    pub(crate) items: Vec<T>,
}

impl<T> Lists<T> {
    pub(crate) fn new() -> Self {
        Self { starts: vec![0], items: Vec::new() }
    }

    pub(crate) fn close_list(&mut self) {
        self.starts.push(self.items.len() as u32);
    }

    pub(crate) fn get(&self, i: usize) -> Option<&[T]> {
        let (start, end) = (*self.starts.get(i)?, *self.starts.get(i + 1)?);
        self.items.get(start as usize..end as usize)
    }

    fn heap_bytes(&self) -> usize {
        self.starts.len() * 4 + self.items.len() * size_of::<T>()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Cached {
    Index(Arc<PartIndex>),
    Labels(Arc<Lists<Pair>>),
    Pages(Arc<Lists<PageEntry>>),
    Bytes(Arc<Vec<u8>>),
    Times(Arc<Vec<i64>>),
    Set(Arc<RoaringBitmap>),
}

impl Cached {
    fn heap_bytes(&self) -> usize {
        64 + match self {
            Self::Index(index) => {
                let chunks: usize = index.names.iter().map(|n| 32 + n.chunks.len() * 16).sum();
                index.symbols.heap_bytes() + chunks + index.times.len() * size_of::<TimeEntry>()
            }
            Self::Labels(lists) => lists.heap_bytes(),
            Self::Pages(lists) => lists.heap_bytes(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Times(ts) => ts.len() * 8,
            Self::Set(set) => set.serialized_size(),
        }
    }
}

/// What a cached thing is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Index,
    Labels(u32),
    Ids(u32),
    Pages(u32),
    Samples(u32),
    TimesBlock(u32),
    Values(u32),
    Times(u32),
    /// The values that a matcher selects, by the matcher's text.
    Matched(String),
}

#[derive(Debug)]
struct Entry {
    cached: Cached,
    bytes: usize,
    used_at: u64,
}

#[derive(Debug)]
struct Inner {
    entries: HashMap<(PartId, Item), Entry>,
    bytes: usize,
    now: u64,
    charge: Option<Charge>,
}

#[derive(Debug)]
pub(crate) struct PartCache {
    inner: Mutex<Inner>,
    limit_bytes: usize,
    budget: Budget,
}

impl PartCache {
    pub(crate) fn new(limit_bytes: u64, budget: Budget) -> Self {
        let inner = Inner { entries: HashMap::new(), bytes: 0, now: 0, charge: None };
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        Self { inner: Mutex::new(inner), limit_bytes, budget }
    }

    pub(crate) fn get(&self, part: PartId, item: &Item) -> Option<Cached> {
        let mut inner = self.inner.lock();
        inner.now += 1;
        let now = inner.now;
        let entry = inner.entries.get_mut(&(part, item.clone()))?;
        entry.used_at = now;
        Some(entry.cached.clone())
    }

    /// Keeps `cached` unless it alone is larger than the cache, or the budget has no room.
    pub(crate) fn put(&self, part: PartId, item: Item, cached: Cached) {
        let bytes = cached.heap_bytes();
        let mut inner = self.inner.lock();
        if bytes > self.limit_bytes / 2 {
            return;
        }
        if inner.bytes + bytes > self.limit_bytes {
            inner.evict(self.limit_bytes / 4 * 3 - bytes.min(self.limit_bytes / 4));
        }
        if !inner.grow(bytes, &self.budget) {
            return;
        }
        inner.now += 1;
        let entry = Entry { cached, bytes, used_at: inner.now };
        if let Some(replaced) = inner.entries.insert((part, item), entry) {
            inner.shrink(replaced.bytes);
        }
    }

    /// Forgets everything of a part.
    pub(crate) fn forget(&self, part: PartId) {
        let mut inner = self.inner.lock();
        let mut freed = 0;
        inner.entries.retain(|(owner, _), entry| {
            let keep = *owner != part;
            freed += if keep { 0 } else { entry.bytes };
            keep
        });
        inner.shrink(freed);
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.inner.lock().bytes as u64
    }
}

impl Inner {
    fn grow(&mut self, bytes: usize, budget: &Budget) -> bool {
        let charged = match &mut self.charge {
            Some(charge) => charge.grow(bytes as u64).is_ok(),
            None => match budget.charge(bytes as u64) {
                Ok(charge) => {
                    self.charge = Some(charge);
                    true
                }
                Err(_) => false,
            },
        };
        if charged {
            self.bytes += bytes;
        }
        charged
    }

    fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some(charge) = &mut self.charge {
            charge.shrink(bytes as u64);
        }
    }

    /// Drops the least recently used until at most `target_bytes` are left.
    fn evict(&mut self, target_bytes: usize) {
        let mut ages: Vec<(u64, usize)> =
            self.entries.values().map(|entry| (entry.used_at, entry.bytes)).collect();
        ages.sort_unstable();
        let mut left = self.bytes;
        let mut newest_dropped = 0;
        for (used_at, bytes) in ages {
            if left <= target_bytes {
                break;
            }
            left -= bytes;
            newest_dropped = used_at;
        }
        let freed = self.bytes - left;
        self.entries.retain(|_, entry| entry.used_at > newest_dropped);
        self.shrink(freed);
    }
}
