//! From settings to a running server: logging, signals, the runtime, and the way down.

mod options;
mod settings;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use base::{Clock, SystemClock};
use server::serve::{ListenerOptions, start};
use tokio::signal::unix::{SignalKind, signal};

use crate::open_files;
pub(crate) use options::environment;
use options::serve_options;
pub(crate) use settings::{LogFormat, Settings};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit; builds that set `SEXTANT_COMMIT` know it.
const COMMIT: &str = match option_env!("SEXTANT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What the API answers for its version: Grafana and others switch features on by the release of
/// Prometheus they believe to talk to, which is the one whose API this is.
const API_VERSION: &str = concat!("3.14.0+sextant.", env!("CARGO_PKG_VERSION"));

/// What follows `prometheus,` where scripts ask for its version.
pub(crate) fn prometheus_version() -> &'static str {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    // Built once, and needed until the process ends.
    format!("version {API_VERSION} (branch: , revision: {COMMIT})\n  platform:         {os}/{arch}").leak()
}

/// Version, commit and platform, as `--version` shows them.
pub(crate) fn long_version() -> &'static str {
    // Built once, and needed until the process ends.
    format!("{VERSION} (commit {COMMIT}, {} {})", std::env::consts::OS, std::env::consts::ARCH).leak()
}

/// Prints a message for the person at the terminal.
pub(crate) fn fail(message: &str) -> ExitCode {
    crate::output::remark(&format!("sextant: {message}"));
    ExitCode::FAILURE
}

/// Runs until a signal or a request ends the server.
pub(crate) fn run(settings: Settings, moot_flags: &[&str]) -> ExitCode {
    start_logging(&settings);
    open_files::raise();
    for warning in &settings.warnings {
        tracing::warn!(warning, "configuration");
    }
    if !moot_flags.is_empty() {
        tracing::warn!(flags = moot_flags.join(", "), "these flags have no effect in this program");
    }
    if !settings.features_without_effect.is_empty() {
        let features = settings.features_without_effect.join(", ");
        tracing::warn!(features, "these features are unknown or always on");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

async fn serve(settings: Settings) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = serve_options(&settings, &*clock)?;
    let scheme = |listener: &ListenerOptions| if listener.web.tls.is_some() { "https" } else { "http" };
    let schemes: Vec<_> = options.listeners.iter().map(scheme).collect();
    let prefix = options.web.route_prefix.clone();
    let running = start(options, clock).await.map_err(|e| e.to_string())?;
    for address in &running.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(password) = &running.first_password {
        // To the terminal and not to the log, which others read.
        crate::output::line(&format!(
            "\nFirst start: log in as {} with the password {password}\nIt is shown this once; \
             `sextant users reset-password {}` makes another.\n",
            server::accounts::FIRST_ADMIN,
            server::accounts::FIRST_ADMIN,
        ));
    }
    let recovery = &running.recovery;
    tracing::info!(
        parts = recovery.parts,
        journal_records = recovery.journal_records,
        took_ms = recovery.took_ms,
        "server is ready to receive web requests"
    );
    for (scheme, address) in schemes.iter().zip(&running.addresses) {
        tracing::info!(url = format!("{scheme}://{address}{prefix}/"), "look here");
    }
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "a torn end of the journal was cut off; it had not been acknowledged"
        );
    }
    for problem in &recovery.problems {
        tracing::error!(problem, "damage found while opening the store");
    }
    tokio::spawn(signals(Arc::clone(&running.app), running.shutdown().clone()));
    running.finish().await.map_err(|e| e.to_string())?;
    tracing::info!("see you next time");
    Ok(())
}

/// SIGHUP reloads; SIGTERM and SIGINT end the server.
async fn signals(app: Arc<server::web::App>, shutdown: server::shutdown::Shutdown) {
    let streams =
        (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = streams else {
        return tracing::error!("cannot listen to signals");
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                // The outcome is logged where it happens.
                drop(app.reload.request().await);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("received a signal, exiting gracefully");
    shutdown.begin();
}

fn start_logging(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log_level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
