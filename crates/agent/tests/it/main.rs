//! The collectors over the fixture host of `tests/corpus/host`, and next to a real node_exporter.
#![cfg(test)]

mod damage;
mod exporter;
mod page;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agent::{HostCollector, HostOptions};
use base::SystemClock;

use exporter::{DEBIAN_12, Exporter, FOLLOWED};
use page::ReadPage;

/// Metrics whose values change by themselves, or with the disk or the checkout of whoever runs the
/// tests. Their names, labels and types are compared all the same.
const VOLATILE: [&str; 9] = [
    "node_filesystem_avail_bytes",
    "node_filesystem_files",
    "node_filesystem_files_free",
    "node_filesystem_free_bytes",
    "node_filesystem_size_bytes",
    "node_scrape_collector_duration_seconds",
    "node_textfile_mtime_seconds",
    "node_time_seconds",
    "node_time_zone_offset_seconds",
];

/// Families that one side has, by intent: see `docs/reference/host-metrics.md`.
const OF_ONE_SIDE: [&str; 2] = ["node_exporter_build_info", "sextant_host_collector_build_info"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/host/node").canonicalize().unwrap()
}

fn fixture_options() -> HostOptions {
    let dir = fixture();
    HostOptions {
        proc_root: dir.join("proc"),
        sys_root: dir.join("sys"),
        root_fs: dir.join("root"),
        textfile_directory: Some(dir.join("textfile")),
        // The exporter asks the system call, which cannot be pointed at a fixture.
        disabled: vec!["uname".to_owned()],
    }
}

fn ours(options: HostOptions) -> (ReadPage, Vec<String>) {
    let page = HostCollector::new(options).unwrap().collect(&SystemClock::new());
    let failures = page.failures.iter().map(|f| format!("{}: {}", f.collector, f.error)).collect();
    (ReadPage::parse(&page.to_text()), failures)
}

/// Names, labels and types; values too except for [`VOLATILE`]. One line for each difference.
fn differences(theirs: &ReadPage, ours: &ReadPage, with_values: bool) -> Vec<String> {
    // Upstream 1.11.1 says 0 where a queue has not all the files that it looks for.
    let (theirs, ours) = (&theirs.without_rotation(), &ours.without_rotation());
    let mut found = Vec::new();
    for name in theirs.types.keys().chain(ours.types.keys()).collect::<BTreeSet<_>>() {
        let (a, b) = (theirs.types.get(name), ours.types.get(name));
        if a != b && !OF_ONE_SIDE.contains(&name.as_str()) {
            found.push(format!("type of {name}: theirs {a:?}, ours {b:?}"));
        }
    }
    for series in theirs.samples.keys().chain(ours.samples.keys()).collect::<BTreeSet<_>>() {
        let name = series.split('{').next().unwrap_or_default();
        let (a, b) = (theirs.samples.get(series), ours.samples.get(series));
        let equal = match (a, b) {
            (Some(a), Some(b)) => !with_values || VOLATILE.contains(&name) || a.to_bits() == b.to_bits(),
            _ => OF_ONE_SIDE.contains(&name),
        };
        if !equal {
            found.push(format!("{series}: theirs {a:?}, ours {b:?}"));
        }
    }
    found
}

/// What differs on the fixture, and is meant to: see `docs/reference/host-metrics.md`.
fn is_intended_on_fixture(difference: &str) -> bool {
    [
        // node_exporter 1.11.1 does not see that a mount or a file system was made read-only.
        "node_filesystem_readonly{device=\"/dev/nvme0n1p1\"",
        "node_filesystem_readonly{device=\"/dev/nvme0n1p3\"",
        // It asks netlink for this, which cannot be pointed at a fixture.
        "node_network_receive_nohandler_total{",
        "type of node_network_receive_nohandler_total:",
    ]
    .iter()
    .any(|start| difference.starts_with(start))
        // It gives two chips of one device the same label.
        || (difference.starts_with("node_hwmon_") && difference.contains("chip=\"platform_nct6775_656"))
}

#[test]
fn the_fixture_host_gives_what_node_exporter_gave() {
    let expected = std::fs::read(fixture().join("node_exporter.prom")).unwrap();
    let (ours, failures) = ours(fixture_options());
    let found = differences(&ReadPage::parse(&expected), &ours.with_relative_paths(&fixture()), true);
    let unintended: Vec<_> = found.iter().filter(|difference| !is_intended_on_fixture(difference)).collect();
    assert!(unintended.is_empty(), "{unintended:#?}");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0].starts_with("textfile: ") && failures[0].contains("broken.prom"), "{failures:?}");
}

