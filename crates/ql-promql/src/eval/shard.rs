//! Spreading the series of a selector over threads.

use std::ops::Range;

use crate::annotations::Annotations;
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::tally::Tally;
use crate::functions::window::Carry;
use crate::source::SeriesBuffer;

/// Below this many series another thread costs more than it brings.
const SERIES_PER_THREAD_MIN: usize = 64;

/// About how many cells a batch of series may have: a few megabytes. Tests take less, to have several.
const CELLS_PER_BATCH: usize = if cfg!(test) { 1 << 10 } else { 1 << 18 };

/// Between two checks for cancellation.
const SERIES_PER_CHECK: usize = 16;

/// What one thread works with, and what it leaves.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) block: Block,
    pub(crate) annotations: Annotations,
    pub(crate) tally: Tally,
    /// Reused from series to series.
    pub(crate) buffer: SeriesBuffer,
    /// Reused by functions that sort the values of a window.
    pub(crate) scratch: Vec<f64>,
    /// Reused by functions that remember something from window to window.
    pub(crate) carry: Carry,
}

impl Shard {
    fn new(n_steps: usize, tracks_origins: bool, tally: Tally) -> Self {
        let (annotations, buffer, scratch) = (Annotations::new(), SeriesBuffer::default(), Vec::new());
        let (block, carry) = (Block::tracking(n_steps, tracks_origins), Carry::default());
        Self { block, annotations, tally, buffer, scratch, carry }
    }
}

/// Receives the rows of a batch of series.
pub(crate) type BatchSink<'s> = dyn FnMut(Block) -> Result<(), EvalError> + 's;

/// Where rows go: all into one block, or batch by batch to whoever reduces them.
pub(crate) enum Delivery<'d, 's> {
    Whole(&'d mut Block),
    Batches(&'d mut BatchSink<'s>),
}

impl Evaluator<'_> {
    /// Calls `work` for each of `n_series` and delivers the rows in the order of the series.
    pub(crate) fn deliver<F>(
        &mut self,
        n_series: usize,
        n_steps: usize,
        work: F,
        delivery: Delivery<'_, '_>,
    ) -> Result<(), EvalError>
    where
        F: Fn(usize, &mut Shard) -> Result<(), EvalError> + Sync,
    {
        match delivery {
            Delivery::Whole(all) => self.batch(0..n_series, n_steps, &work, &mut |block| {
                all.append(block);
                Ok(())
            }),
            Delivery::Batches(sink) => self.for_each_batch(n_series, n_steps, &work, sink),
        }
    }

    /// Calls `work` for each of `n_series` and gives all rows, in the order of the series.
    pub(crate) fn for_each_series<F>(
        &mut self,
        n_series: usize,
        n_steps: usize,
        work: F,
    ) -> Result<Block, EvalError>
    where
        F: Fn(usize, &mut Shard) -> Result<(), EvalError> + Sync,
    {
        let mut all = Block::new(n_steps);
        self.deliver(n_series, n_steps, work, Delivery::Whole(&mut all))?;
        Ok(all)
    }

    /// Works batch by batch, so that only one is in memory.
    fn for_each_batch<F>(
        &mut self,
        n_series: usize,
        n_steps: usize,
        work: &F,
        sink: &mut BatchSink<'_>,
    ) -> Result<(), EvalError>
    where
        F: Fn(usize, &mut Shard) -> Result<(), EvalError> + Sync,
    {
        let least = SERIES_PER_THREAD_MIN * self.context.threads.max(1);
        let batch = (CELLS_PER_BATCH / n_steps.max(1)).max(least);
        let mut start = 0;
        while start < n_series {
            let end = n_series.min(start + batch);
            self.batch(start..end, n_steps, work, sink)?;
            start = end;
        }
        Ok(())
    }

    /// Works on some series, on several threads if that pays.
    fn batch<F>(
        &mut self,
        series: Range<usize>,
        n_steps: usize,
        work: &F,
        sink: &mut BatchSink<'_>,
    ) -> Result<(), EvalError>
    where
        F: Fn(usize, &mut Shard) -> Result<(), EvalError> + Sync,
    {
        let context = self.context;
        let run = |range: Range<usize>, mut shard: Shard| -> Result<Shard, EvalError> {
            for idx in range {
                if idx % SERIES_PER_CHECK == 0 {
                    context.cancel.check()?;
                    shard.block.settle(&context.budget)?;
                }
                work(idx, &mut shard)?;
            }
            shard.block.settle(&context.budget)?;
            Ok(shard)
        };
        let n_threads = context.threads.min(series.len() / SERIES_PER_THREAD_MIN).max(1);
        let bound = |thread: usize| series.start + series.len() * thread / n_threads;
        let shard = || Shard::new(n_steps, self.tracks_origins, self.tally.sibling());
        let shards: Vec<Result<Shard, EvalError>> = std::thread::scope(|scope| {
            let run = &run;
            let others: Vec<_> = (1..n_threads)
                .map(|thread| {
                    let (range, shard) = (bound(thread)..bound(thread + 1), shard());
                    scope.spawn(move || run(range, shard))
                })
                .collect();
            let mut shards = vec![run(bound(0)..bound(1), shard())];
            shards.extend(others.into_iter().map(|other| match other.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
            shards
        });
        for shard in shards {
            let shard = shard?;
            self.annotations.merge(shard.annotations);
            self.tally.absorb(&shard.tally);
            sink(shard.block)?;
        }
        Ok(())
    }
}
