//! Writes the blocks of a part front to back: symbols, then series in label order with their pages,
//! then directories and postings.

use codec::bytes::{put_bytes, put_ivarint, put_uvarint};
use codec::{Effort, block, floats, ints};
use hashbrown::HashMap;
use model::SeriesId;
use roaring::RoaringBitmap;
use store_core::{PartError, PartStats, PartWriter, TimeRange};
use xxhash_rust::xxh3::xxh3_128;

use crate::columns::SampleColumns;
use crate::part::exemplars::{self, PartExemplar};
use crate::part::memory::Memory;
use crate::part::metadata::{self, Families};
use crate::part::symbols::SymbolTable;
use crate::part::{
    PAGE_SAMPLES_MAX, SAMPLE_BLOCK_BYTES, SERIES_PER_CHUNK, VALUE_BLOCK_BYTES, VALUES_PER_CHUNK, histograms,
    kind, postings,
};

/// Histograms per page: each is many numbers.
const PAGE_HISTOGRAMS_MAX: usize = 256;

/// What the postings of one label pair take, besides two bytes for each series, while they are collected
/// and while they are sorted.
const POSTINGS_BYTES: usize = 2 * (size_of::<(Pair, RoaringBitmap)>() + 8) + 48;

/// What a known timestamp column takes.
const TIMES_BYTES: usize = 2 * (size_of::<(u128, u32)>() + 8);

// Bits of a page's first byte.
pub(crate) const PAGE_HISTOGRAMS: u8 = 1;
pub(crate) const PAGE_HAS_ST: u8 = 2;
/// The page begins the next block of samples.
pub(crate) const PAGE_NEW_BLOCK: u8 = 4;

/// `(name symbol, value symbol)` in name order.
pub(crate) type Pair = (u32, u32);

/// A block that fills up with entries.
#[derive(Debug, Default)]
struct Filling {
    bytes: Vec<u8>,
    n_closed: u32,
}

#[derive(Debug)]
pub(crate) struct PartBuilder<'w> {
    out: &'w mut PartWriter,
    effort: Effort,
    memory: Memory,
    n_series: u32,
    rows: u64,
    time: Option<TimeRange>,
    labels: Vec<u8>,
    previous: Vec<Pair>,
    ids: Vec<u8>,
    pages: Vec<u8>,
    last_time_ref: i64,
    samples: Filling,
    times: Filling,
    time_directory: Vec<u8>,
    last_min_t: i64,
    /// From the hash of an encoded timestamp column to its reference.
    known_times: HashMap<u128, u32>,
    postings: HashMap<Pair, RoaringBitmap>,
    n_postings: usize,
    page: Vec<u8>,
    column: Vec<u8>,
}

impl<'w> PartBuilder<'w> {
    /// Writes the symbols. Every label of every series must be among them; more does no harm.
    pub(crate) fn new(
        out: &'w mut PartWriter,
        symbols: &SymbolTable,
        effort: Effort,
        memory: Memory,
    ) -> Result<Self, PartError> {
        for raw in symbols.encode_blocks() {
            out.add_block(kind::SYMBOLS, &block::compress(&raw))?;
        }
        Ok(Self {
            out,
            effort,
            memory,
            n_series: 0,
            rows: 0,
            time: None,
            labels: Vec::new(),
            previous: Vec::new(),
            ids: Vec::new(),
            pages: Vec::new(),
            last_time_ref: 0,
            samples: Filling::default(),
            times: Filling::default(),
            time_directory: Vec::new(),
            last_min_t: 0,
            known_times: HashMap::new(),
            postings: HashMap::new(),
            n_postings: 0,
            page: Vec::new(),
            column: Vec::new(),
        })
    }

    pub(crate) fn n_series(&self) -> u32 {
        self.n_series
    }

    /// Adds the next series in label order, with samples as [`crate::rows::normalize`] leaves them;
    /// without samples nothing is added. Returns whether it was.
    pub(crate) fn add_series(
        &mut self,
        id: SeriesId,
        pairs: &[Pair],
        columns: &SampleColumns,
    ) -> Result<bool, PartError> {
        let Some((first, last)) = crate::rows::time_bounds(columns) else { return Ok(false) };
        debug_assert!(self.n_series == 0 || self.previous.as_slice() < pairs, "series in label order");
        if self.n_series > 0 && (self.n_series as usize).is_multiple_of(SERIES_PER_CHUNK) {
            self.close_chunk()?;
        }
        if self.ids.is_empty() {
            // Directory entries of a chunk count from the block that its first page lies in.
            put_uvarint(&mut self.pages, u64::from(self.samples.n_closed));
            put_uvarint(&mut self.pages, self.samples.bytes.len() as u64);
        }
        self.put_labels(pairs);
        self.ids.extend_from_slice(&id.0.to_le_bytes());
        self.n_postings += pairs.len();
        for pair in pairs {
            self.postings.entry(*pair).or_default().insert(self.n_series);
        }
        self.put_pages(columns)?;
        self.n_series += 1;
        self.rows += columns.n_samples() as u64;
        let bounds = self.time.get_or_insert(TimeRange { min_ms: first, max_ms: last });
        bounds.extend(first);
        bounds.extend(last);
        Ok(true)
    }

