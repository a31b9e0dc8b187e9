//! Where the conformance data lies.

use std::path::{Path, PathBuf};

/// The folder of shared data, or `None` after saying that a test is skipped.
pub(crate) fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SEXTANT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("SKIPPED: needs ../shared ({folder})");
    None
}

/// The names of the files in a folder, sorted.
pub(crate) fn file_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}
