//! From discovered targets to the URLs of Alertmanagers.

use model::Labels;
use model::relabel::RelabelConfig;

const SCHEME: &str = "__scheme__";
const ADDRESS: &str = "__address__";
const PATH: &str = "__alerts_path__";

/// The Alertmanagers of one set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovered {
    /// URLs to post to, each once, in the order found.
    pub active: Vec<String>,
    /// URLs that relabelling dropped.
    pub dropped: Vec<String>,
}

/// A target whose address is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is not a valid hostname", .0)]
pub struct InvalidAddress(pub String);

/// Turns discovered targets (their labels, those of the group included) into URLs.
pub fn discovered<'a>(
    targets: impl IntoIterator<Item = &'a Labels>,
    scheme: &str,
    path_prefix: &str,
    relabel: &[RelabelConfig],
) -> Result<Discovered, InvalidAddress> {
    let mut found = Discovered::default();
    let path = post_path(path_prefix);
    for target in targets {
        let mut builder = target.to_builder();
        if builder.get(SCHEME).is_empty() {
            builder.set(SCHEME, scheme);
        }
        if builder.get(PATH).is_empty() {
            builder.set(PATH, &path);
        }
        let before = url(&builder.build());
        if !model::relabel::process_builder(&mut builder, relabel) {
            found.dropped.push(before);
            continue;
        }
        let labels = builder.build();
        let address = labels.get(ADDRESS).unwrap_or("");
        if address.contains('/') {
            return Err(InvalidAddress(address.to_owned()));
        }
        let url = url(&labels);
        if !found.active.contains(&url) {
            found.active.push(url);
        }
    }
    Ok(found)
}

fn url(labels: &Labels) -> String {
    let get = |name| labels.get(name).unwrap_or("");
    format!("{}://{}{}", get(SCHEME), get(ADDRESS), get(PATH))
}

/// `/prefix/api/v2/alerts`, without doubled slashes.
fn post_path(prefix: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(["api", "v2", "alerts"]) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
