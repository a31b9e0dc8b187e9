//! Reading: one catalog snapshot, and of the live store what that snapshot has not in parts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Budget, CancelToken, Charge, ShardSet, TenantId};
use model::{Labels, Matcher, SeriesId, shard_of};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use store_core::{CatalogSnapshot, PartMeta, PartReader, TimeRange};

use crate::error::StoreError;
use crate::live::series::LiveSeries;
use crate::live::tenant::FingerprintMap;
use crate::matching;
use crate::part::family::hidden_in;
use crate::part::reader::MetricsPart;
use crate::part::{FAMILY, SERIES_PER_CHUNK};
use crate::selection::{SelectScope, SelectedPart, SelectedSeries, Source};
use crate::store::damage::Known;
use crate::store::{Extent, Shared};

/// What one selected series, or one part that it is in, takes besides its labels: entries in a handful of
/// vectors and a map.
const SELECTED_BYTES: u64 = 112;

/// Warnings of one view; further damage is only counted.
const WARNINGS_MAX: usize = 20;

/// How often, in series, a selection looks whether it should stop.
const CANCEL_CHECK_SERIES: usize = 4_096;

/// An atomically consistent view; cheap to make, holds no locks. What it sees of the live store stays
/// there until it is dropped; samples appended later may be seen too.
#[derive(Debug, Clone)]
pub struct MetricsView {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot: Arc<CatalogSnapshot>,
    /// Generations up to this one are in the snapshot's parts.
    pub(crate) above: u32,
    /// Keeps later generations from being cleared.
    _pin: Arc<()>,
    /// What reads of this view and its clones had to leave out.
    warnings: Arc<Mutex<BTreeSet<String>>>,
}

impl Shared {
    /// The part, opened once and kept. What is known to be damaged is not read again for a while.
    pub(super) fn part(&self, meta: &PartMeta) -> Result<Arc<MetricsPart>, StoreError> {
        let now_ns = self.clock.monotonic_ns();
        let known = self.damage.lock().known(meta.id, now_ns);
        match known {
            Known::Nothing => {}
            Known::Unreadable(error) => return Err(error),
            Known::Stale => drop(self.parts.lock().remove(&meta.id)),
        }
        if let Some(part) = self.parts.lock().get(&meta.id) {
            return Ok(Arc::clone(part));
        }
        let part = self.open_part(meta).inspect_err(|error| {
            if !matches!(error, StoreError::Budget(_)) {
                self.counters.part_open_failures.fetch_add(1, Ordering::Relaxed);
            }
            if matches!(error, StoreError::Corrupt { .. }) {
                self.damage.lock().does_not_open(meta.id, error, now_ns);
            }
        })?;
        self.parts.lock().insert(meta.id, Arc::clone(&part));
        Ok(part)
    }

    fn open_part(&self, meta: &PartMeta) -> Result<Arc<MetricsPart>, StoreError> {
        let reader = PartReader::open(&self.blobs, &meta.key())?;
        Ok(Arc::new(MetricsPart::new(reader, Arc::clone(&self.cache))?))
    }

    /// Closes parts that are no longer in the catalog.
    pub(super) fn forget_parts(&self, snapshot: &CatalogSnapshot) {
        self.damage.lock().retain(snapshot);
        let mut parts = self.parts.lock();
        let named: hashbrown::HashSet<_> = snapshot.parts.iter().map(|meta| meta.id).collect();
        parts.retain(|id, _| {
            let keep = named.contains(id);
            if !keep {
                self.cache.forget(*id);
            }
            keep
        });
    }
}

/// The series being selected, by fingerprint.
struct Selecting<'a> {
    view: &'a MetricsView,
    /// `None` for all.
    shards: Option<&'a ShardSet>,
    cancel: &'a CancelToken,
    labels: Vec<Labels>,
    live: Vec<Option<Arc<LiveSeries>>>,
    by_id: FingerprintMap<u32>,
    /// `(series, source)`
    sources: Vec<(u32, Source)>,
    parts: Vec<SelectedPart>,
    charge: Charge,
    n_charged: usize,
}

