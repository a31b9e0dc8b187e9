//! `process_*`: what the operating system says of this process, read when it is asked for.

use crate::telemetry::{Counter, Gauge, Registry};

/// `sysconf(_SC_CLK_TCK)` on every Linux we run on.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

#[derive(Debug, Clone)]
pub struct ProcessMetrics {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    start_time: Gauge,
}

impl ProcessMetrics {
    pub fn new(r: &Registry) -> Self {
        Self {
            cpu: r.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
            resident: r.gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            virtual_memory: r.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
            open_fds: r.gauge("process_open_fds", "Number of open file descriptors."),
            max_fds: r.gauge("process_max_fds", "Maximum number of open file descriptors."),
            threads: r.gauge("process_threads", "Number of threads of the process."),
            start_time: r.gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            ),
        }
    }

    pub fn update(&self, started_ms: i64) {
        self.start_time.set(started_ms as f64 / 1000.0);
        if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
            self.read_stat(&stat);
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            self.open_fds.set(entries.count() as f64);
        }
        if let Ok(limits) = std::fs::read_to_string("/proc/self/limits") {
            let line = limits.lines().find(|line| line.starts_with("Max open files"));
            let soft =
                line.and_then(|line| line.split_whitespace().nth(3)).and_then(|n| n.parse::<f64>().ok());
            self.max_fds.set(soft.unwrap_or(0.0));
        }
    }

    pub fn n_threads(&self) -> f64 {
        self.threads.get()
    }

    /// The fields of `/proc/<pid>/stat` behind the command, which may itself hold spaces.
    fn read_stat(&self, stat: &str) {
        let Some((_, rest)) = stat.rsplit_once(") ") else { return };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |idx: usize| fields.get(idx).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        self.cpu.set((field(11) + field(12)) / TICKS_PER_SECOND);
        self.threads.set(field(17));
        self.virtual_memory.set(field(20));
        self.resident.set(field(21) * PAGE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_command() {
        let metrics = ProcessMetrics::new(&Registry::new());
        metrics.read_stat("1 (odd ) name) S 0 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 100 4096000 10 0");
        assert_eq!((metrics.cpu.get(), metrics.n_threads()), (2.0, 7.0));
        assert_eq!((metrics.virtual_memory.get(), metrics.resident.get()), (4_096_000.0, 40_960.0));
    }
}
