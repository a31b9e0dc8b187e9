//! Rust files that no `mod` declaration reaches are dead: the compiler never sees them.

use std::collections::BTreeSet;

use super::Tree;
use super::source::code_only;

pub(crate) fn check_dead_files(tree: &Tree) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> =
        tree.rust_files().map(|(path, _)| path).filter(|p| is_root(p)).map(str::to_owned).collect();
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(file) = tree.files.get(&path) else { continue };
        for child in children(&path, &file.text) {
            if tree.files.contains_key(&child) {
                open.push(child);
            }
        }
    }
    let dead = tree.rust_files().map(|(path, _)| path).filter(|path| !reached.contains(*path));
    dead.map(|path| format!("{path}: no `mod` leads here")).collect()
}

/// Files that cargo itself compiles.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let inside = match parts[..] {
        // A package of its own below the one of the targets.
        ["fuzz", "libfuzzer", ..] => &parts[2..],
        ["fuzz" | "xtask", ..] => &parts[1..],
        _ => &parts[2..],
    };
    match inside {
        ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["examples" | "benches", _] => true,
        ["tests", file] => file.ends_with(".rs"),
        ["tests", _, "main.rs"] => true,
        _ => false,
    }
}

/// The files that `mod name;` lines of this file may mean.
fn children(path: &str, text: &str) -> Vec<String> {
    let folder = match path.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs")) => folder.to_owned(),
        Some((folder, _)) if is_root(path) => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    let mut found = Vec::new();
    let mut nested: Vec<String> = Vec::new();
    for line in code_only(text).lines() {
        let line = line.trim();
        let Some(after) =
            line.strip_prefix("mod ").or_else(|| line.split_once(" mod ").map(|(_, rest)| rest))
        else {
            continue;
        };
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if after.contains('{') {
            nested.push(name);
        } else {
            found.push(format!("{folder}/{name}.rs"));
            found.extend(nested.iter().map(|outer| format!("{folder}/{outer}/{name}.rs")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreached_files_are_found() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "pub mod b;\npub(crate) mod d;\n// mod dead;\n"),
            ("crates/a/src/b.rs", "mod c;\n"),
            ("crates/a/src/b/c.rs", ""),
            ("crates/a/src/d.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/d/tests.rs", ""),
            ("crates/a/src/dead.rs", ""),
            ("crates/a/tests/it/main.rs", "mod one;\n"),
            ("crates/a/tests/it/one.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("fuzz/src/lib.rs", ""),
            ("fuzz/libfuzzer/src/main.rs", ""),
        ]);
        assert_eq!(check_dead_files(&tree), ["crates/a/src/dead.rs: no `mod` leads here"]);
    }
}
