//! `node_time_*`: the clock, the time zone, and the kernel's sources of time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, list_numbered, read_line};

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let now_ms = host.clock.now_ms();
    out.gauge("node_time_seconds", "The time of the host in seconds since 1970.")
        .push(&[], now_ms as f64 / 1000.0);
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let (name, offset_s) = zone_at(&zone, now_ms);
    out.gauge("node_time_zone_offset_seconds", "How far the local time zone is ahead of UTC.")
        .push(&[("time_zone", &name)], f64::from(offset_s));
    push_clock_sources(host, out)
}

/// Abbreviation of the zone and seconds ahead of UTC, at that time.
fn zone_at(zone: &TimeZone, now_ms: i64) -> (String, i32) {
    let info = zone.to_offset_info(Timestamp::from_millisecond(now_ms).unwrap_or_default());
    (info.abbreviation().to_owned(), info.offset().seconds())
}

fn push_clock_sources(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let dir = host.roots.sys.join("devices/system/clocksource");
    for (idx, number) in list_numbered(&dir, "clocksource")?.iter().enumerate() {
        let (device, dir) = (idx.to_string(), dir.join(format!("clocksource{number}")));
        let available =
            out.gauge("node_time_clocksource_available_info", "Sources of time that could be used.");
        for source in read_line(&dir.join("available_clocksource"))?.split_whitespace() {
            available.push(&[("device", &device), ("clocksource", source)], 1.0);
        }
        let current = read_line(&dir.join("current_clocksource"))?;
        out.gauge("node_time_clocksource_current_info", "The source of time in use.")
            .push(&[("device", &device), ("clocksource", &current)], 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_a_name_and_an_offset_for_the_season() {
        let vienna = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (zone, now_ms, expected) in [
            (&TimeZone::UTC, 0, ("UTC", 0)),
            (&vienna, 1_704_067_200_000, ("CET", 3600)),
            (&vienna, 1_720_000_000_000, ("CEST", 7200)),
            (&vienna, i64::MAX, ("CET", 3600)),
        ] {
            let (name, offset_s) = zone_at(zone, now_ms);
            assert_eq!((name.as_str(), offset_s), expected);
        }
    }
}
