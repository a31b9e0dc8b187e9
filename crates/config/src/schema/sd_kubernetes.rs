//! Discovery in Kubernetes. Read and checked, not active yet.

use super::{Kind, Schema, always, http_client, inline, opt};
use crate::decode::Record;
use crate::schema::http_client::HTTP_CLIENT;

const KUBERNETES_ROLES: [&str; 6] = ["node", "pod", "service", "endpoints", "endpointslice", "ingress"];

fn parse_kubernetes_role(text: &str) -> Result<String, String> {
    if KUBERNETES_ROLES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("unknown Kubernetes SD role {text:?}"))
}

const KUBERNETES_ROLE: Kind = Kind::Word("kubernetes.Role", parse_kubernetes_role);

const KUBERNETES_NAMESPACES: Schema = Schema::new(
    "kubernetes.plain",
    &[always("own_namespace", Kind::Bool), always("names", Kind::List(&Kind::Str))],
);

const KUBERNETES_SELECTOR: Schema = Schema::new(
    "kubernetes.SelectorConfig",
    &[opt("role", KUBERNETES_ROLE), opt("label", Kind::Str), opt("field", Kind::Str)],
);

const KUBERNETES_ATTACH_METADATA: Schema = Schema::new(
    "kubernetes.AttachMetadataConfig",
    &[
        always("node", Kind::Bool),
        always("namespace", Kind::Bool),
        always("deployment", Kind::Bool),
        always("job", Kind::Bool),
        always("cronjob", Kind::Bool),
    ],
);

pub(crate) const KUBERNETES: Schema = Schema::new(
    "kubernetes.plain",
    &[
        opt("api_server", Kind::MaybeUrl),
        always("role", KUBERNETES_ROLE),
        always("kubeconfig_file", Kind::Path),
        inline(&HTTP_CLIENT),
        opt("namespaces", Kind::Section(&KUBERNETES_NAMESPACES)),
        opt("selectors", Kind::List(&Kind::Section(&KUBERNETES_SELECTOR))),
        opt("attach_metadata", Kind::Section(&KUBERNETES_ATTACH_METADATA)),
    ],
)
.checked(check_kubernetes);

fn check_kubernetes(kubernetes: &mut Record) -> Result<(), String> {
    if !kubernetes.has("role") {
        return Err("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)".to_owned());
    }
    http_client::check(kubernetes)?;
    let inlined = kubernetes.schema.fields.iter().zip(&kubernetes.values);
    let client = inlined
        .filter(|(field, _)| matches!(field.kind, Kind::Inline(_)))
        .find_map(|(_, value)| value.as_section());
    let custom_client = client.is_some_and(|client| *client != Record::preset(&HTTP_CLIENT, client.pos));
    let has_api_server = kubernetes.has("api_server");
    let has_kubeconfig = kubernetes.has("kubeconfig_file");
    let own_namespace = kubernetes.section("namespaces").is_some_and(|names| names.bool("own_namespace"));
    let refused = [
        (has_api_server && has_kubeconfig, "cannot use 'kubeconfig_file' and 'api_server' simultaneously"),
        (
            has_kubeconfig && custom_client,
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        ),
        (
            !has_api_server && custom_client,
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        ),
        (
            has_api_server && own_namespace,
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            has_kubeconfig && own_namespace,
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ),
    ];
    if let Some((_, message)) = refused.iter().find(|(refused, _)| *refused) {
        return Err((*message).to_owned());
    }
    check_kubernetes_selectors(kubernetes)
}

fn check_kubernetes_selectors(kubernetes: &Record) -> Result<(), String> {
    let role = kubernetes.str("role");
    let allowed: &[&str] = match role {
        "pod" => &["pod", "node"],
        "service" => &["service"],
        "endpointslice" => &["pod", "service", "endpointslice"],
        "endpoints" => &["pod", "service", "endpoints"],
        "node" => &["node"],
        _ => &["ingress"],
    };
    let mut seen = Vec::new();
    for selector in kubernetes.sections("selectors") {
        let selector_role = selector.str("role");
        if seen.contains(&selector_role) {
            return Err(format!("duplicated selector role: {selector_role}"));
        }
        seen.push(selector_role);
        if !allowed.contains(&selector_role) {
            return Err(format!("{role} role supports only {} selectors", allowed.join(", ")));
        }
        check_field_selector(selector.str("field"))?;
    }
    Ok(())
}

/// Kubernetes field selectors: `name=value`, `==` or `!=`, joined with commas; `\` escapes.
fn check_field_selector(text: &str) -> Result<(), String> {
    let mut term_start = 0;
    let bytes = text.as_bytes();
    let mut terms = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b',' && (at == 0 || bytes[at - 1] != b'\\') {
            terms.push(&text[term_start..at]);
            term_start = at + 1;
        }
    }
    terms.push(&text[term_start..]);
    match terms.iter().find(|term| !term.is_empty() && !term.contains('=')) {
        Some(term) => Err(format!("invalid selector: '{text}'; can't understand '{term}'")),
        None => Ok(()),
    }
}
