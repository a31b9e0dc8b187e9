//! Service discovery mechanisms of clouds and hosting companies. Read and checked, not active yet.

use super::sd::PLAIN_TLS;
use super::{Field, Kind, Preset, Schema, always, http_client, inline, opt};
use crate::decode::{Record, Value};
use crate::schema::http_client::HTTP_CLIENT;

pub(super) const MINUTE: Preset = Preset::DurationMs(60_000);
pub(super) const PORT_80: Field = always("port", Kind::Int).preset(Preset::Int(80));
pub(super) const REFRESH: Field = opt("refresh_interval", Kind::Duration).preset(MINUTE);
pub(super) const REGION: Field = always("region", Kind::Str);
pub(super) const ENDPOINT: Field = always("endpoint", Kind::Str);
const REFRESH_SHOWN: Field = always("refresh_interval", Kind::Duration).preset(MINUTE);

fn require(record: &Record, name: &str, message: &str) -> Result<(), String> {
    if record.has(name) { Ok(()) } else { Err(message.to_owned()) }
}

/// The word itself when it is among `words`, else the message with the word.
pub(super) fn one_of(text: &str, words: &[&str], message: &str) -> Result<String, String> {
    if words.contains(&text) { Ok(text.to_owned()) } else { Err(format!("{message} {text:?}")) }
}

pub(crate) const AZURE: Schema = Schema::new(
    "azure.plain",
    &[
        opt("environment", Kind::Str).preset(Preset::Str("AzurePublicCloud")),
        PORT_80,
        always("subscription_id", Kind::Str),
        opt("tenant_id", Kind::Str),
        opt("client_id", Kind::Str),
        opt("client_secret", Kind::Secret),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(300_000)),
        opt("authentication_method", Kind::Str).preset(Preset::Str("OAuth")),
        opt("resource_group", Kind::Str),
        inline(&HTTP_CLIENT),
    ],
)
.checked(|azure| {
    let needed = |name: &str| require(azure, name, &format!("azure SD configuration requires a {name}"));
    needed("subscription_id")?;
    match azure.str("authentication_method") {
        "OAuth" => {
            needed("tenant_id")?;
            needed("client_id")?;
            needed("client_secret")?;
        }
        "ManagedIdentity" | "SDK" | "WorkloadIdentity" => {}
        method => {
            return Err(format!(
                "unknown authentication_type {method:?}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\""
            ));
        }
    }
    http_client::check(azure)
});

const DIGITALOCEAN_ROLES: [&str; 2] = ["droplets", "databases"];

pub(crate) const DIGITALOCEAN: Schema = Schema::new(
    "digitalocean.plain",
    &[
        inline(&HTTP_CLIENT),
        REFRESH_SHOWN,
        PORT_80,
        always(
            "role",
            Kind::Word("digitalocean.Role", |text| {
                one_of(text, &DIGITALOCEAN_ROLES, "unknown DigitalOcean SD role")
            }),
        )
        .preset(Preset::Str("droplets")),
    ],
)
.checked(|digitalocean| {
    require(digitalocean, "role", "role missing (one of: droplets, databases)")?;
    http_client::check(digitalocean)
});

pub(crate) const GCE: Schema = Schema::new(
    "gce.plain",
    &[
        always("project", Kind::Str),
        always("zone", Kind::Str),
        opt("filter", Kind::Str),
        REFRESH,
        PORT_80,
        opt("tag_separator", Kind::Str).preset(Preset::Str(",")),
    ],
)
.checked(|gce| {
    require(gce, "project", "GCE SD configuration requires a project")?;
    require(gce, "zone", "GCE SD configuration requires a zone")
});

pub(crate) const HETZNER: Schema = Schema::new(
    "hetzner.plain",
    &[
        inline(&HTTP_CLIENT),
        REFRESH_SHOWN,
        PORT_80,
        always("role", Kind::Word("hetzner.Role", |text| one_of(text, &["robot", "hcloud"], "unknown role"))),
        opt("label_selector", Kind::Str),
    ],
)
.checked(|hetzner| {
    require(hetzner, "role", "role missing (one of: robot, hcloud)")?;
    http_client::check(hetzner)
});

pub(crate) const IONOS: Schema = Schema::new(
    "ionos.plain",
    &[always("datacenter_id", Kind::Str), inline(&HTTP_CLIENT), REFRESH_SHOWN, PORT_80],
)
.checked(|ionos| {
    require(ionos, "datacenter_id", "datacenter id can't be empty")?;
    http_client::check(ionos)
});

pub(crate) const LINODE: Schema = Schema::new(
    "linode.plain",
    &[
        inline(&HTTP_CLIENT),
        REFRESH_SHOWN,
        PORT_80,
        opt("tag_separator", Kind::Str).preset(Preset::Str(",")),
        opt("region", Kind::Str),
    ],
)
.checked(http_client::check);

