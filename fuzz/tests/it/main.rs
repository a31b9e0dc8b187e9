//! Every target on a fixed number of seeded mutations: what `make test` can afford of fuzzing.

use fuzz::{CountingAllocator, GROUPS, HeapBound, Target, find, mutation};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Changing it changes every input; a failure prints it.
const SEED: u64 = 1;

/// Runs the targets of one group.
#[expect(clippy::print_stdout, clippy::panic, reason = "it is what every test of a group does")]
fn check(group: &str) {
    let group = GROUPS.iter().find(|g| g.name == group).expect("the group exists");
    for target in group.targets {
        // Printed first: a stack overflow ends the process without another word.
        println!("target {}, seed {SEED}", target.name);
        if let Err(failure) = mutation::run(target, SEED, target.test_runs) {
            panic!("{failure}");
        }
    }
}

/// One test per group, so that they run side by side; the list proves that none is forgotten.
macro_rules! groups {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*

        const TESTED: &[&str] = &[$($name),*];
    };
}

groups! {
    parameters_of_the_api_hold_their_properties: "api",
    columns_and_blocks_hold_their_properties: "codec",
    compressed_bodies_hold_their_properties: "compression",
    configuration_files_hold_their_properties: "config",
    expositions_hold_their_properties: "exposition",
    otlp_requests_hold_their_properties: "otlp",
    promql_holds_its_properties: "promql",
    regular_expressions_hold_their_properties: "regex",
    remote_requests_hold_their_properties: "remote",
    files_on_disk_hold_their_properties: "storage",
    templates_hold_their_properties: "template",
    words_hold_their_properties: "words",
}

#[test]
fn every_group_is_tested_and_every_target_has_its_own_name() {
    let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
    assert_eq!(TESTED, names);
    let mut targets: Vec<&str> = fuzz::all().map(|target| target.name).collect();
    let n_targets = targets.len();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), n_targets);
}

/// Takes a length and that many bytes, and believes the length.
fn trusting_decoder(input: &[u8]) {
    if let Some((len, rest)) = input.split_first() {
        assert!(rest[..usize::from(*len)].len() <= 255);
    }
}

/// Prints a number otherwise than it was read.
fn forgetful_decoder(input: &[u8]) {
    let Some(number) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<u16>().ok()) else {
        return;
    };
    let printed = (number & 0xff).to_string();
    assert_eq!(printed.parse(), Ok(number), "printed and read again");
}

/// Allocates as much as the input says.
fn greedy_decoder(input: &[u8]) {
    let claimed = input.iter().fold(0usize, |n, b| n.saturating_mul(256).saturating_add(usize::from(*b)));
    std::hint::black_box(vec![0u8; claimed.min(1 << 24)]);
}

#[test]
fn a_wrong_decoder_is_caught() {
    let check = |run: fn(&[u8]), seed: &[u8], what: &str| {
        let base = find("json_strings").expect("the target exists");
        let seeds: fn() -> Vec<Vec<u8>> = || Vec::new();
        let heap = HeapBound { base_bytes: 1 << 16, per_input_byte: 64 };
        let wrong = Target { name: "wrong", run, seeds, words: &["7", "12", "300"], heap, ..*base };
        assert_eq!(mutation::outcome(&wrong, seed), Ok(()), "the seed itself passes");
        let failure = mutation::run(&wrong, SEED, 20_000).expect_err(what);
        assert!(failure.message.contains(what), "{failure}");
        let printed = failure.to_string();
        assert!(printed.contains("target wrong, seed 1, input "), "{printed}");
        let again = mutation::run(&wrong, SEED, failure.run + 1).expect_err("the same seed fails again");
        assert_eq!((again.run, again.input), (failure.run, failure.input));
    };
    check(trusting_decoder, b"\x01a", "out of range");
    check(forgetful_decoder, b"12", "printed and read again");
    check(greedy_decoder, b"\x01", "of heap");
}

#[test]
fn sound_decoders_pass_with_the_same_runs() {
    let target = find("json_strings").expect("the target exists");
    assert!(mutation::run(target, SEED, 5_000).is_ok());
}
