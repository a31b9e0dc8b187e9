//! `sextant prometheus`: the original command line, so that unit files and charts keep working.

pub(crate) mod flags;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base::{ByteSize, duration};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use config::sextant::Deltas;
use model::regex::GoRegex;
use ql_promql::parser::ParserOptions;
use server::web::ConsoleSettings;
use wire_prom::remote_write::WriteMessage;

use crate::launch::{self, LogFormat, Settings};
use flags::FlagValues;

/// Upstream's text.
const BOTH_DELTAS: &str =
    "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time";

/// The parsed flags. clap is told of them from a table, so that `/api/v1/status/flags` shows the same.
#[derive(Debug)]
pub(crate) struct Flags(FlagValues);

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(FlagValues::read(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = FlagValues::read(matches);
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        flags::augment(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        flags::augment(command)
    }
}

pub(crate) fn run(flags: &Flags) -> ExitCode {
    match settings(&flags.0) {
        Ok(settings) => launch::run(settings, &flags.0.moot()),
        Err(message) => launch::fail(&message),
    }
}

/// Turns flags into settings; the message of an error names the flag.
pub(crate) fn settings(flags: &FlagValues) -> Result<Settings, String> {
    if flags.is_on("agent") {
        return Err("agent mode is not available: use `sextant agent`".to_owned());
    }
    let ms = |name: &str| duration::parse_ms(flags.get(name)).map_err(|e| format!("--{name}: {e}"));
    let number = |name: &str| {
        let text = flags.get(name);
        base::gofloat::parse(text)
            .filter(|n| *n >= 0.0)
            .map(|n| n as u64)
            .ok_or(format!("--{name}: not a number: {text:?}"))
    };
    let size = |name: &str| flags.get(name).parse::<ByteSize>().map_err(|e| format!("--{name}: {e}"));
    let timeout_ms = ms("query.timeout")?;
    let mut settings = Settings::new(PathBuf::from(flags.get("storage.tsdb.path")));
    settings.config_file = Some(PathBuf::from(flags.get("config.file")));
    settings.listen_addresses = flags.list("web.listen-address").into_iter().map(str::to_owned).collect();
    settings.web_config_file =
        Some(flags.get("web.config.file")).filter(|path| !path.is_empty()).map(PathBuf::from);
    settings.insecure_no_auth = flags.is_on("insecure-no-auth");
    settings.connections_max = usize::try_from(number("web.max-connections")?).unwrap_or(usize::MAX);
    settings.read_timeout = Duration::from_millis(ms("web.read-timeout")?.unsigned_abs());
    settings.external_url = flags.get("web.external-url").to_owned();
    check_external_url(&settings.external_url)?;
    settings.route_prefix = flags.get("web.route-prefix").to_owned();
    settings.enable_lifecycle = flags.is_on("web.enable-lifecycle");
    settings.enable_admin_api = flags.is_on("web.enable-admin-api");
    settings.enable_remote_write_receiver = flags.is_on("web.enable-remote-write-receiver");
    settings.enable_otlp_receiver = flags.is_on("web.enable-otlp-receiver");
    let folder = |name: &str| Some(flags.get(name)).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    settings.consoles = ConsoleSettings {
        templates: folder("web.console.templates"),
        libraries: folder("web.console.libraries"),
        user_assets: folder("web.user-assets"),
    };
    settings.accepted_write_messages = write_messages(flags)?;
    settings.cors_origin = cors(flags.get("web.cors.origin"))?;
    settings.retention_ms = Some(ms("storage.tsdb.retention.time")?).filter(|ms| *ms > 0);
    settings.retention_size = Some(size("storage.tsdb.retention.size")?).filter(|size| size.0 > 0);
    settings.retention_percent =
        Some(number("storage.tsdb.retention.percentage")? as f64).filter(|p| *p > 0.0);
    settings.remote_read_samples_max =
        usize::try_from(number("storage.remote.read-sample-limit")?).unwrap_or(0);
    settings.remote_read_concurrency_max =
        usize::try_from(number("storage.remote.read-concurrent-limit")?).unwrap_or(0);
    settings.remote_read_frame_bytes_max =
        usize::try_from(number("storage.remote.read-max-bytes-in-frame")?).unwrap_or(0);
    settings.search_limit_max = usize::try_from(number("web.search.max-limit")?).unwrap_or(0);
    settings.outage_tolerance_ms = ms("rules.alert.for-outage-tolerance")?;
    settings.for_grace_period_ms = ms("rules.alert.for-grace-period")?;
    settings.resend_delay_ms = ms("rules.alert.resend-delay")?;
    settings.concurrent_evals_max = usize::try_from(number("rules.max-concurrent-evals")?).unwrap_or(1);
    settings.notification_queue_capacity =
        usize::try_from(number("alertmanager.notification-queue-capacity")?).unwrap_or(usize::MAX);
    settings.notification_batch_max =
        usize::try_from(number("alertmanager.notification-batch-size")?).unwrap_or(usize::MAX);
    settings.drain_on_shutdown = flags.is_on("alertmanager.drain-notification-queue-on-shutdown");
    settings.lookback_delta_ms = ms("query.lookback-delta")?;
    settings.query_timeout = Duration::from_millis(timeout_ms.unsigned_abs());
    settings.query_concurrency_max = usize::try_from(number("query.max-concurrency")?).unwrap_or(usize::MAX);
    settings.query_samples_max = usize::try_from(number("query.max-samples")?).unwrap_or(usize::MAX);
    settings.flush_deadline = Duration::from_millis(ms("storage.remote.flush-deadline")?.unsigned_abs());
    if flags.is_on("config.auto-reload") {
        let every_ms = ms("config.auto-reload-interval")?.max(1000);
        settings.auto_reload = Some(Duration::from_millis(every_ms.unsigned_abs()));
    }
    settings.log_level = match flags.get("log.level") {
        level @ ("debug" | "info" | "warn" | "error") => level.to_owned(),
        other => return Err(format!("--log.level: must be debug, info, warn or error, not {other:?}")),
    };
    settings.log_format = match flags.get("log.format") {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    settings.flags = flags.shown();
    features(flags, &mut settings)?;
    Ok(settings)
}

fn write_messages(flags: &FlagValues) -> Result<Vec<WriteMessage>, String> {
    let name = "web.remote-write-receiver.accepted-protobuf-messages";
    let known = [WriteMessage::V1, WriteMessage::V2];
    let parse = |text: &str| {
        let found = known.into_iter().find(|message| message.as_str() == text);
        found.ok_or_else(|| format!("--{name}: unknown message {text:?}"))
    };
    flags.list(name).into_iter().map(parse).collect()
}

/// What has no scheme gets one later, so both are checked in full.
fn check_external_url(text: &str) -> Result<(), String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match full.parse::<http::Uri>() {
        _ if text.is_empty() => Ok(()),
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) => Ok(()),
        Ok(_) => Err(format!("--web.external-url: neither http nor https: {text:?}")),
        Err(error) => Err(format!("--web.external-url: {error}: {text:?}")),
    }
}

