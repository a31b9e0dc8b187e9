//! The command line of `prometheus`, as data: names, defaults, what we do with each.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// How a flag takes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlagKind {
    /// `--x`, `--x=false`, `--no-x`.
    Switch,
    Value,
    Repeated,
}

/// What a flag does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Obeyed,
    /// Accepted so that command lines keep working; it has nothing to act on here.
    Moot,
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    help: &'static str,
    kind: FlagKind,
    pub(crate) effect: Effect,
}

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, default, help, kind: FlagKind::Value, effect: Effect::Obeyed }
}

const fn switch(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, default, help, kind: FlagKind::Switch, effect: Effect::Obeyed }
}

const fn repeated(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, default, help, kind: FlagKind::Repeated, effect: Effect::Obeyed }
}

/// A flag that governs a part of Prometheus that has no counterpart here.
const fn moot(name: &'static str, default: &'static str) -> Flag {
    Flag { name, default, help: "Accepted for compatibility.", kind: FlagKind::Value, effect: Effect::Moot }
}

const fn moot_switch(name: &'static str, default: &'static str) -> Flag {
    Flag { name, default, help: "Accepted for compatibility.", kind: FlagKind::Switch, effect: Effect::Moot }
}

/// Every flag of Prometheus 3.14, with its defaults.
pub(crate) const FLAGS: &[Flag] = &[
    value("config.file", "prometheus.yml", "The configuration file."),
    switch("config.auto-reload", "false", "Reload when configuration or rule files change."),
    value("config.auto-reload-interval", "30s", "How often files are looked at for --config.auto-reload."),
    repeated("web.listen-address", "127.0.0.1:9090", "Address to listen on; may be repeated."),
    value("web.config.file", "", "File that switches on TLS and basic authentication."),
    value("web.read-timeout", "5m", "The longest that a request may take to arrive."),
    value("web.max-connections", "512", "Connections open at once."),
    moot("web.max-notifications-subscribers", "16"),
    value("web.external-url", "", "The URL under which this server is reached from outside."),
    value(
        "web.route-prefix",
        "",
        "Path under which everything is served; that of the external URL by default.",
    ),
    value("web.user-assets", "", "Folder of files that are served below /user."),
    switch("web.enable-lifecycle", "false", "Allow reload and shutdown by HTTP."),
    switch("web.enable-admin-api", "false", "Allow deletion and snapshots by HTTP."),
    switch("web.enable-remote-write-receiver", "false", "Accept remote write."),
    repeated(
        "web.remote-write-receiver.accepted-protobuf-messages",
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
        "Remote write messages to accept.",
    ),
    switch("web.enable-otlp-receiver", "false", "Accept OTLP metrics."),
    value("web.console.templates", "consoles", "Folder of the templates that are served below /consoles."),
    value("web.console.libraries", "console_libraries", "Folder of templates that consoles share."),
    moot("web.page-title", "Prometheus Time Series Collection and Processing Server"),
    value("web.cors.origin", ".*", "Regex of origins that browsers may call from."),
    value("storage.tsdb.path", "data/", "Where data are kept."),
    moot("storage.tsdb.min-block-duration", "2h"),
    moot("storage.tsdb.max-block-duration", ""),
    moot("storage.tsdb.max-block-chunk-segment-size", "0B"),
    moot("storage.tsdb.wal-segment-size", "0B"),
    value("storage.tsdb.retention.time", "0s", "How long samples are kept (15d unless a size is given)."),
    value("storage.tsdb.retention.size", "0B", "How much disk samples may take."),
    value("storage.tsdb.retention.percentage", "0", "Share of the disk samples may take."),
    moot_switch("storage.tsdb.no-lockfile", "false"),
    moot_switch("storage.tsdb.allow-overlapping-compaction", "true"),
    moot_switch("storage.tsdb.wal-compression", "true"),
    moot("storage.tsdb.wal-compression-type", "snappy"),
    moot("storage.tsdb.head-chunks-write-queue-size", "0"),
    moot("storage.tsdb.samples-per-chunk", "120"),
    moot("storage.tsdb.delayed-compaction.max-percent", "10"),
    moot("storage.tsdb.delay-compact-file.path", ""),
    moot("storage.tsdb.block-reload-interval", "1m"),
    moot("storage.agent.path", "data-agent/"),
    moot("storage.agent.wal-segment-size", "0B"),
    moot_switch("storage.agent.wal-compression", "true"),
    moot("storage.agent.wal-compression-type", "snappy"),
    moot("storage.agent.wal-truncate-frequency", "0s"),
    moot("storage.agent.retention.min-time", "0s"),
    moot("storage.agent.retention.max-time", "0s"),
    moot_switch("storage.agent.checkpoint-from-in-memory-series", "false"),
    moot("storage.agent.checkpoint-batch-size", "1000"),
    moot_switch("storage.agent.no-lockfile", "false"),
    value("storage.remote.flush-deadline", "1m", "How long remote write may flush at shutdown."),
    value("storage.remote.read-sample-limit", "5e7", "Samples one remote read may return."),
    value("storage.remote.read-concurrent-limit", "10", "Remote reads at once."),
    value("storage.remote.read-max-bytes-in-frame", "1048576", "Frame size of streamed remote reads."),
    value("web.search.max-limit", "10000", "Largest limit of the search API."),
    value("rules.alert.for-outage-tolerance", "1h", "Outage up to which alert state is restored."),
    value("rules.alert.for-grace-period", "10m", "Least time between restoring and firing."),
    value("rules.alert.resend-delay", "1m", "Least time before an alert is sent again."),
    value("rules.max-concurrent-evals", "4", "Independent rules evaluated at once."),
    moot_switch("scrape.adjust-timestamps", "true"),
    moot("scrape.timestamp-tolerance", "2ms"),
    moot("scrape.discovery-reload-interval", "5s"),
    value("alertmanager.notification-queue-capacity", "10000", "Alerts that may wait per Alertmanager."),
    value("alertmanager.notification-batch-size", "256", "Alerts per request."),
    switch("alertmanager.drain-notification-queue-on-shutdown", "true", "Send queued alerts at shutdown."),
    value("query.lookback-delta", "5m", "How far back a selector looks for a sample."),
    value("query.timeout", "2m", "The longest a query may take."),
    value("query.max-concurrency", "20", "Queries at once."),
    value("query.max-samples", "50000000", "Samples one query may hold."),
    repeated("enable-feature", "", "Comma-separated feature names."),
    moot_switch("auto-gomaxprocs", "true"),
    moot_switch("auto-gomemlimit", "true"),
    moot("auto-gomemlimit.ratio", "0.9"),
    moot("auto-gomemlimit.refresh-interval", "0s"),
    switch("agent", "false", "Agent mode, which this program does not have."),
    value("log.level", "info", "debug, info, warn or error."),
    value("log.format", "logfmt", "logfmt or json."),
    switch("insecure-no-auth", "false", "Listen beyond this machine without users (a flag of ours)."),
];

