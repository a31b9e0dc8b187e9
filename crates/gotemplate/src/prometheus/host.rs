//! `stripPort` and `stripDomain`, with the rules of Go's `net.SplitHostPort`.

use std::net::IpAddr;

fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']')?;
        let (host, after) = (&inner[..end], &inner[end + 1..]);
        let port = after.strip_prefix(':').filter(|_| end + 2 == colon)?;
        return (!host.contains('[') && !port.contains(['[', ']'])).then_some((host, port));
    }
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

pub(super) fn strip_port(host_port: &str) -> String {
    split_host_port(host_port).map_or(host_port, |(host, _)| host).to_owned()
}

pub(super) fn strip_domain(host_port: &str) -> String {
    let (host, port) = split_host_port(host_port).unwrap_or((host_port, ""));
    if host.parse::<IpAddr>().is_ok() {
        return host_port.to_owned();
    }
    let first = host.split('.').next().unwrap_or_default();
    match (port, first.contains(':')) {
        ("", _) => first.to_owned(),
        (port, true) => format!("[{first}]:{port}"),
        (port, false) => format!("{first}:{port}"),
    }
}
