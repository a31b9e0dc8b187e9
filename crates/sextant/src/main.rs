//! The `sextant` binary: subcommands, nothing else.

mod check;
mod doctor;
mod features;
mod launch;
mod open_files;
mod output;
mod prometheus;
mod query;
mod serve;
mod test_rules;
mod users;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Monitoring in one program: scrape, store, query, alert.
#[derive(Debug, Parser)]
#[command(name = "sextant", version = launch::VERSION, long_version = launch::long_version(), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    /// Run as a drop-in for the `prometheus` program, with its flags.
    #[command(display_name = "prometheus,", version = launch::prometheus_version())]
    Prometheus(Box<prometheus::Flags>),
    Check(check::Check),
    Test(test_rules::Test),
    Query(query::Query),
    Doctor(doctor::Doctor),
    Users(users::Users),
    /// Print a completion script for a shell.
    Completions {
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Prometheus(flags) => prometheus::run(&flags),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test_rules::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Users(args) => users::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sextant", &mut script);
            output::raw(&script);
            ExitCode::SUCCESS
        }
    }
}