fn cors(pattern: &str) -> Result<Option<GoRegex>, String> {
    if pattern == ".*" {
        return Ok(None);
    }
    GoRegex::new_anchored(pattern).map(Some).map_err(|e| format!("--web.cors.origin: {e}"))
}

/// `--enable-feature`: names upstream knows, and what they switch on here.
fn features(flags: &FlagValues, settings: &mut Settings) -> Result<(), String> {
    settings.parser = ParserOptions { duration_expr: true, ..settings.parser };
    for name in flags.list("enable-feature") {
        match name {
            "promql-experimental-functions" => settings.parser.experimental_functions = true,
            "promql-duration-expr" => settings.parser.duration_expr = true,
            "promql-extended-range-selectors" => settings.parser.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => settings.parser.binop_fill = true,
            "promql-delayed-name-removal" => settings.delayed_name_removal = true,
            "promql-per-step-stats" => settings.per_step_stats = true,
            "use-start-timestamps" => settings.use_start_timestamps = true,
            "type-and-unit-labels" => settings.type_and_unit_labels = true,
            "exemplar-storage" => settings.exemplar_storage = true,
            "created-timestamp-zero-ingestion" => settings.created_zero_samples = true,
            "st-storage" => settings.start_timestamps = true,
            "extra-scrape-metrics" => settings.extra_scrape_metrics = true,
            "otlp-deltatocumulative" | "otlp-native-delta-ingestion" => {
                let wanted = if name == "otlp-deltatocumulative" { Deltas::Convert } else { Deltas::Keep };
                if settings.otlp_deltas != Deltas::Refuse && settings.otlp_deltas != wanted {
                    return Err(BOTH_DELTAS.to_owned());
                }
                settings.otlp_deltas = wanted;
            }
            "concurrent-rule-eval" => settings.concurrent_rule_eval = true,
            "search-api" => settings.enable_search_api = true,
            "auto-reload-config" => {
                settings.auto_reload.get_or_insert(Duration::from_secs(30));
            }
            other => settings.features_without_effect.push(other.to_owned()),
        }
        settings.features_enabled.push(name.to_owned());
    }
    Ok(())
}

/// The settings of a command line without flags.
#[cfg(test)]
pub(crate) fn default_settings() -> Settings {
    let matches = flags::augment(Command::new("prometheus")).get_matches_from(["prometheus"]);
    settings(&FlagValues::read(&matches)).expect("the defaults are valid")
}
