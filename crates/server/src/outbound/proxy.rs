//! Which requests go through a proxy: `proxy_url`, `no_proxy`, and the environment variables of the
//! same meaning, matched as Go's `httpproxy` matches them.

use std::net::IpAddr;

use http::Uri;

/// A proxy rule in force for one client.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxyRules {
    pub(super) for_http: Option<Uri>,
    pub(super) for_https: Option<Uri>,
    pub(super) exempt: Vec<Exemption>,
    /// This machine is reached directly.
    pub(super) spares_loopback: bool,
}

/// One entry of `no_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exemption {
    Everything,
    Address {
        ip: IpAddr,
        port: Option<u16>,
    },
    Network {
        ip: IpAddr,
        prefix_bits: u8,
    },
    /// The name itself and everything below it; `below_only` for entries with a leading dot.
    Domain {
        name: String,
        port: Option<u16>,
        below_only: bool,
    },
}

impl ProxyRules {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, upper case first, then lower.
    pub(super) fn from_environment(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let value = var(name).or_else(|| var(&name.to_ascii_lowercase()));
            value.filter(|text| !text.is_empty())
        };
        let uri = |name: &str| read(name).and_then(|text| parse_proxy_url(&text));
        let exempt = read("NO_PROXY").map(|text| parse_no_proxy(&text)).unwrap_or_default();
        Self { for_http: uri("HTTP_PROXY"), for_https: uri("HTTPS_PROXY"), exempt, spares_loopback: true }
    }

    /// The proxy for this destination, if any. As in Go, `localhost` and loopback addresses go through
    /// a proxy only where `proxy_url` stands without `no_proxy`.
    pub(super) fn proxy_for(&self, destination: &Uri) -> Option<&Uri> {
        let secure = destination.scheme_str() == Some("https");
        let proxy = if secure { self.for_https.as_ref() } else { self.for_http.as_ref() }?;
        let host = destination.host()?.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = destination.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let exempt = (is_loopback && self.spares_loopback)
            || self.exempt.iter().any(|entry| entry.covers(&host, port));
        (!exempt).then_some(proxy)
    }
}

/// `host:port` without a scheme means `http`.
pub(super) fn parse_proxy_url(text: &str) -> Option<Uri> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    with_scheme.parse::<Uri>().ok().filter(|uri| uri.host().is_some())
}

pub(super) fn parse_no_proxy(text: &str) -> Vec<Exemption> {
    let entries =
        text.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty());
    entries.map(|entry| parse_exemption(&entry)).collect()
}

fn parse_exemption(entry: &str) -> Exemption {
    if entry == "*" {
        return Exemption::Everything;
    }
    if let Some((ip, bits)) = entry.split_once('/')
        && let (Ok(ip), Ok(prefix_bits)) = (ip.parse::<IpAddr>(), bits.parse::<u8>())
    {
        return Exemption::Network { ip, prefix_bits };
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (entry, None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Exemption::Address { ip, port };
    }
    let below_only = bare.starts_with('.');
    let name = bare.trim_start_matches("*.").trim_start_matches('.').to_owned();
    Exemption::Domain { name, port, below_only: below_only || bare.starts_with("*.") }
}

impl Exemption {
    fn covers(&self, host: &str, port: u16) -> bool {
        let ip = host.parse::<IpAddr>().ok();
        match self {
            Self::Everything => true,
            Self::Address { ip: own, port: own_port } => {
                Some(*own) == ip && own_port.is_none_or(|p| p == port)
            }
            Self::Network { ip: own, prefix_bits } => ip.is_some_and(|ip| in_network(ip, *own, *prefix_bits)),
            Self::Domain { name, port: own_port, below_only } => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                own_port.is_none_or(|p| p == port) && (below || (!below_only && host == name))
            }
        }
    }
}

fn in_network(ip: IpAddr, network: IpAddr, prefix_bits: u8) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let host_bits = width - u32::from(prefix_bits).min(width);
    ip.checked_shr(host_bits).unwrap_or(0) == network.checked_shr(host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_matches_as_go_does() {
        let check = |no_proxy: &str, destination: &str, proxied: bool| {
            let rules = ProxyRules {
                for_http: parse_proxy_url("proxy:3128"),
                for_https: parse_proxy_url("http://proxy:3128"),
                exempt: parse_no_proxy(no_proxy),
                spares_loopback: !no_proxy.is_empty(),
            };
            let uri: Uri = destination.parse().unwrap();
            assert_eq!(rules.proxy_for(&uri).is_some(), proxied, "{no_proxy} / {destination}");
        };
        check("", "http://a.example/", true);
        check("*", "http://a.example/", false);
        check("example", "http://a.example/", false);
        check("example", "http://example/", false);
        check(".example", "http://example/", true);
        check("*.example", "http://a.example/", false);
        check("notexample", "http://example/", true);
        check("10.0.0.0/8", "https://10.1.2.3:9100/", false);
        check("10.0.0.0/8", "https://11.1.2.3:9100/", true);
        check("10.1.2.3:9100", "http://10.1.2.3:9100/", false);
        check("10.1.2.3:9101", "http://10.1.2.3:9100/", true);
        check("[2001:db8::1]:80", "http://[2001:db8::1]/", false);
        check("[2001:db8::1]:80", "http://[2001:db8::1]:81/", true);
        check("", "http://localhost:9090/", true);
        check("x", "http://localhost:9090/", false);
        check("x", "http://127.1.2.3/", false);
        check("x", "http://[::1]/", false);
        check("a.example:8080", "http://a.example/", true);
    }

    #[test]
    fn the_environment_names_proxies() {
        let var = |name: &str| (name == "https_proxy").then(|| "http://p:1".to_owned());
        let rules = ProxyRules::from_environment(&var);
        assert!(rules.for_http.is_none());
        assert_eq!(rules.for_https.unwrap().port_u16(), Some(1));
    }
}
