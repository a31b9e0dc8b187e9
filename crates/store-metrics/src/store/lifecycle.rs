//! Generations of the live store: one takes appends, older ones are frozen, in parts, or cleared.
//!
//! A view reads the generations above those that its catalog snapshot has in parts, so a generation
//! is cleared only when every view from before its commit is gone.

use std::sync::Arc;

use store_core::{CatalogSnapshot, Offset};

#[derive(Debug, Clone, Copy)]
struct Frozen {
    generation: u32,
    /// Every record of the generation and of those before it lies below.
    end: Offset,
}

#[derive(Debug)]
struct Waiting {
    generation: u32,
    views: Arc<()>,
}

#[derive(Debug)]
pub(crate) struct Lifecycle {
    /// Frozen and not cleared, oldest first.
    frozen: Vec<Frozen>,
    /// In parts and not cleared, oldest first.
    waiting: Vec<Waiting>,
    cleared: u32,
    /// Held by every view made since the last commit.
    views: Arc<()>,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self { frozen: Vec::new(), waiting: Vec::new(), cleared: 0, views: Arc::new(()) }
    }

    pub(crate) fn freeze(&mut self, generation: u32, end: Offset) {
        self.frozen.push(Frozen { generation, end });
    }

    /// The newest generation that the snapshot's parts hold.
    pub(crate) fn in_parts(&self, snapshot: &CatalogSnapshot) -> u32 {
        let newest = self.frozen.iter().rev().find(|f| f.end <= snapshot.committed);
        newest.map_or(self.cleared, |f| f.generation)
    }

    /// What a new view holds on to.
    pub(crate) fn pin(&self) -> Arc<()> {
        Arc::clone(&self.views)
    }

    /// The generation is in parts from now on.
    pub(crate) fn committed(&mut self, generation: u32) {
        let views = std::mem::replace(&mut self.views, Arc::new(()));
        self.waiting.push(Waiting { generation, views });
    }

    /// The newest generation that nobody reads from the live store any more, if there is a new one.
    pub(crate) fn take_clearable(&mut self) -> Option<u32> {
        let n = self.waiting.iter().take_while(|w| Arc::strong_count(&w.views) == 1).count();
        let newest = self.waiting.drain(..n).next_back()?.generation;
        self.frozen.retain(|f| f.generation > newest);
        self.cleared = newest;
        Some(newest)
    }
}
