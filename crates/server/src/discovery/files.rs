//! `file_sd_configs`: files of target groups, read again when they change.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::Labels;
use scrape::sd_config::{FileSdConfig, TargetGroup};

use super::Provider;

/// How often the files' modification times are looked at. A look is a `stat` per file, cheaper than
/// keeping a watch per folder, and it works on every file system.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

type Stamp = Vec<(PathBuf, Option<SystemTime>, u64)>;

pub(super) async fn follow(provider: Provider, config: FileSdConfig) {
    let refresh = Duration::from_millis(config.refresh_interval_ms.max(1000).unsigned_abs());
    let mut known: Option<Stamp> = None;
    let mut last_good: std::collections::BTreeMap<PathBuf, Vec<TargetGroup>> =
        std::collections::BTreeMap::new();
    let mut since_refresh = Duration::ZERO;
    loop {
        let stamp = stamp(&config.files);
        if known.as_ref() != Some(&stamp) || since_refresh >= refresh {
            since_refresh = Duration::ZERO;
            last_good.retain(|path, _| stamp.iter().any(|(known, _, _)| known == path));
            for (path, _, _) in &stamp {
                match read(&provider, path) {
                    Ok(groups) => {
                        last_good.insert(path.clone(), groups);
                    }
                    // The groups of a file that has become unreadable stay as they were.
                    Err(error) => {
                        provider.metrics.file_read_errors.inc();
                        provider.failed("file", &format!("{}: {error}", path.display()));
                    }
                }
            }
            provider.replace(last_good.values().flatten().cloned().collect());
            known = Some(stamp);
        }
        let pause = LOOK_EVERY.min(refresh);
        tokio::time::sleep(pause).await;
        since_refresh += pause;
    }
}

fn read(provider: &Provider, path: &Path) -> Result<Vec<TargetGroup>, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{size} bytes, at most {FILE_BYTES_MAX} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let mut groups = (provider.parse)(&text)?;
    let name = path.display().to_string();
    for (idx, group) in groups.iter_mut().enumerate() {
        group.source = format!("{name}:{idx}");
        group.labels = with_label(&group.labels, "__meta_filepath", &name);
    }
    Ok(groups)
}

pub(super) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(name, value);
    builder.build()
}

fn stamp(patterns: &[String]) -> Stamp {
    let mut found: Stamp = patterns
        .iter()
        .flat_map(|pattern| expand(pattern))
        .map(|path| {
            let meta = std::fs::metadata(&path).ok();
            let modified = meta.as_ref().and_then(|m| m.modified().ok());
            let size = meta.map_or(0, |m| m.len());
            (path, modified, size)
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Files matching a path whose last element may hold `*`.
pub(crate) fn expand(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let (Some(folder), Some(last)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    if !last.contains('*') {
        return if path.is_file() { vec![path.to_path_buf()] } else { Vec::new() };
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| glob_matches(last, name)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// `*` stands for any run of characters.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (idx, part) in parts.iter().enumerate() {
        if idx + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_run() {
        for (pattern, name, expected) in [
            ("*.json", "a.json", true),
            ("*.json", "a.yaml", false),
            ("my*.y*ml", "my-file.yaml", true),
            ("a*", "a", true),
            ("a*b", "ab", true),
            ("a*b", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
