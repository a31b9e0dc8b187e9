//! Metrics parts as the maintenance sees them: merging and verifying.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use base::Budget;
use codec::Effort;
use model::{Exemplar, Labels, SeriesId, shard_of};
use roaring::RoaringBitmap;
use store_core::{
    FamilyError, MergeContext, PartError, PartFamily, PartMeta, PartReader, PartStats, PartWriter, TimeRange,
    Tombstone,
};

use crate::columns::SampleColumns;
use crate::part::builder::{Pair, PartBuilder};
use crate::part::cache::PartCache;
use crate::part::exemplars::PartExemplar;
use crate::part::memory::{Memory, WhenShort};
use crate::part::metadata::Families;
use crate::part::reader::{AtHand, MetricsPart};
use crate::part::symbols::SymbolTable;
use crate::part::{FAMILY, SCHEMA_VERSION};
use crate::{rows, selector};

/// Decoded blocks of the inputs of one merge: the current chunk of each and little more.
const MERGE_CACHE_BYTES: u64 = 32 << 20;

/// How often, in series, a merge looks whether it should stop.
const CANCEL_CHECK_SERIES: u32 = 256;

/// The family of metrics parts. Memory of a merge is charged to the budget.
#[derive(Debug, Clone)]
pub struct MetricsFamily {
    budget: Budget,
}

impl MetricsFamily {
    pub fn new(budget: Budget) -> Self {
        Self { budget }
    }
}

/// The rows of one part that one tombstone hides.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    pub(crate) series: RoaringBitmap,
    pub(crate) time: TimeRange,
}

/// What the tombstones that apply to the part hide in it.
pub(crate) fn hidden_in(
    part: &MetricsPart,
    tombstones: &[Arc<Tombstone>],
) -> Result<Vec<Hidden>, FamilyError> {
    let mut hidden = Vec::new();
    for tombstone in tombstones.iter().filter(|t| t.applies_to(part.meta())) {
        let bad =
            |e: codec::CorruptInput| FamilyError::BadTombstone { seq: tombstone.seq, reason: e.to_string() };
        let matchers = selector::decode(&tombstone.selector).map_err(bad)?;
        let series = part.select(&matchers)?;
        if !series.is_empty() {
            hidden.push(Hidden { series, time: tombstone.time });
        }
    }
    Ok(hidden)
}

/// Drops what is hidden of one series of the part.
pub(crate) fn hide(columns: &mut SampleColumns, ordinal: u32, hidden: &[Hidden]) {
    for entry in hidden.iter().filter(|entry| entry.series.contains(ordinal)) {
        rows::remove_times(columns, |t| entry.time.contains(t));
    }
}

/// One input of a merge, at its next series.
struct Input {
    part: MetricsPart,
    at_hand: AtHand,
    hidden: Vec<Hidden>,
    /// From the input's symbols to the output's.
    symbols: Vec<u32>,
    next: u32,
    pairs: Vec<Pair>,
    /// In order of series.
    exemplars: std::iter::Peekable<std::vec::IntoIter<PartExemplar>>,
}

impl Input {
    fn open(
        reader: &PartReader,
        cache: &Arc<PartCache>,
        tombstones: &[Arc<Tombstone>],
    ) -> Result<Self, FamilyError> {
        let part = MetricsPart::new(reader.clone(), Arc::clone(cache))?;
        let hidden = hidden_in(&part, tombstones)?;
        let at_hand = part.at_hand()?;
        let mut exemplars = part.exemplars()?;
        exemplars.sort_by_key(|(ordinal, _)| *ordinal);
        let exemplars = exemplars.into_iter().peekable();
        Ok(Self { part, at_hand, hidden, symbols: Vec::new(), next: 0, pairs: Vec::new(), exemplars })
    }

    fn load_pairs(&mut self) -> Result<(), PartError> {
        if self.next < self.part.n_series() {
            let Self { part, symbols, pairs, .. } = self;
            let before = std::mem::take(pairs);
            part.with_pairs(self.next, |old| {
                let renamed = |symbol: u32| symbols[symbol as usize];
                pairs.extend(old.iter().map(|(name, value)| (renamed(*name), renamed(*value))));
            })?;
            if self.next > 0 && before >= *pairs {
                return Err(part.out_of_order(self.next));
            }
        }
        Ok(())
    }