/// The differences that `is_intended_on_fixture` lets pass, with our side of them.
#[test]
fn what_node_exporter_does_not_see_is_seen() {
    let (ours, _) = ours(fixture_options());
    for (series, value) in [
        ("node_hwmon_chip_names{chip=\"platform_nct6775_656_nct6779\",chip_name=\"nct6779\"}", 1.0),
        ("node_hwmon_chip_names{chip=\"platform_nct6775_656_second\",chip_name=\"second\"}", 1.0),
        ("node_hwmon_fan_rpm{chip=\"platform_nct6775_656_nct6779\",sensor=\"fan2\"}", 1098.0),
        ("node_hwmon_freq_freq_mhz{chip=\"platform_nct6775_656_second\",sensor=\"sclk\"}", 300.0),
        (
            "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",model=\"TOSHIBA_KSDB4U86\",\
             path=\"pci-0000:3b:00.0-sas-phy7-lun-0\",revision=\"0102\",rotational=\"1\",serial=\"SCSI1\",\
             wwn=\"0x7c72382b8de36a64\"}",
            1.0,
        ),
        ("node_filesystem_readonly{device=\"/dev/nvme0n1p1\",fstype=\"vfat\",mountpoint=\"/boot dir\"}", 1.0),
        ("node_network_receive_nohandler_total{device=\"eth0\"}", 3.0),
        (
            "node_filesystem_readonly{device=\"/dev/nvme0n1p3\",device_error=\"no such file or directory\",\
             fstype=\"xfs\",mountpoint=\"/gone\"}",
            1.0,
        ),
    ] {
        assert_eq!(ours.samples.get(series), Some(&value), "{series}");
    }
    let label = "platform_nct6775_656";
    let expected = std::fs::read(fixture().join("node_exporter.prom")).unwrap();
    let of_device = |page: &ReadPage| page.samples.keys().filter(|series| series.contains(label)).count();
    assert_eq!(of_device(&ours), of_device(&ReadPage::parse(&expected)), "no sensor is lost");
}

#[test]
fn a_host_without_anything_fails_collector_by_collector() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (page, failures) = ours(HostOptions {
        proc_root: at("proc"),
        sys_root: at("sys"),
        root_fs: at("root"),
        textfile_directory: Some(at("textfile")),
        disabled: Vec::new(),
    });
    let succeeded: Vec<&String> =
        page.samples.iter().filter(|(s, v)| s.contains("_success{") && **v == 1.0).map(|(s, _)| s).collect();
    let expected = ["sockstat", "textfile", "thermal_zone", "time"]
        .map(|name| format!("node_scrape_collector_success{{collector=\"{name}\"}}"));
    assert_eq!(succeeded, expected.iter().collect::<Vec<_>>());
    let no_data = failures.iter().filter(|f| f.ends_with("this host has no such data")).count();
    assert_eq!((failures.len(), no_data), (16, 4), "{failures:#?}");
}

#[test]
fn the_fixture_page_is_what_the_installed_node_exporter_gives() {
    let dir = fixture();
    let Some(mut exporter) = Exporter::start(
        FOLLOWED,
        &[
            "--no-collector.uname",
            "--no-collector.netdev.netlink",
            &format!("--path.procfs={}", dir.join("proc").display()),
            &format!("--path.sysfs={}", dir.join("sys").display()),
            &format!("--path.rootfs={}", dir.join("root").display()),
            &format!("--path.udev.data={}", dir.join("root/run/udev/data").display()),
            &format!("--collector.textfile.directory={}", dir.join("textfile").display()),
        ],
    ) else {
        return;
    };
    let theirs = ReadPage::parse(&exporter.page());
    let (ours, _) = ours(fixture_options());
    let found = differences(&theirs, &ours, true);
    let unintended: Vec<_> = found.iter().filter(|difference| !is_intended_on_fixture(difference)).collect();
    assert!(unintended.is_empty(), "{unintended:#?}");
}