pub(crate) const OCI: Schema = Schema::new(
    "oci.plain",
    &[
        opt("auth", Kind::Str).preset(Preset::Str("api_key")),
        opt("tenancy", Kind::Str),
        opt("user", Kind::Str),
        opt("fingerprint", Kind::Str),
        opt("key_file", Kind::Path),
        opt("key_passphrase", Kind::Secret),
        opt("key_passphrase_file", Kind::Path),
        REGION,
        opt("compartments", Kind::List(&Kind::Str)),
        inline(&HTTP_CLIENT),
        PORT_80,
        REFRESH_SHOWN,
    ],
)
.checked(check_oci);

fn check_oci(oci: &mut Record) -> Result<(), String> {
    require(oci, "region", "oci_sd: region is required")?;
    let key_fields = ["tenancy", "user", "fingerprint", "key_file", "key_passphrase", "key_passphrase_file"];
    match oci.str("auth") {
        "api_key" => {
            for name in &key_fields[..4] {
                require(oci, name, &format!("oci_sd: api_key auth requires {name}"))?;
            }
            if oci.has("key_passphrase") && oci.has("key_passphrase_file") {
                return Err(
                    "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured"
                        .to_owned(),
                );
            }
        }
        "instance_principal" if oci.count_set(&key_fields) > 0 => {
            return Err(
                "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, \
                        key_passphrase, or key_passphrase_file set"
                    .to_owned(),
            );
        }
        "instance_principal" => {}
        method => {
            return Err(format!(
                "oci_sd: unknown auth method {method:?}, expected \"api_key\" or \"instance_principal\""
            ));
        }
    }
    if let Some(at) = oci.list("compartments").iter().position(|id| id.as_str().is_empty()) {
        return Err(format!("oci_sd: compartments[{at}] must not be empty"));
    }
    if oci.int("refresh_interval") <= 0 {
        return Err("oci_sd: refresh_interval must be positive, got 0s".to_owned());
    }
    http_client::check(oci)
}

const OPENSTACK_ROLES: [&str; 3] = ["hypervisor", "instance", "loadbalancer"];

pub(crate) const OPENSTACK: Schema = Schema::new(
    "openstack.plain",
    &[
        always("identity_endpoint", Kind::Str),
        always("username", Kind::Str),
        always("userid", Kind::Str),
        always("password", Kind::Secret),
        always("project_name", Kind::Str),
        always("project_id", Kind::Str),
        always("domain_name", Kind::Str),
        always("domain_id", Kind::Str),
        always("application_credential_name", Kind::Str),
        always("application_credential_id", Kind::Str),
        always("application_credential_secret", Kind::Secret),
        always(
            "role",
            Kind::Word("openstack.Role", |text| one_of(text, &OPENSTACK_ROLES, "unknown OpenStack SD role")),
        ),
        REGION,
        REFRESH_SHOWN,
        PORT_80,
        opt("all_tenants", Kind::Bool),
        PLAIN_TLS,
        opt("availability", Kind::Str).preset(Preset::Str("public")),
    ],
)
.checked(|openstack| {
    let availability = openstack.str("availability");
    if !matches!(availability, "public" | "internal" | "admin") {
        return Err(format!("unknown availability {availability}, must be one of admin, internal or public"));
    }
    require(openstack, "role", "role missing (one of: instance, hypervisor, loadbalancer)")?;
    require(openstack, "region", "openstack SD configuration requires a region")
});

fn check_secret_key(record: &Record) -> Result<(), String> {
    match record.count_set(&["secret_key", "secret_key_file"]) {
        0 => Err("one of secret_key & secret_key_file must be configured".to_owned()),
        1 => Ok(()),
        _ => Err("at most one of secret_key & secret_key_file must be configured".to_owned()),
    }
}

pub(crate) const OUTSCALE: Schema = Schema::new(
    "outscale.plain",
    &[
        opt("endpoint", Kind::Str),
        always("region", Kind::Str).preset(Preset::Str("eu-west-2")),
        always("access_key", Kind::Str),
        always("secret_key", Kind::Secret),
        always("secret_key_file", Kind::Path),
        REFRESH,
        PORT_80,
        inline(&HTTP_CLIENT),
    ],
)
.checked(|outscale| {
    require(outscale, "region", "outscale SD configuration requires a region")?;
    require(outscale, "access_key", "outscale SD configuration requires access_key")?;
    check_secret_key(outscale)?;
    if !outscale.has("endpoint") {
        let endpoint = format!("https://api.{}.outscale.com/api/v1", outscale.str("region"));
        outscale.set("endpoint", Value::Str(endpoint));
    }
    http_client::check(outscale)
});

