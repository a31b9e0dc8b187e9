//! From the live store to parts: freeze, write, commit, trim, clear.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{ShardRange, TenantId};
use codec::Effort;
use hashbrown::HashMap;
use model::shard_of;
use store_core::catalog::PartKey;
use store_core::{CatalogSnapshot, OffsetRange, PartHeader, PartId, PartMeta, PartWriter, TimeRange, Txn};

use crate::columns::SampleColumns;
use crate::error::StoreError;
use crate::live::log::SeriesLog;
use crate::live::series::LiveSeries;
use crate::live::tenant::TenantLive;
use crate::options::BatchId;
use crate::outcome::CutOutcome;
use crate::part::builder::{Pair, PartBuilder};
use crate::part::exemplars::PartExemplar;
use crate::part::family::symbols_of;
use crate::part::memory::{Memory, WhenShort};
use crate::part::symbols::SymbolTable;
use crate::part::{FAMILY, SCHEMA_VERSION};
use crate::record::RecordWriter;
use crate::rows;
use crate::store::Shared;

/// Late samples do not widen the part of the present: each day is a part of its own.
const DAY_MS: i64 = 24 * 3_600_000;

/// What one cut writes: the generations after `above` up to `generation`.
struct Frozen {
    above: u32,
    generation: u32,
    offsets: OffsetRange,
    tombstone_seq: u64,
}

/// Series that have samples in the frozen generations, in label order.
struct TenantCut<'a> {
    live: &'a TenantLive,
    series: Vec<Arc<LiveSeries>>,
    symbols: SymbolTable,
}

impl Shared {
    pub(super) fn wants_cut(&self) -> bool {
        let journal_bytes = self.journal_bytes.load(Ordering::Relaxed);
        if journal_bytes == 0 {
            return false;
        }
        let age_ms = self.clock.now_ms().saturating_sub(self.gate.read().since_ms);
        age_ms >= self.options.cut_interval_ms
            || age_ms < 0
            || journal_bytes >= self.options.cut_journal_bytes
            || self.live_charge.bytes() >= self.options.cut_live_bytes.max(self.idle_live_bytes())
    }

    /// What the live store weighs without samples, which no cut can free, and some room.
    fn idle_live_bytes(&self) -> u64 {
        let n_series: u64 = self.tenants.read().values().map(|tenant| tenant.n_series()).sum();
        n_series * 1_024
    }

    pub(super) fn cut(&self) -> Result<CutOutcome, StoreError> {
        let result = self.cut_and_commit();
        match &result {
            Ok(_) => self.counters.cuts.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.counters.cut_failures.fetch_add(1, Ordering::Relaxed),
        };
        result
    }

    fn cut_and_commit(&self) -> Result<CutOutcome, StoreError> {
        self.clear();
        let snapshot = self.catalog.snapshot();
        let frozen = self.freeze(&snapshot);
        self.carry_writers(frozen.generation + 1);
        let mut attempted = Vec::new();
        let add = self.cut_tenants(&frozen, &mut attempted).inspect_err(|_| {
            // The next cut makes other parts of the same rows.
            self.catalog.discard(&attempted);
        })?;
        let mut outcome = CutOutcome::default();
        for meta in &add {
            outcome.parts += 1;
            outcome.series += meta.series;
            outcome.samples += meta.rows;
            outcome.bytes += meta.len_bytes;
        }
        if frozen.offsets.end > frozen.offsets.start {
            let txn = Txn { add, committed: Some(frozen.offsets.end), ..Txn::default() };
            self.catalog.commit(txn).map_err(|e| self.catalog_failed(&e))?;
            self.writable();
        }
        self.lifecycle.lock().committed(frozen.generation);
        drop(snapshot);
        self.journal.trim(frozen.offsets.end).map_err(|e| StoreError::Storage(e.to_string()))?;
        self.clear();
        self.sweep();
        Ok(outcome)
    }

    /// Writes the parts; `attempted` gets all that may exist if that fails.
    fn cut_tenants(
        &self,
        frozen: &Frozen,
        attempted: &mut Vec<PartKey>,
    ) -> Result<Vec<PartMeta>, StoreError> {
        let tenants: Vec<Arc<TenantLive>> = self.tenants.read().values().map(Arc::clone).collect();
        let mut made = Vec::new();
        for live in &tenants {
            made.extend(self.cut_tenant(live, frozen, attempted)?);
        }
        Ok(made)
    }

    fn freeze(&self, snapshot: &CatalogSnapshot) -> Frozen {
        // Waits for the batches that are being applied and holds up new ones for this instant only.
        let mut gate = self.gate.write();
        let generation = gate.generation;
        let end = self.journal.end_offset().max(snapshot.committed);
        let mut lifecycle = self.lifecycle.lock();
        let above = lifecycle.in_parts(snapshot);
        lifecycle.freeze(generation, end);
        drop(lifecycle);
        gate.generation = generation + 1;
        gate.since_ms = self.clock.now_ms();
        self.next_number.store(0, Ordering::Relaxed);
        self.journal_bytes.store(0, Ordering::Relaxed);
        let offsets = OffsetRange { start: snapshot.committed, end };
        Frozen { above, generation, offsets, tombstone_seq: snapshot.tombstone_seq }
    }

