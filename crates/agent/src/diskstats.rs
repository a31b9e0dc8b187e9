//! `node_disk_*` from `/proc/diskstats`, with what udev knows of each device.

use std::collections::BTreeMap;

use model::MetricType::{self, Counter, Gauge};

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, parse_u64, read, read_line};

/// Partitions, loop devices and memory disks are left out.
pub(crate) const DEVICES_EXCLUDED: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";

/// The kernel counts sectors of this size whatever the device's own.
const SECTOR_BYTES: f64 = 512.0;

/// The kernel counts time in milliseconds.
const SECONDS_PER_TICK: f64 = 1.0 / 1000.0;

/// Fields that the oldest supported kernel gives; 4.18 adds discards, 5.5 flushes.
const FIELDS_MIN: usize = 11;

/// Metric, type, factor and help of each field after the device's name.
const METRICS: [(&str, MetricType, f64, &str); 17] = [
    ("reads_completed_total", Counter, 1.0, "Reads that were completed."),
    ("reads_merged_total", Counter, 1.0, "Reads that were merged into others."),
    ("read_bytes_total", Counter, SECTOR_BYTES, "Bytes that were read."),
    ("read_time_seconds_total", Counter, SECONDS_PER_TICK, "Seconds that all reads took together."),
    ("writes_completed_total", Counter, 1.0, "Writes that were completed."),
    ("writes_merged_total", Counter, 1.0, "Writes that were merged into others."),
    ("written_bytes_total", Counter, SECTOR_BYTES, "Bytes that were written."),
    ("write_time_seconds_total", Counter, SECONDS_PER_TICK, "Seconds that all writes took together."),
    ("io_now", Gauge, 1.0, "Reads and writes in progress."),
    ("io_time_seconds_total", Counter, SECONDS_PER_TICK, "Seconds in which the device was busy."),
    (
        "io_time_weighted_seconds_total",
        Counter,
        SECONDS_PER_TICK,
        "Seconds in which the device was busy, times the operations in progress.",
    ),
    ("discards_completed_total", Counter, 1.0, "Discards that were completed."),
    ("discards_merged_total", Counter, 1.0, "Discards that were merged into others."),
    ("discarded_sectors_total", Counter, 1.0, "Sectors that were discarded."),
    ("discard_time_seconds_total", Counter, SECONDS_PER_TICK, "Seconds that all discards took together."),
    ("flush_requests_total", Counter, 1.0, "Flushes that were completed."),
    (
        "flush_requests_time_seconds_total",
        Counter,
        SECONDS_PER_TICK,
        "Seconds that all flushes took together.",
    ),
];

/// What an ATA device tells udev: property, metric, help.
const ATA_METRICS: [(&str, &str, &str); 3] = [
    ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "1 if the disk has a write cache."),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "node_disk_ata_write_cache_enabled",
        "1 if the disk uses its write cache.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "node_disk_ata_rotation_rate_rpm",
        "Rotations per minute, 0 for disks without moving parts.",
    ),
];

/// One line of `/proc/diskstats`.
#[derive(Debug, PartialEq)]
struct Disk<'t> {
    major: u64,
    minor: u64,
    device: &'t str,
    /// As the kernel counts, as many as it gives.
    values: Vec<u64>,
}

type Udev = BTreeMap<String, String>;

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    for disk in parse(&host.roots.read_proc("diskstats")?)? {
        if host.filters.disks_excluded.is_match(disk.device) {
            continue;
        }
        let udev_path = host.roots.root.join(format!("run/udev/data/b{}:{}", disk.major, disk.minor));
        let udev = read(&udev_path).map(|text| parse_udev(&text)).unwrap_or_default();
        let rotational_path = host.roots.sys.join(format!("block/{}/queue/rotational", disk.device));
        let rotates = read_line(&rotational_path).is_ok_and(|text| text == "1");
        push_info(&disk, &udev, rotates, out);
        for ((name, metric_type, factor, help), value) in METRICS.into_iter().zip(&disk.values) {
            out.family(&format!("node_disk_{name}"), metric_type, help)
                .push(&[("device", disk.device)], *value as f64 * factor);
        }
        push_udev(disk.device, &udev, out);
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Disk<'_>>, CollectError> {
    let mut disks = Vec::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let (Some(major), Some(minor), Some(device)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(CollectError::malformed("diskstats", format!("cannot read {line:?}")));
        };
        let values: Vec<u64> = fields.map(|field| parse_u64("diskstats", field)).collect::<Result<_, _>>()?;
        if values.len() < FIELDS_MIN {
            return Err(CollectError::malformed("diskstats", format!("too few fields in {line:?}")));
        }
        let number = |text| parse_u64("diskstats", text);
        disks.push(Disk { major: number(major)?, minor: number(minor)?, device, values });
    }
    Ok(disks)
}

