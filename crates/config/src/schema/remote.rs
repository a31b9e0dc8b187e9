//! `remote_write` and `remote_read`.

use super::relabel::{refuse_null, relabel_list};
use super::{Kind, Preset, Schema, always, http_client, inline, opt};
use crate::decode::{Record, Value};
use crate::schema::http_client::{HTTP_CLIENT, HTTP_CLIENT_HTTP1};

/// AWS request signing.
pub(crate) const SIGV4: Schema = Schema::new(
    "sigv4.plain",
    &[
        opt("region", Kind::Str),
        opt("access_key", Kind::Str),
        opt("secret_key", Kind::Secret),
        opt("profile", Kind::Str),
        opt("role_arn", Kind::Str),
        opt("external_id", Kind::Str),
        opt("use_fips_sts_endpoint", Kind::Bool),
        opt("service_name", Kind::Str),
    ],
)
.checked(|sigv4| {
    if sigv4.has("access_key") != sigv4.has("secret_key") {
        return Err(
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config"
                .to_owned(),
        );
    }
    if sigv4.has("external_id") && !sigv4.has("role_arn") {
        return Err("external_id can only be used with role_arn".to_owned());
    }
    Ok(())
});

const AZURE_MANAGED_IDENTITY: Schema =
    Schema::new("azuread.ManagedIdentityConfig", &[opt("client_id", Kind::Str)]);
const AZURE_WORKLOAD_IDENTITY: Schema = Schema::new(
    "azuread.WorkloadIdentityConfig",
    &[opt("client_id", Kind::Str), opt("tenant_id", Kind::Str), opt("token_file_path", Kind::Str)],
);
const AZURE_OAUTH: Schema = Schema::new(
    "azuread.OAuthConfig",
    &[opt("client_id", Kind::Str), opt("client_secret", Kind::Secret), opt("tenant_id", Kind::Str)],
);
const AZURE_SDK: Schema = Schema::new("azuread.SDKConfig", &[opt("tenant_id", Kind::Str)]);
const AZURE_CERTIFICATE: Schema = Schema::new(
    "azuread.CertificateConfig",
    &[
        opt("client_id", Kind::Str),
        opt("tenant_id", Kind::Str),
        opt("certificate_path", Kind::Str),
        opt("certificate_key_path", Kind::Str),
        opt("certificate_password", Kind::Secret),
        opt("send_certificate_chain", Kind::Bool),
    ],
);

/// Azure AD tokens.
pub(crate) const AZURE_AD: Schema = Schema::new(
    "azuread.plain",
    &[
        opt("managed_identity", Kind::MaybeSection(&AZURE_MANAGED_IDENTITY)),
        opt("workload_identity", Kind::MaybeSection(&AZURE_WORKLOAD_IDENTITY)),
        opt("oauth", Kind::MaybeSection(&AZURE_OAUTH)),
        opt("sdk", Kind::MaybeSection(&AZURE_SDK)),
        opt("certificate", Kind::MaybeSection(&AZURE_CERTIFICATE)),
        opt("cloud", Kind::Str),
        opt("scope", Kind::Str),
    ],
)
.checked(check_azure_ad);

/// Where Kubernetes projects the token unless something else is said.
pub(crate) const AZURE_TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

fn check_azure_ad(azure: &mut Record) -> Result<(), String> {
    match azure.str("cloud") {
        "" => azure.set("cloud", Value::Str("AzurePublic".to_owned())),
        "AzurePublic" | "AzureGovernment" | "AzureChina" => {}
        _ => return Err("must provide a cloud in the Azure AD config".to_owned()),
    }
    let methods = ["managed_identity", "workload_identity", "oauth", "certificate", "sdk"];
    match azure.count_set(&methods) {
        0 => {
            return Err(
                "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure \
                        Certificate or Azure SDK in the Azure AD config"
                    .to_owned(),
            );
        }
        1 => {}
        _ => return Err("cannot provide multiple authentication methods in the Azure AD config".to_owned()),
    }
    for (section, name, needed) in [
        ("managed_identity", "Managed Identity", &[][..]),
        ("workload_identity", "Workload Identity", &["client_id", "tenant_id"][..]),
        ("oauth", "OAuth", &["client_id", "client_secret", "tenant_id"][..]),
        ("certificate", "Certificate", &["client_id", "tenant_id", "certificate_path"][..]),
    ] {
        let Some(method) = azure.section(section) else { continue };
        if let Some(missing) = needed.iter().find(|field| !method.has(field)) {
            return Err(format!("must provide an Azure {name} {missing} in the Azure AD config"));
        }
        let client_id = method.str("client_id");
        if !client_id.is_empty() && !is_uuid(client_id) {
            return Err(format!("the provided Azure {name} client_id is invalid"));
        }
        let tenant_id = method.str("tenant_id");
        if section == "workload_identity" && !is_uuid(tenant_id) {
            return Err(format!("the provided Azure {name} tenant_id is invalid"));
        }
    }
    if let Some(Value::Section(identity)) = azure.get_mut("workload_identity")
        && !identity.has("token_file_path")
    {
        identity.set("token_file_path", Value::Str(AZURE_TOKEN_FILE.to_owned()));
    }
    let scope_char = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || "_:/.-".contains(c);
    if !azure.str("scope").chars().all(scope_char) {
        return Err("the provided scope contains invalid characters".to_owned());
    }
    Ok(())
}

fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|b| b.is_ascii_hexdigit());
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    groups.iter().all(hex) && (lengths == [8, 4, 4, 4, 12] || lengths == [32])
}

