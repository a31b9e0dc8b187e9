//! `node_netstat_*` from `/proc/net/netstat`, `/proc/net/snmp` and `/proc/net/snmp6`.

use std::collections::BTreeMap;

use model::MetricType;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_float};

/// Fields that are kept, as `<protocol>_<field>`.
pub(crate) const FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";

/// Values by `<protocol>_<field>`.
type Stats = BTreeMap<String, f64>;

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let mut stats = Stats::new();
    parse_pairs("netstat", &host.roots.read_proc("net/netstat")?, &mut stats)?;
    parse_pairs("snmp", &host.roots.read_proc("net/snmp")?, &mut stats)?;
    match host.roots.read_proc("net/snmp6") {
        Ok(text) => parse_list(&text, &mut stats)?,
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    for (key, value) in stats.iter().filter(|(key, _)| host.filters.netstat_fields.is_match(key)) {
        let help = format!("The kernel's network counter {key}.");
        out.family(&format!("node_netstat_{key}"), MetricType::Unknown, &help).push(&[], *value);
    }
    Ok(())
}

/// Two lines per protocol: names, then values.
fn parse_pairs(file: &str, text: &str, stats: &mut Stats) -> Result<(), CollectError> {
    let mut lines = text.lines();
    while let (Some(names), values) = (lines.next(), lines.next().unwrap_or("")) {
        let malformed = || CollectError::malformed(file, format!("names without values: {names:?}"));
        let (protocol, names) = names.split_once(':').ok_or_else(malformed)?;
        let (also_protocol, values) = values.split_once(':').ok_or_else(malformed)?;
        let (names, values): (Vec<_>, Vec<_>) =
            (names.split_whitespace().collect(), values.split_whitespace().collect());
        if protocol != also_protocol || names.len() != values.len() {
            return Err(malformed());
        }
        for (name, value) in names.iter().zip(values) {
            stats.insert(format!("{protocol}_{name}"), parse_float(file, value)?);
        }
    }
    Ok(())
}

/// One name and value per line; the protocol is all up to the first 6.
fn parse_list(text: &str, stats: &mut Stats) -> Result<(), CollectError> {
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(name), Some(value)) = (fields.next(), fields.next()) else { continue };
        if let Some((protocol, name)) = name.split_once('6') {
            stats.insert(format!("{protocol}6_{name}"), parse_float("snmp6", value)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_joined() {
        let mut stats = Stats::new();
        parse_pairs("snmp", "Ip: Forwarding InErrors\nIp: 1 2\nTcp: MaxConn\nTcp: -1\n", &mut stats).unwrap();
        parse_list("Ip6InOctets  5\nUdpLite6InErrors 6\nodd 7\nIp6Lone\n", &mut stats).unwrap();
        let expected = [
            ("Ip6_InOctets", 5.0),
            ("Ip_Forwarding", 1.0),
            ("Ip_InErrors", 2.0),
            ("Tcp_MaxConn", -1.0),
            ("UdpLite6_InErrors", 6.0),
        ];
        assert_eq!(stats.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), expected);
        for (text, problem) in [
            ("Ip: A B\nIp: 1\n", "snmp: names without values: \"Ip: A B\""),
            ("Ip: A\n", "snmp: names without values: \"Ip: A\""),
            ("Ip: A\nTcp: 1\n", "snmp: names without values: \"Ip: A\""),
            ("Ip: A\nIp: b\n", "snmp: \"b\" is not a number"),
        ] {
            assert_eq!(parse_pairs("snmp", text, &mut Stats::new()).unwrap_err().to_string(), problem);
        }
    }

    #[test]
    fn the_default_fields_are_kept() {
        let kept = regex::Regex::new(FIELDS).unwrap();
        for (key, expected) in [
            ("Ip_Forwarding", true),
            ("Ip_DefaultTTL", false),
            ("UdpLite6_InErrors", true),
            ("TcpExt_ListenDrops", true),
            ("TcpExt_TCPTimeoutsX", false),
            ("Icmp6_InMsgs", true),
            ("Tcp_CurrEstab", true),
            ("Udp_IgnoredMulti", false),
        ] {
            assert_eq!(kept.is_match(key), expected, "{key}");
        }
    }
}
