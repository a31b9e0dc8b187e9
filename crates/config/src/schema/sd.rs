//! Service discovery mechanisms: the active ones, and those that talk to schedulers and registries.

use super::{Field, Kind, Preset, Schema, always, http_client, inline, opt, sd_aws, sd_cloud, sd_kubernetes};
use crate::decode::{Record, Value};
use crate::schema::http_client::{HTTP_CLIENT, TLS_FIELD};

/// One `<mechanism>_sd_configs` list (or `static_configs`).
const fn list(name: &'static str, schema: &'static [Kind; 1]) -> Field {
    opt(name, Kind::List(&schema[0]))
}

/// All discovery lists, inlined into scrape jobs and Alertmanager sets in upstream's order.
pub(crate) const SD_LISTS: Schema = Schema::new(
    "discovery.Configs",
    &[
        list("aws_sd_configs", &[Kind::MaybeSection(&sd_aws::AWS)]),
        list("azure_sd_configs", &[Kind::MaybeSection(&sd_cloud::AZURE)]),
        list("consul_sd_configs", &[Kind::MaybeSection(&CONSUL)]),
        list("digitalocean_sd_configs", &[Kind::MaybeSection(&sd_cloud::DIGITALOCEAN)]),
        list("dns_sd_configs", &[Kind::MaybeSection(&DNS)]),
        list("docker_sd_configs", &[Kind::MaybeSection(&DOCKER)]),
        list("dockerswarm_sd_configs", &[Kind::MaybeSection(&DOCKERSWARM)]),
        list("ec2_sd_configs", &[Kind::MaybeSection(&sd_aws::EC2)]),
        list("ecs_sd_configs", &[Kind::MaybeSection(&sd_aws::ECS)]),
        list("elasticache_sd_configs", &[Kind::MaybeSection(&sd_aws::ELASTICACHE)]),
        list("eureka_sd_configs", &[Kind::MaybeSection(&EUREKA)]),
        list("file_sd_configs", &[Kind::MaybeSection(&FILE)]),
        list("gce_sd_configs", &[Kind::MaybeSection(&sd_cloud::GCE)]),
        list("hetzner_sd_configs", &[Kind::MaybeSection(&sd_cloud::HETZNER)]),
        list("http_sd_configs", &[Kind::MaybeSection(&HTTP)]),
        list("ionos_sd_configs", &[Kind::MaybeSection(&sd_cloud::IONOS)]),
        list("kubernetes_sd_configs", &[Kind::MaybeSection(&sd_kubernetes::KUBERNETES)]),
        list("kuma_sd_configs", &[Kind::MaybeSection(&KUMA)]),
        list("lightsail_sd_configs", &[Kind::MaybeSection(&sd_aws::LIGHTSAIL)]),
        list("linode_sd_configs", &[Kind::MaybeSection(&sd_cloud::LINODE)]),
        list("marathon_sd_configs", &[Kind::MaybeSection(&MARATHON)]),
        list("msk_sd_configs", &[Kind::MaybeSection(&sd_aws::MSK)]),
        list("nerve_sd_configs", &[Kind::MaybeSection(&NERVE)]),
        list("nomad_sd_configs", &[Kind::MaybeSection(&NOMAD)]),
        list("oci_sd_configs", &[Kind::MaybeSection(&sd_cloud::OCI)]),
        list("openstack_sd_configs", &[Kind::MaybeSection(&sd_cloud::OPENSTACK)]),
        list("outscale_sd_configs", &[Kind::MaybeSection(&sd_cloud::OUTSCALE)]),
        list("ovhcloud_sd_configs", &[Kind::MaybeSection(&sd_cloud::OVHCLOUD)]),
        list("puppetdb_sd_configs", &[Kind::MaybeSection(&PUPPETDB)]),
        list("rds_sd_configs", &[Kind::MaybeSection(&sd_aws::RDS)]),
        list("scaleway_sd_configs", &[Kind::MaybeSection(&sd_cloud::SCALEWAY)]),
        list("serverset_sd_configs", &[Kind::MaybeSection(&SERVERSET)]),
        list("stackit_sd_configs", &[Kind::MaybeSection(&sd_cloud::STACKIT)]),
        list("static_configs", &[Kind::MaybeSection(&TARGET_GROUP)]),
        list("triton_sd_configs", &[Kind::MaybeSection(&sd_cloud::TRITON)]),
        list("uyuni_sd_configs", &[Kind::MaybeSection(&sd_cloud::UYUNI)]),
        list("vultr_sd_configs", &[Kind::MaybeSection(&sd_cloud::VULTR)]),
    ],
);

