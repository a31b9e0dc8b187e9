//! The layer table of ARCHITECTURE.md: a crate depends only on crates of lower layers, and nothing
//! below layer 6 knows tokio or writes `async`.

use super::Tree;
use super::source::code_only;

/// Layer of each crate; the tools (`testkit`, `sim`, `fuzz`, `xtask`) stand outside, and nothing in
/// production may depend on them.
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("model", 1),
    ("codec", 1),
    ("vfs", 1),
    ("ql-core", 2),
    ("store-core", 2),
    ("wire-core", 2),
    ("gotemplate", 2),
    ("ql-promql", 3),
    ("store-metrics", 3),
    ("wire-prom", 3),
    ("wire-otlp", 3),
    ("engine", 4),
    ("scrape", 4),
    ("rules", 4),
    ("config", 5),
    ("server", 6),
    ("agent", 6),
    ("sextant", 7),
];

const TOOLS: &[&str] = &["testkit", "sim", "fuzz", "xtask"];

/// `server` supervises the host collector, which is the one arrow within a layer.
const SAME_LAYER: &[(&str, &str)] = &[("server", "agent")];

/// Pairs that layers would permit and the design forbids: languages, stores and wires do not meet.
const FORBIDDEN: &[(&str, &str)] = &[("engine", "server"), ("wire-prom", "ql-promql")];

/// The lowest layer that may use tokio and `async`.
const ASYNC_LAYER_MIN: u8 = 6;

const ASYNC_CRATES: &[&str] =
    &["tokio", "hyper", "hyper-util", "axum", "tokio-rustls", "futures", "hickory-resolver"];

/// Packages in Cargo.lock, ours included.
const PACKAGES_MAX: usize = 320;

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(n, _)| *n == name).map(|(_, l)| *l)
}

/// `(crate, its normal dependencies)` of every manifest under `crates/`.
fn manifests(tree: &Tree) -> Vec<(&str, Vec<&str>)> {
    let is_manifest = |path: &str| path.starts_with("crates/") && path.ends_with("/Cargo.toml");
    let listed = tree.files.iter().filter(|(path, _)| is_manifest(path));
    listed.filter_map(|(path, file)| Some((path.split('/').nth(1)?, dependencies(&file.text)))).collect()
}

fn dependencies(manifest: &str) -> Vec<&str> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
            if let Some(name) = line.strip_prefix("[dependencies.") {
                found.push(name.trim_end_matches(']'));
            }
        } else if section == "[dependencies]"
            && let Some((name, _)) = line.split_once(['=', '.'])
            && !line.starts_with('#')
        {
            found.push(name.trim());
        }
    }
    found
}

/// Arrows that point up or sideways, crates that are in no layer, tools used in production.
pub(crate) fn check_arrows(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, deps) in manifests(tree) {
        if TOOLS.contains(&name) {
            continue;
        }
        let Some(own) = layer(name) else {
            findings.push(format!(
                "crate {name} is in no layer: add it to the table in xtask and ARCHITECTURE.md"
            ));
            continue;
        };
        for dep in deps {
            if TOOLS.contains(&dep) {
                findings.push(format!("{name} depends on the tool {dep}: make it a dev-dependency"));
            }
            let allowed = SAME_LAYER.contains(&(name, dep)) || layer(dep).is_none_or(|theirs| theirs < own);
            if !allowed || FORBIDDEN.contains(&(name, dep)) {
                findings.push(format!("{name} (layer {own}) must not depend on {dep}"));
            }
        }
    }
    findings
}

/// tokio and friends, and `async`, below layer 6.
pub(crate) fn check_async(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let low = |name: &str| layer(name).is_some_and(|l| l < ASYNC_LAYER_MIN);
    for (name, deps) in manifests(tree).into_iter().filter(|(name, _)| low(name)) {
        for dep in deps.iter().filter(|dep| ASYNC_CRATES.contains(dep)) {
            findings.push(format!("{name} is below layer {ASYNC_LAYER_MIN} and depends on {dep}"));
        }
    }
    for (path, text) in tree.rust_files() {
        if !path.split('/').nth(1).is_some_and(low) {
            continue;
        }
        for (idx, line) in code_only(text).lines().enumerate() {
            if line.contains("async fn") || line.contains("async move") || line.contains(".await") {
                findings.push(format!("{path}:{}: async below layer {ASYNC_LAYER_MIN}", idx + 1));
            }
        }
    }
    findings
}

pub(crate) fn check_build_scripts(tree: &Tree) -> Vec<String> {
    let scripts = tree.files.keys().filter(|path| path.ends_with("build.rs") && path.split('/').count() == 3);
    scripts.map(|path| format!("{path}: no build scripts; see docs/internals/build.md")).collect()
}

/// The size of the dependency tree is a cost that every build and every audit pays.
pub(crate) fn check_package_budget(tree: &Tree) -> Vec<String> {
    let Some(lock) = tree.files.get("Cargo.lock") else { return Vec::new() };
    let n_packages = lock.text.lines().filter(|line| *line == "[[package]]").count();
    if n_packages > PACKAGES_MAX {
        return vec![format!("Cargo.lock holds {n_packages} packages, the budget is {PACKAGES_MAX}")];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_down() {
        let check = |name: &str, deps: &str, expected: &[&str]| {
            let manifest = format!(
                "[package]\nname = \"{name}\"\n[dependencies]\n{deps}\n[dev-dependencies]\nsim.workspace = true\n"
            );
            let tree = Tree::of(&[(&format!("crates/{name}/Cargo.toml"), &manifest)]);
            assert_eq!(check_arrows(&tree), expected, "{name}: {deps}");
        };
        check("engine", "store-metrics.workspace = true\nserde = \"1\"", &[]);
        check("model", "codec.workspace = true", &["model (layer 1) must not depend on codec"]);
        check("base", "server = { path = \"../server\" }", &["base (layer 0) must not depend on server"]);
        check("server", "agent.workspace = true", &[]);
        check(
            "server",
            "testkit.workspace = true",
            &["server depends on the tool testkit: make it a dev-dependency"],
        );
        check("odd", "", &["crate odd is in no layer: add it to the table in xtask and ARCHITECTURE.md"]);
    }

    #[test]
    fn async_stays_at_the_edge() {
        let tree = Tree::of(&[
            ("crates/engine/Cargo.toml", "[dependencies]\ntokio.workspace = true\n"),
            ("crates/engine/src/lib.rs", "// async fn in a comment\nasync fn f() {}\n"),
            ("crates/server/src/lib.rs", "async fn f() {}\n"),
        ]);
        let expected = [
            "engine is below layer 6 and depends on tokio",
            "crates/engine/src/lib.rs:2: async below layer 6",
        ];
        assert_eq!(check_async(&tree), expected);
    }

    #[test]
    fn build_scripts_are_refused() {
        let tree = Tree::of(&[("crates/a/build.rs", ""), ("crates/a/src/build.rs", "")]);
        assert_eq!(check_build_scripts(&tree).len(), 1);
    }

    #[test]
    fn the_package_budget_holds() {
        let lock = "[[package]]\n".repeat(PACKAGES_MAX + 1);
        assert_eq!(check_package_budget(&Tree::of(&[("Cargo.lock", &lock)])).len(), 1);
        assert_eq!(check_package_budget(&Tree::of(&[("Cargo.lock", "[[package]]\n")])).len(), 0);
    }
}
