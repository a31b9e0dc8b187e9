//! A node_exporter of the machine, if it has one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The collectors that we have; their mount point filter is upstream's, which Debian changes.
const FLAGS: [&str; 4] = [
    "--web.listen-address=127.0.0.1:0",
    "--web.disable-exporter-metrics",
    "--collector.disable-defaults",
    "--collector.filesystem.mount-points-exclude=\
     ^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
];

/// A running exporter; dropping it ends it.
pub(crate) struct Exporter {
    child: Child,
    address: String,
    pub(crate) version: Version,
    /// Kept open, since the exporter logs while it runs.
    _log: BufReader<std::process::ChildStderr>,
}

impl Exporter {
    /// `None`, with a line that says so, where there is no exporter of that release or a newer one.
    pub(crate) fn start(version_min: Version, flags: &[&str]) -> Option<Self> {
        let Some(program) = find() else {
            println!("SKIPPED: needs prometheus-node-exporter");
            return None;
        };
        let version = version_of(&program).expect("node_exporter tells its version");
        if version < version_min {
            println!(
                "SKIPPED: needs node_exporter {version_min:?} or newer, {} is {version:?}",
                program.display()
            );
            return None;
        }
        let collectors = agent::COLLECTOR_NAMES.iter().filter(|name| **name != "uname");
        let mut child = Command::new(program)
            .args(FLAGS)
            .args(collectors.map(|name| format!("--collector.{name}")))
            // Debian's package has a directory of its own as the default.
            .arg("--collector.textfile.directory=")
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the exporter ended");
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                break address.trim().to_owned();
            }
        };
        Some(Self { child, address, version, _log: log })
    }

    pub(crate) fn page(&mut self) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        answer.split_off(body)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Major and minor.
pub(crate) type Version = (u32, u32);

/// The release that we follow.
pub(crate) const FOLLOWED: Version = (1, 11);
/// The release of Debian 12.
pub(crate) const DEBIAN_12: Version = (1, 5);

/// Major and minor of `node_exporter, version 1.11.1 (...)`.
fn version_of(program: &Path) -> Option<Version> {
    let output = Command::new(program).arg("--version").output().ok()?;
    // It goes to one or the other, depending on the release.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut numbers = text.split_once("version ")?.1.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// In the folder that `SEXTANT_PEERS` names, where tests/setup unpacks Debian's packages, or on the
/// path.
fn find() -> Option<PathBuf> {
    let named = std::env::var_os("SEXTANT_PEERS").map(|dir| PathBuf::from(dir).join("bin"));
    let unpacked = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = named.into_iter().chain([unpacked]).chain(std::env::split_paths(&path));
    dirs.flat_map(|dir| ["prometheus-node-exporter", "node_exporter"].map(|name| dir.join(name)))
        .find(|candidate| candidate.is_file())
}
