//! Damage that reads have met: remembered for a while, so that queries do not pay for finding it again,
//! and never a reason to refuse what is intact.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{CatalogSnapshot, PartId, PartMeta};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::StoreError;

/// Sentences that are kept of one part, and shown of all.
const SENTENCES_MAX: usize = 100;

/// Damaged blocks that are told apart; more are not counted.
const BLOCKS_MAX: usize = 100_000;

/// After this long a damaged part is read again: somebody may have put it right.
pub(crate) const RECHECK_NS: u64 = 60_000_000_000;

/// How much of a part is unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its footer or its index: nothing of it can be read.
    Part,
    /// Some of its blocks.
    Block,
}

/// What is known to be wrong with one part.
#[derive(Debug)]
struct Finding {
    found_ns: u64,
    /// Why it does not open; `None` when it does, and some of its blocks do not read.
    open_error: Option<StoreError>,
    sentences: BTreeSet<String>,
}

/// What is known about a part that is about to be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing that keeps it from being read.
    Nothing,
    /// It does not open.
    Unreadable(StoreError),
    /// It was damaged so long ago that it is to be looked at anew.
    Stale,
}

#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// What is damaged as far as the latest reads know.
    standing: BTreeMap<PartId, Finding>,
    /// Every damaged part and block since the store was opened.
    parts_ever: BTreeSet<PartId>,
    blocks_ever: BTreeSet<u64>,
}

impl Damage {
    fn finding(&mut self, id: PartId, now_ns: u64) -> &mut Finding {
        let fresh = || Finding { found_ns: now_ns, open_error: None, sentences: BTreeSet::new() };
        self.standing.entry(id).or_insert_with(fresh)
    }

    /// Notes damage and returns the sentence about it.
    fn note(&mut self, meta: &PartMeta, extent: Extent, error: &StoreError, now_ns: u64) -> String {
        let sentence = format!("data of part {} is unreadable: {error}", meta.key());
        match extent {
            Extent::Part => drop(self.parts_ever.insert(meta.id)),
            Extent::Block if self.blocks_ever.len() < BLOCKS_MAX => {
                self.blocks_ever.insert(xxh3_64(sentence.as_bytes()));
            }
            Extent::Block => {}
        }
        let sentences = &mut self.finding(meta.id, now_ns).sentences;
        if sentences.len() < SENTENCES_MAX {
            sentences.insert(sentence.clone());
        }
        sentence
    }

    pub(crate) fn does_not_open(&mut self, id: PartId, error: &StoreError, now_ns: u64) {
        self.finding(id, now_ns).open_error = Some(error.clone());
    }

    /// What is known about a part; what is stale is forgotten by asking.
    pub(crate) fn known(&mut self, id: PartId, now_ns: u64) -> Known {
        let Some(finding) = self.standing.get(&id) else { return Known::Nothing };
        if now_ns.saturating_sub(finding.found_ns) >= RECHECK_NS {
            self.standing.remove(&id);
            return Known::Stale;
        }
        finding.open_error.clone().map_or(Known::Nothing, Known::Unreadable)
    }

    /// Forgets parts that are not in the catalog any more.
    pub(crate) fn retain(&mut self, snapshot: &CatalogSnapshot) {
        if !self.standing.is_empty() {
            let named: BTreeSet<PartId> = snapshot.parts.iter().map(|meta| meta.id).collect();
            self.standing.retain(|id, _| named.contains(id));
        }
    }

    pub(crate) fn n_parts(&self) -> u64 {
        self.parts_ever.len() as u64
    }

    pub(crate) fn n_blocks(&self) -> u64 {
        self.blocks_ever.len() as u64
    }

    pub(crate) fn sentences(&self) -> Vec<String> {
        let all = self.standing.values().flat_map(|finding| &finding.sentences);
        all.take(SENTENCES_MAX).cloned().collect()
    }
}

impl crate::store::Shared {
    /// `Ok` with a sentence when `error` is damage that reading can go on without.
    pub(crate) fn set_aside(
        &self,
        meta: &PartMeta,
        extent: Extent,
        error: StoreError,
    ) -> Result<String, StoreError> {
        match error {
            StoreError::Corrupt { .. } => {
                Ok(self.damage.lock().note(meta, extent, &error, self.clock.monotonic_ns()))
            }
            other => Err(other),
        }
    }
}