/// Metrics of collectors that we do not have, or of fields that node_exporter leaves out unless told.
const NOT_COLLECTED: [&str; 18] = [
    "node_arp_",
    "node_cpu_scaling_frequency_",
    "node_entropy_",
    "node_interrupts_",
    "node_kernel_hung_",
    "node_netstat_Tcp_MaxConn",
    "node_network_carrier",
    "node_network_mtu_bytes",
    "node_network_speed_bytes",
    "node_network_up",
    "node_power_supply_",
    "node_processes_",
    "node_schedstat_",
    "node_softnet_",
    "node_systemd_",
    "node_tcp_connection_states",
    "node_timex_",
    "node_udp_queues",
];

#[test]
fn the_dashboard_node_exporter_full_finds_its_metrics() {
    let shared = std::env::var_os("SEXTANT_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let file = "conformance/dashboards/rfmoz__node-exporter-full.json";
    let Ok(dashboard) = std::fs::read_to_string(shared.join(file)) else {
        println!("SKIPPED: needs ../shared ({file})");
        return;
    };
    let (ours, _) = ours(HostOptions { disabled: Vec::new(), ..fixture_options() });
    let names = regex::Regex::new(r"\bnode_[a-zA-Z0-9_]+").unwrap();
    let used: BTreeSet<&str> = names.find_iter(&dashboard).map(|found| found.as_str()).collect();
    let (found, missing): (BTreeSet<&str>, BTreeSet<&str>) =
        used.into_iter().partition(|name| ours.types.contains_key(*name));
    let unexplained: Vec<_> = missing
        .iter()
        .filter(|name| !NOT_COLLECTED.iter().any(|start| name.starts_with(start)))
        // The name of the job.
        .filter(|name| **name != "node_exporter")
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
    assert!(found.len() > 150, "only {}", found.len());
}

/// Counters that nothing can turn back between two looks.
const RISING: [&str; 6] = [
    "node_context_switches_total",
    "node_disk_written_bytes_total",
    "node_forks_total",
    "node_intr_total",
    "node_network_receive_bytes_total",
    "node_network_transmit_packets_total",
];

/// What node_exporter 1.5 gives otherwise than 1.11, which we follow: families and labels that came
/// later, lines of `/proc/meminfo` that went, and devices that are left out now or were then.
const OTHERWISE_IN_1_5: [&str; 14] = [
    "node_filesystem_mount_info",
    "node_filesystem_purgeable_bytes",
    "node_memory_Balloon_bytes",
    "node_memory_FileHugePages_bytes",
    "node_memory_FilePmdMapped_bytes",
    "node_memory_Hugetlb_bytes",
    "node_memory_KReclaimable_bytes",
    "node_memory_SecPageTables_bytes",
    "node_netstat_TcpExt_TCPOFOQueue",
    "node_netstat_TcpExt_TCPRcvQDrop",
    "node_disk_info",
    "device=\"zram",
    "device=\"lo\"",
    "promhttp_metric_handler_errors_total",
];

#[test]
fn this_host_has_the_series_that_the_installed_node_exporter_gives() {
    let Some(mut exporter) = Exporter::start(DEBIAN_12, &["--collector.uname"]) else { return };
    let before = ReadPage::parse(&exporter.page());
    let (ours, failures) = ours(HostOptions::default());
    let after = ReadPage::parse(&exporter.page());
    let mut found = differences(&before, &ours, false);
    if exporter.version < FOLLOWED {
        found.retain(|difference| !OTHERWISE_IN_1_5.iter().any(|part| difference.contains(part)));
    }
    assert!(found.is_empty(), "{found:#?}\n{failures:#?}");
    let rising = |series: &str| RISING.contains(&series.split('{').next().unwrap_or_default());
    for (series, value) in ours.samples.iter().filter(|(series, _)| rising(series)) {
        let (Some(first), Some(last)) = (before.samples.get(series), after.samples.get(series)) else {
            assert!(exporter.version < FOLLOWED, "{series} is not theirs");
            continue;
        };
        let range = *first..=*last;
        assert!(range.contains(value), "{series} is {value}, node_exporter saw {range:?}");
    }
    for series in ["node_uname_info", "node_os_info", "node_memory_MemTotal_bytes", "node_boot_time_seconds"]
    {
        let of = |page: &ReadPage| {
            page.samples.iter().find(|(s, _)| s.starts_with(series)).map(|(s, v)| (s.clone(), *v))
        };
        assert_eq!(of(&ours), of(&before));
        assert!(of(&ours).is_some(), "{series}");
    }
}
