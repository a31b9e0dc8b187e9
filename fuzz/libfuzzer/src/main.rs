//! Every target of the crate `fuzz` behind libFuzzer, in one binary: the variable
//! `SEXTANT_FUZZ_TARGET` names the one to run. Started by `cargo xtask fuzz`.

#![no_main]

use std::sync::OnceLock;

use fuzz::{CountingAllocator, Target};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Read once, since libFuzzer calls the body millions of times and passes it nothing but the input.
static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("SEXTANT_FUZZ_TARGET").expect("SEXTANT_FUZZ_TARGET names a target");
    fuzz::find(&name).unwrap_or_else(|| panic!("no target is called {name}"))
}

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(chosen);
    if let Err(why) = target.check(input) {
        panic!("{why}");
    }
});
