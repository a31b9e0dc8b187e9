//! `node_pressure_*` from `/proc/pressure`: time lost waiting for processor, memory, disk, interrupts.

use std::io;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_u64};

/// Microseconds since boot in which some, and in which all, non-idle tasks waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stalled {
    some_us: Option<u64>,
    full_us: Option<u64>,
}

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let mut found = false;
    for resource in ["cpu", "io", "memory", "irq"] {
        let text = match host.roots.read_proc(&format!("pressure/{resource}")) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => continue,
            Err(error) if is_switched_off(&error) => return Err(CollectError::NoData),
            Err(error) => return Err(error),
        };
        push(resource, parse(&text)?, out)?;
        found = true;
    }
    if found { Ok(()) } else { Err(CollectError::NoData) }
}

/// A kernel started with `psi=0` has the files and refuses to read them.
fn is_switched_off(error: &CollectError) -> bool {
    let code = rustix::io::Errno::OPNOTSUPP.raw_os_error();
    matches!(error, CollectError::Read { error, .. }
        if error.raw_os_error() == Some(code) || error.kind() == io::ErrorKind::Unsupported)
}

fn push(resource: &str, stalled: Stalled, out: &mut Families) -> Result<(), CollectError> {
    let name = |kind| format!("node_pressure_{resource}_{kind}_seconds_total");
    // Interrupts have no waiting line; the stalled line of the processor means nothing system-wide.
    if resource != "irq" {
        let us = stalled.some_us.ok_or(CollectError::NoData)?;
        let help = format!("Seconds in which at least one task waited for {resource}.");
        out.counter(&name("waiting"), &help).push(&[], seconds(us));
    }
    if resource != "cpu" {
        let us = stalled.full_us.ok_or(CollectError::NoData)?;
        let help = format!("Seconds in which no task could go on for want of {resource}.");
        out.counter(&name("stalled"), &help).push(&[], seconds(us));
    }
    Ok(())
}

/// Two divisions, since the last digit then equals node_exporter's.
fn seconds(us: u64) -> f64 {
    us as f64 / 1000.0 / 1000.0
}

fn parse(text: &str) -> Result<Stalled, CollectError> {
    let mut stalled = Stalled::default();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        if kind != "some" && kind != "full" {
            continue;
        }
        let total = rest.split_whitespace().find_map(|field| field.strip_prefix("total="));
        let total =
            total.ok_or_else(|| CollectError::malformed("pressure", format!("no total in {line:?}")))?;
        let us = Some(parse_u64("pressure", total)?);
        if kind == "some" {
            stalled.some_us = us;
        } else {
            stalled.full_us = us;
        }
    }
    Ok(stalled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        for (text, expected) in [
            (
                "some avg10=0.00 avg60=1.00 avg300=2.00 total=15\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
                Ok((Some(15), Some(7))),
            ),
            ("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\nother x\n", Ok((None, Some(7)))),
            ("", Ok((None, None))),
            ("some avg10=0.00\n", Err("pressure: no total in \"some avg10=0.00\"".to_owned())),
            ("some total=-1\n", Err("pressure: \"-1\" is not a number".to_owned())),
        ] {
            assert_eq!(parse(text).map(|s| (s.some_us, s.full_us)).map_err(|e| e.to_string()), expected);
        }
    }
}
