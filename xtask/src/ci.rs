//! What CI runs, each step announced and timed, stopping at the first that fails.

use std::path::Path;
use std::process::Command;

use crate::report;

/// One step: what it is called and the command behind it.
struct Step {
    name: &'static str,
    program: &'static str,
    args: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step { name: "format", program: "cargo", args: &["fmt", "--all", "--check"] },
    Step { name: "tidy", program: "cargo", args: &["run", "--quiet", "--package", "xtask", "--", "tidy"] },
    Step {
        name: "clippy",
        program: "cargo",
        args: &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
    },
    Step { name: "binary", program: "cargo", args: &["build", "--package", "sextant", "--bin", "sextant"] },
    Step {
        name: "tests",
        program: "cargo",
        args: &["nextest", "run", "--workspace", "--profile", "ci", "--no-tests", "fail"],
    },
];

/// Runs every step in the workspace root.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    for (idx, step) in STEPS.iter().enumerate() {
        report(&format!(
            "[{}/{}] {}: {} {}",
            idx + 1,
            STEPS.len(),
            step.name,
            step.program,
            step.args.join(" ")
        ));
        let started = now();
        command(root, step.program, step.args)?;
        report(&format!(
            "[{}/{}] {}: done in {:.0} s",
            idx + 1,
            STEPS.len(),
            step.name,
            started.elapsed().as_secs_f64()
        ));
    }
    Ok(())
}

/// Runs the simulator, optimised, with the arguments it was given.
pub(crate) fn sim(root: &Path, args: &[&str]) -> Result<(), String> {
    let mut all = vec!["run", "--release", "--quiet", "--package", "sim", "--bin", "sim", "--"];
    all.extend_from_slice(args);
    command(root, "cargo", &all)
}

fn command(root: &Path, program: &str, args: &[&str]) -> Result<(), String> {
    let status = Command::new(program).args(args).current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {} failed: {status}", args.join(" "))),
        Err(error) => Err(format!("{program} could not be started: {error}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "xtask times its own steps")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