/// Refuses null entries, and URLs where host names belong when nothing relabels them.
pub(crate) fn check(owner: &Record) -> Result<(), String> {
    for field in SD_LISTS.fields {
        if owner.list(field.name).contains(&Value::Null) {
            return Err(format!("empty or null section in {}", field.name));
        }
    }
    if !owner.list("relabel_configs").is_empty() {
        return Ok(());
    }
    for group in owner.sections("static_configs") {
        if let Some(address) = group.list("targets").iter().find(|target| target.as_str().contains('/')) {
            return Err(format!("{:?} is not a valid hostname", address.as_str()));
        }
    }
    Ok(())
}

/// One group of static targets; also the element of discovery files.
pub(crate) const TARGET_GROUP: Schema = Schema::new(
    "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }",
    &[always("targets", Kind::List(&Kind::Str)), opt("labels", Kind::LabelSet)],
);

pub(crate) const FILE: Schema = Schema::new(
    "file.plain",
    &[
        always("files", Kind::List(&Kind::Path)),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(300_000)),
    ],
)
.checked(|file| {
    if file.list("files").is_empty() {
        return Err("file service discovery config must contain at least one path name".to_owned());
    }
    match file.list("files").iter().find(|name| !is_sd_file_pattern(name.as_str())) {
        Some(name) => Err(format!("path name {:?} is not valid for file discovery", name.as_str())),
        None => Ok(()),
    }
});

/// `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`
fn is_sd_file_pattern(path: &str) -> bool {
    let suffixes = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
    let Some(stem) = suffixes.iter().find_map(|suffix| path.strip_suffix(suffix)) else { return false };
    stem.find('*').is_none_or(|star| !stem[star..].contains('/'))
}

pub(crate) const HTTP: Schema = Schema::new(
    "http.plain",
    &[
        inline(&HTTP_CLIENT),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(60_000)),
        always("url", Kind::Str),
    ],
)
.checked(|http| {
    check_web_url(http.str("url"))?;
    http_client::check(http)
});

/// An absolute HTTP URL with a host.
fn check_web_url(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("URL is missing".to_owned());
    }
    let url = crate::url::parse(text).map_err(|err| err.to_string())?;
    if url.scheme != "http" && url.scheme != "https" {
        return Err("URL scheme must be 'http' or 'https'".to_owned());
    }
    if url.host.is_empty() {
        return Err("host is missing in URL".to_owned());
    }
    Ok(())
}

pub(crate) const DNS: Schema = Schema::new(
    "dns.plain",
    &[
        always("names", Kind::List(&Kind::Str)),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(30_000)),
        always("type", Kind::Str).preset(Preset::Str("SRV")),
        always("port", Kind::Int),
    ],
)
.checked(|dns| {
    if dns.list("names").is_empty() {
        return Err("DNS-SD config must contain at least one SRV record name".to_owned());
    }
    match dns.str("type").to_uppercase().as_str() {
        "SRV" => Ok(()),
        "A" | "AAAA" | "MX" | "NS" if dns.has("port") => Ok(()),
        "A" | "AAAA" | "MX" | "NS" => {
            Err("a port is required in DNS-SD configs for all record types except SRV".to_owned())
        }
        _ => Err(format!("invalid DNS-SD records type {}", dns.str("type"))),
    }
});