    fn put_labels(&mut self, pairs: &[Pair]) {
        let at_chunk_start = self.labels.is_empty();
        let shared = if at_chunk_start {
            0
        } else {
            pairs.iter().zip(&self.previous).take_while(|(a, b)| a == b).count()
        };
        put_uvarint(&mut self.labels, shared as u64);
        put_uvarint(&mut self.labels, (pairs.len() - shared) as u64);
        for (name, value) in &pairs[shared..] {
            put_uvarint(&mut self.labels, u64::from(*name));
            put_uvarint(&mut self.labels, u64::from(*value));
        }
        self.previous.clear();
        self.previous.extend_from_slice(pairs);
    }

    fn put_pages(&mut self, columns: &SampleColumns) -> Result<(), PartError> {
        let mut histogram_pages = Vec::new();
        let mut start = 0;
        while start < columns.histogram_ts.len() {
            let end = histogram_page_end(columns, start);
            histogram_pages.push(start..end);
            start = end;
        }
        let n_float_pages = columns.float_ts.len().div_ceil(PAGE_SAMPLES_MAX);
        put_uvarint(&mut self.pages, (n_float_pages + histogram_pages.len()) as u64);
        for start in (0..columns.float_ts.len()).step_by(PAGE_SAMPLES_MAX) {
            let range = start..(start + PAGE_SAMPLES_MAX).min(columns.float_ts.len());
            self.column.clear();
            floats::encode(&mut self.column, &columns.float_values[range.clone()], self.effort);
            let st = columns.float_st.get(range.clone()).unwrap_or_default();
            self.put_page(&columns.float_ts[range], st, 0)?;
        }
        for range in histogram_pages {
            self.column.clear();
            histograms::encode_page(&mut self.column, &columns.histograms[range.clone()], self.effort);
            let st = columns.histogram_st.get(range.clone()).unwrap_or_default();
            self.put_page(&columns.histogram_ts[range], st, PAGE_HISTOGRAMS)?;
        }
        Ok(())
    }

    /// Writes the page whose values are in `self.column`, and its directory entry.
    fn put_page(&mut self, ts: &[i64], st: &[i64], mut flags: u8) -> Result<(), PartError> {
        self.page.clear();
        if st.iter().any(|st| *st != 0) {
            flags |= PAGE_HAS_ST;
            let mut encoded = Vec::new();
            ints::encode(&mut encoded, st, self.effort);
            put_bytes(&mut self.page, &encoded);
        }
        self.page.extend_from_slice(&self.column);
        let time_ref = self.put_times(ts)?;
        let filled = self.samples.bytes.len();
        if filled > 0 && filled + self.page.len() > SAMPLE_BLOCK_BYTES {
            self.out.add_block(kind::SAMPLES, &self.samples.bytes)?;
            self.samples.bytes.clear();
            self.samples.n_closed += 1;
            flags |= PAGE_NEW_BLOCK;
        }
        self.samples.bytes.extend_from_slice(&self.page);
        self.pages.push(flags);
        put_ivarint(&mut self.pages, i64::from(time_ref) - self.last_time_ref);
        put_uvarint(&mut self.pages, self.page.len() as u64);
        self.last_time_ref = i64::from(time_ref);
        Ok(())
    }

    /// The reference of a timestamp column, which is written if it is new.
    fn put_times(&mut self, ts: &[i64]) -> Result<u32, PartError> {
        let mut encoded = Vec::with_capacity(32);
        put_uvarint(&mut encoded, ts.len() as u64);
        ints::encode(&mut encoded, ts, self.effort);
        let n_known = self.known_times.len() as u32;
        let time_ref = *self.known_times.entry(xxh3_128(&encoded)).or_insert(n_known);
        if time_ref < n_known {
            return Ok(time_ref);
        }
        let count_len = codec::bytes::uvarint_len(ts.len() as u64);
        let column = &encoded[count_len..];
        let filled = self.times.bytes.len();
        let new_block = filled > 0 && filled + column.len() > SAMPLE_BLOCK_BYTES;
        if new_block {
            self.out.add_block(kind::TIMES, &self.times.bytes)?;
            self.times.bytes.clear();
        }
        self.times.bytes.extend_from_slice(column);
        let (min_t, max_t) = (ts[0], ts[ts.len() - 1]);
        put_uvarint(&mut self.time_directory, (ts.len() as u64) << 1 | u64::from(new_block));
        put_ivarint(&mut self.time_directory, min_t.wrapping_sub(self.last_min_t));
        put_uvarint(&mut self.time_directory, max_t.wrapping_sub(min_t) as u64);
        put_uvarint(&mut self.time_directory, column.len() as u64);
        self.last_min_t = min_t;
        Ok(time_ref)
    }

