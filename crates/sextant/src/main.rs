//! The `sextant` binary: subcommands, nothing else.

fn main() {}