const CONSUL: Schema = Schema::new(
    "consul.plain",
    &[
        opt("server", Kind::Str).preset(Preset::Str("localhost:8500")),
        opt("path_prefix", Kind::Str),
        opt("token", Kind::Secret),
        opt("datacenter", Kind::Str),
        opt("namespace", Kind::Str),
        opt("partition", Kind::Str),
        opt("tag_separator", Kind::Str).preset(Preset::Str(",")),
        opt("scheme", Kind::Str).preset(Preset::Str("http")),
        opt("username", Kind::Str),
        opt("password", Kind::Secret),
        always("allow_stale", Kind::Bool).preset(Preset::Bool(true)),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(30_000)),
        opt("services", Kind::List(&Kind::Str)),
        opt("tags", Kind::List(&Kind::Str)),
        opt("node_meta", Kind::StrMap),
        opt("filter", Kind::Str),
        opt("health_filter", Kind::Str),
        inline(&HTTP_CLIENT),
    ],
)
.checked(|consul| {
    if consul.str("server").trim().is_empty() {
        return Err("consul SD configuration requires a server address".to_owned());
    }
    if consul.count_set(&["username", "password"]) > 0 && consul.has("basic_auth") {
        return Err(
            "at most one of consul SD configuration username and password and basic auth can be configured"
                .to_owned(),
        );
    }
    if consul.has("token") && consul.count_set(&["authorization", "oauth2"]) > 0 {
        return Err("at most one of consul SD token, authorization, or oauth2 can be configured".to_owned());
    }
    http_client::check(consul)
});

/// A name with values, as Docker and AWS filter by.
pub(crate) const fn filter(go_type: &'static str) -> Schema {
    Schema::new(go_type, FILTER_FIELDS)
}

const FILTER_FIELDS: &[Field] = &[always("name", Kind::Str), always("values", Kind::List(&Kind::Str))];

const MOBY_FILTER: Schema = filter("moby.Filter");

const DOCKER: Schema = Schema::new(
    "moby.plain",
    &[
        inline(&HTTP_CLIENT),
        always("host", Kind::Str),
        always("port", Kind::Int).preset(Preset::Int(80)),
        always("filters", Kind::List(&Kind::Section(&MOBY_FILTER))),
        always("host_networking_host", Kind::Str).preset(Preset::Str("localhost")),
        always("refresh_interval", Kind::Duration).preset(Preset::DurationMs(60_000)),
        always("match_first_network", Kind::Bool).preset(Preset::Bool(true)),
    ],
)
.checked(|docker| {
    check_docker_host(docker)?;
    http_client::check(docker)
});

fn check_docker_host(docker: &Record) -> Result<(), String> {
    if !docker.has("host") {
        return Err("host missing".to_owned());
    }
    crate::url::parse(docker.str("host")).map(drop).map_err(|err| err.to_string())
}

const DOCKERSWARM: Schema = Schema::new(
    "moby.plain",
    &[
        inline(&HTTP_CLIENT),
        always("host", Kind::Str),
        always("role", Kind::Str),
        always("port", Kind::Int).preset(Preset::Int(80)),
        always("filters", Kind::List(&Kind::Section(&MOBY_FILTER))),
        always("refresh_interval", Kind::Duration).preset(Preset::DurationMs(60_000)),
    ],
)
.checked(|swarm| {
    check_docker_host(swarm)?;
    match swarm.str("role") {
        "services" | "nodes" | "tasks" => http_client::check(swarm),
        "" => Err("role missing (one of: tasks, services, nodes)".to_owned()),
        role => Err(format!("invalid role {role}, expected tasks, services, or nodes")),
    }
});

const EUREKA: Schema = Schema::new(
    "eureka.plain",
    &[
        opt("server", Kind::Str),
        inline(&HTTP_CLIENT),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(30_000)),
    ],
)
.checked(|eureka| {
    if !eureka.has("server") {
        return Err("eureka_sd: empty or null eureka server".to_owned());
    }
    let url = crate::url::parse(eureka.str("server")).map_err(|err| err.to_string())?;
    if url.scheme.is_empty() || url.host.is_empty() {
        return Err("eureka_sd: invalid eureka server URL".to_owned());
    }
    http_client::check(eureka)
});

const KUMA: Schema = Schema::new(
    "xds.plainKumaConf",
    &[
        inline(&HTTP_CLIENT),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(15_000)),
        opt("fetch_timeout", Kind::Duration).preset(Preset::DurationMs(120_000)),
        opt("server", Kind::Str),
        opt("client_id", Kind::Str),
    ],
)
.checked(|kuma| {
    let server = kuma.str("server");
    if server.is_empty() {
        return Err(format!("kuma SD server must not be empty: {server}"));
    }
    let url = crate::url::parse(server).map_err(|err| err.to_string())?;
    if url.scheme.is_empty() || url.host.is_empty() {
        return Err(format!("kuma SD server must not be empty and have a scheme: {server}"));
    }
    http_client::check(kuma)
});

