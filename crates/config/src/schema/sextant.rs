//! `sextant.yml`.

use base::TenantId;

use super::{Kind, Preset, Schema, opt};
use crate::decode::{Record, Value};
use crate::password::PasswordHash;

/// What a listener speaks.
const PERSONALITY: Kind = Kind::Word("sextant.listeners.speaks", |text| match text {
    "all" | "prometheus" | "otlp-http" | "otlp-grpc" => Ok(text.to_owned()),
    _ => Err(format!("{text:?} is nothing a listener can speak: all, prometheus, otlp-http, otlp-grpc")),
});

const LISTENER: Schema = Schema::new(
    "sextant.listeners",
    &[
        opt("address", Kind::Str),
        opt("speaks", PERSONALITY).preset(Preset::Str("all")),
        opt("web_config", Kind::Path),
    ],
)
.checked(|listener| check_address(listener.str("address")));

fn check_address(address: &str) -> Result<(), String> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(()),
        None => Err(format!("address {address:?} is not host:port")),
    }
}

const USER: Schema = Schema::new(
    "sextant.auth.users",
    &[opt("password_hash", Kind::Secret), opt("tenants", Kind::List(&Kind::Str)), opt("admin", Kind::Bool)],
)
.checked(|user| {
    PasswordHash::parse(user.str("password_hash")).map_err(|e| e.to_string())?;
    check_tenants(user)
});

fn check_tenants(whose: &Record) -> Result<(), String> {
    whose.strings("tenants").iter().try_for_each(|id| match TenantId::new(id) {
        Ok(_) => Ok(()),
        Err(err) => Err(format!("tenants: {err}")),
    })
}

const TOKEN: Schema = Schema::new(
    "sextant.auth.tokens",
    &[
        opt("name", Kind::Str),
        opt("sha256", Kind::Secret),
        opt("file", Kind::Path),
        opt("tenants", Kind::List(&Kind::Str)),
        opt("admin", Kind::Bool),
    ],
)
.checked(|token| {
    if token.count_set(&["sha256", "file"]) != 1 {
        return Err("a token needs exactly one of sha256 and file".to_owned());
    }
    let digest = token.str("sha256");
    if !digest.is_empty() && (digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err("sha256 must be the 64 hexadecimal digits of the token's SHA-256".to_owned());
    }
    check_tenants(token)
});

const AUTH: Schema = Schema::new(
    "sextant.auth",
    &[
        opt("users", Kind::MapOf(&Kind::Section(&USER))),
        opt("tokens", Kind::List(&Kind::Section(&TOKEN))),
        opt("insecure_no_auth", Kind::Bool),
    ],
);

const LIMIT_FIELDS: &[super::Field] = &[
    opt("active_series", Kind::Uint).preset(Preset::Int(1_500_000)),
    opt("samples_per_second", Kind::Uint).preset(Preset::Int(1_000_000)),
    opt("label_names_per_series", Kind::Uint).preset(Preset::Int(64)),
    opt("label_value_length", Kind::Uint).preset(Preset::Int(4_096)),
    opt("query_memory", Kind::Bytes),
    opt("query_concurrency", Kind::Uint).preset(Preset::Int(20)),
];

const LIMITS: Schema = Schema::new("sextant.tenants.limits", LIMIT_FIELDS);

const TENANTS: Schema = Schema::new(
    "sextant.tenants",
    &[
        opt("multi_tenant", Kind::Bool),
        opt("limits", Kind::Section(&LIMITS)).preset(Preset::Section),
        opt("overrides", Kind::MapOf(&Kind::Section(&LIMITS))),
    ],
)
.checked(|tenants| {
    let Value::Map(overrides) = tenants.get("overrides") else { return Ok(()) };
    overrides.keys().try_for_each(|id| match TenantId::new(id) {
        Ok(_) => Ok(()),
        Err(err) => Err(format!("overrides: {err}")),
    })
});

const HOST_COLLECTOR: Schema = Schema::new(
    "sextant.host_collector",
    &[
        opt("enabled", Kind::Bool),
        opt("interval", Kind::Duration).preset(Preset::DurationMs(15_000)),
        opt("job_name", Kind::Str).preset(Preset::Str("node")),
        opt("textfile_directory", Kind::Path),
        opt("disabled_collectors", Kind::List(&Kind::Str)),
    ],
)
.checked(|collector| {
    if collector.int("interval") <= 0 {
        return Err("interval must be positive".to_owned());
    }
    Ok(())
});

const RETENTION: Schema = Schema::new(
    "sextant.retention",
    &[
        opt("time", Kind::Duration).preset(Preset::DurationMs(crate::prometheus::RETENTION_DEFAULT_MS)),
        opt("size", Kind::Bytes),
        opt("disk_percentage", Kind::Float),
    ],
)
.checked(|retention| {
    if !(0.0..=100.0).contains(&retention.float("disk_percentage")) {
        return Err("disk_percentage must be between 0 and 100".to_owned());
    }
    Ok(())
});

