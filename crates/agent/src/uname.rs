//! `node_uname_info` from `/proc/sys/kernel`, which can be looked at through a root.

use crate::collector::Host;
use crate::family::Families;
use crate::source::{CollectError, read_line};

/// Label and file.
const FIELDS: [(&str, &str); 5] = [
    ("sysname", "ostype"),
    ("release", "osrelease"),
    ("version", "version"),
    ("nodename", "hostname"),
    ("domainname", "domainname"),
];

pub(crate) fn collect(host: &Host<'_>, out: &mut Families) -> Result<(), CollectError> {
    let dir = host.roots.proc.join("sys/kernel");
    let mut labels = Vec::new();
    for (label, file) in FIELDS {
        labels.push((label, read_line(&dir.join(file))?));
    }
    // Linux before 6.1 has no file for it; then the system call knows.
    let machine = match read_line(&dir.join("arch")) {
        Ok(machine) => machine,
        Err(_) => rustix::system::uname().machine().to_string_lossy().into_owned(),
    };
    labels.push(("machine", machine));
    let labels: Vec<(&'static str, &str)> =
        labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    out.gauge("node_uname_info", "What uname says, as labels.").push(&labels, 1.0);
    Ok(())
}
