//! Reads a metrics part: index and blocks on demand, decoded blocks shared through the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use base::Charge;
use codec::CorruptInput;
use codec::{block, ints};
use model::{Labels, Matcher, SeriesId};
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use store_core::{BlockRef, CorruptPart, PartError, PartId, PartMeta, PartReader};

use crate::columns::SampleColumns;
use crate::matching::{self, Condition, LabelIndex};
use crate::part::builder::Pair;
use crate::part::cache::{
    Cached, Charged, Held, Item, Lists, NameEntry, PageEntry, PartCache, PartIndex, TimeEntry,
};
use crate::part::decode::{
    ValueVisitor, append_page, read_labels, read_names, read_pages, read_time_directory, slice, visit_chunk,
};
use crate::part::exemplars::{self, PartExemplar};
use crate::part::metadata::{self, Families};
use crate::part::symbols::SymbolTable;
use crate::part::{BLOCK_BYTES_MAX, SERIES_PER_CHUNK, corrupt, kind, postings};

/// How many times their bytes exemplars take when they are decoded.
const EXEMPLAR_GROWTH: u64 = 4;

/// What an open part takes besides the references of its blocks.
const OPEN_BYTES: usize = 1_024;

#[derive(Debug)]
pub(crate) struct MetricsPart {
    reader: PartReader,
    cache: Arc<PartCache>,
    /// The index as long as anybody holds it: one too large for the cache is not read per series.
    held_index: Mutex<Weak<Charged<PartIndex>>>,
    n_series: u32,
    /// The blocks of each kind in order.
    by_kind: [Vec<BlockRef>; 12],
    /// Blocks that were found damaged, by kind and number: reading them again would cost as much and
    /// say the same. Whoever wants to know anew opens the part anew.
    damaged: Mutex<BTreeMap<(u16, u32), CorruptPart>>,
    /// What an open part takes: the references of its blocks.
    _charge: Charge,
}

impl AtHand {
    /// What it takes itself; what it keeps is charged already.
    pub(crate) fn heap_bytes(&self) -> u64 {
        ((self.pages.0.len() + self.times.0.len()) * size_of::<RwLock<Option<Held<()>>>>()) as u64
    }
}

/// Things that are loaded when first asked for.
#[derive(Debug)]
struct Slots<T>(Box<[RwLock<Option<Held<T>>>]>);

impl<T> Slots<T> {
    fn new(n: usize) -> Self {
        Self((0..n).map(|_| RwLock::new(None)).collect())
    }

