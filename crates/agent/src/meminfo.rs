//! `node_memory_*` from `/proc/meminfo`.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_u64};

/// The fields that node_exporter names. Newer kernels have more; they wait until it names them.
const FIELDS: [&str; 51] = [
    "Active",
    "Active(anon)",
    "Active(file)",
    "AnonHugePages",
    "AnonPages",
    "Bounce",
    "Buffers",
    "Cached",
    "CmaFree",
    "CmaTotal",
    "CommitLimit",
    "Committed_AS",
    "DirectMap1G",
    "DirectMap2M",
    "DirectMap4k",
    "Dirty",
    "HardwareCorrupted",
    "HugePages_Free",
    "HugePages_Rsvd",
    "HugePages_Surp",
    "HugePages_Total",
    "Hugepagesize",
    "Inactive",
    "Inactive(anon)",
    "Inactive(file)",
    "KernelStack",
    "Mapped",
    "MemAvailable",
    "MemFree",
    "MemTotal",
    "Mlocked",
    "NFS_Unstable",
    "PageTables",
    "Percpu",
    "SReclaimable",
    "SUnreclaim",
    "Shmem",
    "ShmemHugePages",
    "ShmemPmdMapped",
    "Slab",
    "SwapCached",
    "SwapFree",
    "SwapTotal",
    "Unevictable",
    "VmallocChunk",
    "VmallocTotal",
    "VmallocUsed",
    "Writeback",
    "WritebackTmp",
    "Zswap",
    "Zswapped",
];

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    for (field, value) in parse(&host.roots.read_proc("meminfo")?)? {
        let help = format!("The field {field} of /proc/meminfo.");
        out.gauge(&metric_name(field), &help).push(&[], value);
    }
    Ok(())
}

/// Known fields with their values, in bytes where the kernel gives kilobytes.
fn parse(text: &str) -> Result<Vec<(&str, f64)>, CollectError> {
    let mut fields = Vec::new();
    for line in text.lines() {
        let malformed = || CollectError::malformed("meminfo", format!("cannot read {line:?}"));
        let (field, rest) = line.split_once(':').ok_or_else(malformed)?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let (value, scale) = match words[..] {
            [value] => (value, 1),
            [value, "kB"] => (value, 1024),
            _ => return Err(malformed()),
        };
        if FIELDS.contains(&field) {
            fields.push((field, parse_u64("meminfo", value)?.saturating_mul(scale) as f64));
        }
    }
    Ok(fields)
}

/// `Active(anon)` is `node_memory_Active_anon_bytes`; counts of pages carry no unit.
fn metric_name(field: &str) -> String {
    let unit = if field.starts_with("HugePages_") { "" } else { "_bytes" };
    format!("node_memory_{}{unit}", field.replace('(', "_").replace(')', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_metrics() {
        let text = "MemTotal:  15666184 kB\nActive(anon):   3 kB\nHugePages_Free:  7\nSecPageTables: 4 kB\n";
        let named: Vec<(String, f64)> =
            parse(text).unwrap().into_iter().map(|(field, value)| (metric_name(field), value)).collect();
        let expected = [
            ("node_memory_MemTotal_bytes", 16_042_172_416.0),
            ("node_memory_Active_anon_bytes", 3072.0),
            ("node_memory_HugePages_Free", 7.0),
        ];
        assert_eq!(named, expected.map(|(name, value)| (name.to_owned(), value)));
        for (text, problem) in [
            ("MemTotal 1\n", "meminfo: cannot read \"MemTotal 1\""),
            ("MemTotal: 1 MB\n", "meminfo: cannot read \"MemTotal: 1 MB\""),
            ("MemTotal: x kB\n", "meminfo: \"x\" is not a number"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), problem);
        }
    }
}
