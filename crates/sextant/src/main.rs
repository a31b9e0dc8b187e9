//! The `sextant` binary: subcommands, nothing else.

mod features;
mod launch;
mod prometheus;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Monitoring in one program: scrape, store, query, alert.
#[derive(Debug, Parser)]
#[command(name = "sextant", version = launch::VERSION, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run as a drop-in for the `prometheus` program, with its flags.
    Prometheus(Box<prometheus::Flags>),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Prometheus(flags) => prometheus::run(*flags),
    }
}
