//! Templates against what Go's engine printed, and the function tables.

mod alertmanager;
mod golden;
mod prometheus;
mod text;

use std::path::PathBuf;

/// A file of the shared conformance data, `None` where it is absent.
fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("SEXTANT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    std::fs::read_to_string(root.join("conformance").join(path)).ok()
}

/// Says aloud that a test had nothing to run on.
#[expect(clippy::print_stdout, reason = "a skipped test must be seen")]
fn skipped(what: &str) {
    println!("SKIPPED: needs {what}");
}
