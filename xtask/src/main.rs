//! Automation in one place: `cargo xtask tidy`, `cargo xtask ci`, `cargo xtask sim`,
//! `cargo xtask fuzz`.
//! Developers and CI run the same commands.

mod ci;
mod fuzz;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  tidy            check layers, banned constructs, dead files and documents
  ci              everything CI runs, in order
  sim --seeds N   run the storage simulator over N seeds
  fuzz [TARGET..] [--seconds N]
                  run decoders under libFuzzer, a minute each unless told otherwise";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = workspace_root();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(&root),
        ["ci"] => ci::run(&root),
        ["sim", rest @ ..] => ci::sim(&root, rest),
        ["fuzz", rest @ ..] => fuzz::run(&root, rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            report(&message);
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace's manifest, one above this crate's.
fn workspace_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Prints one line of progress or a verdict; xtask is a tool that people watch.
#[expect(clippy::print_stderr, reason = "xtask is a command line tool: its output is its purpose")]
fn report(line: &str) {
    eprintln!("{line}");
}