    /// The exemplars of the next series.
    fn take_exemplars(&mut self) -> Vec<Exemplar> {
        let mut taken = Vec::new();
        while let Some((_, exemplar)) = self.exemplars.next_if(|(ordinal, _)| *ordinal <= self.next) {
            taken.push(exemplar);
        }
        taken
    }

    /// What it takes while it is merged: exemplars, its part of the merged symbols, and where each of
    /// its symbols went.
    fn heap_bytes(&self) -> u64 {
        let of_exemplar =
            |(_, exemplar): &PartExemplar| size_of::<PartExemplar>() + exemplar.labels.heap_bytes();
        let exemplars: usize = self.exemplars.clone().map(|entry| of_exemplar(&entry)).sum();
        let symbols = &self.at_hand.index.symbols;
        (exemplars + symbols.heap_bytes() + symbols.len() * (4 + size_of::<&str>())) as u64
            + self.at_hand.heap_bytes()
    }

    fn is_done(&self) -> bool {
        self.next >= self.part.n_series()
    }
}

/// All texts of the inputs, and in each input where its texts went.
fn merge_symbols(inputs: &mut [Input]) -> SymbolTable {
    let indexes: Vec<_> = inputs.iter().map(|input| Arc::clone(&input.at_hand.index)).collect();
    let mut texts: Vec<&str> = indexes.iter().flat_map(|index| index.symbols.iter()).collect();
    texts.sort_unstable();
    texts.dedup();
    let merged = SymbolTable::from_sorted(texts);
    for (input, index) in inputs.iter_mut().zip(&indexes) {
        let found = |text: &str| merged.find(text).expect("every text of every input was merged");
        input.symbols = index.symbols.iter().map(found).collect();
    }
    merged
}

impl PartFamily for MetricsFamily {
    fn name(&self) -> &'static str {
        FAMILY
    }

    fn schema_version(&self) -> u16 {
        SCHEMA_VERSION
    }

    fn merge(
        &self,
        inputs: &[PartReader],
        out: &mut PartWriter,
        ctx: &MergeContext,
    ) -> Result<PartStats, FamilyError> {
        let cache = Arc::new(PartCache::new(MERGE_CACHE_BYTES, self.budget.clone()));
        let mut memory = Memory::new(&self.budget, WhenShort::Refuse);
        let mut opened = Vec::with_capacity(inputs.len());
        for reader in inputs {
            let input = Input::open(reader, &cache, &ctx.tombstones)?;
            memory.grow(input.heap_bytes())?;
            opened.push(input);
        }
        let symbols = merge_symbols(&mut opened);
        for input in &mut opened {
            input.load_pairs()?;
        }
        // The first merge is of pages so short that strong compression gains little, and is soon merged
        // again.
        let effort = if ctx.level <= 1 { Effort::Hot } else { Effort::Merge };
        let builder = PartBuilder::new(out, &symbols, effort, Memory::new(&self.budget, WhenShort::Refuse))?;
        merge_series(&mut opened, builder, Memory::new(&self.budget, WhenShort::Refuse), ctx)
    }

    fn verify(&self, part: &PartReader) -> Result<Vec<String>, PartError> {
        let cache = Arc::new(PartCache::new(MERGE_CACHE_BYTES, Budget::unlimited()));
        let part = MetricsPart::new(part.clone(), cache)?;
        let at_hand = part.at_hand()?;
        let mut defects = Vec::new();
        let mut columns = SampleColumns::default();
        let mut rows = 0u64;
        let mut previous: Option<Labels> = None;
        for ordinal in 0..part.n_series() {
            columns.clear();
            part.read(&at_hand, ordinal, i64::MIN, i64::MAX, &mut columns)?;
            rows += columns.n_samples() as u64;
            let labels = part.labels(&at_hand.index, ordinal)?;
            let id = part.id_of(ordinal)?;
            if !part.meta().shards.contains(shard_of(id)) {
                defects
                    .push(format!("series {ordinal} {labels} is of a shard outside {}", part.meta().shards));
            }
            if id != SeriesId::of(&part.meta().tenant, &labels) {
                defects.push(format!("series {ordinal} {labels} has another fingerprint"));
            }
            if previous.is_some_and(|previous| previous >= labels) {
                defects.push(format!("series {ordinal} {labels} is not in label order"));
            }
            previous = Some(labels);
        }
        if rows != part.meta().rows {
            defects.push(format!("{rows} samples, the footer says {}", part.meta().rows));
        }
        part.exemplars()?;
        part.metadata_into(&mut Families::new())?;
        Ok(defects)
    }
}

