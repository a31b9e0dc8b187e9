//! `node_cpu_*`: seconds per mode from `/proc/stat`; throttling, isolation and hot plugging from
//! `/sys/devices/system/cpu`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, list_numbered, parse_u64, read_line, read_number};

/// The kernel counts in hundredths of a second, on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Modes in the order of the fields in `/proc/stat`; guest time follows them.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const IDLE: usize = 3;
const FIELDS: usize = MODES.len() + GUEST_MODES.len();

/// Idle time that falls by this much means that the processor was unplugged and plugged in again.
const IDLE_RESET_S: f64 = 3.0;

/// Seconds of one processor per field.
type CpuTimes = [f64; FIELDS];

/// The highest times seen. The kernel lets idle and iowait go back a little; a counter must not.
#[derive(Debug, Default)]
pub(crate) struct CpuMemory {
    by_cpu: BTreeMap<u64, CpuTimes>,
}

impl CpuMemory {
    /// Takes in new times; afterwards holds exactly the processors that are in `now`.
    fn update(&mut self, now: &BTreeMap<u64, CpuTimes>) {
        self.by_cpu.retain(|cpu, _| now.contains_key(cpu));
        for (&cpu, times) in now {
            let held = self.by_cpu.entry(cpu).or_default();
            if held[IDLE] - times[IDLE] >= IDLE_RESET_S {
                *held = CpuTimes::default();
            }
            for (held, new) in held.iter_mut().zip(times) {
                *held = held.max(*new);
            }
        }
    }
}

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let now = parse(&host.roots.read_proc("stat")?)?;
    let mut memory = host.cpus.lock();
    memory.update(&now);
    for (cpu, times) in &memory.by_cpu {
        let cpu = cpu.to_string();
        let seconds = out.counter("node_cpu_seconds_total", "Seconds a processor spent in a mode.");
        for (mode, value) in MODES.into_iter().zip(times) {
            seconds.push(&[("cpu", &cpu), ("mode", mode)], *value);
        }
        let guest = out.counter(
            "node_cpu_guest_seconds_total",
            "Seconds a processor spent for guests; the modes user and nice contain them.",
        );
        for (mode, value) in GUEST_MODES.into_iter().zip(&times[MODES.len()..]) {
            guest.push(&[("cpu", &cpu), ("mode", mode)], *value);
        }
    }
    drop(memory);
    let dir = host.roots.sys.join("devices/system/cpu");
    push_isolated(&dir, out)?;
    push_throttles(&dir, out)?;
    push_online(&dir, out)
}

/// Times by processor number; the line of all processors together is left out.
fn parse(text: &str) -> Result<BTreeMap<u64, CpuTimes>, CollectError> {
    let mut by_cpu = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(number) = fields.next().and_then(|key| key.strip_prefix("cpu")).filter(|n| !n.is_empty())
        else {
            continue;
        };
        let mut times = CpuTimes::default();
        for (time, field) in times.iter_mut().zip(fields) {
            *time = parse_u64("stat", field)? as f64 / TICKS_PER_SECOND;
        }
        by_cpu.insert(parse_u64("stat", number)?, times);
    }
    Ok(by_cpu)
}

fn push_isolated(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    let text = match read_line(&dir.join("isolated")) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    let isolated = out.gauge("node_cpu_isolated", "1 for each processor that is kept out of scheduling.");
    for cpu in parse_cpu_list(&text)? {
        isolated.push(&[("cpu", &cpu.to_string())], 1.0);
    }
    Ok(())
}

/// Processors that a list may name.
const CPUS_MAX: u64 = 1 << 16;

