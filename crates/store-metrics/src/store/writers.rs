//! The highest sequence that was applied of each (tenant, writer, epoch).

use base::TenantId;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::options::BatchId;

/// Writers remembered; of more, the half that was silent longest is forgotten. Repeated batches of a
/// forgotten writer are applied again, which equal samples make harmless.
const WRITERS_MAX: usize = 4_096;

/// Batches of a writer are applied one after another. Enough locks that few writers share one.
const TURNS: usize = 64;

#[derive(Debug)]
pub(crate) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Turns {
    pub(crate) fn of(&self, id: BatchId) -> &Mutex<()> {
        &self.0[(id.writer ^ id.epoch) as usize % TURNS]
    }
}

#[derive(Debug, Default)]
pub(crate) struct Writers {
    applied: HashMap<(TenantId, u64, u64), Applied>,
    n_noted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Applied {
    sequence: u64,
    /// The number of notes before the last one of this writer.
    noted_at: u64,
}

impl Writers {
    pub(crate) fn contains(&self, tenant: &TenantId, id: BatchId) -> bool {
        let known = self.applied.get(&(tenant.clone(), id.writer, id.epoch));
        known.is_some_and(|applied| applied.sequence >= id.sequence)
    }

    pub(crate) fn note(&mut self, tenant: &TenantId, id: BatchId) {
        let noted_at = self.n_noted;
        self.n_noted += 1;
        let applied = self.applied.entry((tenant.clone(), id.writer, id.epoch));
        let applied = applied.or_insert(Applied { sequence: id.sequence, noted_at });
        *applied = Applied { sequence: id.sequence.max(applied.sequence), noted_at };
        if self.applied.len() > WRITERS_MAX {
            let mut times: Vec<u64> = self.applied.values().map(|applied| applied.noted_at).collect();
            let (_, middle, _) = times.select_nth_unstable(WRITERS_MAX / 2);
            let middle = *middle;
            self.applied.retain(|_, applied| applied.noted_at >= middle);
        }
    }

    /// The last batch of each writer, those that were silent longest first.
    pub(crate) fn last_batches(&self) -> Vec<(TenantId, BatchId)> {
        let mut last: Vec<_> = self.applied.iter().collect();
        last.sort_unstable_by_key(|(_, applied)| applied.noted_at);
        let batch = |((tenant, writer, epoch), applied): (&(TenantId, u64, u64), &Applied)| {
            let id = BatchId { writer: *writer, epoch: *epoch, sequence: applied.sequence };
            (tenant.clone(), id)
        };
        last.into_iter().map(batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writers_that_were_silent_longest_are_forgotten() {
        let (a, b) = (TenantId::anonymous(), TenantId::new("b").unwrap());
        let id = |writer, sequence| BatchId { writer, epoch: 1, sequence };
        let mut writers = Writers::default();
        writers.note(&a, id(0, 5));
        writers.note(&a, id(0, 3));
        assert!(writers.contains(&a, id(0, 5)) && !writers.contains(&a, id(0, 6)));
        assert!(!writers.contains(&b, id(0, 5)), "another tenant's");
        assert!(!writers.contains(&a, BatchId { epoch: 2, ..id(0, 5) }), "another life");
        for writer in 1..=WRITERS_MAX as u64 {
            writers.note(&b, id(writer, 1));
            writers.note(&a, id(0, 5 + writer));
        }
        assert!(writers.last_batches().len() <= WRITERS_MAX);
        assert!(writers.contains(&a, id(0, 5 + WRITERS_MAX as u64)));
        assert!(writers.contains(&b, id(WRITERS_MAX as u64, 1)) && !writers.contains(&b, id(1, 1)));
    }
}
