//! `cargo xtask tidy`: the rules of the tree that no compiler checks.
//!
//! Every check is a pure function over the files of the workspace, held in memory, with a test of
//! its own in the same file. Findings fail the run; remarks (files and functions that have outgrown
//! a screen) are printed and change nothing.

mod documents;
mod layers;
mod reach;
mod size;
mod source;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use crate::report;

/// The files that git knows, by path from the root. Binary files hold an empty text.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, TreeFile>,
}

/// One file: its text (empty when it is not UTF-8) and its size.
#[derive(Debug, Default)]
pub(crate) struct TreeFile {
    pub(crate) text: String,
    pub(crate) bytes: usize,
}

impl Tree {
    fn read(root: &Path) -> Result<Self, String> {
        let listing = std::process::Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("git ls-files: {e}"))?;
        let mut tree = Self::default();
        for path in String::from_utf8_lossy(&listing.stdout).lines() {
            // A file that git knows but that is deleted in the work tree is none of our business.
            if let Ok(content) = std::fs::read(root.join(path)) {
                let bytes = content.len();
                let text = String::from_utf8(content).unwrap_or_default();
                tree.files.insert(path.to_owned(), TreeFile { text, bytes });
            }
        }
        Ok(tree)
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let entry = |(path, text): &(&str, &str)| {
            ((*path).to_owned(), TreeFile { text: (*text).to_owned(), bytes: text.len() })
        };
        Self { files: files.iter().map(entry).collect() }
    }

    /// Path and text of every Rust file under `crates/`, `fuzz/` and `xtask/`.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(|(path, _)| {
                path.ends_with(".rs")
                    && ["crates/", "fuzz/", "xtask/"].iter().any(|folder| path.starts_with(folder))
            })
            .map(|(path, file)| (path.as_str(), file.text.as_str()))
    }
}

/// From the tree to findings, one sentence each.
type Check = fn(&Tree) -> Vec<String>;

/// Runs every check; an error lists all findings.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    for remark in size::remarks(&tree) {
        report(&format!("remark: {remark}"));
    }
    let checks: [(&str, Check); 9] = [
        ("layers", layers::check_arrows),
        ("async", layers::check_async),
        ("build scripts", layers::check_build_scripts),
        ("packages", layers::check_package_budget),
        ("dead files", reach::check_dead_files),
        ("words", words::check_banned),
        ("crate roots", words::check_crate_roots),
        ("documents", documents::check),
        ("fixtures", documents::check_fixtures),
    ];
    let mut findings = Vec::new();
    for (name, check) in checks {
        findings.extend(check(&tree).into_iter().map(|finding| format!("{name}: {finding}")));
    }
    if findings.is_empty() {
        report(&format!("tidy: {} files, nothing found", tree.files.len()));
        return Ok(());
    }
    Err(format!("{}\ntidy: {} findings", findings.join("\n"), findings.len()))
}