    /// Says again which batches were applied, above what the cut will trim. Where that fails, a batch
    /// that comes again after a restart is applied again: no reason not to cut, which may make room.
    fn carry_writers(&self, generation: u32) {
        let last = self.writers.lock().last_batches();
        let record = |(tenant, id): &(TenantId, BatchId)| {
            RecordWriter::new(tenant, generation, Some(*id)).into_bytes()
        };
        let records: Vec<Vec<u8>> = last.iter().map(record).collect();
        if !records.is_empty() {
            let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            // Not among the bytes that ask for the next cut.
            drop(self.journal.append_batch(&slices));
        }
    }

    /// Forgets generations that are in parts and that no view reads any more.
    pub(super) fn clear(&self) {
        let Some(up_to) = self.lifecycle.lock().take_clearable() else { return };
        let tenants: Vec<Arc<TenantLive>> = self.tenants.read().values().map(Arc::clone).collect();
        for live in tenants {
            self.live_charge.shrink(live.clear(up_to));
        }
    }

    fn sweep(&self) {
        let before_ms = self.clock.now_ms().saturating_sub(self.options.idle_series_ms);
        let gate = self.gate.write();
        for live in self.tenants.read().values() {
            let (n_removed, freed) = live.sweep(before_ms);
            self.live_charge.shrink(freed);
            self.counters.series_removed.fetch_add(n_removed, Ordering::Relaxed);
        }
        drop(gate);
    }

    fn cut_tenant(
        &self,
        live: &TenantLive,
        frozen: &Frozen,
        attempted: &mut Vec<PartKey>,
    ) -> Result<Vec<PartMeta>, StoreError> {
        let (cut, bounds) = collect(live, frozen);
        let Some((min_t, max_t)) = bounds else { return Ok(Vec::new()) };
        // It gives back more than it takes, so it is not held up by want of memory.
        let series_bytes = cut.series.len() * size_of::<Arc<LiveSeries>>();
        let _memory = self.options.budget.overdraw((series_bytes + cut.symbols.heap_bytes() * 2) as u64);
        let mut metas = Vec::new();
        let mut ordinal = 0;
        let mut from = min_t;
        loop {
            let day_end = from.div_euclid(DAY_MS).saturating_mul(DAY_MS).saturating_add(DAY_MS - 1);
            let window = TimeRange { min_ms: from, max_ms: day_end.min(max_t) };
            // Days without samples are stepped over, however far apart the others are.
            if let Some(window) = shrink_window(&cut, frozen, window) {
                let header = self.header(&cut, frozen, ordinal);
                attempted.push(PartKey::of(&header));
                metas.extend(self.write_part(&cut, frozen, window, header)?);
                ordinal += 1;
            }
            match next_time_after(&cut, frozen, day_end) {
                Some(next) => from = next,
                None => return Ok(metas),
            }
        }
    }

    fn write_part(
        &self,
        cut: &TenantCut<'_>,
        frozen: &Frozen,
        window: TimeRange,
        header: PartHeader,
    ) -> Result<Option<PartMeta>, StoreError> {
        let mut writer = PartWriter::new(&*self.blobs, header).map_err(|e| self.part_failed(&e))?;
        let memory = Memory::new(&self.options.budget, WhenShort::Overdraw);
        let builder = PartBuilder::new(&mut writer, &cut.symbols, Effort::Hot, memory);
        let mut builder = builder.map_err(|e| self.part_failed(&e))?;
        let by_text: HashMap<&str, u32> = cut.symbols.iter().zip(0..).collect();
        let mut ordinals: HashMap<*const LiveSeries, u32> = HashMap::new();
        let exemplars = cut.live.exemplars.lock();
        let wanted: hashbrown::HashSet<*const LiveSeries> =
            exemplars.iter().map(|entry| Arc::as_ptr(&entry.series)).collect();
        drop(exemplars);
        let mut columns = SampleColumns::default();
        let mut pairs: Vec<Pair> = Vec::new();
        for series in &cut.series {
            columns.clear();
            read_frozen(series, frozen, window, &mut columns);
            rows::normalize(&mut columns);
            pairs.clear();
            pairs.extend(series.labels().iter().map(|(name, value)| (by_text[name], by_text[value])));
            let at = builder.n_series();
            let added =
                builder.add_series(series.id(), &pairs, &columns).map_err(|e| self.part_failed(&e))?;
            if added && wanted.contains(&Arc::as_ptr(series)) {
                ordinals.insert(Arc::as_ptr(series), at);
            }
        }
        if builder.n_series() == 0 {
            return Ok(None);
        }
        let exemplars = exemplars_of(cut.live, frozen, window, &ordinals);
        let families = cut.live.metadata.lock().clone();
        let stats = builder.finish(exemplars, &families).map_err(|e| self.part_failed(&e))?;
        writer.finish(stats).map(Some).map_err(|e| self.part_failed(&e))
    }