/// The bounds of what the output may hold.
fn window_of(ctx: &MergeContext) -> (i64, i64) {
    let from = ctx.drop_before_ms.map_or(ctx.window.min_ms, |t| t.max(ctx.window.min_ms));
    (from, ctx.window.max_ms)
}

fn merge_series(
    inputs: &mut [Input],
    mut builder: PartBuilder<'_>,
    mut row_memory: Memory,
    ctx: &MergeContext,
) -> Result<PartStats, FamilyError> {
    let (start_ms, end_ms) = window_of(ctx);
    let mut exemplars: Vec<PartExemplar> = Vec::new();
    let mut columns = SampleColumns::default();
    let mut scratch = SampleColumns::default();
    let mut n_done = 0u32;
    while let Some(first) = smallest(inputs) {
        if n_done.is_multiple_of(CANCEL_CHECK_SERIES) {
            ctx.cancel.check()?;
        }
        n_done += 1;
        columns.clear();
        let pairs = inputs[first].pairs.clone();
        let id = inputs[first].part.id_of(inputs[first].next)?;
        let ordinal = builder.n_series();
        let mut taken = Vec::new();
        for input in inputs.iter_mut().filter(|input| !input.is_done() && input.pairs == pairs) {
            read_visible(input, start_ms, end_ms, &mut columns, &mut scratch)?;
            let own = input.take_exemplars().into_iter().filter(|e| e.t >= start_ms && e.t <= end_ms);
            taken.extend(own.map(|exemplar| (ordinal, exemplar)));
            input.next += 1;
            input.load_pairs()?;
        }
        row_memory.reach(columns.heap_bytes() + scratch.heap_bytes())?;
        rows::normalize(&mut columns);
        if builder.add_series(id, &pairs, &columns)? {
            exemplars.extend(taken);
        }
    }
    let mut families = Families::new();
    // The newest part speaks first.
    for input in inputs.iter().rev() {
        input.part.metadata_into(&mut families)?;
    }
    Ok(builder.finish(exemplars, &families)?)
}

/// The input whose next series is first in label order.
fn smallest(inputs: &[Input]) -> Option<usize> {
    let open = inputs.iter().enumerate().filter(|(_, input)| !input.is_done());
    open.min_by(|(_, a), (_, b)| -> Ordering { a.pairs.cmp(&b.pairs) }).map(|(i, _)| i)
}

/// Appends what is not hidden of the input's next series.
fn read_visible(
    input: &Input,
    start_ms: i64,
    end_ms: i64,
    columns: &mut SampleColumns,
    scratch: &mut SampleColumns,
) -> Result<(), PartError> {
    if !input.hidden.iter().any(|entry| entry.series.contains(input.next)) {
        return input.part.read(&input.at_hand, input.next, start_ms, end_ms, columns);
    }
    scratch.clear();
    input.part.read(&input.at_hand, input.next, start_ms, end_ms, scratch)?;
    hide(scratch, input.next, &input.hidden);
    rows::append(columns, scratch);
    Ok(())
}

/// The parts' ids must be looked up by tests and tools in one way.
pub(crate) fn is_metrics(meta: &PartMeta) -> bool {
    meta.family == FAMILY
}

/// The label names and values that a set of live series uses, sorted.
pub(crate) fn symbols_of<'a>(names: impl Iterator<Item = (&'a str, Vec<&'a str>)>) -> SymbolTable {
    let mut texts = BTreeSet::new();
    for (name, values) in names {
        texts.insert(name);
        texts.extend(values);
    }
    SymbolTable::from_sorted(texts)
}
