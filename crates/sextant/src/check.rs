//! `sextant check`: configuration files, with positions. Exit code 0 when all is well, 1 for an
//! error, 3 for lint findings alone.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use config::check::{
    CheckReport, ConfigCheck, Files, Lints, Severity, check_config, check_rules, check_sextant,
    check_web_config,
};
use config::{Mode, RuleFileOptions};
use ql_promql::parser::ParserOptions;

use crate::output;

/// Check configuration files.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A prometheus.yml and every file it names.
    Config(ConfigArgs),
    /// Rule files.
    Rules(RulesArgs),
    /// A web configuration: TLS and users.
    Web {
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// A sextant.yml.
    Sextant {
        #[arg(required = true)]
        files: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct ConfigArgs {
    #[arg(required = true)]
    files: Vec<String>,
    /// Open no other file than these.
    #[arg(long)]
    syntax_only: bool,
    #[command(flatten)]
    lint: LintArgs,
}

#[derive(Debug, Args)]
struct RulesArgs {
    #[arg(required = true)]
    files: Vec<String>,
    #[command(flatten)]
    lint: LintArgs,
}

#[derive(Debug, Args)]
struct LintArgs {
    /// all, none, duplicate-rules, too-long-scrape-interval; comma-separated.
    #[arg(long, default_value = "duplicate-rules")]
    lint: String,
    /// Lint findings are errors: exit code 3.
    #[arg(long)]
    lint_fatal: bool,
    /// The lookback that scrape intervals are compared with.
    #[arg(long, default_value = "5m")]
    lookback_delta: String,
}

impl LintArgs {
    fn how(&self, syntax_only: bool) -> Result<ConfigCheck, String> {
        let lookback_ms =
            base::duration::parse_ms(&self.lookback_delta).map_err(|e| format!("--lookback-delta: {e}"))?;
        let (lints, unknown) = Lints::parse(&self.lint, lookback_ms);
        if let Some(word) = unknown.first() {
            return Err(format!("--lint: unknown lint {word:?}"));
        }
        let rules = RuleFileOptions { parser: ParserOptions::all(), legacy_names: false };
        Ok(ConfigCheck { mode: Mode::Server, syntax_only, lints, rules })
    }
}

/// The machine's files.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        if !name.contains('*') {
            return Ok(if std::path::Path::new(pattern).exists() {
                vec![pattern.to_owned()]
            } else {
                Vec::new()
            });
        }
        let prefix = if pattern.contains('/') { format!("{folder}/") } else { String::new() };
        let entries = std::fs::read_dir(folder).map_err(|e| format!("{folder}: {e}"))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut found: Vec<String> = names
            .filter(|found| config::path::file_name_matches(name, found))
            .map(|found| format!("{prefix}{found}"))
            .collect();
        found.sort();
        Ok(found)
    }
}

pub(crate) fn run(check: &Check) -> ExitCode {
    let environment = |name: &str| std::env::var_os(name)?.into_string().ok();
    let outcome = match &check.what {
        What::Config(args) => args.lint.how(args.syntax_only).map(|how| {
            let reports = args.files.iter().map(|path| check_config(path, &Disk, &environment, &how));
            (reports.collect::<Vec<_>>(), args.lint.lint_fatal)
        }),
        What::Rules(args) => args
            .lint
            .how(false)
            .map(|how| (vec![check_rules(&args.files, &Disk, &how)], args.lint.lint_fatal)),
        What::Web { files } => Ok((files.iter().map(|path| check_web_config(path, &Disk)).collect(), false)),
        What::Sextant { files } => {
            let lint =
                LintArgs { lint: "none".to_owned(), lint_fatal: false, lookback_delta: "5m".to_owned() };
            lint.how(false).map(|how| {
                let reports = files.iter().map(|path| check_sextant(path, &Disk, &environment, &how));
                (reports.collect(), false)
            })
        }
    };
    match outcome {
        Ok((reports, lint_fatal)) => print(&reports, lint_fatal),
        Err(message) => crate::launch::fail(&message),
    }
}

fn print(reports: &[CheckReport], lint_fatal: bool) -> ExitCode {
    let mut worst = 0;
    for report in reports {
        for finding in &report.findings {
            match finding.severity {
                Severity::Error => output::remark(&finding.to_string()),
                _ => output::line(&finding.to_string()),
            }
        }
        for success in &report.successes {
            output::line(&format!("SUCCESS: {success}"));
        }
        // An error (1) outweighs lint findings (3).
        worst = match (worst, report.exit_code(lint_fatal)) {
            (1, _) | (_, 1) => 1,
            (a, b) => a.max(b),
        };
    }
    ExitCode::from(worst)
}