    /// What grows with the part: postings, and where timestamp columns are.
    fn held_bytes(&self) -> u64 {
        let postings = self.postings.len() * POSTINGS_BYTES + self.n_postings * 2;
        let times = self.known_times.len() * TIMES_BYTES + self.time_directory.capacity();
        (postings + times) as u64
    }

    fn close_chunk(&mut self) -> Result<(), PartError> {
        self.memory.reach(self.held_bytes())?;
        self.out.add_block(kind::LABELS, &block::compress(&self.labels))?;
        self.out.add_block(kind::IDS, &self.ids)?;
        self.out.add_block(kind::PAGES, &block::compress(&self.pages))?;
        self.labels.clear();
        self.ids.clear();
        self.pages.clear();
        self.last_time_ref = 0;
        Ok(())
    }

    /// Writes what is left and returns the statistics for the footer.
    pub(crate) fn finish(
        mut self,
        mut exemplars: Vec<PartExemplar>,
        families: &Families,
    ) -> Result<PartStats, PartError> {
        if self.n_series > 0 {
            self.close_chunk()?;
            self.out.add_block(kind::SAMPLES, &self.samples.bytes)?;
            self.out.add_block(kind::TIMES, &self.times.bytes)?;
            self.out.add_block(kind::TIME_DIRECTORY, &block::compress(&self.time_directory))?;
            self.put_index()?;
        }
        exemplars::tidy(&mut exemplars);
        if !exemplars.is_empty() {
            self.out.add_block(kind::EXEMPLARS, &block::compress(&exemplars::encode(&exemplars)))?;
        }
        if !families.is_empty() {
            self.out.add_block(kind::METADATA, &block::compress(&metadata::encode(families)))?;
        }
        Ok(PartStats {
            rows: self.rows,
            series: u64::from(self.n_series),
            time: self.time,
            extra: Vec::new(),
        })
    }

    /// Postings in order of name and value, and the directory of names.
    fn put_index(&mut self) -> Result<(), PartError> {
        let mut pairs: Vec<(Pair, RoaringBitmap)> = self.postings.drain().collect();
        pairs.sort_unstable_by_key(|(pair, _)| *pair);
        let mut names = Vec::new();
        let mut values = Filling::default();
        let by_name = pairs.chunk_by(|a, b| a.0.0 == b.0.0);
        put_uvarint(&mut names, by_name.clone().count() as u64);
        for entries in by_name {
            put_uvarint(&mut names, u64::from(entries[0].0.0));
            put_uvarint(&mut names, entries.len() as u64);
            for chunk in entries.chunks(VALUES_PER_CHUNK) {
                if values.bytes.len() >= VALUE_BLOCK_BYTES {
                    self.out.add_block(kind::VALUES, &block::compress(&values.bytes))?;
                    values.bytes.clear();
                    values.n_closed += 1;
                }
                put_uvarint(&mut names, u64::from(chunk[0].0.1));
                put_uvarint(&mut names, u64::from(values.n_closed));
                put_uvarint(&mut names, values.bytes.len() as u64);
                put_values(&mut values.bytes, chunk);
            }
        }
        self.out.add_block(kind::VALUES, &block::compress(&values.bytes))?;
        self.out.add_block(kind::NAMES, &block::compress(&names))?;
        Ok(())
    }
}

fn put_values(out: &mut Vec<u8>, chunk: &[(Pair, RoaringBitmap)]) {
    let mut previous = chunk[0].0.1;
    let mut encoded = Vec::new();
    for ((_, value), set) in chunk {
        encoded.clear();
        postings::encode(&mut encoded, set);
        put_uvarint(out, u64::from(value - previous));
        put_bytes(out, &encoded);
        previous = *value;
    }
}

/// The end of the page that begins at `start`: histograms share a page while their layout is one.
fn histogram_page_end(columns: &SampleColumns, start: usize) -> usize {
    let layout = histograms::layout_bytes(&columns.histograms[start]);
    let limit = (start + PAGE_HISTOGRAMS_MAX).min(columns.histograms.len());
    let same = |h| histograms::layout_bytes(h) == layout;
    (start + 1..limit).find(|i| !same(&columns.histograms[*i])).unwrap_or(limit)
}
