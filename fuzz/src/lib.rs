//! Every decoder of the workspace as a fuzz target: a plain function from bytes to nothing that
//! panics when a property does not hold.
//!
//! The same targets run twice: as a short, seeded mutation run in the tests ([`mutation`]), and
//! behind libFuzzer (`cargo xtask fuzz`). Knows no sockets and no clocks but those that its subjects
//! ask for.

mod heap;
mod input;
pub mod mutation;
pub mod seeds;
#[expect(clippy::panic, reason = "a broken property is a panic, and its text says which")]
mod targets;

pub use heap::CountingAllocator;
pub use targets::{GROUPS, Group, all, find};

/// One decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Decodes the input and panics when a property does not hold.
    pub run: fn(&[u8]),
    /// Small inputs that reach deep into the decoder.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Files with more seeds; see [`seeds::of`].
    pub files: &'static [seeds::Files],
    /// What mutations insert: keywords and magic bytes.
    pub words: &'static [&'static str],
    /// What a run may have on the heap at once.
    pub heap: HeapBound,
    /// Inputs that a test has time for.
    pub test_runs: u32,
}

/// A bound on live heap memory that grows with the input at most linearly.
#[derive(Debug, Clone, Copy)]
pub struct HeapBound {
    pub base_bytes: usize,
    pub per_input_byte: usize,
}

impl HeapBound {
    const fn of(&self, input_len: usize) -> usize {
        self.base_bytes + self.per_input_byte * input_len
    }
}

/// The longest input; longer ones are cut, for libFuzzer and the tests alike.
pub const INPUT_BYTES_MAX: usize = 16 << 10;

impl Target {
    /// A target with bounds that fit most decoders.
    const fn new(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Self {
        let heap = HeapBound { base_bytes: 4 << 20, per_input_byte: 4 << 10 };
        Self { name, run, seeds, files: &[], words: &[], heap, test_runs: 20_000 }
    }

    const fn with_files(self, files: &'static [seeds::Files]) -> Self {
        Self { files, ..self }
    }

    const fn with_words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    const fn with_heap(self, base_bytes: usize, per_input_byte: usize) -> Self {
        Self { heap: HeapBound { base_bytes, per_input_byte }, ..self }
    }

    const fn with_test_runs(self, test_runs: u32) -> Self {
        Self { test_runs, ..self }
    }

    /// Runs the target on one input. A broken property is a panic; an error says that the run took
    /// more memory than [`Target::heap`] grants, which is only seen under [`CountingAllocator`].
    pub fn check(&self, input: &[u8]) -> Result<(), String> {
        let input = &input[..input.len().min(INPUT_BYTES_MAX)];
        let ((), peak_bytes) = heap::measure(|| (self.run)(input));
        let bound = self.heap.of(input.len());
        if peak_bytes <= bound {
            return Ok(());
        }
        Err(format!(
            "{}: {} input bytes took {peak_bytes} bytes of heap, {bound} are granted",
            self.name,
            input.len()
        ))
    }
}
