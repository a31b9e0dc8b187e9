//! `node_nf_conntrack_*` from `/proc/sys/net/netfilter` and `/proc/net/stat/nf_conntrack`.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_float};

/// Column of the table, metric after its prefix, help.
const STATS: [(usize, &str, &str); 8] = [
    (2, "found", "Searches of the table that found an entry."),
    (4, "invalid", "Packets that cannot be tracked."),
    (5, "ignore", "Packets of connections that have an entry already."),
    (8, "insert", "Entries added."),
    (9, "insert_failed", "Entries that could not be added, for instance since they were there."),
    (10, "drop", "Packets dropped because tracking failed."),
    (11, "early_drop", "Entries given up to make room for new ones."),
    (16, "search_restart", "Searches begun anew since the table was resized."),
];

/// Columns of the table; the last is absent before Linux 2.6.35.
const COLUMNS: usize = 17;

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    for (file, name, help) in [
        ("count", "node_nf_conntrack_entries", "Connections that are tracked."),
        ("max", "node_nf_conntrack_entries_limit", "Connections that can be tracked."),
    ] {
        let text = host.roots.read_proc(&format!("sys/net/netfilter/nf_conntrack_{file}"));
        let text = text.map_err(CollectError::absent_is_no_data)?;
        out.gauge(name, help).push(&[], parse_float("nf_conntrack", text.trim())?);
    }
    let table = host.roots.read_proc("net/stat/nf_conntrack").map_err(CollectError::absent_is_no_data)?;
    let sums = parse(&table)?;
    for (column, name, help) in STATS {
        out.gauge(&format!("node_nf_conntrack_stat_{name}"), help).push(&[], sums[column] as f64);
    }
    Ok(())
}

/// Sums over processors of a table of hexadecimal numbers below one line of names.
fn parse(text: &str) -> Result<[u64; COLUMNS], CollectError> {
    let mut sums = [0_u64; COLUMNS];
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if !(COLUMNS - 1..=COLUMNS).contains(&fields.len()) {
            return Err(CollectError::malformed("nf_conntrack", format!("cannot read {line:?}")));
        }
        for (sum, field) in sums.iter_mut().zip(fields) {
            let value = u64::from_str_radix(field, 16)
                .map_err(|_| CollectError::not_a_number("nf_conntrack", field))?;
            *sum = sum.wrapping_add(value);
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn processors_are_added_up() {
        let old = "entries\n21 0 0 0 3 8a8 4e3 0 1 0 2 0 0 0 0 0\n21 0 0 0 2 b 0 0 0 0 a 0 0 0 0 0\n";
        let sums = parse(old).unwrap();
        assert_eq!((sums[4], sums[5], sums[10], sums[16]), (5, 0x8b3, 12, 0));
        assert_eq!(parse("entries\n0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 f\n").unwrap()[16], 15);
        for (row, problem) in [
            ("1 2", "nf_conntrack: cannot read \"1 2\""),
            ("g 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0", "nf_conntrack: \"g\" is not a number"),
        ] {
            assert_eq!(parse(&format!("entries\n{row}\n")).unwrap_err().to_string(), problem);
        }
    }
}