/// The kernel's lists: `0-2,5`.
fn parse_cpu_list(text: &str) -> Result<Vec<u64>, CollectError> {
    let mut cpus = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (parse_u64("isolated", first)?, parse_u64("isolated", last)?);
        if first > last || last >= CPUS_MAX {
            return Err(CollectError::malformed("isolated", format!("bad range {range:?}")));
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// Throttle counts: one per core and one per package, from the first processor that tells.
fn push_throttles(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    let mut packages: BTreeMap<u64, u64> = BTreeMap::new();
    let mut cores: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for number in list_numbered(dir, "cpu")? {
        let cpu = dir.join(format!("cpu{number}"));
        let number = |path: &str| read_number::<u64>(&cpu.join(path)).ok();
        let (Some(package), Some(core)) =
            (number("topology/physical_package_id"), number("topology/core_id"))
        else {
            continue;
        };
        if let (false, Some(count)) =
            (cores.contains_key(&(package, core)), number("thermal_throttle/core_throttle_count"))
        {
            cores.insert((package, core), count);
        }
        if let (false, Some(count)) =
            (packages.contains_key(&package), number("thermal_throttle/package_throttle_count"))
        {
            packages.insert(package, count);
        }
    }
    let family = out.counter("node_cpu_package_throttles_total", "Times a processor package was throttled.");
    for (package, count) in packages {
        family.push(&[("package", &package.to_string())], count as f64);
    }
    let family = out.counter("node_cpu_core_throttles_total", "Times a processor core was throttled.");
    for ((package, core), count) in cores {
        family.push(&[("package", &package.to_string()), ("core", &core.to_string())], count as f64);
    }
    Ok(())
}

fn push_online(dir: &Path, out: &mut Families) -> Result<(), CollectError> {
    let numbers = list_numbered(dir, "cpu")?;
    let online = |number: &str| read_line(&dir.join(format!("cpu{number}/online")));
    // A kernel without hot plugging has no such file anywhere; often the first processor has none.
    let supported = numbers.first().is_some_and(|first| !online(first).is_err_and(|e| e.is_not_found()));
    if supported {
        let family = out.gauge("node_cpu_online", "1 if a processor is plugged in and scheduled, else 0.");
        for number in &numbers {
            let value = if online(number).is_ok_and(|text| text == "1") { 1.0 } else { 0.0 };
            family.push(&[("cpu", number)], value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_by_processor() {
        let text = "cpu  3 3\ncpu0 301 2 3 400 5 6 7 8 9 10 11\ncpu10 1 2 3 4\nintr 5\n";
        let times = parse(text).unwrap();
        assert_eq!(times[&0], [3.01, 0.02, 0.03, 4.0, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]);
        assert_eq!(times[&10], [0.01, 0.02, 0.03, 0.04, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        for (text, problem) in
            [("cpux 1\n", "stat: \"x\" is not a number"), ("cpu0 1.5\n", "stat: \"1.5\" is not a number")]
        {
            assert_eq!(parse(text).unwrap_err().to_string(), problem);
        }
    }

    /// Idle and user seconds of processor 0 that a row of readings `(idle, user)` shows.
    fn check(readings: &[(f64, f64)], expected: &[(f64, f64)]) {
        let mut memory = CpuMemory::default();
        for (&(idle, user), &shown) in readings.iter().zip(expected) {
            let mut times = CpuTimes::default();
            (times[0], times[IDLE]) = (user, idle);
            memory.update(&BTreeMap::from([(0, times)]));
            assert_eq!((memory.by_cpu[&0][IDLE], memory.by_cpu[&0][0]), shown, "after {idle} {user}");
        }
    }

    #[test]
    fn counters_do_not_go_back_unless_the_processor_was_replugged() {
        check(&[(10.0, 1.0), (9.9, 2.0), (7.5, 1.5)], &[(10.0, 1.0), (10.0, 2.0), (10.0, 2.0)]);
        check(&[(10.0, 5.0), (7.0, 1.0)], &[(10.0, 5.0), (7.0, 1.0)]);
        let mut memory = CpuMemory::default();
        memory.update(&BTreeMap::from([(0, CpuTimes::default()), (1, CpuTimes::default())]));
        memory.update(&BTreeMap::from([(1, CpuTimes::default())]));
        assert_eq!(memory.by_cpu.keys().collect::<Vec<_>>(), [&1], "processors that left are forgotten");
    }

    #[test]
    fn processor_lists_are_read() {
        for (text, expected) in [
            ("", Ok(vec![])),
            ("0", Ok(vec![0])),
            ("1-3,7", Ok(vec![1, 2, 3, 7])),
            ("3-1", Err("isolated: bad range \"3-1\"".to_owned())),
            ("0-99999999999", Err("isolated: bad range \"0-99999999999\"".to_owned())),
            ("a", Err("isolated: \"a\" is not a number".to_owned())),
        ] {
            assert_eq!(parse_cpu_list(text).map_err(|e| e.to_string()), expected, "{text}");
        }
    }
}