    /// Thing number `n`, which must be below the number of slots.
    fn get_or_load(
        &self,
        n: usize,
        load: impl FnOnce() -> Result<Held<T>, PartError>,
    ) -> Result<Held<T>, PartError> {
        if let Some(loaded) = &*self.0[n].read() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = load()?;
        *self.0[n].write() = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// What reading many series of one part keeps at hand, so that they do not meet at the cache.
#[derive(Debug)]
pub(crate) struct AtHand {
    pub(crate) index: Held<PartIndex>,
    pages: Slots<Lists<PageEntry>>,
    times: Slots<Vec<i64>>,
}

impl MetricsPart {
    pub(crate) fn at_hand(&self) -> Result<AtHand, PartError> {
        let index = self.index()?;
        let pages = Slots::new((self.n_series as usize).div_ceil(SERIES_PER_CHUNK));
        let times = Slots::new(index.times.len());
        Ok(AtHand { index, pages, times })
    }

    pub(crate) fn new(reader: PartReader, cache: Arc<PartCache>) -> Result<Self, PartError> {
        // Once in the footer and once by kind.
        let charge = cache.charge((OPEN_BYTES + 2 * size_of_val(reader.blocks())) as u64)?;
        let mut by_kind: [Vec<BlockRef>; 12] = std::array::from_fn(|_| Vec::new());
        for block in reader.blocks() {
            // Kinds of later releases are none of ours.
            if let Some(blocks) = by_kind.get_mut(usize::from(block.kind)) {
                blocks.push(*block);
            }
        }
        let n_series = reader.meta().series;
        let n_chunks = n_series.div_ceil(SERIES_PER_CHUNK as u64);
        let complete = [kind::LABELS, kind::IDS, kind::PAGES]
            .iter()
            .all(|kind| by_kind[usize::from(*kind)].len() as u64 == n_chunks);
        let n_series = u32::try_from(n_series).ok().filter(|_| complete).ok_or_else(|| {
            let footer = BlockRef { kind: 0, offset: 0, len_bytes: 0, crc32c: 0 };
            corrupt(reader.key(), &footer, CorruptInput::OutOfRange("number of series blocks"))
        })?;
        let (held_index, damaged) = (Mutex::new(Weak::new()), Mutex::default());
        Ok(Self { reader, cache, held_index, n_series, by_kind, damaged, _charge: charge })
    }

    pub(crate) fn meta(&self) -> &PartMeta {
        self.reader.meta()
    }

    pub(crate) fn id(&self) -> PartId {
        self.meta().id
    }

    pub(crate) fn n_series(&self) -> u32 {
        self.n_series
    }

    fn block(&self, kind: u16, n: u32) -> Result<&BlockRef, PartError> {
        self.by_kind[usize::from(kind)].get(n as usize).ok_or_else(|| {
            let missing = BlockRef { kind, offset: 0, len_bytes: 0, crc32c: 0 };
            corrupt(self.reader.key(), &missing, CorruptInput::OutOfRange("block number"))
        })
    }

    fn corrupt(&self, kind: u16, n: u32, error: CorruptInput) -> PartError {
        let error = match self.block(kind, n) {
            Ok(block) => corrupt(self.reader.key(), block, error),
            Err(missing) => missing,
        };
        self.remember(kind, n, &error);
        error
    }

    fn remember(&self, kind: u16, n: u32, error: &PartError) {
        if let PartError::Corrupt(corrupt) = error {
            self.damaged.lock().insert((kind, n), corrupt.clone());
        }
    }

    fn raw(&self, kind: u16, n: u32) -> Result<Vec<u8>, PartError> {
        if let Some(known) = self.damaged.lock().get(&(kind, n)) {
            return Err(known.clone().into());
        }
        self.reader.read_block(self.block(kind, n)?).inspect_err(|error| self.remember(kind, n, error))
    }

    fn decompressed(&self, kind: u16, n: u32) -> Result<Vec<u8>, PartError> {
        let raw = self.raw(kind, n)?;
        block::decompress(&raw, BLOCK_BYTES_MAX).map_err(|e| self.corrupt(kind, n, e))
    }

    pub(crate) fn index(&self) -> Result<Held<PartIndex>, PartError> {
        if let Some(Cached::Index(index)) = self.cache.get(self.id(), &Item::Index) {
            return Ok(index);
        }
        if let Some(index) = self.held_index.lock().upgrade() {
            return Ok(index);
        }
        let mut symbols = SymbolTable::default();
        for n in 0..self.by_kind[usize::from(kind::SYMBOLS)].len() as u32 {
            let raw = self.decompressed(kind::SYMBOLS, n)?;
            symbols.decode_block(&raw).map_err(|e| self.corrupt(kind::SYMBOLS, n, e))?;
        }
        let (mut names, mut times) = (Vec::new(), Vec::new());
        if self.n_series > 0 {
            let raw = self.decompressed(kind::NAMES, 0)?;
            names = read_names(&raw, symbols.len()).map_err(|e| self.corrupt(kind::NAMES, 0, e))?;
            let raw = self.decompressed(kind::TIME_DIRECTORY, 0)?;
            times = read_time_directory(&raw).map_err(|e| self.corrupt(kind::TIME_DIRECTORY, 0, e))?;
        }
        let index = self.cache.hold(PartIndex { symbols, names, times }, 0)?;
        *self.held_index.lock() = Arc::downgrade(&index);
        self.cache.put(self.id(), Item::Index, Cached::Index(Arc::clone(&index)));
        Ok(index)
    }

    fn bytes(&self, item: Item, kind: u16, n: u32, compressed: bool) -> Result<Held<Vec<u8>>, PartError> {
        if let Some(Cached::Bytes(bytes)) = self.cache.get(self.id(), &item) {
            return Ok(bytes);
        }
        let bytes = if compressed { self.decompressed(kind, n)? } else { self.raw(kind, n)? };
        let bytes = self.cache.hold(bytes, 0)?;
        self.cache.put(self.id(), item, Cached::Bytes(Arc::clone(&bytes)));
        Ok(bytes)
    }

    fn chunk_series(&self, chunk: u32) -> usize {
        (self.n_series as usize - chunk as usize * SERIES_PER_CHUNK).min(SERIES_PER_CHUNK)
    }

    fn labels_chunk(&self, chunk: u32) -> Result<Held<Lists<Pair>>, PartError> {
        let item = Item::Labels(chunk);
        if let Some(Cached::Labels(lists)) = self.cache.get(self.id(), &item) {
            return Ok(lists);
        }
        let raw = self.decompressed(kind::LABELS, chunk)?;
        let n_symbols = self.index()?.symbols.len();
        let lists = read_labels(&raw, self.chunk_series(chunk), n_symbols)
            .map_err(|e| self.corrupt(kind::LABELS, chunk, e))?;
        let lists = self.cache.hold(lists, 0)?;
        self.cache.put(self.id(), item, Cached::Labels(Arc::clone(&lists)));
        Ok(lists)
    }

    fn pages_chunk(&self, chunk: u32) -> Result<Held<Lists<PageEntry>>, PartError> {
        let item = Item::Pages(chunk);
        if let Some(Cached::Pages(lists)) = self.cache.get(self.id(), &item) {
            return Ok(lists);
        }
        let raw = self.decompressed(kind::PAGES, chunk)?;
        let n_times = self.index()?.times.len();
        let lists = read_pages(&raw, self.chunk_series(chunk), n_times)
            .map_err(|e| self.corrupt(kind::PAGES, chunk, e))?;
        let lists = self.cache.hold(lists, 0)?;
        self.cache.put(self.id(), item, Cached::Pages(Arc::clone(&lists)));
        Ok(lists)
    }

    /// The label symbols of a series, handed to `use_pairs`.
    pub(crate) fn with_pairs<T>(
        &self,
        ordinal: u32,
        use_pairs: impl FnOnce(&[Pair]) -> T,
    ) -> Result<T, PartError> {
        let (chunk, at) = split(ordinal);
        let lists = self.labels_chunk(chunk)?;
        let pairs = lists.get(at).ok_or_else(|| self.beyond(kind::LABELS, chunk))?;
        Ok(use_pairs(pairs))
    }

    fn beyond(&self, kind: u16, chunk: u32) -> PartError {
        self.corrupt(kind, chunk, CorruptInput::OutOfRange("series ordinal"))
    }

    /// The error of a series whose labels are not above those of the series before it.
    pub(crate) fn out_of_order(&self, ordinal: u32) -> PartError {
        self.corrupt(kind::LABELS, split(ordinal).0, CorruptInput::OutOfRange("order of series"))
    }

    pub(crate) fn labels(&self, index: &PartIndex, ordinal: u32) -> Result<Labels, PartError> {
        self.with_pairs(ordinal, |pairs| {
            let text = |symbol: u32| index.symbols.get(symbol).unwrap_or_default();
            Labels::from_sorted(pairs.iter().map(|(name, value)| (text(*name), text(*value))))
        })
    }

    /// Calls `each` with the fingerprint of every ordinal of the set, ascending.
    pub(crate) fn for_each_id(
        &self,
        set: &RoaringBitmap,
        mut each: impl FnMut(u32, SeriesId),
    ) -> Result<(), PartError> {
        let mut current: Option<(u32, Held<Vec<u8>>)> = None;
        for ordinal in set {
            let (chunk, at) = split(ordinal);
            if current.as_ref().is_none_or(|(n, _)| *n != chunk) {
                current = Some((chunk, self.bytes(Item::Ids(chunk), kind::IDS, chunk, false)?));
            }
            let bytes = &current.as_ref().expect("set just above").1;
            let id = bytes.get(at * 16..).and_then(<[u8]>::first_chunk::<16>);
            let id = id.ok_or_else(|| self.beyond(kind::IDS, chunk))?;
            each(ordinal, SeriesId(u128::from_le_bytes(*id)));
        }
        Ok(())
    }

    pub(crate) fn id_of(&self, ordinal: u32) -> Result<SeriesId, PartError> {
        let mut found = SeriesId(0);
        self.for_each_id(&RoaringBitmap::from_iter([ordinal]), |_, id| found = id)?;
        Ok(found)
    }

    /// Appends the samples of a series within the bounds: ascending floats, ascending histograms. The
    /// first damaged page is the error; those that are intact are appended all the same. Any other error
    /// ends the reading.
    pub(crate) fn read(
        &self,
        at_hand: &AtHand,
        ordinal: u32,
        start_ms: i64,
        end_ms: i64,
        columns: &mut SampleColumns,
    ) -> Result<(), PartError> {
        let (chunk, at) = split(ordinal);
        let index = &at_hand.index;
        if ordinal >= self.n_series {
            return Err(self.beyond(kind::PAGES, chunk));
        }
        let mut outcome = Ok(());
        let pages = at_hand.pages.get_or_load(chunk as usize, || self.pages_chunk(chunk))?;
        for page in pages.get(at).ok_or_else(|| self.beyond(kind::PAGES, chunk))? {
            let times = &index.times[page.time_ref as usize];
            if times.max_t >= start_ms && times.min_t <= end_ms {
                let before = columns.lens();
                if let Err(error) = self.read_page(at_hand, page, start_ms..=end_ms, columns) {
                    columns.truncate(before);
                    if error.damaged_key().is_none() {
                        return Err(error);
                    }
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }

    fn read_page(
        &self,
        at_hand: &AtHand,
        page: &PageEntry,
        time: std::ops::RangeInclusive<i64>,
        columns: &mut SampleColumns,
    ) -> Result<(), PartError> {
        let column = page.time_ref as usize;
        let load = || self.times(page.time_ref, &at_hand.index.times[column]);
        let ts = at_hand.times.get_or_load(column, load)?;
        let from = ts.partition_point(|t| t < time.start());
        let to = ts.partition_point(|t| t <= time.end());
        if from >= to {
            return Ok(());
        }
        let samples = self.bytes(Item::Samples(page.block), kind::SAMPLES, page.block, false)?;
        let fail = |e| self.corrupt(kind::SAMPLES, page.block, e);
        let bytes = slice(&samples, page.offset, page.len).map_err(fail)?;
        append_page(page.flags, bytes, &ts, from..to, columns).map_err(fail)
    }

    /// A decoded timestamp column. All series of a target share one.
    fn times(&self, time_ref: u32, entry: &TimeEntry) -> Result<Held<Vec<i64>>, PartError> {
        let item = Item::Times(time_ref);
        if let Some(Cached::Times(ts)) = self.cache.get(self.id(), &item) {
            return Ok(ts);
        }
        let block = self.bytes(Item::TimesBlock(entry.block), kind::TIMES, entry.block, false)?;
        let fail = |e| self.corrupt(kind::TIMES, entry.block, e);
        let mut ts = Vec::with_capacity(entry.n as usize);
        let bytes = slice(&block, entry.offset, entry.len).map_err(fail)?;
        ints::decode_append(bytes, entry.n as usize, &mut ts).map_err(fail)?;
        let bounds = (ts.first().copied(), ts.last().copied());
        if bounds != (Some(entry.min_t), Some(entry.max_t)) || ts.windows(2).any(|w| w[0] >= w[1]) {
            return Err(fail(CorruptInput::OutOfRange("timestamp")));
        }
        let ts = self.cache.hold(ts, 0)?;
        self.cache.put(self.id(), item, Cached::Times(Arc::clone(&ts)));
        Ok(ts)
    }

    pub(crate) fn exemplars(&self) -> Result<Vec<PartExemplar>, PartError> {
        if self.by_kind[usize::from(kind::EXEMPLARS)].is_empty() {
            return Ok(Vec::new());
        }
        let raw = self.decompressed(kind::EXEMPLARS, 0)?;
        // Until they are decoded: whoever keeps them charges them.
        let _memory = self.cache.charge(raw.len() as u64 * EXEMPLAR_GROWTH)?;
        exemplars::decode(&raw, self.n_series).map_err(|e| self.corrupt(kind::EXEMPLARS, 0, e))
    }

    pub(crate) fn metadata_into(&self, families: &mut Families) -> Result<(), PartError> {
        if self.by_kind[usize::from(kind::METADATA)].is_empty() {
            return Ok(());
        }
        let raw = self.decompressed(kind::METADATA, 0)?;
        metadata::decode_into(&raw, families).map_err(|e| self.corrupt(kind::METADATA, 0, e))
    }

    /// Calls `each` with every value of the label that starts with `prefix` and the bytes of its
    /// postings, in order, until it returns `false`.
    pub(crate) fn for_each_value(
        &self,
        index: &PartIndex,
        entry: &NameEntry,
        prefix: &str,
        each: &mut ValueVisitor<'_>,
    ) -> Result<(), PartError> {
        let (Ok(from) | Err(from)) = index.symbols.find(prefix);
        let first = entry.chunks.partition_point(|chunk| chunk.first <= from).saturating_sub(1);
        for chunk in &entry.chunks[first..] {
            let block = self.bytes(Item::Values(chunk.block), kind::VALUES, chunk.block, true)?;
            let go_on = visit_chunk(&block, chunk, index, prefix, each)
                .map_err(|e| self.corrupt(kind::VALUES, chunk.block, e))?;
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// The entry of a label name, if any series has it.
    pub(crate) fn name_entry<'i>(&self, index: &'i PartIndex, name: &str) -> Option<&'i NameEntry> {
        let symbol = index.symbols.find(name).ok()?;
        let at = index.names.binary_search_by_key(&symbol, |entry| entry.name).ok()?;
        Some(&index.names[at])
    }

    /// The series that satisfy all matchers. What each matcher selects is remembered.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, PartError> {
        let mut conditions = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            conditions.push(self.condition(matcher)?);
        }
        Ok(matching::combine(|| self.all(), conditions))
    }

    fn condition(&self, matcher: &Matcher) -> Result<Condition, PartError> {
        for (sign, wrap) in
            [("+", Condition::Within as fn(RoaringBitmap) -> Condition), ("-", Condition::Without)]
        {
            let item = Item::Matched(format!("{sign}{matcher}"));
            if let Some(Cached::Set(set)) = self.cache.get(self.id(), &item) {
                return Ok(wrap(RoaringBitmap::clone(&**set)));
            }
        }
        let condition = matching::condition(self, matcher)?;
        let (sign, set) = match &condition {
            Condition::Within(set) => ("+", set),
            Condition::Without(set) => ("-", set),
        };
        let text = format!("{sign}{matcher}");
        let held = self.cache.hold(set.clone(), text.len())?;
        self.cache.put(self.id(), Item::Matched(text), Cached::Set(held));
        Ok(condition)
    }
}

impl LabelIndex for MetricsPart {
    type Error = PartError;

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.n_series);
        all
    }

    fn with_value(&self, name: &str, value: &str) -> Result<RoaringBitmap, PartError> {
        let mut set = RoaringBitmap::new();
        let index = self.index()?;
        if let Some(entry) = self.name_entry(&index, name) {
            self.for_each_value(&index, entry, value, &mut |found, bytes| {
                if found == value {
                    postings::decode_into(bytes, self.n_series, &mut set)?;
                }
                Ok(false)
            })?;
        }
        Ok(set)
    }

    fn with_values(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, PartError> {
        let mut set = RoaringBitmap::new();
        let index = self.index()?;
        if let Some(entry) = self.name_entry(&index, name) {
            self.for_each_value(&index, entry, prefix, &mut |value, bytes| {
                if keep(value) {
                    postings::decode_into(bytes, self.n_series, &mut set)?;
                }
                Ok(true)
            })?;
        }
        Ok(set)
    }
}

fn split(ordinal: u32) -> (u32, usize) {
    (ordinal / SERIES_PER_CHUNK as u32, ordinal as usize % SERIES_PER_CHUNK)
}
