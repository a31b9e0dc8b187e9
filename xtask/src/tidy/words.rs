//! Constructs that do not belong in the tree, each with what to use in its place.

use super::Tree;
use super::source::code_only;

struct Banned {
    pattern: &'static str,
    instead: &'static str,
    /// Path prefixes where the construct is at home.
    except: &'static [&'static str],
}

const BANNED: &[Banned] = &[
    Banned { pattern: "todo!(", instead: "finish it, or leave it out", except: &[] },
    Banned { pattern: "unimplemented!(", instead: "return a typed error", except: &[] },
    Banned { pattern: "dbg!(", instead: "a test or a tracing event", except: &[] },
    Banned { pattern: "lazy_static!", instead: "pass it as an argument", except: &[] },
    Banned { pattern: "LazyLock", instead: "pass it as an argument", except: &[] },
    // libFuzzer calls a plain function: there is nobody to pass it anything.
    Banned { pattern: "OnceLock", instead: "pass it as an argument", except: &["fuzz/libfuzzer/"] },
    Banned { pattern: "static mut", instead: "an owner", except: &[] },
    Banned { pattern: "thread_local!", instead: "pass it as an argument", except: &[] },
    Banned { pattern: "#[allow(", instead: "#[expect(.., reason = \"..\")]", except: &[] },
    Banned { pattern: "#[ignore", instead: "run it, or remove it", except: &[] },
    Banned { pattern: "anyhow", instead: "a closed error enum", except: &[] },
    Banned { pattern: "std::sync::Mutex", instead: "parking_lot: no poison branches", except: &[] },
    Banned { pattern: "std::fs::", instead: "vfs, so that sim can break it", except: FILES },
    Banned { pattern: "SystemTime::now", instead: "base::Clock", except: &["crates/base/src/clock.rs"] },
    Banned {
        pattern: "thread::sleep",
        instead: "a condition to wait for",
        except: &["crates/sextant/tests/"],
    },
];

/// Where plain files are at home: tools, tests, and the crates whose duty they are.
const FILES: &[&str] = &[
    "crates/vfs/",
    "crates/agent/",
    "crates/server/",
    "crates/sextant/",
    "crates/testkit/",
    "fuzz/",
    "xtask/",
];

/// File names that say nothing and collect everything.
const VAGUE_FILES: &[&str] =
    &["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "manager.rs", "misc.rs"];

pub(crate) fn check_banned(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files() {
        if let Some(name) = VAGUE_FILES.iter().find(|name| path.rsplit('/').next() == Some(name)) {
            findings.push(format!("{path}: {name} says nothing; name the concept"));
        }
        // This file has to spell the words it looks for.
        if path == "xtask/src/tidy/words.rs" {
            continue;
        }
        let code = code_only(text);
        let is_test_path =
            path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/examples/");
        let tests_from = code.lines().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
        for (idx, line) in code.lines().enumerate() {
            for banned in BANNED.iter().filter(|b| line.contains(b.pattern)) {
                let is_test = is_test_path || idx > tests_from;
                let at_home = banned.except.iter().any(|prefix| path.starts_with(prefix));
                if !(at_home || is_test && banned.pattern == "std::fs::") {
                    findings.push(format!("{path}:{}: {}: use {}", idx + 1, banned.pattern, banned.instead));
                }
            }
        }
    }
    findings
}

/// Every crate root opens by saying what the crate does and what it does not know.
pub(crate) fn check_crate_roots(tree: &Tree) -> Vec<String> {
    let root = |path: &str| path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let silent = tree.rust_files().filter(|(path, text)| root(path) && !text.starts_with("//! "));
    silent.map(|(path, _)| format!("{path}: the first line says the crate's duty (`//! ...`)")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_constructs_are_found_in_code_only() {
        let check = |path: &str, text: &str, n_findings: usize| {
            assert_eq!(check_banned(&Tree::of(&[(path, text)])).len(), n_findings, "{path}: {text}");
        };
        for banned in BANNED.iter().filter(|b| b.except.is_empty()) {
            check("crates/a/src/lib.rs", &format!("x {} y", banned.pattern), 1);
        }
        check("crates/a/src/lib.rs", "// todo!( in a comment\nlet a = \"dbg!(\";", 0);
        check("crates/a/src/lib.rs", "std::fs::read(p)", 1);
        check("crates/vfs/src/real.rs", "std::fs::read(p)", 0);
        check("crates/a/src/lib.rs", "#[cfg(test)]\nmod tests {\n std::fs::read(p)\n}", 0);
        check("crates/a/src/utils.rs", "", 1);
        check("crates/a/src/b/mod.rs", "", 1);
    }

    #[test]
    fn crate_roots_say_their_duty() {
        let tree = Tree::of(&[("crates/a/src/lib.rs", "pub mod x;"), ("crates/b/src/lib.rs", "//! Duty.")]);
        assert_eq!(check_crate_roots(&tree).len(), 1);
    }
}
