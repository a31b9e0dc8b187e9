//! Taking a batch: resolve its series, refuse what must be refused, journal the rest, apply it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{FloatSample, HistogramSample, SeriesBatch, stale_nan};

use crate::error::AppendError;
use crate::live::exemplars::{LiveExemplar, live_bytes};
use crate::live::log::LiveBytes;
use crate::live::series::{JournalRef, LiveSeries, Newest};
use crate::live::tenant::TenantLive;
use crate::options::{AppendOptions, BatchId, Limits};
use crate::outcome::{AppendOutcome, RejectReason};
use crate::part::metadata;
use crate::record::RecordWriter;
use crate::store::Shared;

/// A record is closed at this size and the batch goes on in the next.
const RECORD_BYTES: usize = 4 << 20;

/// What a float takes in the log, typically; the charge is corrected once it is known.
const FLOAT_BYTES_ESTIMATE: u64 = 6;

/// A series of the batch, as far as it is known before the journal has the batch.
#[derive(Debug)]
struct Resolved {
    series: Arc<LiveSeries>,
    newest: Option<(i64, Newest)>,
    number: u32,
    /// The journal has no definition of `number` yet.
    undefined: bool,
    /// Nobody can find the series yet: it becomes live when the journal has the batch.
    is_fresh: bool,
}

#[derive(Debug)]
struct Admission<'a> {
    shared: &'a Shared,
    oldest_ms: i64,
    latest_ms: i64,
    out_of_order_window_ms: Option<i64>,
    resolved: Vec<Result<Resolved, RejectReason>>,
    outcome: AppendOutcome,
    /// What the fresh series will take.
    fresh_bytes: u64,
}

