//! What happened since opening, for self-metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::outcome::{AppendOutcome, Rejections};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) samples: AtomicU64,
    pub(crate) histograms: AtomicU64,
    pub(crate) exemplars: AtomicU64,
    pub(crate) out_of_order: AtomicU64,
    pub(crate) series_created: AtomicU64,
    pub(crate) series_removed: AtomicU64,
    pub(crate) cuts: AtomicU64,
    pub(crate) cut_failures: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) merge_failures: AtomicU64,
    /// Attempts to open a part that failed.
    pub(crate) part_open_failures: AtomicU64,
    /// Journal records that were intact and could not be understood.
    pub(crate) strange_records: AtomicU64,
    pub(crate) rejected: Mutex<Rejections>,
}

impl Counters {
    pub(crate) fn note_append(&self, outcome: &AppendOutcome, floats: u64, histograms: u64) {
        self.samples.fetch_add(floats, Ordering::Relaxed);
        self.histograms.fetch_add(histograms, Ordering::Relaxed);
        self.exemplars.fetch_add(outcome.accepted_exemplars, Ordering::Relaxed);
        self.series_created.fetch_add(outcome.new_series, Ordering::Relaxed);
        if outcome.rejected.total() > 0 {
            let new = &outcome.rejected;
            let mut all = self.rejected.lock();
            all.out_of_bounds += new.out_of_bounds;
            all.too_old += new.too_old;
            all.out_of_order += new.out_of_order;
            all.duplicate += new.duplicate;
            all.series_limit += new.series_limit;
            all.series_memory += new.series_memory;
            all.invalid_histogram += new.invalid_histogram;
            all.label_names += new.label_names;
            all.label_value += new.label_value;
        }
    }
}
