use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

const LINE: &str = "27 1 254:0 / /mnt/a\\040b rw,relatime shared:1 - ext4 /dev/vda rw,discard";

fn mount(mount_point: &str, read_only: bool) -> Mount {
    Mount {
        device: "/dev/vda".to_owned(),
        mount_point: mount_point.to_owned(),
        fs_type: "ext4".to_owned(),
        major: 254,
        minor: 0,
        read_only,
    }
}

#[test]
fn mount_lines_are_read() {
    for (line, root, expected) in [
        (LINE.to_owned(), "/", mount("/mnt/a b", false)),
        (LINE.to_owned(), "/mnt", mount("/a b", false)),
        (LINE.to_owned(), "/mnt/a b", mount("/", false)),
        (LINE.to_owned(), "/mn", mount("/mnt/a b", false)),
        (LINE.replace("rw,relatime", "ro,relatime"), "/", mount("/mnt/a b", true)),
        (LINE.replace("rw,discard", "rw,emergency_ro"), "/", mount("/mnt/a b", true)),
        (LINE.replace("shared:1 ", ""), "/", mount("/mnt/a b", false)),
    ] {
        assert_eq!(parse_line(&line, root).unwrap(), expected, "{line}");
    }
    for line in
        ["", "27 1 254:0 / / rw - ext4 /dev/vda", &LINE.replace("254:0", "254"), &LINE.replace("254", "x")]
    {
        assert_eq!(
            parse_line(line, "/").unwrap_err().to_string(),
            format!("mountinfo: cannot read {line:?}")
        );
    }
}

#[test]
fn mounts_of_the_system_are_excluded() {
    let excluded = regex::Regex::new(MOUNT_POINTS_EXCLUDED).unwrap();
    for (mount_point, expected) in [
        ("/", false),
        ("/dev", true),
        ("/dev/shm", true),
        ("/devices", false),
        ("/run", false),
        ("/run/credentials/x", true),
        ("/sys/fs/bpf", true),
        ("/var/lib/docker", false),
        ("/var/lib/docker/overlay2/x", true),
    ] {
        assert_eq!(excluded.is_match(mount_point), expected, "{mount_point}");
    }
    assert!(regex::Regex::new(FS_TYPES_EXCLUDED).unwrap().is_match("tracefs"));
}

const SPACE: Space =
    Space { size_bytes: 1.0, free_bytes: 1.0, available_bytes: 1.0, files: 1.0, files_free: 1.0 };

/// A mount at a directory answers once the directory has a named pipe with a writer.
fn answer_when_released(path: &Path) -> Result<Space, String> {
    if path.join("dead").exists() {
        // Opening a named pipe blocks until somebody opens its other end.
        std::fs::read(path.join("dead")).map_err(|error| error.to_string())?;
    }
    Ok(SPACE)
}

#[test]
fn a_dead_mount_is_left_alone_until_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (good, dead): (PathBuf, PathBuf) = (dir.path().join("good"), dir.path().join("bad"));
    std::fs::create_dir(&good).unwrap();
    std::fs::create_dir(&dead).unwrap();
    let pipe = dead.join("dead");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();

    let long = Duration::from_secs(60);
    let mut prober = MountProber::new(answer_when_released);
    assert_eq!(prober.probe(&good, long), Ok(SPACE));
    let timed_out = Err("mountpoint timeout".to_owned());
    assert_eq!(prober.probe(&dead, Duration::from_millis(1)), timed_out);
    assert_eq!(prober.probe(&dead, long), timed_out, "it is not asked again, so this returns at once");
    assert_eq!(prober.probe(&good, long), Ok(SPACE), "others are still asked");

    std::fs::write(&pipe, "").unwrap();
    std::fs::remove_file(&pipe).unwrap();
    let mut answer = prober.probe(&dead, long);
    while answer == timed_out {
        std::thread::yield_now();
        answer = prober.probe(&dead, long);
    }
    assert_eq!(answer, Ok(SPACE));
}

#[test]
fn errors_are_labels() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(statfs(&dir.path().join("absent")).unwrap_err(), "no such file or directory");
    assert!(statfs(Path::new("/")).unwrap().size_bytes > 0.0);
}