/// Adds every flag to a command.
pub(crate) fn augment(mut command: Command) -> Command {
    for flag in FLAGS {
        let arg = Arg::new(flag.name).long(flag.name).help(flag.help).hide(flag.effect == Effect::Moot);
        let arg = match flag.kind {
            FlagKind::Switch => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("true|false"),
            FlagKind::Value => arg.action(ArgAction::Set).value_name("VALUE"),
            FlagKind::Repeated => arg.action(ArgAction::Append).value_name("VALUE"),
        };
        command = command.arg(arg);
        if flag.kind == FlagKind::Switch {
            let no: &'static str = no_name(flag.name);
            command = command.arg(Arg::new(no).long(no).hide(true).action(ArgAction::SetTrue));
        }
    }
    command
}

/// `no-x` for a switch; the command lives as long as the process, and so do its names.
fn no_name(name: &'static str) -> &'static str {
    Box::leak(format!("no-{name}").into_boxed_str())
}

/// The values given, defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct FlagValues(BTreeMap<&'static str, Vec<String>>);

impl FlagValues {
    pub(crate) fn read(matches: &ArgMatches) -> Self {
        let mut values = BTreeMap::new();
        for flag in FLAGS {
            let given: Option<Vec<String>> =
                matches.get_many::<String>(flag.name).map(|all| all.cloned().collect());
            let negated = flag.kind == FlagKind::Switch && matches.get_flag(&format!("no-{}", flag.name));
            let value = match (given, negated) {
                (_, true) => vec!["false".to_owned()],
                (Some(given), false) => given,
                (None, false) if flag.default.is_empty() => Vec::new(),
                (None, false) => vec![flag.default.to_owned()],
            };
            values.insert(flag.name, value);
        }
        Self(values)
    }

    /// The last value, empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        debug_assert!(self.0.contains_key(name), "{name} is not in the table");
        self.0.get(name).and_then(|all| all.last()).map_or("", String::as_str)
    }

    /// All values, those of comma-separated lists one by one.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let all = self.0.get(name).map_or(&[][..], Vec::as_slice);
        all.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect()
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1" | "t" | "T" | "TRUE" | "True")
    }

    /// As `/api/v1/status/flags` shows them.
    pub(crate) fn shown(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, values)| ((*name).to_owned(), values.join(","))).collect()
    }

    /// Flags that were given although they have no effect here.
    pub(crate) fn moot(&self) -> Vec<&'static str> {
        let is_default = |flag: &Flag| self.get(flag.name) == flag.default;
        FLAGS.iter().filter(|f| f.effect == Effect::Moot && !is_default(f)).map(|f| f.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> FlagValues {
        let command = augment(Command::new("prometheus"));
        FlagValues::read(&command.try_get_matches_from([&["prometheus"], args].concat()).unwrap())
    }

    #[test]
    fn flags_are_read_as_prometheus_reads_them() {
        let flags = parse(&[
            "--config.file=/etc/p.yml",
            "--web.enable-lifecycle",
            "--no-alertmanager.drain-notification-queue-on-shutdown",
            "--enable-feature=a,b",
            "--enable-feature",
            "c",
            "--storage.tsdb.no-lockfile",
        ]);
        assert_eq!(flags.get("config.file"), "/etc/p.yml");
        assert!(flags.is_on("web.enable-lifecycle") && !flags.is_on("web.enable-admin-api"));
        assert!(!flags.is_on("alertmanager.drain-notification-queue-on-shutdown"));
        assert_eq!(flags.list("enable-feature"), ["a", "b", "c"]);
        assert_eq!(flags.get("query.timeout"), "2m");
        assert_eq!(flags.moot(), ["storage.tsdb.no-lockfile"]);
        assert!(augment(Command::new("p")).try_get_matches_from(["p", "--web.enable-lifecycles"]).is_err());
    }
}