const BUDGETS: Schema = Schema::new(
    "sextant.budgets",
    &[
        opt("process_memory", Kind::Bytes),
        opt("query_memory", Kind::Bytes),
        opt("ingest_memory", Kind::Bytes),
    ],
);

const QUERY: Schema = Schema::new(
    "sextant.query",
    &[
        opt("timeout", Kind::Duration).preset(Preset::DurationMs(120_000)),
        opt("max_samples", Kind::Uint).preset(Preset::Int(50_000_000)),
        opt("max_concurrency", Kind::Uint).preset(Preset::Int(20)),
        opt("lookback_delta", Kind::Duration).preset(Preset::DurationMs(300_000)),
    ],
)
.checked(|query| {
    let fields = ["timeout", "max_samples", "max_concurrency", "lookback_delta"];
    match fields.iter().find(|name| query.int(name) <= 0) {
        Some(name) => Err(format!("{name} must be positive")),
        None => Ok(()),
    }
});

const OTLP: Schema = Schema::new(
    "sextant.otlp",
    &[
        opt(
            "deltas",
            Kind::Word("sextant.otlp.deltas", |text| match text {
                "refuse" | "keep" | "convert" => Ok(text.to_owned()),
                _ => Err(format!("{text:?} is nothing to do with deltas: refuse, keep, convert")),
            }),
        )
        .preset(Preset::Str("refuse")),
        opt("delta_max_stale", Kind::Duration).preset(Preset::DurationMs(300_000)),
        opt("delta_max_streams", Kind::Uint).preset(Preset::Int(1_000_000)),
    ],
)
.checked(|otlp| {
    let fields = ["delta_max_stale", "delta_max_streams"];
    match fields.iter().find(|name| otlp.int(name) <= 0) {
        Some(name) => Err(format!("{name} must be positive")),
        None => Ok(()),
    }
});

const LOG: Schema = Schema::new(
    "sextant.log",
    &[
        opt(
            "level",
            Kind::Word("sextant.log.level", |text| match text {
                "debug" | "info" | "warn" | "error" => Ok(text.to_owned()),
                _ => Err(format!("{text:?} is no log level: debug, info, warn, error")),
            }),
        )
        .preset(Preset::Str("info")),
        opt(
            "format",
            Kind::Word("sextant.log.format", |text| match text {
                "text" | "json" => Ok(text.to_owned()),
                _ => Err(format!("{text:?} is no log format: text, json")),
            }),
        )
        .preset(Preset::Str("text")),
    ],
);

/// The whole file.
pub(crate) const SEXTANT: Schema = Schema::new(
    "sextant",
    &[
        opt("data_dir", Kind::Path).preset(Preset::Str("data")),
        opt("external_url", Kind::MaybeUrl),
        opt("listeners", Kind::List(&Kind::Section(&LISTENER))),
        opt("auth", Kind::Section(&AUTH)),
        opt("tenants", Kind::Section(&TENANTS)).preset(Preset::Section),
        opt("prometheus", Kind::Path),
        opt("alertmanager", Kind::Path),
        opt("loki", Kind::Path),
        opt("jaeger", Kind::Path),
        opt("grafana", Kind::Path),
        opt("host_collector", Kind::Section(&HOST_COLLECTOR)).preset(Preset::Section),
        opt("retention", Kind::Section(&RETENTION)).preset(Preset::Section),
        opt("budgets", Kind::Section(&BUDGETS)),
        opt("query", Kind::Section(&QUERY)).preset(Preset::Section),
        opt("otlp", Kind::Section(&OTLP)).preset(Preset::Section),
        opt("log", Kind::Section(&LOG)).preset(Preset::Section),
    ],
)
.checked(|top| {
    if top.str("data_dir").is_empty() {
        // Null counts as an empty text, which would be the working directory of the process.
        return Err("data_dir must name a directory".to_owned());
    }
    // An element that is null has not been checked.
    top.sections("listeners").try_for_each(|listener| check_address(listener.str("address")))?;
    check_single_tenant(top)
});

/// Whoever limits a user to tenants relies on there being tenants.
fn check_single_tenant(top: &Record) -> Result<(), String> {
    let multi_tenant = top.section("tenants").is_some_and(|tenants| tenants.bool("multi_tenant"));
    let Some(auth) = top.section("auth").filter(|_| !multi_tenant) else { return Ok(()) };
    let only_ours = |whose: &Record| whose.strings("tenants").iter().all(|id| id == "anonymous");
    let users_fit = match auth.get("users") {
        Value::Map(users) => users.values().filter_map(Value::as_section).all(only_ours),
        _ => true,
    };
    if users_fit && auth.sections("tokens").all(only_ours) {
        return Ok(());
    }
    Err("auth: tenants of users and tokens need tenants.multi_tenant: true".to_owned())
}
