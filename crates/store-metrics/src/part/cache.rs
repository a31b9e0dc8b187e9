//! Decoded blocks of parts, shared by all queries, bounded in bytes: the least recently used go. Each is
//! charged to the budget as long as anybody holds it.

use std::ops::Deref;
use std::sync::Arc;

use base::{Budget, BudgetExceeded, Charge};
use hashbrown::HashMap;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use store_core::PartId;

use crate::part::builder::Pair;
use crate::part::symbols::SymbolTable;

/// What keeping a thing takes besides itself.
const OVERHEAD_BYTES: usize = 64;

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
}

/// What a decoded thing takes.
pub(crate) trait HeapBytes {
    fn heap_bytes(&self) -> usize;
}

impl HeapBytes for PartIndex {
    fn heap_bytes(&self) -> usize {
        let chunks: usize = self.names.iter().map(|n| 32 + n.chunks.len() * 16).sum();
        self.symbols.heap_bytes() + chunks + self.times.len() * size_of::<TimeEntry>()
    }
}

impl<T> HeapBytes for Lists<T> {
    fn heap_bytes(&self) -> usize {
        self.starts.len() * 4 + self.items.len() * size_of::<T>()
    }
}

impl HeapBytes for Vec<u8> {
    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

impl HeapBytes for Vec<i64> {
    fn heap_bytes(&self) -> usize {
        self.len() * 8
    }
}

impl HeapBytes for RoaringBitmap {
    fn heap_bytes(&self) -> usize {
        self.serialized_size()
    }
}

/// A thing that is charged as long as somebody holds it, in the cache or out of it.
#[derive(Debug)]
pub(crate) struct Charged<T> {
    value: T,
    charge: Charge,
}

impl<T> Deref for Charged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

pub(crate) type Held<T> = Arc<Charged<T>>;

#[derive(Debug, Clone)]
pub(crate) enum Cached {
    Index(Held<PartIndex>),
    Labels(Held<Lists<Pair>>),
    Pages(Held<Lists<PageEntry>>),
    Bytes(Held<Vec<u8>>),
    Times(Held<Vec<i64>>),
    Set(Held<RoaringBitmap>),
}

impl Cached {
    fn bytes(&self) -> u64 {
        match self {
            Self::Index(held) => held.charge.bytes(),
            Self::Labels(held) => held.charge.bytes(),
            Self::Pages(held) => held.charge.bytes(),
            Self::Bytes(held) => held.charge.bytes(),
            Self::Times(held) => held.charge.bytes(),
            Self::Set(held) => held.charge.bytes(),
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
    bytes: u64,
    used_at: u64,
}

#[derive(Debug)]
struct Inner {
    entries: HashMap<(PartId, Item), Entry>,
    bytes: u64,
    now: u64,
}

#[derive(Debug)]
pub(crate) struct PartCache {
    inner: Mutex<Inner>,
    limit_bytes: u64,
    budget: Budget,
}

impl PartCache {
    pub(crate) fn new(limit_bytes: u64, budget: Budget) -> Self {
        let inner = Inner { entries: HashMap::new(), bytes: 0, now: 0 };
        Self { inner: Mutex::new(inner), limit_bytes, budget }
    }

    /// Charges what is about to be held. What the cache keeps makes room for what is needed now.
    pub(crate) fn charge(&self, bytes: u64) -> Result<Charge, BudgetExceeded> {
        self.budget.charge(bytes).or_else(|_| {
            let mut inner = self.inner.lock();
            let target_bytes = (inner.bytes / 2).min(inner.bytes.saturating_sub(bytes));
            inner.evict(target_bytes);
            drop(inner);
            self.budget.charge(bytes)
        })
    }

    /// Charges a decoded thing, and `extra_bytes` that are held with it.
    pub(crate) fn hold<T: HeapBytes>(&self, value: T, extra_bytes: usize) -> Result<Held<T>, BudgetExceeded> {
        let charge = self.charge((OVERHEAD_BYTES + value.heap_bytes() + extra_bytes) as u64)?;
        Ok(Arc::new(Charged { value, charge }))
    }

    pub(crate) fn get(&self, part: PartId, item: &Item) -> Option<Cached> {
        let mut inner = self.inner.lock();
        inner.now += 1;
        let now = inner.now;
        let entry = inner.entries.get_mut(&(part, item.clone()))?;
        entry.used_at = now;
        Some(entry.cached.clone())
    }

    /// Keeps `cached` unless it alone is larger than half the cache.
    pub(crate) fn put(&self, part: PartId, item: Item, cached: Cached) {
        let bytes = cached.bytes();
        let mut inner = self.inner.lock();
        if bytes > self.limit_bytes / 2 {
            return;
        }
        if inner.bytes + bytes > self.limit_bytes {
            inner.evict(self.limit_bytes / 4 * 3 - bytes.min(self.limit_bytes / 4));
        }
        inner.now += 1;
        let entry = Entry { cached, bytes, used_at: inner.now };
        inner.bytes += bytes;
        if let Some(replaced) = inner.entries.insert((part, item), entry) {
            inner.bytes -= replaced.bytes;
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
        inner.bytes -= freed;
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.inner.lock().bytes
    }
}

impl Inner {
    /// Drops the least recently used until at most `target_bytes` are left.
    fn evict(&mut self, target_bytes: u64) {
        let mut ages: Vec<(u64, u64)> =
            self.entries.values().map(|entry| (entry.used_at, entry.bytes)).collect();
        ages.sort_unstable();
        let mut newest_dropped = 0;
        for (used_at, bytes) in ages {
            if self.bytes <= target_bytes {
                break;
            }
            self.bytes -= bytes;
            newest_dropped = used_at;
        }
        self.entries.retain(|_, entry| entry.used_at > newest_dropped);
    }
}
