//! Opening: the journal above what is in parts becomes the live store again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use model::{Labels, SeriesId};

use crate::error::StoreError;
use crate::live::exemplars::{LiveExemplar, live_bytes};
use crate::live::series::LiveSeries;
use crate::live::tenant::TenantLive;
use crate::outcome::RecoveryReport;
use crate::part::family::is_metrics;
use crate::part::metadata;
use crate::record::{self, Entry, RecordHeader, Visitor};
use crate::store::Shared;

/// Problems listed in the report; more are only counted.
const PROBLEMS_MAX: usize = 100;

/// Series numbers that may be missing in a row: those of batches that failed.
const NUMBER_GAP_MAX: usize = 1 << 22;

/// The replay of one journal.
struct Replay<'a> {
    shared: &'a Shared,
    generation: u32,
    /// Series by what the records call them: generation and number.
    numbers: HashMap<u32, Vec<Option<Arc<LiveSeries>>>>,
    /// Of the record being read.
    tenant: Option<Arc<TenantLive>>,
    journal_generation: u32,
    n_undefined: u64,
    report: RecoveryReport,
    n_problems: u64,
    grown: u64,
    freed: u64,
}

impl Shared {
    pub(super) fn recover(&self) -> Result<RecoveryReport, StoreError> {
        let started_ns = self.clock.monotonic_ns();
        let snapshot = self.catalog.snapshot();
        let mut replay = Replay {
            shared: self,
            generation: self.gate.read().generation,
            numbers: HashMap::new(),
            tenant: None,
            journal_generation: 0,
            n_undefined: 0,
            report: RecoveryReport::default(),
            n_problems: 0,
            grown: 0,
            freed: 0,
        };
        replay.report.parts = snapshot.parts.iter().filter(|meta| is_metrics(meta)).count() as u64;
        self.journal
            .read_from(snapshot.committed, &mut |offset, bytes| {
                replay.report.journal_records += 1;
                if let Err(error) = replay.apply(bytes) {
                    self.counters.strange_records.fetch_add(1, Ordering::Relaxed);
                    replay.problem(format!("journal record {offset}: {error}"));
                }
                self.journal_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            })
            .map_err(|e| StoreError::Storage(e.to_string()))?;
        replay.load_metadata(&snapshot);
        // What is not in parts has to be somewhere, however little room there is.
        self.live_charge.correct(0, replay.grown);
        self.live_charge.shrink(replay.freed);
        let mut report = replay.report;
        if replay.n_problems > PROBLEMS_MAX as u64 {
            report.problems.push(format!("{} problems in all", replay.n_problems));
        }
        report.took_ms = (self.clock.monotonic_ns() - started_ns) / 1_000_000;
        Ok(report)
    }
}

impl Visitor for Replay<'_> {
    fn header(&mut self, header: RecordHeader) {
        self.journal_generation = header.generation;
        self.tenant = Some(self.shared.tenant(&header.tenant));
        if let Some(id) = header.batch {
            self.shared.writers.lock().note(&header.tenant, id);
        }
    }

    fn entry(&mut self, entry: Entry) {
        let Some(tenant) = self.tenant.take() else { return };
        if self.apply_entry(&tenant, entry).is_none() {
            self.n_undefined += 1;
        }
        self.tenant = Some(tenant);
    }
}

impl Replay<'_> {
    fn problem(&mut self, text: String) {
        self.n_problems += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(text);
        }
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), codec::CorruptInput> {
        self.n_undefined = 0;
        record::read(bytes, self)?;
        if self.n_undefined > 0 {
            self.problem(format!("{} entries of series that a lost record defined", self.n_undefined));
        }
        Ok(())
    }

    fn define(&mut self, tenant: &Arc<TenantLive>, number: u32, labels: &Labels) {
        let id = SeriesId::of(&tenant.tenant, labels);
        let (series, is_new) = tenant.find_or_create(id, labels, self.generation);
        if is_new {
            self.grown += series.overhead_bytes();
        }
        let numbers = self.numbers.entry(self.journal_generation).or_default();
        // Numbers count up, so the gap is small unless a record lies; a lie is not allocated for.
        let at = number as usize;
        if at < numbers.len() {
            numbers[at] = Some(series);
        } else if at - numbers.len() <= NUMBER_GAP_MAX {
            numbers.resize(at, None);
            numbers.push(Some(series));
        }
    }

    fn series(&mut self, number: u32) -> Option<Arc<LiveSeries>> {
        let numbers = self.numbers.get(&self.journal_generation)?;
        numbers.get(number as usize)?.as_ref().map(Arc::clone)
    }

    /// `None` if the entry names a series that no record has defined.
    fn apply_entry(&mut self, tenant: &Arc<TenantLive>, entry: Entry) -> Option<()> {
        let generation = self.generation;
        match entry {
            Entry::Series { number, labels } => self.define(tenant, number, &labels),
            Entry::Float { number, st, t, v } => {
                self.grown += self.series(number)?.state.lock().push_float(generation, st, t, v);
                tenant.cover(t, t);
                self.report.journal_samples += 1;
            }
            Entry::Histogram { number, st, t, h } => {
                self.grown += self.series(number)?.state.lock().push_histogram(generation, st, t, &h);
                tenant.cover(t, t);
                self.report.journal_samples += 1;
            }
            Entry::Exemplar { number, exemplar } => {
                let series = self.series(number)?;
                self.grown += live_bytes(&exemplar);
                let entry = LiveExemplar { generation, series, exemplar: Arc::new(exemplar) };
                let limit = tenant.limits.exemplars_max;
                self.freed += tenant.exemplars.lock().push(entry, limit);
            }
            Entry::Metadata { family, metadata } => {
                let limit = tenant.limits.metadata_families_max;
                let (came, went) = metadata::note(&mut tenant.metadata.lock(), &family, &metadata, limit);
                self.grown += came;
                self.freed += went;
            }
        }
        Some(())
    }

    /// Every part carries all metadata that was known when it was cut: the newest of each tenant says
    /// what the journal no longer does.
    fn load_metadata(&mut self, snapshot: &store_core::CatalogSnapshot) {
        let metrics: Vec<_> = snapshot.parts.iter().filter(|meta| is_metrics(meta)).collect();
        for of_tenant in metrics.chunk_by(|a, b| a.tenant == b.tenant) {
            let Some(newest) = of_tenant.iter().max_by_key(|meta| (meta.offsets.end, meta.id)) else {
                continue;
            };
            let tenant = self.shared.tenant(&newest.tenant);
            let mut families = tenant.metadata.lock();
            let before = metadata::heap_bytes(&families);
            let loaded = self
                .shared
                .part(newest)
                .and_then(|part| part.metadata_into(&mut families).map_err(StoreError::from));
            self.grown += metadata::heap_bytes(&families) - before;
            drop(families);
            if let Err(error) = loaded {
                self.problem(error.to_string());
            }
        }
    }
}
