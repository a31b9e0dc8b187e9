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

#[derive(Debug, Default)]
pub(crate) struct ExemplarRing {
    ring: VecDeque<LiveExemplar>,
}

impl ExemplarRing {
    pub(crate) fn push(&mut self, entry: LiveExemplar, limit: usize) {
        if limit == 0 {
            return;
        }
        while self.ring.len() >= limit {
            self.ring.pop_front();
        }
        self.ring.push_back(entry);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &LiveExemplar> {
        self.ring.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(crate) fn clear(&mut self, up_to: u32) {
        self.ring.retain(|entry| entry.generation > up_to);
    }
}
