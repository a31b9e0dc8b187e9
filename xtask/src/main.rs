//! Automation: `cargo xtask tidy`, `cargo xtask ci`, `cargo xtask sim`.

fn main() {}
