//! `sextant serve`: everything, from one file of our own that may point at original files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base::PerTenant;
use clap::Args;
use config::SextantConfig;
use config::sextant::LogLevel;
use ql_promql::parser::ParserOptions;

use server::web::access::Tenancy;

use crate::launch::{self, LogFormat, Settings};

/// How often files are looked at, so that a saved change is in force without asking.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Run the server.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Our settings; without them everything has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where data are kept, whatever the file says.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to listen on, whatever the file says; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<String>,
    /// Allow deletion and snapshots by HTTP.
    #[arg(long)]
    enable_admin_api: bool,
    /// Listen beyond this machine although no users are configured.
    #[arg(long)]
    insecure_no_auth: bool,
}

pub(crate) fn run(args: &Serve) -> ExitCode {
    match settings(args) {
        Ok(settings) => launch::run(settings, &[]),
        Err(message) => launch::fail(&message),
    }
}

fn settings(args: &Serve) -> Result<Settings, String> {
    let (text, path) = match &args.config {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            (text, path.display().to_string())
        }
        None => (String::new(), "sextant.yml".to_owned()),
    };
    let config = SextantConfig::parse(&text, &path).map_err(|e| e.located())?;
    let mut settings = from_config(&config);
    if let Some(dir) = &args.data_dir {
        settings.data_dir.clone_from(dir);
    }
    if !args.listen.is_empty() {
        settings.listen_addresses.clone_from(&args.listen);
        settings.speaks.clear();
    }
    settings.insecure_no_auth |= args.insecure_no_auth;
    settings.enable_admin_api = args.enable_admin_api;
    Ok(settings)
}

fn from_config(config: &SextantConfig) -> Settings {
    let mut settings = Settings::new(PathBuf::from(&config.data_dir));
    settings.config_file = config.prometheus.as_ref().map(PathBuf::from);
    settings.listen_addresses = config.listeners.iter().map(|listener| listener.address.clone()).collect();
    settings.speaks = config.listeners.iter().map(|listener| listener.speaks).collect();
    settings.web_config_files = config
        .listeners
        .iter()
        .map(|l| Some(&l.web_config).filter(|p| !p.is_empty()).map(PathBuf::from))
        .collect();
    settings.auth = config.auth.clone();
    settings.insecure_no_auth = config.auth.insecure_no_auth;
    settings.external_url.clone_from(&config.external_url);
    settings.retention_ms = Some(config.retention.time_ms).filter(|ms| *ms > 0);
    settings.retention_size = config.retention.size;
    settings.retention_percent = config.retention.disk_percentage;
    settings.budgets = config.budgets;
    settings.keep_accounts = true;
    settings.tenancy = if config.tenants.multi_tenant { Tenancy::ByHeader } else { Tenancy::Single };
    settings.tenant_limits =
        PerTenant { default: config.tenants.limits, overrides: config.tenants.overrides.clone() };
    settings.query_timeout = Duration::from_millis(config.query.timeout_ms.unsigned_abs());
    settings.query_samples_max = usize::try_from(config.query.max_samples).unwrap_or(usize::MAX);
    settings.query_concurrency_max = usize::try_from(config.query.max_concurrency).unwrap_or(usize::MAX);
    settings.lookback_delta_ms = config.query.lookback_delta_ms;
    settings.host_collector = Some(config.host_collector.clone()).filter(|host| host.enabled);
    // What upstream hides behind flags is on here: nothing in a query that worked changes by it.
    settings.parser = ParserOptions::all();
    settings.enable_lifecycle = true;
    settings.enable_remote_write_receiver = true;
    settings.enable_otlp_receiver = true;
    settings.otlp_deltas = config.otlp.deltas;
    settings.delta_max_stale = Duration::from_millis(config.otlp.delta_max_stale_ms.unsigned_abs());
    settings.delta_streams_max = usize::try_from(config.otlp.delta_max_streams).unwrap_or(usize::MAX);
    settings.enable_search_api = true;
    settings.exemplar_storage = true;
    settings.auto_reload = Some(RELOAD_EVERY);
    settings.log_level = match config.log_level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
    .to_owned();
    settings.log_format = if config.log_json { LogFormat::Json } else { LogFormat::Text };
    settings.warnings = config.warnings.iter().map(|warning| warning.message.clone()).collect();
    settings
}

#[cfg(test)]
mod tests {
    use config::sextant::{Deltas, Personality};

    use super::*;

    #[test]
    fn the_defaults_listen_on_this_machine_only() {
        let config = SextantConfig::parse("", "sextant.yml").unwrap();
        let settings = from_config(&config);
        assert_eq!(settings.listen_addresses, ["127.0.0.1:3000", "127.0.0.1:9090"]);
        assert!(settings.config_file.is_none() && settings.host_collector.is_none());
        assert!(SextantConfig::parse("listenrs: []", "sextant.yml").is_err());
        assert_eq!(settings.otlp_deltas, Deltas::Refuse);
    }

    #[test]
    fn listeners_and_deltas_are_as_the_file_says() {
        let text = "listeners: [{address: 'localhost:4318', speaks: otlp-http}, {address: 'localhost:9090'}]\n\
                    otlp: {deltas: convert, delta_max_stale: 1m, delta_max_streams: 5}\n";
        let settings = from_config(&SextantConfig::parse(text, "sextant.yml").unwrap());
        assert_eq!(settings.speaks, [Personality::OtlpHttp, Personality::All]);
        assert_eq!(
            (settings.otlp_deltas, settings.delta_max_stale, settings.delta_streams_max),
            (Deltas::Convert, Duration::from_secs(60), 5)
        );
    }
}
