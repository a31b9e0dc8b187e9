//! `fuzz list`, `fuzz run TARGET [--seed N] [--runs N]`, `fuzz replay TARGET FILE...`,
//! `fuzz export FOLDER`: the targets without libFuzzer, and what libFuzzer starts from.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use fuzz::{CountingAllocator, Target, mutation, seeds};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const USAGE: &str =
    "usage: fuzz list | run TARGET [--seed N] [--runs N] | replay TARGET FILE... | export FOLDER";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["list"] => list(&mut std::io::stdout().lock()),
        ["run", target, rest @ ..] => found(target).and_then(|target| run(target, rest)),
        ["replay", target, files @ ..] => found(target).and_then(|target| replay(target, files)),
        ["export", folder] => export(Path::new(folder)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nobody is left to tell when the standard error is closed too.
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn found(name: &str) -> Result<&'static Target, String> {
    fuzz::find(name).ok_or_else(|| format!("no target is called {name}; `fuzz list` names them"))
}

fn list(out: &mut dyn Write) -> Result<(), String> {
    fuzz::all().try_for_each(|target| writeln!(out, "{}", target.name).map_err(|e| e.to_string()))
}

fn run(target: &Target, options: &[&str]) -> Result<(), String> {
    let (mut seed, mut runs) = (0, target.test_runs);
    for option in options.chunks(2) {
        match option {
            ["--seed", number] => seed = number.parse().map_err(|e| format!("--seed {number}: {e}"))?,
            ["--runs", number] => runs = number.parse().map_err(|e| format!("--runs {number}: {e}"))?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    mutation::run(target, seed, runs).map_err(|failure| failure.to_string())
}

fn replay(target: &Target, files: &[&str]) -> Result<(), String> {
    for file in files {
        let input = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
        mutation::outcome(target, &input).map_err(|message| format!("{file}: {message}"))?;
    }
    Ok(())
}

/// Writes `corpus/<target>/seed-<n>` and `words/<target>` (libFuzzer's dictionary) below the folder.
fn export(folder: &Path) -> Result<(), String> {
    let write = |path: &Path, bytes: &[u8]| {
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(path, bytes));
        written.map_err(|e| format!("{}: {e}", path.display()))
    };
    for target in fuzz::all() {
        for (idx, seed) in seeds::of(target).iter().enumerate() {
            write(&folder.join(format!("corpus/{}/seed-{idx}", target.name)), seed)?;
        }
        let quoted = |word: &&str| word.bytes().map(|b| format!("\\x{b:02x}")).collect::<String>();
        let words: String = target.words.iter().map(|word| format!("\"{}\"\n", quoted(word))).collect();
        // libFuzzer refuses an empty dictionary.
        if !words.is_empty() {
            write(&folder.join(format!("words/{}", target.name)), words.as_bytes())?;
        }
    }
    Ok(())
}
