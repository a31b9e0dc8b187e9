//! Fuzzing without libFuzzer: a fixed number of mutated seeds, all decided by one number.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base::Rng;

use crate::{INPUT_BYTES_MAX, Target, seeds};

/// An input on which a target failed, and how to make it again.
#[derive(Debug)]
pub struct Failure {
    pub target: &'static str,
    pub seed: u64,
    /// The number of the input within the run.
    pub run: u32,
    pub input: Vec<u8>,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, run, input, message } = self;
        write!(
            f,
            "target {target}, seed {seed}, input {run}: {message}\ninput: b\"{}\"\n\
             again: cargo run -p fuzz -- run {target} --seed {seed} --runs {}",
            input.escape_ascii(),
            run.saturating_add(1)
        )
    }
}

/// Runs the target on each of its seeds and then on mutations, `runs` inputs in all.
pub fn run(target: &Target, seed: u64, runs: u32) -> Result<(), Box<Failure>> {
    let seeds = seeds::of(target);
    let mut rng = Rng::new(seed);
    for run in 0..runs {
        let input = match seeds.get(run as usize) {
            Some(seed) => seed.clone(),
            None => mutated(&seeds, target.words, &mut rng),
        };
        if let Err(message) = outcome(target, &input) {
            return Err(Box::new(Failure { target: target.name, seed, run, input, message }));
        }
    }
    Ok(())
}

/// Runs the target on one input; the error is the panic's text, or says which bound was broken.
pub fn outcome(target: &Target, input: &[u8]) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| target.check(input))) {
        Ok(checked) => checked,
        Err(panic) => Err(panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without a text".to_owned())),
    }
}

/// A seed with up to eight changes.
fn mutated(seeds: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut input = pick(seeds, rng).cloned().unwrap_or_default();
    for _ in 0..=rng.below(8) {
        mutate(&mut input, seeds, words, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn pick<'a, T>(choices: &'a [T], rng: &mut Rng) -> Option<&'a T> {
    if choices.is_empty() {
        return None;
    }
    choices.get(usize::try_from(rng.below(choices.len() as u64)).unwrap_or(0))
}

/// Numbers below `bound + 1`, as positions.
fn position(bound: usize, rng: &mut Rng) -> usize {
    usize::try_from(rng.below(bound as u64 + 1)).unwrap_or(0)
}

/// Integers around which decoders go wrong.
const INTERESTING: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX - 1, u64::MAX];

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], rng: &mut Rng) {
    let at = position(input.len(), rng);
    let until = at + position((input.len() - at).min(32), rng);
    match rng.below(10) {
        0 if at < input.len() => input[at] ^= 1 << rng.below(8),
        1 if at < input.len() => input[at] = rng.next_u64() as u8,
        2 => {
            input.drain(at..until);
        }
        3 => {
            let copied = input[at..until].to_vec();
            let to = position(input.len(), rng);
            input.splice(to..to, copied);
        }
        4 => {
            let number = pick(&INTERESTING, rng).copied().unwrap_or(0).to_le_bytes();
            let width = 1 << rng.below(4);
            let end = (at + width).min(input.len());
            input.splice(at..end, number[..width].iter().copied());
        }
        5 => {
            let other = pick(seeds, rng).map_or(&[][..], Vec::as_slice);
            let from = position(other.len(), rng);
            let to = from + position((other.len() - from).min(64), rng);
            input.splice(at..until, other[from..to].iter().copied());
        }
        6 => input.truncate(at),
        _ if !words.is_empty() => {
            let word = pick(words, rng).copied().unwrap_or("");
            let end = if rng.one_in(2) { at } else { until };
            input.splice(at..end, word.bytes());
        }
        _ => input.insert(at, rng.next_u64() as u8),
    }
}
