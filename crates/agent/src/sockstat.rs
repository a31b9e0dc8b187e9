//! `node_sockstat_*` from `/proc/net/sockstat` and `/proc/net/sockstat6`.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_float};

/// The counts that node_exporter names, in the order of its output.
const KEYS: [&str; 6] = ["inuse", "orphan", "tw", "alloc", "mem", "memory"];

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    for file in ["sockstat", "sockstat6"] {
        let text = match host.roots.read_proc(&format!("net/{file}")) {
            Ok(text) => text,
            // The protocol is switched off.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        for (name, value) in metrics(file, &text, rustix::param::page_size() as f64)? {
            let help = format!("The socket count {name}.");
            out.gauge(&format!("node_sockstat_{name}"), &help).push(&[], value);
        }
    }
    Ok(())
}

/// Names after the prefix, with values.
fn metrics(file: &str, text: &str, page_bytes: f64) -> Result<Vec<(String, f64)>, CollectError> {
    let mut metrics = Vec::new();
    for line in text.lines() {
        let malformed = || CollectError::malformed(file, format!("cannot read {line:?}"));
        let (protocol, rest) = line.split_once(':').ok_or_else(malformed)?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let (pairs, []) = fields.as_chunks::<2>() else { return Err(malformed()) };
        let find = |key: &str| {
            let pair = pairs.iter().find(|[name, _]| *name == key);
            pair.map(|[_, value]| parse_float(file, value)).transpose()
        };
        if protocol == "sockets" {
            metrics.extend(find("used")?.map(|used| ("sockets_used".to_owned(), used)));
            continue;
        }
        for key in KEYS {
            let value = if key == "inuse" { Some(find(key)?.unwrap_or(0.0)) } else { find(key)? };
            metrics.extend(value.map(|value| (format!("{protocol}_{key}"), value)));
        }
        metrics.extend(find("mem")?.map(|pages| (format!("{protocol}_mem_bytes"), pages * page_bytes)));
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::metrics;

    #[test]
    fn counts_are_named_by_protocol() {
        let text = "sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 2\nFRAG: inuse 0 memory 5\nUDP: mem 1\n";
        let named = metrics("sockstat", text, 4096.0).unwrap();
        let expected = [
            ("sockets_used", 229.0),
            ("TCP_inuse", 4.0),
            ("TCP_orphan", 0.0),
            ("TCP_tw", 4.0),
            ("TCP_alloc", 17.0),
            ("TCP_mem", 2.0),
            ("TCP_mem_bytes", 8192.0),
            ("FRAG_inuse", 0.0),
            ("FRAG_memory", 5.0),
            ("UDP_inuse", 0.0),
            ("UDP_mem", 1.0),
            ("UDP_mem_bytes", 4096.0),
        ];
        assert_eq!(named, expected.map(|(name, value)| (name.to_owned(), value)));
        for (text, problem) in [
            ("TCP: inuse\n", "sockstat: cannot read \"TCP: inuse\""),
            ("TCP inuse 1\n", "sockstat: cannot read \"TCP inuse 1\""),
            ("TCP: inuse x\n", "sockstat: \"x\" is not a number"),
        ] {
            assert_eq!(metrics("sockstat", text, 1.0).unwrap_err().to_string(), problem);
        }
    }
}
