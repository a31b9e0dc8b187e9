//! The live series of one tenant: found by fingerprint in shards, by labels in the index.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base::TenantId;
use hashbrown::HashMap;
use model::{Labels, SeriesId};
use parking_lot::{Mutex, RwLock};

use crate::live::exemplars::ExemplarRing;
use crate::live::index::LiveIndex;
use crate::live::series::LiveSeries;
use crate::options::Limits;
use crate::part::metadata::Families;

/// Locks of the map from fingerprint to series: enough that appending threads rarely meet.
const SHARDS: usize = 16;

/// A fingerprint is a hash already.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

pub(crate) type FingerprintMap<V> = HashMap<SeriesId, V, BuildHasherDefault<FingerprintHasher>>;

#[derive(Debug)]
pub(crate) struct TenantLive {
    pub(crate) tenant: TenantId,
    pub(crate) limits: Limits,
    shards: [RwLock<FingerprintMap<Arc<LiveSeries>>>; SHARDS],
    pub(crate) index: RwLock<LiveIndex>,
    pub(crate) exemplars: Mutex<ExemplarRing>,
    pub(crate) metadata: Mutex<Families>,
    min_t: AtomicI64,
    max_t: AtomicI64,
}

impl TenantLive {
    pub(crate) fn new(tenant: TenantId, limits: Limits) -> Self {
        Self {
            tenant,
            limits,
            shards: std::array::from_fn(|_| RwLock::new(FingerprintMap::default())),
            index: RwLock::new(LiveIndex::default()),
            exemplars: Mutex::new(ExemplarRing::default()),
            metadata: Mutex::new(Families::new()),
            min_t: AtomicI64::new(i64::MAX),
            max_t: AtomicI64::new(i64::MIN),
        }
    }

    fn shard(&self, id: SeriesId) -> &RwLock<FingerprintMap<Arc<LiveSeries>>> {
        &self.shards[(id.0 >> 64) as usize % SHARDS]
    }

    pub(crate) fn find(&self, id: SeriesId) -> Option<Arc<LiveSeries>> {
        self.shard(id).read().get(&id).map(Arc::clone)
    }

    pub(crate) fn n_series(&self) -> u64 {
        self.index.read().len() as u64
    }

    /// The series, and whether it is new.
    pub(crate) fn find_or_create(
        &self,
        id: SeriesId,
        labels: &Labels,
        generation: u32,
    ) -> (Arc<LiveSeries>, bool) {
        match self.find(id) {
            Some(series) => (series, false),
            None => self.insert(Arc::new(LiveSeries::new(id, labels.clone(), generation))),
        }
    }

    /// Makes a series findable, unless somebody else was faster: the one that is found from now on, and
    /// whether it is this one.
    pub(crate) fn insert(&self, series: Arc<LiveSeries>) -> (Arc<LiveSeries>, bool) {
        let id = series.id();
        let mut shard = self.shard(id).write();
        if let Some(known) = shard.get(&id) {
            return (Arc::clone(known), false);
        }
        shard.insert(id, Arc::clone(&series));
        self.index.write().insert(Arc::clone(&series));
        (series, true)
    }

    /// Widens the time bounds of the live samples.
    pub(crate) fn cover(&self, min_t: i64, max_t: i64) {
        self.min_t.fetch_min(min_t, Ordering::Relaxed);
        self.max_t.fetch_max(max_t, Ordering::Relaxed);
    }

    /// The bounds of what was appended since opening or the last [`TenantLive::sweep`]; they may be
    /// wider than what is still live. `(i64::MAX, i64::MIN)` when nothing was.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        (self.min_t.load(Ordering::Relaxed), self.max_t.load(Ordering::Relaxed))
    }

    /// Forgets generations up to and including `up_to`; returns the bytes that became free.
    pub(crate) fn clear(&self, up_to: u32) -> u64 {
        let mut freed = 0u64;
        let (mut min_t, mut max_t) = (i64::MAX, i64::MIN);
        for series in self.index.read().all_series() {
            let mut state = series.state.lock();
            freed += state.clear(up_to) as u64;
            for log in state.logs().filter(|log| !log.is_empty()) {
                min_t = min_t.min(log.bounds().0);
                max_t = max_t.max(log.bounds().1);
            }
        }
        freed += self.exemplars.lock().clear(up_to);
        self.min_t.store(min_t, Ordering::Relaxed);
        self.max_t.store(max_t, Ordering::Relaxed);
        freed
    }

    /// Removes series whose newest sample is before `before_ms` and that hold no samples, once they
    /// are a quarter of all; returns how many went and the bytes that became free. Nobody may be
    /// appending.
    pub(crate) fn sweep(&self, before_ms: i64) -> (u64, u64) {
        let is_idle = |series: &LiveSeries| {
            let state = series.state.lock();
            state.is_empty() && state.newest.is_none_or(|(t, _)| t < before_ms)
        };
        let mut index = self.index.write();
        let n_idle = index.all_series().iter().filter(|series| is_idle(series)).count();
        if n_idle == 0 || n_idle * 4 < index.len() {
            return (0, 0);
        }
        let mut freed = 0;
        let mut removed = Vec::with_capacity(n_idle);
        index.retain(|series| {
            if is_idle(series) {
                freed += series.overhead_bytes();
                removed.push(series.id());
                return false;
            }
            true
        });
        drop(index);
        for id in &removed {
            self.shard(*id).write().remove(id);
        }
        (removed.len() as u64, freed)
    }
}
