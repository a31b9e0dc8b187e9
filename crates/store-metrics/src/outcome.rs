//! What operations report. Plain numbers, for callers, logs and self-metrics.

/// Samples refused, by reason. None of them is stored; the rest of the batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejections {
    /// Too far in the future.
    pub out_of_bounds: u64,
    /// Older than retention.
    pub too_old: u64,
    /// Older than the newest sample of the series by more than the out-of-order window.
    pub out_of_order: u64,
    /// The newest timestamp of the series again, with another value.
    pub duplicate: u64,
    /// The series is new and the tenant has as many as it may.
    pub series_limit: u64,
    /// The series is new and memory for new series is used up.
    pub series_memory: u64,
    /// A histogram whose spans and buckets contradict each other.
    pub invalid_histogram: u64,
    /// The series is new and has more labels than it may.
    pub label_names: u64,
    /// The series is new and a label value of it is longer than it may be.
    pub label_value: u64,
}

impl Rejections {
    pub fn total(&self) -> u64 {
        self.out_of_bounds
            + self.too_old
            + self.out_of_order
            + self.duplicate
            + self.series_limit
            + self.series_memory
            + self.invalid_histogram
            + self.label_names
            + self.label_value
    }
}

/// What became of a batch; everything accepted is durable and searchable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppendOutcome {
    /// Samples stored, equal repetitions included.
    pub accepted: u64,
    pub accepted_exemplars: u64,
    pub rejected: Rejections,
    /// Series that were not in the live store before.
    pub new_series: u64,
    /// The batch had been applied before, or one of a higher sequence; nothing was done.
    pub repeated: bool,
    /// The first sample that was refused, for the sender's error message:
    /// `(series_idx of the batch, timestamp, reason)`.
    pub first_rejected: Option<(u32, i64, RejectReason)>,
}

/// Why a sample was refused; the texts are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    #[error("out of bounds")]
    OutOfBounds,
    #[error("too old sample")]
    TooOld,
    #[error("out of order sample")]
    OutOfOrder,
    #[error("duplicate sample for timestamp")]
    Duplicate,
    #[error("per-tenant series limit exceeded")]
    SeriesLimit,
    #[error("memory for new series exhausted")]
    SeriesMemory,
    #[error("invalid histogram")]
    InvalidHistogram,
    #[error("per-tenant limit of labels per series exceeded")]
    LabelNames,
    #[error("per-tenant limit of label value length exceeded")]
    LabelValue,
}

/// What [`crate::MetricStore::cut`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CutOutcome {
    pub parts: u64,
    pub series: u64,
    pub samples: u64,
    pub bytes: u64,
}

/// What one round of [`crate::MetricStore::maintain`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaintainOutcome {
    /// Merges done, rewrites for deletions included.
    pub merges: u64,
    /// Parts dropped by retention.
    pub parts_dropped: u64,
    /// What the inputs of the merges weighed.
    pub bytes_read: u64,
    /// What was deleted because nobody reads it any more.
    pub bytes_reclaimed: u64,
    /// Merges put off for want of room on the disk.
    pub put_off: u64,
    /// Merges that failed, one sentence each; the others went on.
    pub failures: Vec<String>,
    /// There may be more to do right now: call again soon.
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOutcome {
    /// Series of which some sample was deleted, counted once per part.
    pub series: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotReport {
    pub name: String,
    /// Where the snapshot's objects are, as a prefix of object keys.
    pub prefix: String,
    pub parts: u64,
    pub bytes: u64,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    pub parts: u64,
    pub journal_records: u64,
    pub journal_samples: u64,
    /// Bytes of a torn tail that were cut off the journal: they had not been acknowledged.
    pub torn_bytes: u64,
    /// How many of the problems are about torn ends of the journal: nothing that was acknowledged.
    pub torn_tails: u64,
    /// Damage that was met and set aside, one sentence each.
    pub problems: Vec<String>,
    pub took_ms: u64,
}

/// One part as operators may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartInfo {
    pub id: u128,
    /// The times of the oldest and the newest sample.
    pub min_time_ms: i64,
    pub max_time_ms: i64,
    pub n_samples: u64,
    pub n_series: u64,
    /// 0: cut from the live store.
    pub level: u8,
    /// The size of the whole object.
    pub bytes: u64,
}

/// Numbers for self-metrics; counters count since opening.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStats {
    pub active_series: u64,
    pub series_created: u64,
    pub series_removed: u64,
    pub samples_appended: u64,
    pub histograms_appended: u64,
    pub exemplars_appended: u64,
    pub exemplars_in_storage: u64,
    pub rejected: Rejections,
    pub out_of_order_samples: u64,
    pub live_bytes: u64,
    /// Decoded blocks of parts that are kept.
    pub cache_bytes: u64,
    pub cuts: u64,
    pub cut_failures: u64,
    pub merges: u64,
    pub merge_failures: u64,
    pub parts: u64,
    pub parts_bytes: u64,
    pub part_samples: u64,
    pub journal_bytes: u64,
    /// The offset that the segment that is written began with.
    pub journal_segment: u64,
    pub min_time_ms: Option<i64>,
    pub max_time_ms: Option<i64>,
    /// Parts found unreadable since opening: queries go on without them, with a warning.
    pub corrupt_parts: u64,
    /// Blocks found unreadable in parts whose index is readable.
    pub corrupt_blocks: u64,
    /// What is wrong as far as the latest reads know, one sentence each, sorted; at most a hundred.
    pub corruption: Vec<String>,
    /// Attempts to open a part that failed; a damaged part is tried again every minute that it is asked
    /// for.
    pub part_open_failures: u64,
    /// Places where the journal was found damaged on opening: torn ends, lost records, damaged headers,
    /// records that make no sense.
    pub journal_corruptions: u64,
    /// Segments of the journal that opening has read.
    pub journal_segments_read: u64,
    /// A full or failing disk: appends are refused until there is room.
    pub read_only: bool,
}