impl Shared {
    pub(super) fn append_batch(
        &self,
        batch: &SeriesBatch,
        options: AppendOptions,
    ) -> Result<AppendOutcome, AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        // A batch that comes again while its first coming is still being applied waits for it.
        let _turn = options.batch.map(|id| self.turns.of(id).lock());
        if let Some(id) = options.batch
            && self.writers.lock().contains(&batch.tenant, id)
        {
            return Ok(AppendOutcome { repeated: true, ..AppendOutcome::default() });
        }
        self.check_tenant(&batch.tenant)?;
        let tenant = self.tenant(&batch.tenant);
        // Held until the batch is applied: a cut freezes between batches.
        let gate = self.gate.read();
        let generation = gate.generation;
        let now_ms = self.clock.now_ms();
        let mut admission = Admission {
            shared: self,
            oldest_ms: self.retention.read().time_ms.map_or(i64::MIN, |r| now_ms.saturating_sub(r)),
            latest_ms: now_ms.saturating_add(tenant.limits.future_max_ms),
            out_of_order_window_ms: options.out_of_order_window_ms,
            resolved: Vec::with_capacity(batch.series.len()),
            outcome: AppendOutcome::default(),
            fresh_bytes: 0,
        };
        admission.resolve(&tenant, batch, generation);
        let mut records = Records::new(batch, generation);
        let (floats, histograms) = admission.admit(batch, &mut records);
        let exemplars = admission.admit_exemplars(batch, &mut records);
        let metadata = self.admit_metadata(&tenant, batch, &mut records);
        let histogram_bytes: usize = histograms.iter().map(|i| batch.histograms[*i].h.live_bytes()).sum();
        let samples_bytes = floats.accepted() as u64 * FLOAT_BYTES_ESTIMATE + histogram_bytes as u64;
        let exemplar_bytes: u64 = exemplars.iter().map(|i| live_bytes(&batch.exemplars[*i].1)).sum();
        let note_bytes = |i: &usize| metadata::bytes_to_note(&batch.metadata[*i].0, &batch.metadata[*i].1);
        let metadata_bytes: u64 = metadata.iter().map(note_bytes).sum();
        let estimate = admission.fresh_bytes + samples_bytes + exemplar_bytes + metadata_bytes;
        self.live_charge.grow(estimate)?;
        // A batch whose sender is to come back is not applied yet.
        let refused = admission.outcome.rejected;
        let applied = options.batch.filter(|_| refused.series_limit + refused.series_memory == 0);
        if let Err(error) = self.journal_records(&records.finish(applied)) {
            self.live_charge.shrink(estimate);
            return Err(error);
        }
        let mut grown = admission.make_live(&tenant, batch, &floats, &histograms, &exemplars);
        grown += admission.apply(batch, generation, &floats, &histograms);
        let pushed_out = self.apply_exemplars(&tenant, batch, generation, &exemplars, &admission.resolved);
        let (noted, forgotten) = self.apply_metadata(&tenant, &metadata, batch);
        self.live_charge.correct(estimate, grown + exemplar_bytes + noted);
        self.live_charge.shrink(pushed_out + forgotten);
        if let Some((min_t, max_t)) = accepted_bounds(batch, &floats, &histograms) {
            tenant.cover(min_t, max_t);
        }
        if let Some(id) = applied {
            self.writers.lock().note(&batch.tenant, id);
        }
        let mut outcome = admission.outcome;
        outcome.accepted_exemplars = exemplars.len() as u64;
        self.counters.note_append(&outcome, floats.accepted() as u64, histograms.len() as u64);
        Ok(outcome)
    }

    fn journal_records(&self, records: &[Vec<u8>]) -> Result<(), AppendError> {
        if records.is_empty() {
            return Ok(());
        }
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        match self.journal.append_batch(&slices) {
            Ok(_) => {
                let bytes: usize = records.iter().map(Vec::len).sum();
                self.journal_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.writable();
                Ok(())
            }
            Err(store_core::JournalError::RecordTooLarge { len_bytes, limit_bytes }) => {
                Err(AppendError::TooLarge { bytes: len_bytes as u64, limit_bytes: limit_bytes as u64 })
            }
            Err(error) if error.is_no_space() => {
                self.read_only(&error.to_string());
                Err(AppendError::ReadOnly(error.to_string()))
            }
            Err(error) => {
                self.read_only(&error.to_string());
                Err(AppendError::Journal(error.to_string()))
            }
        }
    }

    fn admit_metadata(
        &self,
        tenant: &TenantLive,
        batch: &SeriesBatch,
        records: &mut Records<'_>,
    ) -> Vec<usize> {
        if batch.metadata.is_empty() {
            return Vec::new();
        }
        let known = tenant.metadata.lock();
        let is_news = |(family, entry): &(String, model::Metadata)| {
            known.get(family).is_none_or(|entries| !entries.contains(entry))
        };
        let news: Vec<usize> = (0..batch.metadata.len()).filter(|i| is_news(&batch.metadata[*i])).collect();
        for i in &news {
            let (family, entry) = &batch.metadata[*i];
            records.writer().metadata(family, entry);
        }
        news
    }

    /// Returns the bytes that came and those that went.
    fn apply_metadata(&self, tenant: &TenantLive, news: &[usize], batch: &SeriesBatch) -> (u64, u64) {
        let (mut noted, mut forgotten) = (0, 0);
        if news.is_empty() {
            return (noted, forgotten);
        }
        let mut known = tenant.metadata.lock();
        for i in news {
            let (family, entry) = &batch.metadata[*i];
            let families_max = tenant.limits.metadata_families_max;
            let (came, went) = metadata::note(&mut known, family, entry, families_max);
            noted += came;
            forgotten += went;
        }
        (noted, forgotten)
    }

    /// Returns the bytes of those that had to go.
    fn apply_exemplars(
        &self,
        tenant: &TenantLive,
        batch: &SeriesBatch,
        generation: u32,
        accepted: &[usize],
        resolved: &[Result<Resolved, RejectReason>],
    ) -> u64 {
        let mut pushed_out = 0;
        if accepted.is_empty() {
            return pushed_out;
        }
        let mut ring = tenant.exemplars.lock();
        for i in accepted {
            let (series_idx, exemplar) = &batch.exemplars[*i];
            if let Ok(resolved) = &resolved[*series_idx as usize] {
                let series = Arc::clone(&resolved.series);
                let entry = LiveExemplar { generation, series, exemplar: Arc::new(exemplar.clone()) };
                pushed_out += ring.push(entry, tenant.limits.exemplars_max);
            }
        }
        pushed_out
    }
}