const MARATHON: Schema = Schema::new(
    "marathon.plain",
    &[
        opt("servers", Kind::List(&Kind::Str)),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(30_000)),
        opt("auth_token", Kind::Secret),
        opt("auth_token_file", Kind::Path),
        inline(&HTTP_CLIENT),
    ],
)
.checked(|marathon| {
    let refuse = |what: &str| Err(format!("marathon_sd: {what}"));
    if !marathon.has("servers") {
        return refuse("must contain at least one Marathon server");
    }
    match marathon.count_set(&["auth_token", "auth_token_file"]) {
        0 => {}
        2 => return refuse("at most one of auth_token & auth_token_file must be configured"),
        _ if marathon.has("basic_auth") => {
            return refuse("at most one of basic_auth, auth_token & auth_token_file must be configured");
        }
        _ if marathon.count_set(&["bearer_token", "bearer_token_file"]) > 0 => {
            return refuse(
                "at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
            );
        }
        _ if marathon.has("authorization") => {
            return refuse("at most one of auth_token, auth_token_file & authorization must be configured");
        }
        _ => {}
    }
    http_client::check(marathon)
});

const NOMAD: Schema = Schema::new(
    "nomad.plain",
    &[
        always("allow_stale", Kind::Bool).preset(Preset::Bool(true)),
        inline(&HTTP_CLIENT),
        always("namespace", Kind::Str).preset(Preset::Str("default")),
        always("refresh_interval", Kind::Duration).preset(Preset::DurationMs(60_000)),
        always("region", Kind::Str).preset(Preset::Str("global")),
        always("server", Kind::Str).preset(Preset::Str("http://localhost:4646")),
        opt("tag_separator", Kind::Str).preset(Preset::Str(",")),
    ],
)
.checked(|nomad| {
    if nomad.str("server").trim().is_empty() {
        return Err("nomad SD configuration requires a server address".to_owned());
    }
    http_client::check(nomad)
});

const PUPPETDB: Schema = Schema::new(
    "puppetdb.plain",
    &[
        inline(&HTTP_CLIENT),
        opt("refresh_interval", Kind::Duration).preset(Preset::DurationMs(60_000)),
        always("url", Kind::Str),
        always("query", Kind::Str),
        always("include_parameters", Kind::Bool),
        always("port", Kind::Int).preset(Preset::Int(80)),
    ],
)
.checked(|puppetdb| {
    check_web_url(puppetdb.str("url"))?;
    if !puppetdb.has("query") {
        return Err("query missing".to_owned());
    }
    http_client::check(puppetdb)
});

const ZOOKEEPER_FIELDS: &[Field] = &[
    always("servers", Kind::List(&Kind::Str)),
    always("paths", Kind::List(&Kind::Str)),
    opt("timeout", Kind::Duration).preset(Preset::DurationMs(10_000)),
];

const NERVE: Schema =
    Schema::new("zookeeper.plain", ZOOKEEPER_FIELDS).checked(|nerve| check_zookeeper(nerve, "nerve"));

const SERVERSET: Schema = Schema::new("zookeeper.plain", ZOOKEEPER_FIELDS)
    .checked(|serverset| check_zookeeper(serverset, "serverset"));

fn check_zookeeper(sd: &Record, name: &str) -> Result<(), String> {
    if !sd.has("servers") {
        return Err(format!("{name} SD config must contain at least one Zookeeper server"));
    }
    if !sd.has("paths") {
        return Err(format!("{name} SD config must contain at least one path"));
    }
    match sd.list("paths").iter().find(|path| !path.as_str().starts_with('/')) {
        Some(path) => Err(format!("{name} SD config paths must begin with '/': {}", path.as_str())),
        None => Ok(()),
    }
}

/// Triton and OpenStack have only TLS settings, no whole client.
pub(crate) const PLAIN_TLS: Field = TLS_FIELD;