/// Properties of a device in udev's database.
fn parse_udev(text: &str) -> Udev {
    let properties = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    properties.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn property<'u>(udev: &'u Udev, name: &str) -> &'u str {
    udev.get(name).map_or("", String::as_str)
}

fn push_info(disk: &Disk<'_>, udev: &Udev, rotates: bool, out: &mut Families) {
    // The first is usually what is printed on the disk; virtio has only the last.
    let serials = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"];
    let serial = serials.into_iter().map(|name| property(udev, name)).find(|serial| !serial.is_empty());
    let labels = [
        ("device", disk.device),
        ("major", &disk.major.to_string()),
        ("minor", &disk.minor.to_string()),
        ("path", property(udev, "ID_PATH")),
        ("wwn", property(udev, "ID_WWN")),
        ("model", property(udev, "ID_MODEL")),
        ("serial", serial.unwrap_or("")),
        ("revision", property(udev, "ID_REVISION")),
        ("rotational", if rotates { "1" } else { "0" }),
    ];
    out.gauge("node_disk_info", "What is known of a block device, as labels.").push(&labels, 1.0);
}

fn push_udev(device: &str, udev: &Udev, out: &mut Families) {
    if !property(udev, "ID_FS_TYPE").is_empty() {
        let labels = [
            ("device", device),
            ("type", property(udev, "ID_FS_TYPE")),
            ("usage", property(udev, "ID_FS_USAGE")),
            ("uuid", property(udev, "ID_FS_UUID")),
            ("version", property(udev, "ID_FS_VERSION")),
        ];
        out.gauge("node_disk_filesystem_info", "The file system on a device, as labels.").push(&labels, 1.0);
    }
    if !property(udev, "DM_NAME").is_empty() {
        let labels = [
            ("device", device),
            ("name", property(udev, "DM_NAME")),
            ("uuid", property(udev, "DM_UUID")),
            ("vg_name", property(udev, "DM_VG_NAME")),
            ("lv_name", property(udev, "DM_LV_NAME")),
            ("lv_layer", property(udev, "DM_LV_LAYER")),
        ];
        out.gauge("node_disk_device_mapper_info", "The mapping behind a device, as labels.")
            .push(&labels, 1.0);
    }
    if !property(udev, "ID_ATA").is_empty() {
        for (name, metric, help) in ATA_METRICS {
            // A value that is not a number says nothing; udev's scripts write what they like.
            if let Ok(value) = property(udev, name).parse::<f64>() {
                out.gauge(metric, help).push(&[("device", device)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_eleven_fields_or_more() {
        let text = "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n 253 0 dm-0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
        let disks = parse(text).unwrap();
        assert_eq!((disks[0].major, disks[0].device, disks[0].values.len()), (8, "sda", 11));
        assert_eq!((disks[1].device, &disks[1].values), ("dm-0", &(1..=17).collect()));
        for (text, problem) in [
            ("8 0\n", "diskstats: cannot read \"8 0\""),
            ("8 0 sda 1 2\n", "diskstats: too few fields in \"8 0 sda 1 2\""),
            ("8 0 sda x\n", "diskstats: \"x\" is not a number"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), problem);
        }
    }

    #[test]
    fn partitions_and_memory_disks_are_excluded() {
        let excluded = regex::Regex::new(DEVICES_EXCLUDED).unwrap();
        for (device, expected) in [
            ("sda", false),
            ("sda1", true),
            ("vda", false),
            ("xvda2", true),
            ("nvme0n1", false),
            ("nvme0n1p1", true),
            ("loop7", true),
            ("zram0", true),
            ("ram15", true),
            ("dm-0", false),
            ("md0", false),
            ("sr0", false),
        ] {
            assert_eq!(excluded.is_match(device), expected, "{device}");
        }
    }

    #[test]
    fn udev_properties_are_the_lines_with_e() {
        let udev = parse_udev("S:disk/by-id/x\nE:ID_MODEL=A=B\nI:1\nE:BROKEN\nE:ID_ATA=1\n");
        assert_eq!((property(&udev, "ID_MODEL"), property(&udev, "ID_ATA"), udev.len()), ("A=B", "1", 2));
    }
}
