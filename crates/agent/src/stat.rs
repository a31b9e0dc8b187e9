//! Interrupts, context switches, forks, boot time and processes from `/proc/stat`.

use model::MetricType::{self, Counter, Gauge};

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_u64};

/// Key of `/proc/stat`, metric, type, help.
const METRICS: [(&str, &str, MetricType, &str); 6] = [
    ("intr", "node_intr_total", Counter, "Interrupts served."),
    ("ctxt", "node_context_switches_total", Counter, "Context switches."),
    ("processes", "node_forks_total", Counter, "Processes and threads started."),
    ("btime", "node_boot_time_seconds", Gauge, "When the host started, in seconds since 1970."),
    ("procs_running", "node_procs_running", Gauge, "Tasks that run or could."),
    ("procs_blocked", "node_procs_blocked", Gauge, "Tasks that wait for input or output."),
];

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let values = parse(&host.roots.read_proc("stat")?)?;
    for ((_, name, metric_type, help), value) in METRICS.into_iter().zip(values) {
        out.family(name, metric_type, help).push(&[], value as f64);
    }
    Ok(())
}

/// In the order of [`METRICS`]; 0 where the kernel says nothing.
fn parse(text: &str) -> Result<[u64; METRICS.len()], CollectError> {
    let mut values = [0; METRICS.len()];
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(key), Some(value)) = (fields.next(), fields.next()) else { continue };
        if let Some(idx) = METRICS.iter().position(|metric| metric.0 == key) {
            values[idx] = parse_u64("stat", value)?;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lines_are_found_by_their_key() {
        let text = "cpu  1 2\nintr 8885917 17 0\nctxt 38014093\nbtime 1418183276\nprocesses 26442\nprocs_running 2\n";
        assert_eq!(parse(text).unwrap(), [8_885_917, 38_014_093, 26_442, 1_418_183_276, 2, 0]);
        assert_eq!(parse("ctxt -4\n").unwrap_err().to_string(), "stat: \"-4\" is not a number");
    }
}
