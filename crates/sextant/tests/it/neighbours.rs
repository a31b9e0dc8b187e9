//! Programs of others that a test works with, and what is said when one is missing.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/sextant lies in a workspace")
        .to_owned()
}

/// Finds a program: in the folder that `SEXTANT_PEERS` names, where tests/setup unpacks Debian's
/// packages, on the path, and among Debian's PostgreSQL programs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let named = std::env::var_os("SEXTANT_PEERS").map(|dir| PathBuf::from(dir).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = named.into_iter().chain([root().join("target/peers/bin")]).collect();
    folders.extend(std::env::split_paths(&path));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders.into_iter().map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// All of the named programs in their order, or none after saying which are missing.
pub(crate) fn find_all<const N: usize>(programs: [&str; N]) -> Option<[PathBuf; N]> {
    let missing: Vec<&str> = programs.into_iter().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        skipped(&missing.join(", "));
        return None;
    }
    Some(programs.map(|program| find(program).expect("it was there a moment ago")))
}

/// A Prometheus of the major release whose behaviour is ours.
pub(crate) fn prometheus_3() -> Option<PathBuf> {
    let [prometheus] = find_all(["prometheus"])?;
    let version = std::process::Command::new(&prometheus).arg("--version").output().ok()?;
    let text =
        String::from_utf8_lossy(&version.stdout).into_owned() + &String::from_utf8_lossy(&version.stderr);
    if text.contains("version 3.") {
        return Some(prometheus);
    }
    skipped(&format!("prometheus 3, found {}", text.lines().next().unwrap_or_default()));
    None
}

/// Says, where whoever runs the tests counts it, that this test did not run.
pub(crate) fn skipped(needs: &str) {
    println!("SKIPPED: needs {needs}");
}
