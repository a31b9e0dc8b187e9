//! `node_network_*_total` from `/proc/net/dev` and `/sys/class/net`.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_u64, read_number};

/// The columns of `/proc/net/dev`. The kernel adds missed packets to `receive_drop`, and the
/// detailed errors to `receive_frame` and `transmit_carrier`, as node_exporter does by itself.
const COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    for (device, values) in parse(&host.roots.read_proc("net/dev")?)? {
        for (column, value) in COLUMNS.into_iter().zip(values) {
            push(column, device, value, out);
        }
        // Not in the table of /proc, and absent before Linux 4.6.
        let path = host.roots.sys.join(format!("class/net/{device}/statistics/rx_nohandler"));
        if let Ok(value) = read_number::<u64>(&path) {
            push("receive_nohandler", device, value, out);
        }
    }
    Ok(())
}

fn push(column: &str, device: &str, value: u64, out: &mut Families) {
    let help = format!("The network device counter {column}.");
    out.counter(&format!("node_network_{column}_total"), &help).push(&[("device", device)], value as f64);
}

/// Devices with their sixteen counters, in the order of the table.
fn parse(text: &str) -> Result<Vec<(&str, [u64; COLUMNS.len()])>, CollectError> {
    let mut devices = Vec::new();
    for line in text.lines().skip(2) {
        let malformed = || CollectError::malformed("net/dev", format!("cannot read {line:?}"));
        // A device's name may hold colons, but the numbers cannot.
        let (device, numbers) = line.rsplit_once(':').ok_or_else(malformed)?;
        let mut values = [0; COLUMNS.len()];
        let mut fields = numbers.split_whitespace();
        for value in &mut values {
            *value = parse_u64("net/dev", fields.next().ok_or_else(malformed)?)?;
        }
        devices.push((device.trim(), values));
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_table_is_read() {
        let head = "Inter-| Receive | Transmit\n face |bytes |bytes\n";
        let text = format!(
            "{head}    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:1:9 8 7 6 5 4 3 2 1 0 0 0 0 0 0 0\n"
        );
        let devices = parse(&text).unwrap();
        assert_eq!(devices[0], ("lo", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]));
        assert_eq!((devices[1].0, devices[1].1[0]), ("eth0:1", 9));
        for (line, problem) in [
            ("lo 1 2", "net/dev: cannot read \"lo 1 2\""),
            ("lo: 1 2", "net/dev: cannot read \"lo: 1 2\""),
            ("lo: x", "net/dev: \"x\" is not a number"),
        ] {
            assert_eq!(parse(&format!("{head}{line}\n")).unwrap_err().to_string(), problem);
        }
    }
}
