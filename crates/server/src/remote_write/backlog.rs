//! What waits in a queue, counted: how many samples, how many bytes, and what to give up when it is
//! too much. Pure; the journal holds the records themselves.

use std::collections::VecDeque;

use store_core::journal::Offset;

/// Records that are counted together; a block is the least that is given up at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    first: Offset,
    n_samples: u64,
    bytes: u64,
}

/// The size of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordSize {
    pub(super) offset: Offset,
    pub(super) n_samples: u64,
    pub(super) bytes: u64,
}

/// Counts of everything not yet acknowledged, oldest first.
#[derive(Debug)]
pub(super) struct Backlog {
    blocks: VecDeque<Block>,
    block_bytes: u64,
    n_samples: u64,
    bytes: u64,
}

impl Backlog {
    /// `block_bytes` is how much is counted together.
    pub(super) fn new(block_bytes: u64) -> Self {
        Self { blocks: VecDeque::new(), block_bytes, n_samples: 0, bytes: 0 }
    }

    /// An empty one that counts alike.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.block_bytes)
    }

    pub(super) fn n_samples(&self) -> u64 {
        self.n_samples
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn push(&mut self, record: RecordSize) {
        self.n_samples += record.n_samples;
        self.bytes += record.bytes;
        match self.blocks.back_mut() {
            Some(block) if block.bytes + record.bytes <= self.block_bytes => {
                block.n_samples += record.n_samples;
                block.bytes += record.bytes;
            }
            _ => self.blocks.push_back(Block {
                first: record.offset,
                n_samples: record.n_samples,
                bytes: record.bytes,
            }),
        }
    }

    /// Takes off a record that was acknowledged; one that was given up meanwhile counts no more.
    pub(super) fn acknowledge(&mut self, record: RecordSize) {
        while self.blocks.get(1).is_some_and(|next| next.first <= record.offset) {
            self.pop();
        }
        let Some(block) = self.blocks.front_mut().filter(|block| block.first <= record.offset) else {
            return;
        };
        let (n_samples, bytes) = (record.n_samples.min(block.n_samples), record.bytes.min(block.bytes));
        block.n_samples -= n_samples;
        block.bytes -= bytes;
        self.n_samples -= n_samples;
        self.bytes -= bytes;
        if block.bytes == 0 {
            self.pop();
        }
    }

    /// Gives up the oldest blocks until at most `bytes_max` are left, but never the newest block.
    /// Returns where the rest begins and how many samples are lost.
    pub(super) fn shrink_to(&mut self, bytes_max: u64) -> Option<(Offset, u64)> {
        let mut lost = 0;
        let mut start = None;
        while self.bytes > bytes_max && self.blocks.len() > 1 {
            lost += self.pop();
            start = self.blocks.front().map(|block| block.first);
        }
        start.map(|start| (start, lost))
    }

    fn pop(&mut self) -> u64 {
        let Some(block) = self.blocks.pop_front() else { return 0 };
        self.n_samples -= block.n_samples;
        self.bytes -= block.bytes;
        block.n_samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64) -> RecordSize {
        RecordSize { offset: Offset(offset), n_samples: 10, bytes: 100 }
    }

    /// Pushes records 0.., acknowledges those below `acked`, shrinks, and compares.
    fn check(n: u64, acked: u64, bytes_max: u64, expected: Option<(u64, u64)>, left: u64) {
        let mut backlog = Backlog::new(250);
        (0..n).for_each(|offset| backlog.push(record(offset)));
        (0..acked).for_each(|offset| backlog.acknowledge(record(offset)));
        let given_up = backlog.shrink_to(bytes_max);
        let case = format!("{n} records, {acked} acknowledged, at most {bytes_max} bytes");
        assert_eq!(given_up, expected.map(|(start, lost)| (Offset(start), lost)), "{case}");
        assert_eq!(backlog.n_samples(), left, "{case}");
        assert_eq!(backlog.is_empty(), left == 0, "{case}");
    }

    #[test]
    fn the_oldest_goes_first_and_what_was_acknowledged_is_not_lost() {
        check(0, 0, 0, None, 0);
        check(6, 0, 600, None, 60);
        check(6, 0, 599, Some((2, 20)), 40);
        check(6, 0, 250, Some((4, 40)), 20);
        // The newest block stays even if it is too large.
        check(6, 0, 0, Some((4, 40)), 20);
        check(6, 1, 400, Some((2, 10)), 40);
        check(6, 3, 300, None, 30);
        check(6, 3, 299, Some((4, 10)), 20);
        check(6, 6, 0, None, 0);
        check(5, 4, 0, None, 10);
    }

    #[test]
    fn acknowledging_what_was_given_up_changes_nothing() {
        let mut backlog = Backlog::new(100);
        (0..4).for_each(|offset| backlog.push(record(offset)));
        assert_eq!(backlog.shrink_to(200), Some((Offset(2), 20)));
        backlog.acknowledge(record(0));
        backlog.acknowledge(record(1));
        assert_eq!(backlog.n_samples(), 20);
        backlog.acknowledge(record(2));
        assert_eq!(backlog.n_samples(), 10);
    }
}
