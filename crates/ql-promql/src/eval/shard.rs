//! Spreading the series of a selector over threads.

use crate::annotations::Annotations;
use crate::eval::block::Block;
use crate::eval::error::EvalError;
use crate::eval::evaluator::Evaluator;
use crate::eval::tally::Tally;
use crate::source::SeriesBuffer;

/// Below this many series another thread costs more than it brings.
const SERIES_PER_THREAD_MIN: usize = 64;

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
}

impl Shard {
    fn new(n_steps: usize, tally: Tally) -> Self {
        let (annotations, buffer, scratch) = (Annotations::new(), SeriesBuffer::default(), Vec::new());
        Self { block: Block::new(n_steps), annotations, tally, buffer, scratch }
    }
}

impl Evaluator<'_> {
    /// Calls `work` for each of `n_series`, on several threads if that pays, and joins what they
    /// leave in the order of the series.
    pub(crate) fn for_each_series<F>(
        &mut self,
        n_series: usize,
        n_steps: usize,
        work: F,
    ) -> Result<Block, EvalError>
    where
        F: Fn(usize, &mut Shard) -> Result<(), EvalError> + Sync,
    {
        let context = self.context;
        let run = |range: std::ops::Range<usize>, mut shard: Shard| -> Result<Shard, EvalError> {
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
        let n_threads = context.threads.min(n_series / SERIES_PER_THREAD_MIN).max(1);
        let shard = || Shard::new(n_steps, self.tally.sibling());
        let shards: Vec<Result<Shard, EvalError>> = if n_threads == 1 {
            vec![run(0..n_series, shard())]
        } else {
            let bound = |thread: usize| n_series * thread / n_threads;
            std::thread::scope(|scope| {
                let run = &run;
                let others: Vec<_> = (1..n_threads)
                    .map(|thread| {
                        let shard = shard();
                        scope.spawn(move || run(bound(thread)..bound(thread + 1), shard))
                    })
                    .collect();
                let mut shards = vec![run(0..bound(1), shard())];
                shards.extend(others.into_iter().map(|other| match other.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                }));
                shards
            })
        };
        let mut all = Block::new(n_steps);
        for shard in shards {
            let shard = shard?;
            all.append(shard.block);
            self.annotations.merge(shard.annotations);
            self.tally.absorb(&shard.tally);
        }
        Ok(all)
    }
}
