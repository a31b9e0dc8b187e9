//! Damage that reads have met: noted once, never a reason to refuse what is intact.

use std::collections::{BTreeMap, BTreeSet};

use store_core::{PartId, PartMeta};

use crate::error::StoreError;

/// Sentences that are kept; more damage is only counted.
const SENTENCES_MAX: usize = 100;

/// How much of a part is unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Its footer or its index: nothing of it can be read.
    Part,
    /// Some of its blocks.
    Block,
}

/// What is damaged, since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    parts: BTreeMap<PartId, String>,
    blocks: BTreeSet<String>,
    n_blocks: u64,
}

impl Damage {
    /// Notes damage and returns the sentence about it.
    fn note(&mut self, meta: &PartMeta, extent: Extent, error: &StoreError) -> String {
        let sentence = format!("data of part {} is unreadable: {error}", meta.key());
        match extent {
            Extent::Part => {
                self.parts.entry(meta.id).or_insert_with(|| sentence.clone());
            }
            Extent::Block if self.blocks.len() < SENTENCES_MAX => {
                self.n_blocks += u64::from(self.blocks.insert(sentence.clone()));
            }
            Extent::Block => self.n_blocks += u64::from(!self.blocks.contains(&sentence)),
        }
        sentence
    }

    pub(crate) fn n_parts(&self) -> u64 {
        self.parts.len() as u64
    }

    pub(crate) fn n_blocks(&self) -> u64 {
        self.n_blocks
    }

    pub(crate) fn sentences(&self) -> Vec<String> {
        self.parts.values().chain(&self.blocks).take(SENTENCES_MAX).cloned().collect()
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
            StoreError::Corrupt { .. } => Ok(self.damage.lock().note(meta, extent, &error)),
            other => Err(other),
        }
    }
}