const GOOGLE_IAM: Schema = Schema::new("googleiam.Config", &[opt("credentials_file", Kind::Str)]);

const QUEUE: Schema = Schema::new(
    "config.QueueConfig",
    &[
        opt("capacity", Kind::Int).preset(Preset::Int(10_000)),
        opt("max_shards", Kind::Int).preset(Preset::Int(50)),
        opt("min_shards", Kind::Int).preset(Preset::Int(1)),
        opt("max_samples_per_send", Kind::Int).preset(Preset::Int(2_000)),
        opt("batch_send_deadline", Kind::Duration).preset(Preset::DurationMs(5_000)),
        opt("min_backoff", Kind::Duration).preset(Preset::DurationMs(30)),
        opt("max_backoff", Kind::Duration).preset(Preset::DurationMs(5_000)),
        opt("retry_on_http_429", Kind::Bool),
        opt("sample_age_limit", Kind::Duration),
    ],
);

fn check_queue(queue: &Record) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("remote write queue {what}"));
    for name in ["max_shards", "min_shards"] {
        if queue.int(name) <= 0 {
            return refuse(&format!("{name} must be positive"));
        }
    }
    if queue.int("min_shards") > queue.int("max_shards") {
        return refuse("min_shards must not be greater than max_shards");
    }
    for name in ["max_samples_per_send", "capacity"] {
        if queue.int(name) <= 0 {
            return refuse(&format!("{name} must be positive"));
        }
    }
    if queue.int("max_backoff") < queue.int("min_backoff") {
        return refuse("max_backoff must not be less than min_backoff");
    }
    Ok(())
}

const METADATA: Schema = Schema::new(
    "config.MetadataConfig",
    &[
        always("send", Kind::Bool).preset(Preset::Bool(true)),
        always("send_interval", Kind::Duration).preset(Preset::DurationMs(60_000)),
        opt("max_samples_per_send", Kind::Int).preset(Preset::Int(2_000)),
    ],
);

pub(crate) const REMOTE_WRITE: Schema = Schema::new(
    "config.plain",
    &[
        always("url", Kind::MaybeUrl),
        opt("remote_timeout", Kind::Duration).preset(Preset::DurationMs(30_000)),
        opt("headers", Kind::StrMap),
        relabel_list("write_relabel_configs"),
        opt("name", Kind::Str),
        opt("send_exemplars", Kind::Bool),
        opt("send_native_histograms", Kind::Bool),
        opt("round_robin_dns", Kind::Bool),
        opt("protobuf_message", Kind::Str).preset(Preset::Str("prometheus.WriteRequest")),
        opt("failed_request_logging", Kind::Bool),
        inline(&HTTP_CLIENT_HTTP1),
        opt("queue_config", Kind::Section(&QUEUE)).preset(Preset::Section),
        opt("metadata_config", Kind::Section(&METADATA)).preset(Preset::Section),
        opt("sigv4", Kind::MaybeSection(&SIGV4)),
        opt("azuread", Kind::MaybeSection(&AZURE_AD)),
        opt("google_iam", Kind::MaybeSection(&GOOGLE_IAM)),
    ],
)
.checked(check_remote_write);

fn check_remote_write(remote: &mut Record) -> Result<(), String> {
    if !remote.has("url") {
        return Err("url for remote_write is empty".to_owned());
    }
    refuse_null(remote, "write_relabel_configs", "empty or null relabeling rule in remote write config")?;
    check_headers(remote)?;
    let message = remote.str("protobuf_message");
    if !matches!(message, "prometheus.WriteRequest" | "io.prometheus.write.v2.Request") {
        return Err(format!(
            "invalid protobuf_message value: unknown type for remote write protobuf message {message}, supported: \
             prometheus.WriteRequest, io.prometheus.write.v2.Request"
        ));
    }
    http_client::check(remote)?;
    if let Some(queue) = remote.section("queue_config") {
        check_queue(queue)?;
    }
    let methods = ["basic_auth", "authorization", "oauth2", "sigv4", "azuread", "google_iam"];
    let set: Vec<&str> = methods.into_iter().filter(|name| remote.has(name)).collect();
    if set.len() > 1 {
        return Err(format!(
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. \
             Currently configured: [{}]",
            set.join(" ")
        ));
    }
    Ok(())
}

/// Headers that requests set themselves (lower case).
pub(crate) const RESERVED_HEADERS: [&str; 16] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

fn check_headers(remote: &Record) -> Result<(), String> {
    for name in remote.str_map("headers").keys() {
        let lower = name.to_lowercase();
        if lower == "authorization" {
            return Err(
                "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, \
                        azuread or google_iam parameter"
                    .to_owned(),
            );
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            return Err(format!("{name} is a reserved header. It must not be changed"));
        }
    }
    Ok(())
}

pub(crate) const REMOTE_READ: Schema = Schema::new(
    "config.plain",
    &[
        always("url", Kind::MaybeUrl),
        opt("remote_timeout", Kind::Duration).preset(Preset::DurationMs(60_000)),
        opt("chunked_read_limit", Kind::Uint).preset(Preset::Int(50_000_000)),
        opt("headers", Kind::StrMap),
        opt("read_recent", Kind::Bool),
        opt("name", Kind::Str),
        inline(&HTTP_CLIENT),
        opt("required_matchers", Kind::LabelSet),
        opt("filter_external_labels", Kind::Bool).preset(Preset::Bool(true)),
    ],
)
.checked(|remote| {
    if !remote.has("url") {
        return Err("url for remote_read is empty".to_owned());
    }
    check_headers(remote)?;
    http_client::check(remote)
});
