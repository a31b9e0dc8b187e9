//! `dns_sd_configs`: A, AAAA, SRV, MX and NS records as targets.

use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use model::{Labels, LabelsBuilder};
use scrape::sd_config::{DnsRecordType, DnsSdConfig, TargetGroup};

use super::Provider;

pub(super) async fn follow(provider: Provider, config: DnsSdConfig) {
    match TokioResolver::builder_tokio().and_then(build) {
        Ok(resolver) => follow_with(&resolver, provider, config).await,
        Err(error) => provider.failed("dns", &error.to_string()),
    }
}

/// As upstream, each refresh asks the servers: an answer is not kept for as long as it would be valid.
fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    builder.options_mut().cache_size = 0;
    builder.build()
}

async fn follow_with(resolver: &TokioResolver, provider: Provider, config: DnsSdConfig) {
    let refresh = Duration::from_millis(config.refresh_interval_ms.max(1000).unsigned_abs());
    let mut last: std::collections::BTreeMap<&str, TargetGroup> = std::collections::BTreeMap::new();
    loop {
        for name in &config.names {
            provider.metrics.dns_lookups.inc();
            match lookup(resolver, name, &config).await {
                Ok(group) => {
                    last.insert(name, group);
                }
                // What was known stays until the name answers again.
                Err(error) => {
                    provider.metrics.dns_failures.inc();
                    provider.failed("dns", &format!("{name}: {error}"));
                }
            }
        }
        provider.replace(last.values().cloned().collect());
        tokio::time::sleep(refresh).await;
    }
}

async fn lookup(resolver: &TokioResolver, name: &str, config: &DnsSdConfig) -> Result<TargetGroup, String> {
    let record_type = match config.record_type {
        DnsRecordType::A => RecordType::A,
        DnsRecordType::Aaaa => RecordType::AAAA,
        DnsRecordType::Srv => RecordType::SRV,
        DnsRecordType::Mx => RecordType::MX,
        DnsRecordType::Ns => RecordType::NS,
    };
    let answer = resolver.lookup(name, record_type).await;
    let mut targets = Vec::new();
    match answer {
        Ok(answer) => {
            targets.extend(answer.answers().iter().filter_map(|r| target(name, &r.data, config.port)));
        }
        // There is no such name, or it has no such records: an empty group, not a failure.
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => {}
        Err(error) => return Err(error.to_string()),
    }
    Ok(TargetGroup { targets, labels: Labels::empty(), source: name.to_owned() })
}

fn target(name: &str, data: &RData, port: u16) -> Option<Labels> {
    let mut labels = LabelsBuilder::new();
    labels.set("__meta_dns_name", name);
    let (host, port) = match data {
        RData::A(ip) => (ip.0.to_string(), port),
        RData::AAAA(ip) => (format!("[{}]", ip.0), port),
        RData::SRV(srv) => {
            let host = srv.target.to_string();
            labels.set("__meta_dns_srv_record_target", &host);
            labels.set("__meta_dns_srv_record_port", &srv.port.to_string());
            (host.trim_end_matches('.').to_owned(), srv.port)
        }
        RData::MX(mx) => {
            let host = mx.exchange.to_string();
            labels.set("__meta_dns_mx_record_target", &host);
            (host.trim_end_matches('.').to_owned(), port)
        }
        RData::NS(ns) => {
            let host = ns.0.to_string();
            labels.set("__meta_dns_ns_record_target", &host);
            (host.trim_end_matches('.').to_owned(), port)
        }
        _ => return None,
    };
    labels.set("__address__", &format!("{host}:{port}"));
    Some(labels.build())
}

#[cfg(test)]
mod tests;
