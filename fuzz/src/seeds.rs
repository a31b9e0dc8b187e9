//! The inputs that mutation starts from: those in the source, and small files.

use std::path::{Path, PathBuf};

use crate::Target;

/// A folder whose small files are seeds.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// Below the repository, or below the conformance data; what is missing gives no seeds.
    pub folder: Folder,
    /// How the names end; empty for all.
    pub ending: &'static str,
    /// Put in front of each: what the target reads before the body.
    pub prefix: &'static [u8],
}

/// Where a folder lies.
#[derive(Debug, Clone, Copy)]
pub enum Folder {
    Repository(&'static str),
    /// In `../shared/conformance`, or in `conformance` below `SEXTANT_SHARED`.
    Conformance(&'static str),
}

/// Longer files are no seeds: mutations of a long text rarely hit what matters.
const FILE_BYTES_MAX: u64 = 2 << 10;

/// Files of one folder that are taken.
const FILES_MAX: usize = 80;

/// All seeds of a target; never none, and in an order that files do not change.
pub fn of(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds = (target.seeds)();
    for files in target.files {
        for path in paths(files) {
            if let Ok(bytes) = std::fs::read(&path) {
                seeds.push([files.prefix, &bytes].concat());
            }
        }
    }
    if seeds.is_empty() {
        seeds.push(Vec::new());
    }
    seeds
}

fn paths(files: &Files) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path_of(files.folder)) else { return Vec::new() };
    let is_small = |path: &PathBuf| {
        let name = path.to_string_lossy();
        let size = path.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
        name.ends_with(files.ending) && size.is_some_and(|size| size <= FILE_BYTES_MAX)
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_small).collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    paths
}

fn path_of(folder: Folder) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match folder {
        Folder::Repository(path) => repository.join(path),
        Folder::Conformance(path) => std::env::var_os("SEXTANT_SHARED")
            .map_or_else(|| repository.join("../shared"), PathBuf::from)
            .join("conformance")
            .join(path),
    }
}
