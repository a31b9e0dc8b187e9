//! One live series: its labels, and the logs of the generations that are not in parts yet.

use std::sync::Arc;

use model::{FloatHistogram, Labels, SeriesId, stale_nan};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::columns::SampleColumns;
use crate::live::log::{LiveBytes, SeriesLog};
use crate::part::histograms::histogram_bytes;

/// What the newest sample of a series was, for telling repetitions from conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newest {
    Float(u64),
    /// A hash of the histogram's bytes.
    Histogram(u64),
}

impl Newest {
    pub(crate) fn of_histogram(h: &FloatHistogram) -> Self {
        Self::Histogram(xxh3_64(&histogram_bytes(h)))
    }
}

/// Where the journal defines a series in a generation: records refer to it by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalRef {
    pub(crate) generation: u32,
    pub(crate) number: u32,
}

#[derive(Debug)]
pub(crate) struct SeriesState {
    /// Time and value of the newest sample in time, if any was seen since the series became live.
    pub(crate) newest: Option<(i64, Newest)>,
    pub(crate) journal_ref: Option<JournalRef>,
    pub(crate) current: SeriesLog,
    /// Logs of frozen generations, oldest first; almost always empty.
    pub(crate) frozen: Vec<SeriesLog>,
}

#[derive(Debug)]
pub(crate) struct LiveSeries {
    id: SeriesId,
    labels: Labels,
    pub(crate) state: Mutex<SeriesState>,
}

/// What a series occupies besides its logs and labels: itself, its map entry, its postings.
pub(crate) const SERIES_OVERHEAD_BYTES: u64 = size_of::<LiveSeries>() as u64 + 160;

impl LiveSeries {
    pub(crate) fn new(id: SeriesId, labels: Labels, generation: u32) -> Self {
        let current = SeriesLog::new(generation);
        let state = SeriesState { newest: None, journal_ref: None, current, frozen: Vec::new() };
        Self { id, labels, state: Mutex::new(state) }
    }

    pub(crate) fn id(&self) -> SeriesId {
        self.id
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    pub(crate) fn overhead_bytes(&self) -> u64 {
        SERIES_OVERHEAD_BYTES + self.labels.heap_bytes() as u64
    }

    /// Appends the samples of generations after `above` to `columns`, unsorted.
    pub(crate) fn read(&self, above: u32, start_ms: i64, end_ms: i64, columns: &mut SampleColumns) {
        let state = self.state.lock();
        for log in state.logs().filter(|log| log.generation > above) {
            log.read(start_ms, end_ms, columns);
        }
    }

    /// Whether generations after `above` have samples that may lie in the time range.
    pub(crate) fn overlaps(&self, above: u32, start_ms: i64, end_ms: i64) -> bool {
        let state = self.state.lock();
        state.logs().any(|log| {
            let (min_t, max_t) = log.bounds();
            log.generation > above && !log.is_empty() && min_t <= end_ms && max_t >= start_ms
        })
    }
}

impl SeriesState {
    pub(crate) fn logs(&self) -> impl Iterator<Item = &SeriesLog> {
        self.frozen.iter().chain(std::iter::once(&self.current))
    }

    /// The log that takes samples of `generation`; an older log is set aside.
    pub(crate) fn log_for(&mut self, generation: u32) -> &mut SeriesLog {
        if self.current.generation != generation {
            let older = std::mem::replace(&mut self.current, SeriesLog::new(generation));
            if !older.is_empty() {
                self.frozen.push(older);
            }
        }
        &mut self.current
    }

    /// Appends a float; returns the bytes by which the log grew.
    pub(crate) fn push_float(&mut self, generation: u32, st: i64, t: i64, v: f64) -> u64 {
        self.note_newest(t, Newest::Float(v.to_bits()));
        let log = self.log_for(generation);
        let before = log.floats_bytes();
        log.push_float(t, st, v);
        (log.floats_bytes() - before) as u64
    }

    /// Appends a histogram; returns the bytes by which the log grew. The histogram that marks a
    /// series as stale becomes the float that does.
    pub(crate) fn push_histogram(
        &mut self,
        generation: u32,
        st: i64,
        t: i64,
        h: &Arc<FloatHistogram>,
    ) -> u64 {
        if h.is_stale_marker() {
            return self.push_float(generation, st, t, stale_nan());
        }
        self.note_newest(t, Newest::of_histogram(h));
        self.log_for(generation).push_histogram(t, st, Arc::clone(h));
        h.live_bytes() as u64
    }

    /// Forgets the logs of `up_to` and earlier generations; returns the bytes that became free.
    pub(crate) fn clear(&mut self, up_to: u32) -> usize {
        let mut freed = 0;
        self.frozen.retain(|log| {
            let keep = log.generation > up_to;
            freed += if keep { 0 } else { log.heap_bytes() };
            keep
        });
        if self.current.generation <= up_to && !self.current.is_empty() {
            freed += self.current.heap_bytes();
            self.current = SeriesLog::new(self.current.generation);
        }
        freed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.frozen.is_empty()
    }

    /// Remembers a sample if none newer in time was seen.
    pub(crate) fn note_newest(&mut self, t: i64, newest: Newest) {
        if self.newest.is_none_or(|(seen, _)| t >= seen) {
            self.newest = Some((t, newest));
        }
    }
}
