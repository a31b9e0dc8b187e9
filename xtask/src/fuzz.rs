//! `cargo xtask fuzz`: the targets of the crate `fuzz` behind libFuzzer, one after the other.
//! docs/internals/fuzzing.md says what is where.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report;

const SECONDS_DEFAULT: u32 = 60;

/// A run that takes longer than this on one input has found something.
const INPUT_SECONDS_MAX: u32 = 10;

/// Runs one target, or all, for so many seconds each.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<(), String> {
    let (names, seconds) = wanted(args)?;
    let place = Place { root, folder: root.join("target/fuzz") };
    let known = place.prepare()?;
    let names = if names.is_empty() { known } else { names };
    let mut failed = Vec::new();
    for name in names {
        report(&format!("fuzz: {name} for {seconds} s"));
        if let Err(why) = place.fuzz(&name, seconds) {
            report(&why);
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("fuzz: {} failed", failed.join(", "))) }
}

/// The targets named (none: all) and the seconds for each.
fn wanted(args: &[&str]) -> Result<(Vec<String>, u32), String> {
    let (mut names, mut seconds) = (Vec::new(), SECONDS_DEFAULT);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if *arg == "--seconds" {
            let number = args.next().and_then(|number| number.parse().ok());
            seconds = number.ok_or("--seconds needs a number")?;
        } else if arg.starts_with('-') {
            return Err(format!("fuzz has no option {arg}"));
        } else {
            names.push((*arg).to_owned());
        }
    }
    Ok((names, seconds))
}

struct Place<'a> {
    root: &'a Path,
    /// Corpora, dictionaries, findings and the build.
    folder: PathBuf,
}

impl Place<'_> {
    /// Builds libFuzzer's binary and writes the seeds; returns the names of all targets.
    fn prepare(&self) -> Result<Vec<String>, String> {
        let lock = "Cargo.lock";
        std::fs::copy(self.root.join(lock), self.root.join("fuzz/libfuzzer").join(lock))
            .map_err(|e| format!("{lock}: {e}"))?;
        let mut build = Command::new("cargo");
        build.args(["fuzz", "build", "--fuzz-dir", "fuzz/libfuzzer", "--sanitizer", "none", "decoders"]);
        build.arg("--target-dir").arg(self.folder.join("build"));
        // Coverage takes flags that a stable compiler hides.
        build.env("RUSTC_BOOTSTRAP", "1");
        self.succeeds(&mut build).map_err(|why| format!("{why} (is cargo-fuzz installed?)"))?;
        let mut export = Command::new("cargo");
        export.args(["run", "--quiet", "--package", "fuzz", "--", "export"]).arg(&self.folder);
        self.succeeds(&mut export)?;
        names_in(&self.folder.join("corpus"))
    }

    fn fuzz(&self, name: &str, seconds: u32) -> Result<(), String> {
        let corpus = self.folder.join("corpus").join(name);
        if !corpus.is_dir() {
            return Err(format!("no target is called {name}; `cargo run -p fuzz -- list` names them"));
        }
        let findings = self.folder.join("findings").join(name);
        std::fs::create_dir_all(&findings).map_err(|e| format!("{}: {e}", findings.display()))?;
        let mut command = Command::new(self.binary()?);
        command.env("SEXTANT_FUZZ_TARGET", name).arg(corpus);
        let words = self.folder.join("words").join(name);
        if words.is_file() {
            command.arg(format!("-dict={}", words.display()));
        }
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.args(["-max_len=4096", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]);
        self.succeeds(&mut command)
    }

    /// The folder of the build is named after the machine's triple, which is not known here.
    fn binary(&self) -> Result<PathBuf, String> {
        let build = self.folder.join("build");
        let of_triple = |triple: String| build.join(triple).join("release/decoders");
        let found = names_in(&build)?.into_iter().map(of_triple).find(|path| path.is_file());
        found.ok_or_else(|| format!("no binary below {}", build.display()))
    }

    fn succeeds(&self, command: &mut Command) -> Result<(), String> {
        match command.current_dir(self.root).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{command:?} failed: {status}")),
            Err(error) => Err(format!("{command:?} could not be started: {error}")),
        }
    }
}

/// The names in a folder, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_seconds_are_taken_from_the_command_line() {
        let check = |args: &[&str], expected: Result<(&[&str], u32), &str>| {
            let got = wanted(args);
            let got =
                got.as_ref().map(|(names, n)| (names.iter().map(String::as_str).collect::<Vec<_>>(), *n));
            assert_eq!(
                got.map_err(String::as_str),
                expected.map(|(names, n)| (names.to_vec(), n)),
                "{args:?}"
            );
        };
        check(&[], Ok((&[], SECONDS_DEFAULT)));
        check(&["promql", "--seconds", "5", "part"], Ok((&["promql", "part"], 5)));
        check(&["--seconds"], Err("--seconds needs a number"));
        check(&["--runs", "5"], Err("fuzz has no option --runs"));
    }
}
