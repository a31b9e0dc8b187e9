//! Files of the kernel as no kernel writes them: every collector answers, none takes another along.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agent::{COLLECTOR_NAMES, HostCollector};
use base::{Rng, SystemClock};

use crate::fixture_options;

/// Damages tried for each file.
const DAMAGES: usize = 12;

/// Collectors that may read one file: `/proc/stat` has two readers.
const READERS_MAX: usize = 2;

fn copy_tree(from: &Path, to: &Path, files: &mut Vec<PathBuf>) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target, files);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            files.push(target);
        }
    }
    files.sort_unstable();
}

/// Cut off, bytes changed, or a piece put in twice.
fn damage(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut damaged = text.to_vec();
    let at = |rng: &mut Rng| usize::try_from(rng.below(text.len() as u64)).unwrap();
    match rng.below(3) {
        0 => damaged.truncate(at(rng)),
        1 => {
            for _ in 0..4 {
                damaged[at(rng)] = b"0 \n:-\xffz\t"[usize::try_from(rng.below(8)).unwrap()];
            }
        }
        _ => {
            let (from, to) = (at(rng), at(rng));
            damaged.splice(to..to, text[from..].iter().copied());
        }
    }
    damaged
}

#[test]
fn damaged_files_fail_their_readers_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = fixture_options();
    let mut files = Vec::new();
    copy_tree(&options.proc_root, dir.path(), &mut files);
    options.proc_root = dir.path().to_owned();
    options.textfile_directory = None;
    let expected: BTreeSet<&str> = COLLECTOR_NAMES.into_iter().filter(|name| *name != "uname").collect();
    let mut rng = Rng::new(1);
    for file in files {
        let text = std::fs::read(&file).unwrap();
        for _ in 0..DAMAGES {
            let damaged = damage(&text, &mut rng);
            std::fs::write(&file, &damaged).unwrap();
            let page = HostCollector::new(options.clone()).unwrap().collect(&SystemClock::new());
            let success = page.families.iter().find(|f| f.name == "node_scrape_collector_success").unwrap();
            let answered: BTreeSet<&str> = success.samples.iter().map(|s| s.labels[0].1.as_str()).collect();
            let failed = success.samples.iter().filter(|sample| sample.value == 0.0).count();
            let shown = String::from_utf8_lossy(&damaged);
            assert_eq!(answered, expected, "{} as {shown:?}", file.display());
            assert!(failed <= READERS_MAX, "{} as {shown:?} failed {failed}", file.display());
        }
        std::fs::write(&file, &text).unwrap();
    }
}