/// Journal records of one batch.
struct Records<'a> {
    batch: &'a SeriesBatch,
    generation: u32,
    current: Option<RecordWriter>,
    done: Vec<Vec<u8>>,
}

impl<'a> Records<'a> {
    fn new(batch: &'a SeriesBatch, generation: u32) -> Self {
        Self { batch, generation, current: None, done: Vec::new() }
    }

    fn writer(&mut self) -> &mut RecordWriter {
        if self.current.as_ref().is_some_and(|record| record.len() >= RECORD_BYTES)
            && let Some(full) = self.current.take()
        {
            self.done.push(full.into_bytes());
        }
        self.current.get_or_insert_with(|| {
            // Only the last record may mark the batch as applied; see `finish`.
            RecordWriter::new(&self.batch.tenant, self.generation, None)
        })
    }

    /// All records; the last one says that `applied` now is.
    fn finish(mut self, applied: Option<BatchId>) -> Vec<Vec<u8>> {
        let last = self.current.take();
        self.done.extend(last.map(RecordWriter::into_bytes));
        if applied.is_some() && !self.done.is_empty() {
            let mark = RecordWriter::new(&self.batch.tenant, self.generation, applied);
            self.done.push(mark.into_bytes());
        }
        self.done
    }
}

/// Which floats of the batch are accepted: nearly always all.
struct AcceptedFloats {
    n: usize,
    /// Ascending.
    refused: Vec<usize>,
}

impl AcceptedFloats {
    fn accepted(&self) -> usize {
        self.n - self.refused.len()
    }

    fn each<'b>(&self, floats: &'b [FloatSample]) -> impl Iterator<Item = &'b FloatSample> {
        let mut refused = self.refused.iter().copied().peekable();
        floats.iter().enumerate().filter(move |(i, _)| refused.next_if_eq(i).is_none()).map(|(_, f)| f)
    }
}

fn accepted_bounds(batch: &SeriesBatch, floats: &AcceptedFloats, histograms: &[usize]) -> Option<(i64, i64)> {
    let mut times = floats.each(&batch.floats).map(|f| f.t);
    let mut bounds = times.next().map(|t| (t, t));
    for t in times.chain(histograms.iter().map(|i| batch.histograms[*i].t)) {
        let (min_t, max_t) = bounds.unwrap_or((t, t));
        bounds = Some((min_t.min(t), max_t.max(t)));
    }
    bounds
}