impl MetricsView {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        // In this order: a generation that leaves the live store after this is in the snapshot, or
        // the pin keeps it.
        let lifecycle = shared.lifecycle.lock();
        let pin = lifecycle.pin();
        let snapshot = shared.catalog.snapshot();
        let above = lifecycle.in_parts(&snapshot);
        drop(lifecycle);
        Self { shared: Arc::clone(shared), snapshot, above, _pin: pin, warnings: Arc::default() }
    }

    /// What reads of this view and of its clones had to leave out so far, because it is damaged: one
    /// sentence each, sorted. An answer that was read meanwhile is incomplete and should carry them.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().iter().cloned().collect()
    }

    /// Turns damage into a warning; other errors stay.
    pub(crate) fn warn(&self, meta: &PartMeta, extent: Extent, error: StoreError) -> Result<(), StoreError> {
        let sentence = self.shared.set_aside(meta, extent, error)?;
        let mut warnings = self.warnings.lock();
        if warnings.len() < WARNINGS_MAX {
            warnings.insert(sentence);
        }
        Ok(())
    }

    /// The series that all `matchers` select and that may have samples in `[start_ms, end_ms]`.
    /// Memory of the answer is charged to `budget` until it is dropped.
    pub fn select(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<SelectedSeries, StoreError> {
        let scope = SelectScope { matchers, start_ms, end_ms, shards: &ShardSet::ALL };
        self.select_in(tenant, &scope, budget, cancel)
    }

    /// As [`MetricsView::select`], of some shards only: parts that hold none of them are not opened.
    pub fn select_in(
        &self,
        tenant: &TenantId,
        scope: &SelectScope<'_>,
        budget: &Budget,
        cancel: &CancelToken,
    ) -> Result<SelectedSeries, StoreError> {
        let SelectScope { matchers, start_ms, end_ms, shards } = *scope;
        let mut selecting = Selecting {
            view: self,
            shards: (!shards.is_all()).then_some(shards),
            cancel,
            labels: Vec::new(),
            live: Vec::new(),
            by_id: FingerprintMap::default(),
            sources: Vec::new(),
            parts: Vec::new(),
            charge: budget.charge(0)?,
            n_charged: 0,
        };
        let time = TimeRange { min_ms: start_ms, max_ms: end_ms };
        let metas = self.snapshot.parts_for(FAMILY, tenant, time);
        let metas: Vec<&Arc<PartMeta>> = metas.filter(|meta| shards.overlaps(meta.shards)).collect();
        selecting.add_live(tenant, matchers, time, !metas.is_empty())?;
        for meta in metas {
            cancel.check()?;
            selecting.add_part(meta, matchers)?;
        }
        selecting.finish(start_ms, end_ms)
    }

    pub(crate) fn open_part(&self, meta: &PartMeta) -> Result<SelectedPart, StoreError> {
        let part = self.shared.part(meta)?;
        let hidden = hidden_in(&part, &self.snapshot.tombstones_for(meta))?;
        let at_hand = part.at_hand()?;
        Ok(SelectedPart { part, at_hand, hidden })
    }
}