pub(crate) const OVHCLOUD: Schema = Schema::new(
    "ovhcloud.plain",
    &[
        always("endpoint", Kind::Str).preset(Preset::Str("ovh-eu")),
        always("application_key", Kind::Str),
        always("application_secret", Kind::Secret),
        always("consumer_key", Kind::Secret),
        REFRESH_SHOWN,
        always("service", Kind::Str),
    ],
)
.checked(|ovhcloud| {
    require(ovhcloud, "endpoint", "endpoint can not be empty")?;
    require(ovhcloud, "application_key", "application key can not be empty")?;
    require(ovhcloud, "application_secret", "application secret can not be empty")?;
    require(ovhcloud, "consumer_key", "consumer key can not be empty")?;
    match ovhcloud.str("service") {
        "dedicated_server" | "vps" => Ok(()),
        service => Err(format!("unknown service: {service}")),
    }
});

pub(crate) const SCALEWAY: Schema = Schema::new(
    "scaleway.plain",
    &[
        always("project_id", Kind::Str),
        opt("api_url", Kind::Str).preset(Preset::Str("https://api.scaleway.com")),
        always("zone", Kind::Str).preset(Preset::Str("fr-par-1")),
        always("access_key", Kind::Str),
        always("secret_key", Kind::Secret),
        always("secret_key_file", Kind::Path),
        opt("name_filter", Kind::Str),
        opt("tags_filter", Kind::List(&Kind::Str)),
        inline(&HTTP_CLIENT),
        REFRESH_SHOWN,
        PORT_80,
        always(
            "role",
            Kind::Word("scaleway.role", |text| one_of(text, &["instance", "baremetal"], "unknown role")),
        ),
    ],
)
.checked(|scaleway| {
    require(scaleway, "role", "role missing (one of: instance, baremetal)")?;
    require(scaleway, "project_id", "project_id is mandatory")?;
    check_secret_key(scaleway)?;
    require(scaleway, "access_key", "access_key is mandatory")?;
    http_client::check(scaleway)
});

pub(crate) const STACKIT: Schema = Schema::new(
    "stackit.plain",
    &[
        inline(&HTTP_CLIENT),
        always("project", Kind::Str),
        REFRESH,
        opt("port", Kind::Int).preset(Preset::Int(80)),
        opt("region", Kind::Str).preset(Preset::Str("eu01")),
        opt("endpoint", Kind::Str),
        opt("service_account_key", Kind::Secret),
        opt("private_key", Kind::Secret),
        opt("service_account_key_path", Kind::Str),
        opt("private_key_path", Kind::Str),
        opt("credentials_file_path", Kind::Str),
    ],
)
.checked(|stackit| {
    if stackit.count_set(&["endpoint", "region"]) == 0 {
        return Err("stackit_sd: endpoint and region missing".to_owned());
    }
    let endpoint = stackit.str("endpoint");
    if let Err(err) = crate::url::parse(endpoint) {
        return Err(format!("stackit_sd: invalid endpoint {endpoint:?}: {err}"));
    }
    http_client::check(stackit)
});

pub(crate) const TRITON: Schema = Schema::new(
    "triton.plain",
    &[
        always("account", Kind::Str),
        always("role", Kind::Str).preset(Preset::Str("container")),
        always("dns_suffix", Kind::Str),
        ENDPOINT,
        opt("groups", Kind::List(&Kind::Str)),
        always("port", Kind::Int).preset(Preset::Int(9163)),
        REFRESH,
        PLAIN_TLS,
        always("version", Kind::Int).preset(Preset::Int(1)),
    ],
)
.checked(|triton| {
    if !matches!(triton.str("role"), "container" | "cn") {
        return Err("triton SD configuration requires role to be 'container' or 'cn'".to_owned());
    }
    require(triton, "account", "triton SD configuration requires an account")?;
    require(triton, "dns_suffix", "triton SD configuration requires a dns_suffix")?;
    require(triton, "endpoint", "triton SD configuration requires an endpoint")?;
    require(
        triton,
        "refresh_interval",
        "triton SD configuration requires RefreshInterval to be a positive integer",
    )
});

pub(crate) const UYUNI: Schema = Schema::new(
    "uyuni.plain",
    &[
        always("server", Kind::Str),
        always("username", Kind::Str),
        always("password", Kind::Secret),
        inline(&HTTP_CLIENT),
        opt("entitlement", Kind::Str).preset(Preset::Str("monitoring_entitled")),
        opt("separator", Kind::Str).preset(Preset::Str(",")),
        REFRESH,
    ],
)
.checked(|uyuni| {
    require(uyuni, "server", "Uyuni SD configuration requires server host")?;
    if let Err(err) = crate::url::parse(uyuni.str("server")) {
        return Err(format!("Uyuni Server URL is not valid: {err}"));
    }
    require(uyuni, "username", "Uyuni SD configuration requires a username")?;
    require(uyuni, "password", "Uyuni SD configuration requires a password")?;
    http_client::check(uyuni)
});

pub(crate) const VULTR: Schema =
    Schema::new("vultr.plain", &[inline(&HTTP_CLIENT), REFRESH_SHOWN, PORT_80]).checked(http_client::check);
