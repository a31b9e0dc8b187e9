//! `sim [--seeds N] [--first SEED] [--steps N]`: runs the simulator on more seeds than a test has time
//! for. Exits with 1 at the first broken promise.

use std::io::Write;
use std::process::ExitCode;

/// The number after `name`, or the default.
fn number(args: &[String], name: &str, default: u64) -> Result<u64, String> {
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(default) };
    let value = args.get(at + 1).and_then(|value| value.parse().ok());
    value.ok_or_else(|| format!("{name} needs a number"))
}

fn simulate(args: &[String], out: &mut dyn Write) -> Result<(), String> {
    let seeds = number(args, "--seeds", 100)?;
    let first = number(args, "--first", 0)?;
    let steps = number(args, "--steps", 500)?;
    let mut total = sim::SimReport::default();
    for (nth, seed) in (first..first.saturating_add(seeds)).enumerate() {
        for run in [sim::run, sim::run_on::<sim::MetricSubject>] {
            let report = run(seed, steps).map_err(|failure| failure.to_string())?;
            total.add(&report);
        }
        if nth % 100 == 99 {
            writeln!(out, "{} seeds of {seeds}", nth + 1).map_err(|e| e.to_string())?;
        }
    }
    let sim::SimReport { appends, cuts, rounds, deletions, crashes, rows_compared, .. } = total;
    writeln!(
        out,
        "{seeds} seeds from {first}: {appends} appends, {cuts} cuts, {rounds} rounds of maintenance, \
         {deletions} deletions, {crashes} crashes, {rows_compared} rows compared"
    )
    .map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match simulate(&args, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nobody is left to tell when the standard error is closed too.
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}
