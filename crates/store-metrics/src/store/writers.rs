//! The highest sequence that was applied of each (writer, epoch).

use std::collections::BTreeMap;

use crate::options::BatchId;

/// Writers remembered; those with the oldest epochs of the smallest ids go first. Repeated batches of
/// a forgotten writer are applied again, which changes nothing: equal samples are one.
const WRITERS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct Writers {
    applied: BTreeMap<(u64, u64), u64>,
}

impl Writers {
    pub(crate) fn contains(&self, id: BatchId) -> bool {
        self.applied.get(&(id.writer, id.epoch)).is_some_and(|sequence| *sequence >= id.sequence)
    }

    pub(crate) fn note(&mut self, id: BatchId) {
        let sequence = self.applied.entry((id.writer, id.epoch)).or_insert(id.sequence);
        *sequence = id.sequence.max(*sequence);
        if self.applied.len() > WRITERS_MAX {
            self.applied.pop_first();
        }
    }
}