    fn header(&self, cut: &TenantCut<'_>, frozen: &Frozen, ordinal: u32) -> PartHeader {
        let tenant = &cut.live.tenant;
        let incarnation = self.journal.incarnation();
        PartHeader {
            id: PartId::of_cut(tenant, FAMILY, incarnation, frozen.offsets, ordinal),
            family: FAMILY.to_owned(),
            schema_version: SCHEMA_VERSION,
            tenant: tenant.clone(),
            shards: shards_of(&cut.series, self.options.shards),
            level: 0,
            incarnation,
            offsets: frozen.offsets,
            tombstones_applied: frozen.tombstone_seq,
            replaces: Vec::new(),
            completes: false,
        }
    }

    fn part_failed(&self, error: &store_core::PartError) -> StoreError {
        if error.is_no_space() {
            self.read_only(&error.to_string());
        }
        StoreError::Storage(error.to_string())
    }

    fn catalog_failed(&self, error: &store_core::CatalogError) -> StoreError {
        if error.is_no_space() {
            self.read_only(&error.to_string());
        }
        StoreError::Storage(error.to_string())
    }
}

/// What a part of these series says it may hold: the store's own shards, and whatever else is there.
fn shards_of(series: &[Arc<LiveSeries>], own: ShardRange) -> ShardRange {
    if own == ShardRange::ALL {
        return own;
    }
    let mut shards = own;
    for series in series {
        shards.extend(shard_of(series.id()));
    }
    shards
}

/// The series with samples in the frozen generations, and the bounds of those.
fn collect<'a>(live: &'a TenantLive, frozen: &Frozen) -> (TenantCut<'a>, Option<(i64, i64)>) {
    let index = live.index.read();
    let mut bounds: Option<(i64, i64)> = None;
    let mut series = Vec::new();
    for ordinal in index.sorted().iter() {
        let candidate = index.series(*ordinal);
        let mut has_samples = false;
        for (min_t, max_t) in frozen_bounds(candidate, frozen) {
            has_samples = true;
            let (all_min, all_max) = bounds.unwrap_or((min_t, max_t));
            bounds = Some((all_min.min(min_t), all_max.max(max_t)));
        }
        if has_samples {
            series.push(Arc::clone(candidate));
        }
    }
    let symbols = if series.is_empty() {
        SymbolTable::default()
    } else {
        symbols_of(index.names().map(|(name, values)| (name, values.keys().map(AsRef::as_ref).collect())))
    };
    (TenantCut { live, series, symbols }, bounds)
}

fn frozen_bounds(series: &LiveSeries, frozen: &Frozen) -> Vec<(i64, i64)> {
    let state = series.state.lock();
    let of_cut = |generation: u32| generation > frozen.above && generation <= frozen.generation;
    state.logs().filter(|log| of_cut(log.generation) && !log.is_empty()).map(SeriesLog::bounds).collect()
}

fn read_frozen(series: &LiveSeries, frozen: &Frozen, window: TimeRange, columns: &mut SampleColumns) {
    let state = series.state.lock();
    for log in state.logs() {
        if log.generation > frozen.above && log.generation <= frozen.generation {
            log.read(window.min_ms, window.max_ms, columns);
        }
    }
}

/// The window if some log may have samples in it.
fn shrink_window(cut: &TenantCut<'_>, frozen: &Frozen, window: TimeRange) -> Option<TimeRange> {
    let overlaps = |series: &Arc<LiveSeries>| {
        let bounds = frozen_bounds(series, frozen);
        bounds.iter().any(|(min_t, max_t)| *min_t <= window.max_ms && *max_t >= window.min_ms)
    };
    cut.series.iter().any(overlaps).then_some(window)
}

/// The earliest time after `day_end` at which some sample is.
fn next_time_after(cut: &TenantCut<'_>, frozen: &Frozen, day_end: i64) -> Option<i64> {
    let mut next: Option<i64> = None;
    let mut columns = SampleColumns::default();
    for series in &cut.series {
        for (min_t, max_t) in frozen_bounds(series, frozen) {
            if max_t <= day_end {
                continue;
            }
            let first = if min_t > day_end {
                Some(min_t)
            } else {
                // The log spans days: its own samples say which is next.
                columns.clear();
                let rest = TimeRange { min_ms: day_end.saturating_add(1), max_ms: i64::MAX };
                read_frozen(series, frozen, rest, &mut columns);
                columns.float_ts.iter().chain(&columns.histogram_ts).min().copied()
            };
            next = [next, first].into_iter().flatten().min();
        }
    }
    next
}

fn exemplars_of(
    live: &TenantLive,
    frozen: &Frozen,
    window: TimeRange,
    ordinals: &HashMap<*const LiveSeries, u32>,
) -> Vec<PartExemplar> {
    let ring = live.exemplars.lock();
    let of_cut = |generation: u32| generation > frozen.above && generation <= frozen.generation;
    ring.iter()
        .filter(|entry| of_cut(entry.generation) && window.contains(entry.exemplar.t))
        .filter_map(|entry| {
            let ordinal = ordinals.get(&Arc::as_ptr(&entry.series))?;
            Some((*ordinal, entry.exemplar.as_ref().clone()))
        })
        .collect()
}
