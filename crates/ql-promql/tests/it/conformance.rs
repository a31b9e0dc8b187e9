//! Where upstream's published cases lie.

use std::path::PathBuf;

/// The JSON of a conformance file, or `None`, said aloud, where the data is absent.
pub(crate) fn json(path: &str) -> Option<serde_json::Value> {
    let root = std::env::var_os("SEXTANT_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let file = root.join("conformance").join(path);
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: needs ../shared ({path})");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
}

/// [`json`] of a file that holds a list.
pub(crate) fn rows(path: &str) -> Vec<serde_json::Value> {
    match json(path) {
        Some(serde_json::Value::Array(rows)) => rows,
        Some(other) => panic!("{path} holds no list but {other}"),
        None => Vec::new(),
    }
}