impl Admission<'_> {
    fn resolve(&mut self, tenant: &TenantLive, batch: &SeriesBatch, generation: u32) {
        let mut n_series = None;
        for series in &batch.series {
            let found = match tenant.find(series.id) {
                Some(found) => Ok((found, false)),
                None => {
                    let n_series = n_series.get_or_insert_with(|| tenant.n_series());
                    self.create(&tenant.limits, series, generation, n_series).map(|created| (created, true))
                }
            };
            let resolved = found.map(|(series, is_fresh)| {
                let state = series.state.lock();
                let known = state.journal_ref.filter(|r| r.generation == generation);
                let newest = state.newest;
                drop(state);
                let number = known
                    .map_or_else(|| self.shared.next_number.fetch_add(1, Ordering::Relaxed), |r| r.number);
                Resolved { series, newest, number, undefined: known.is_none(), is_fresh }
            });
            self.resolved.push(resolved);
        }
    }

    fn create(
        &mut self,
        limits: &Limits,
        series: &model::BatchSeries,
        generation: u32,
        n_series: &mut u64,
    ) -> Result<Arc<LiveSeries>, RejectReason> {
        if *n_series >= limits.active_series_max {
            return Err(RejectReason::SeriesLimit);
        }
        if series.labels.len() as u64 > limits.label_names_max {
            return Err(RejectReason::LabelNames);
        }
        if series.labels.iter().any(|(_, value)| value.len() as u64 > limits.label_value_bytes_max) {
            return Err(RejectReason::LabelValue);
        }
        // New series stop a tenth before memory does, so that existing ones go on.
        let budget = &self.shared.options.budget;
        if budget.used_bytes().saturating_add(self.fresh_bytes) >= budget.limit_bytes() / 10 * 9 {
            return Err(RejectReason::SeriesMemory);
        }
        let fresh = Arc::new(LiveSeries::new(series.id, series.labels.clone(), generation));
        *n_series += 1;
        self.fresh_bytes += fresh.overhead_bytes();
        Ok(fresh)
    }

    /// Makes the fresh series findable of which something was accepted; returns what they take.
    fn make_live(
        &mut self,
        tenant: &TenantLive,
        batch: &SeriesBatch,
        floats: &AcceptedFloats,
        histograms: &[usize],
        exemplars: &[usize],
    ) -> u64 {
        if self.fresh_bytes == 0 {
            return 0;
        }
        let of_floats = floats.each(&batch.floats).map(|sample| sample.series_idx);
        let of_histograms = histograms.iter().map(|i| batch.histograms[*i].series_idx);
        let of_exemplars = exemplars.iter().map(|i| batch.exemplars[*i].0);
        let mut grown = 0;
        for series_idx in of_floats.chain(of_histograms).chain(of_exemplars) {
            let Some(Ok(resolved)) = self.resolved.get_mut(series_idx as usize) else { continue };
            if std::mem::take(&mut resolved.is_fresh) {
                let (live, is_new) = tenant.insert(Arc::clone(&resolved.series));
                if is_new {
                    self.outcome.new_series += 1;
                    grown += live.overhead_bytes();
                }
                resolved.series = live;
            }
        }
        grown
    }

    fn reject(&mut self, series_idx: u32, t: i64, reason: RejectReason) {
        let rejected = &mut self.outcome.rejected;
        *match reason {
            RejectReason::OutOfBounds => &mut rejected.out_of_bounds,
            RejectReason::TooOld => &mut rejected.too_old,
            RejectReason::OutOfOrder => &mut rejected.out_of_order,
            RejectReason::Duplicate => &mut rejected.duplicate,
            RejectReason::SeriesLimit => &mut rejected.series_limit,
            RejectReason::SeriesMemory => &mut rejected.series_memory,
            RejectReason::InvalidHistogram => &mut rejected.invalid_histogram,
            RejectReason::LabelNames => &mut rejected.label_names,
            RejectReason::LabelValue => &mut rejected.label_value,
        } += 1;
        self.outcome.first_rejected.get_or_insert((series_idx, t, reason));
    }

    /// Whether the sample may be stored; if so its series remembers it as seen.
    fn check(&mut self, series_idx: u32, t: i64, value: Newest) -> Result<(), RejectReason> {
        let resolved = match self.resolved.get_mut(series_idx as usize) {
            Some(Ok(resolved)) => resolved,
            Some(Err(reason)) => return Err(*reason),
            None => return Err(RejectReason::OutOfBounds),
        };
        if t > self.latest_ms {
            return Err(RejectReason::OutOfBounds);
        }
        if t < self.oldest_ms {
            return Err(RejectReason::TooOld);
        }
        if let Some((newest_t, newest)) = resolved.newest {
            if t == newest_t && value != newest {
                return Err(RejectReason::Duplicate);
            }
            if t < newest_t {
                let late_ms = newest_t.saturating_sub(t);
                if self.out_of_order_window_ms.is_some_and(|window_ms| late_ms > window_ms) {
                    return Err(RejectReason::OutOfOrder);
                }
                self.shared.counters.out_of_order.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        resolved.newest = Some((t, value));
        Ok(())
    }

    fn define(&mut self, series_idx: u32, records: &mut Records<'_>) -> u32 {
        let Some(Ok(resolved)) = self.resolved.get_mut(series_idx as usize) else { return 0 };
        if std::mem::take(&mut resolved.undefined) {
            records.writer().series(resolved.number, resolved.series.labels());
        }
        resolved.number
    }

    /// Checks every sample and writes the accepted ones to the records.
    fn admit(&mut self, batch: &SeriesBatch, records: &mut Records<'_>) -> (AcceptedFloats, Vec<usize>) {
        let mut floats = AcceptedFloats { n: batch.floats.len(), refused: Vec::new() };
        for (i, sample) in batch.floats.iter().enumerate() {
            if let Err(reason) = self.check(sample.series_idx, sample.t, Newest::Float(sample.v.to_bits())) {
                self.reject(sample.series_idx, sample.t, reason);
                floats.refused.push(i);
            }
        }
        let mut histograms = Vec::new();
        for (i, sample) in batch.histograms.iter().enumerate() {
            match self.check_histogram(sample) {
                Ok(()) => histograms.push(i),
                Err(reason) => self.reject(sample.series_idx, sample.t, reason),
            }
        }
        self.outcome.accepted = (floats.accepted() + histograms.len()) as u64;
        // Definitions first and together, so that the samples after them are one run.
        for sample in floats.each(&batch.floats) {
            self.define(sample.series_idx, records);
        }
        for i in &histograms {
            self.define(batch.histograms[*i].series_idx, records);
        }
        for sample in floats.each(&batch.floats) {
            let number = self.number(sample.series_idx);
            records.writer().float(number, sample.st, sample.t, sample.v);
        }
        for i in &histograms {
            let sample = &batch.histograms[*i];
            let number = self.number(sample.series_idx);
            records.writer().histogram(number, sample.st, sample.t, &sample.h);
        }
        (floats, histograms)
    }

    fn number(&self, series_idx: u32) -> u32 {
        match &self.resolved[series_idx as usize] {
            Ok(resolved) => resolved.number,
            Err(_) => 0,
        }
    }

    fn check_histogram(&mut self, sample: &HistogramSample) -> Result<(), RejectReason> {
        if sample.h.is_stale_marker() {
            let stale = Newest::Float(stale_nan().to_bits());
            return self.check(sample.series_idx, sample.t, stale);
        }
        if sample.h.validate().is_err() {
            return Err(RejectReason::InvalidHistogram);
        }
        let value = Newest::of_histogram(&sample.h);
        self.check(sample.series_idx, sample.t, value)
    }

    fn admit_exemplars(&mut self, batch: &SeriesBatch, records: &mut Records<'_>) -> Vec<usize> {
        let mut accepted = Vec::new();
        for (i, (series_idx, exemplar)) in batch.exemplars.iter().enumerate() {
            let in_time = exemplar.t >= self.oldest_ms && exemplar.t <= self.latest_ms;
            if in_time && matches!(self.resolved.get(*series_idx as usize), Some(Ok(_))) {
                let number = self.define(*series_idx, records);
                records.writer().exemplar(number, exemplar);
                accepted.push(i);
            }
        }
        accepted
    }

    /// Makes the accepted samples searchable; returns the bytes by which the logs grew.
    fn apply(
        &self,
        batch: &SeriesBatch,
        generation: u32,
        floats: &AcceptedFloats,
        histograms: &[usize],
    ) -> u64 {
        let mut grown = 0u64;
        for sample in floats.each(&batch.floats) {
            let Ok(resolved) = &self.resolved[sample.series_idx as usize] else { continue };
            grown += resolved.apply_float(generation, sample);
        }
        for i in histograms {
            let sample = &batch.histograms[*i];
            let Ok(resolved) = &self.resolved[sample.series_idx as usize] else { continue };
            grown += resolved.apply_histogram(generation, sample);
        }
        grown
    }
}

impl Resolved {
    fn apply_float(&self, generation: u32, sample: &FloatSample) -> u64 {
        let mut state = self.series.state.lock();
        state.journal_ref = Some(JournalRef { generation, number: self.number });
        state.push_float(generation, sample.st, sample.t, sample.v)
    }

    fn apply_histogram(&self, generation: u32, sample: &HistogramSample) -> u64 {
        let mut state = self.series.state.lock();
        state.journal_ref = Some(JournalRef { generation, number: self.number });
        state.push_histogram(generation, sample.st, sample.t, &sample.h)
    }
}