impl Selecting<'_> {
    fn add_live(
        &mut self,
        tenant: &TenantId,
        matchers: &[Matcher],
        time: TimeRange,
        with_ids: bool,
    ) -> Result<(), StoreError> {
        let Some(live) = self.view.shared.known_tenant(tenant) else { return Ok(()) };
        let (min_t, max_t) = live.bounds();
        if min_t > time.max_ms || max_t < time.min_ms {
            return Ok(());
        }
        let index = live.index.read();
        let matched = match matching::select(&*index, matchers) {
            Ok(matched) => matched,
            Err(never) => match never {},
        };
        for ordinal in index.in_label_order(&matched) {
            let series = index.series(ordinal);
            if is_wanted(self.shards, series.id())
                && series.overlaps(self.view.above, time.min_ms, time.max_ms)
            {
                if with_ids {
                    self.by_id.insert(series.id(), self.labels.len() as u32);
                }
                self.push(series.labels().clone(), Some(Arc::clone(series)))?;
            }
        }
        Ok(())
    }

    fn push(&mut self, labels: Labels, live: Option<Arc<LiveSeries>>) -> Result<(), StoreError> {
        if live.is_none() {
            self.charge.grow(labels.heap_bytes() as u64)?;
        }
        self.labels.push(labels);
        self.live.push(live);
        if self.labels.len().is_multiple_of(CANCEL_CHECK_SERIES) {
            self.cancel.check()?;
            self.settle()?;
        }
        Ok(())
    }

    /// Charges what was added since the last time.
    fn settle(&mut self) -> Result<(), StoreError> {
        let n = self.labels.len() + self.sources.len();
        self.charge.grow((n - self.n_charged) as u64 * SELECTED_BYTES)?;
        self.n_charged = n;
        Ok(())
    }

    fn add_part(&mut self, meta: &PartMeta, matchers: &[Matcher]) -> Result<(), StoreError> {
        let opened = self.view.open_part(meta).and_then(|selected| {
            let matched = selected.part.select(matchers)?;
            Ok((selected, matched))
        });
        let (selected, matched) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.view.warn(meta, Extent::Part, error),
        };
        let part = Arc::clone(&selected.part);
        if matched.is_empty() {
            return Ok(());
        }
        let index = Arc::clone(&selected.at_hand.index);
        self.charge.grow(selected.at_hand.heap_bytes())?;
        let number = self.parts.len() as u32;
        self.parts.push(selected);
        let mut fresh: Vec<(u32, SeriesId)> = Vec::new();
        let (by_id, sources, shards) = (&self.by_id, &mut self.sources, self.shards);
        let (view, chunk_series) = (self.view, SERIES_PER_CHUNK as u32);
        for chunk in 0..part.n_series().div_ceil(chunk_series) {
            let first = chunk * chunk_series;
            let in_chunk = part_of(&matched, first, first.saturating_add(chunk_series));
            if in_chunk.is_empty() {
                continue;
            }
            let read = part.for_each_id(&in_chunk, |ordinal, id| match by_id.get(&id) {
                Some(series) => sources.push((*series, Source { part: number, ordinal })),
                None if is_wanted(shards, id) => fresh.push((ordinal, id)),
                None => {}
            });
            read.or_else(|error| view.warn(meta, Extent::Block, error.into()))?;
        }
        for (ordinal, id) in fresh {
            let series = self.labels.len() as u32;
            let labels = match part.labels(&index, ordinal) {
                Ok(labels) => labels,
                Err(error) => {
                    view.warn(meta, Extent::Block, error.into())?;
                    continue;
                }
            };
            self.push(labels, None)?;
            self.by_id.insert(id, series);
            self.sources.push((series, Source { part: number, ordinal }));
        }
        self.settle()
    }

    fn finish(mut self, start_ms: i64, end_ms: i64) -> Result<SelectedSeries, StoreError> {
        self.settle()?;
        // Each source arrived in label order, so this merges a few sorted runs.
        let mut order: Vec<u32> = (0..self.labels.len() as u32).collect();
        let labels = &self.labels;
        order.sort_by(|a, b| labels[*a as usize].cmp(&labels[*b as usize]));
        let mut place = vec![0u32; order.len()];
        for (to, from) in order.iter().enumerate() {
            place[*from as usize] = to as u32;
        }
        let mut source_starts = vec![0u32; order.len() + 1];
        for (series, _) in &self.sources {
            source_starts[place[*series as usize] as usize + 1] += 1;
        }
        for i in 1..source_starts.len() {
            source_starts[i] += source_starts[i - 1];
        }
        let mut next = source_starts.clone();
        let mut sources = vec![Source { part: 0, ordinal: 0 }; self.sources.len()];
        for (series, source) in &self.sources {
            let slot = &mut next[place[*series as usize] as usize];
            sources[*slot as usize] = *source;
            *slot += 1;
        }
        let take = |from: &u32| *from as usize;
        Ok(SelectedSeries {
            labels: order.iter().map(|from| std::mem::take(&mut self.labels[take(from)])).collect(),
            live: order.iter().map(|from| self.live[take(from)].take()).collect(),
            source_starts,
            sources,
            parts: self.parts,
            start_ms,
            end_ms,
            above: self.view.above,
            view: self.view.clone(),
            _charge: self.charge,
        })
    }
}

/// Whether a series is of one of the shards, where `None` stands for all of them.
fn is_wanted(shards: Option<&ShardSet>, id: SeriesId) -> bool {
    shards.is_none_or(|shards| shards.contains(shard_of(id)))
}

/// The members of a set in `from..to`.
fn part_of(set: &RoaringBitmap, from: u32, to: u32) -> RoaringBitmap {
    let mut range = RoaringBitmap::new();
    range.insert_range(from..to);
    range &= set;
    range
}
