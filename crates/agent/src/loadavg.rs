//! `node_load1`, `node_load5`, `node_load15` from `/proc/loadavg`.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_float};

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let [one, five, fifteen] = parse(&host.roots.read_proc("loadavg")?)?;
    out.gauge("node_load1", "Load average over one minute.").push(&[], one);
    out.gauge("node_load5", "Load average over five minutes.").push(&[], five);
    out.gauge("node_load15", "Load average over fifteen minutes.").push(&[], fifteen);
    Ok(())
}

fn parse(text: &str) -> Result<[f64; 3], CollectError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [one, five, fifteen, ..] = fields[..] else {
        return Err(CollectError::malformed("loadavg", "fewer than three fields"));
    };
    let float = |field| parse_float("loadavg", field);
    Ok([float(one)?, float(five)?, float(fifteen)?])
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn three_averages_are_read() {
        for (text, expected) in [
            ("0.08 1.50 12.00 1/266 3400\n", Ok([0.08, 1.5, 12.0])),
            ("0.08 1.50\n", Err("loadavg: fewer than three fields".to_owned())),
            ("0.08 x 12.00", Err("loadavg: \"x\" is not a number".to_owned())),
        ] {
            assert_eq!(parse(text).map_err(|e| e.to_string()), expected);
        }
    }
}
