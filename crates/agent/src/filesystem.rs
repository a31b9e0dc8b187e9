//! `node_filesystem_*` from the mount table and `statfs`.

mod prober;

use std::path::Path;
use std::time::Duration;

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, Roots};

pub(crate) use prober::MountProber;

/// Mount points that are left out.
pub(crate) const MOUNT_POINTS_EXCLUDED: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";

/// File system types that are left out.
pub(crate) const FS_TYPES_EXCLUDED: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";

/// How long a mount may take to answer before it counts as dead.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What `statfs` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Space {
    pub(crate) size_bytes: f64,
    pub(crate) free_bytes: f64,
    pub(crate) available_bytes: f64,
    pub(crate) files: f64,
    pub(crate) files_free: f64,
}

/// One line of the mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    mount_point: String,
    fs_type: String,
    major: u64,
    minor: u64,
    read_only: bool,
}

/// Space of the file system at a path, or why there is none, in words for a label.
pub(crate) fn statfs(path: &Path) -> Result<Space, String> {
    let found = rustix::fs::statfs(path).map_err(|errno| {
        let text = std::io::Error::from(errno).to_string();
        text.split(" (os error").next().unwrap_or_default().to_lowercase()
    })?;
    let block_bytes = found.f_bsize as f64;
    Ok(Space {
        size_bytes: found.f_blocks as f64 * block_bytes,
        free_bytes: found.f_bfree as f64 * block_bytes,
        available_bytes: found.f_bavail as f64 * block_bytes,
        files: found.f_files as f64,
        files_free: found.f_ffree as f64,
    })
}

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let mut mounts: Vec<Mount> = parse(&mount_table(host.roots)?, host.roots)?;
    mounts.retain(|mount| {
        !host.filters.mount_points_excluded.is_match(&mount.mount_point)
            && !host.filters.fs_types_excluded.is_match(&mount.fs_type)
    });
    mounts.sort_by(|a, b| {
        (&a.mount_point, &a.device, &a.fs_type).cmp(&(&b.mount_point, &b.device, &b.fs_type))
    });
    // The same thing mounted twice on the same place is one thing to look at.
    mounts
        .dedup_by(|a, b| (&a.mount_point, &a.device, &a.fs_type) == (&b.mount_point, &b.device, &b.fs_type));
    let mut prober = host.mounts.lock();
    for mount in &mounts {
        let path = host.roots.root.join(mount.mount_point.trim_start_matches('/'));
        push(mount, &prober.probe(&path, ANSWER_WAIT), out);
    }
    Ok(())
}

/// The mounts of the first process are the host's; where they are hidden, ours.
fn mount_table(roots: &Roots) -> Result<String, CollectError> {
    match roots.read_proc("1/mountinfo") {
        Err(error) if error.is_not_found() => roots.read_proc("self/mountinfo"),
        other => other,
    }
}

fn parse(text: &str, roots: &Roots) -> Result<Vec<Mount>, CollectError> {
    let prefix = roots.root.to_string_lossy();
    text.lines().map(|line| parse_line(line, &prefix)).collect()
}

fn parse_line(line: &str, root: &str) -> Result<Mount, CollectError> {
    let malformed = || CollectError::malformed("mountinfo", format!("cannot read {line:?}"));
    let fields: Vec<&str> = line.split(' ').collect();
    let [_, _, device_number, _, mount_point, options, rest @ ..] = &fields[..] else {
        return Err(malformed());
    };
    let [.., "-", fs_type, device, super_options] = rest else { return Err(malformed()) };
    let (major, minor) = device_number.split_once(':').ok_or_else(malformed)?;
    let mount_point = unescape(mount_point);
    let below = match mount_point.strip_prefix(root) {
        Some(rest) if root != "/" && (rest.is_empty() || rest.starts_with('/')) => rest,
        _ => &mount_point,
    };
    let is_set = |options: &str, flag: &str| options.split(',').any(|option| option == flag);
    Ok(Mount {
        device: (*device).to_owned(),
        mount_point: if below.is_empty() { "/".to_owned() } else { below.to_owned() },
        fs_type: (*fs_type).to_owned(),
        major: major.parse().map_err(|_| malformed())?,
        minor: minor.parse().map_err(|_| malformed())?,
        read_only: is_set(options, "ro")
            || is_set(super_options, "ro")
            || is_set(super_options, "emergency_ro"),
    })
}

/// Spaces and tabs are written in octal; of the other escapes node_exporter leaves the backslashes.
fn unescape(mount_point: &str) -> String {
    mount_point.replace("\\040", " ").replace("\\011", "\t")
}

fn push(mount: &Mount, space: &Result<Space, String>, out: &mut Families) {
    let error = space.as_ref().err().map_or("", String::as_str);
    let labels = [
        ("device", mount.device.as_str()),
        ("mountpoint", &mount.mount_point),
        ("fstype", &mount.fs_type),
        ("device_error", error),
    ];
    let mut gauge = |name: &str, help: &str, value: f64| {
        out.gauge(&format!("node_filesystem_{name}"), help).push(&labels, value);
    };
    let flag = |set: bool| if set { 1.0 } else { 0.0 };
    gauge("device_error", "1 if the file system could not be looked at.", flag(space.is_err()));
    gauge("readonly", "1 if the file system cannot be written.", flag(mount.read_only));
    let Ok(space) = space else { return };
    gauge("size_bytes", "The size of the file system.", space.size_bytes);
    gauge("free_bytes", "Bytes that are free.", space.free_bytes);
    gauge("avail_bytes", "Bytes that are free for users other than root.", space.available_bytes);
    gauge("files", "Files that the file system can hold.", space.files);
    gauge("files_free", "Files that could still be made.", space.files_free);
    gauge("purgeable_bytes", "Bytes that the system could free by itself; 0 on Linux.", 0.0);
    let info = [
        ("device", mount.device.as_str()),
        ("major", &mount.major.to_string()),
        ("minor", &mount.minor.to_string()),
        ("mountpoint", &mount.mount_point),
    ];
    out.gauge("node_filesystem_mount_info", "A mount, as labels.").push(&info, 1.0);
}

#[cfg(test)]
mod tests;
