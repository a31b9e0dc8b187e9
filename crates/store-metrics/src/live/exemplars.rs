//! The newest exemplars of one tenant, bounded: the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;

use model::Exemplar;

use crate::live::series::LiveSeries;

#[derive(Debug)]
pub(crate) struct LiveExemplar {
    pub(crate) generation: u32,
    pub(crate) series: Arc<LiveSeries>,
    pub(crate) exemplar: Arc<Exemplar>,
}

/// What one exemplar occupies while it is live.
pub(crate) fn live_bytes(exemplar: &Exemplar) -> u64 {
    let own = size_of::<LiveExemplar>() + size_of::<Exemplar>() + 16;
    (own + exemplar.labels.heap_bytes()) as u64
}

#[derive(Debug, Default)]
pub(crate) struct ExemplarRing {
    ring: VecDeque<LiveExemplar>,
}

impl ExemplarRing {
    /// Returns the bytes of the exemplars that went for it, itself if none are kept.
    pub(crate) fn push(&mut self, entry: LiveExemplar, limit: usize) -> u64 {
        let mut freed = 0;
        self.ring.push_back(entry);
        while self.ring.len() > limit {
            freed += self.ring.pop_front().map_or(0, |oldest| live_bytes(&oldest.exemplar));
        }
        freed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &LiveExemplar> {
        self.ring.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Forgets those of `up_to` and earlier generations; returns the bytes that became free.
    pub(crate) fn clear(&mut self, up_to: u32) -> u64 {
        let mut freed = 0;
        self.ring.retain(|entry| {
            let keep = entry.generation > up_to;
            freed += if keep { 0 } else { live_bytes(&entry.exemplar) };
            keep
        });
        freed
    }
}
