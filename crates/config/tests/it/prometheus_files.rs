//! `prometheus/config/testdata`.

use std::path::Path;

use config::{ConfigError, Mode, PrometheusConfig};

use crate::shared::{data, file_names, read};

fn no_environment(_: &str) -> Option<String> {
    None
}

/// Loads a file as upstream's tests do: from the folder above `testdata`, with its scrape files.
fn load(folder: &Path, name: &str, mode: Mode) -> Result<PrometheusConfig, ConfigError> {
    let path = format!("testdata/{name}");
    let mut config = PrometheusConfig::parse(&read(&folder.join(name)), &path, &no_environment, mode)?;
    for pattern in config.scrape_config_files.clone() {
        let directory = config::path::directory_of(&pattern);
        let file_pattern = pattern.rsplit('/').next().unwrap().to_owned();
        let on_disk = folder.parent().unwrap().join(&directory);
        for found in file_names(&on_disk) {
            if config::path::file_name_matches(&file_pattern, &found) {
                let text = read(&on_disk.join(&found));
                config.add_scrape_file(&text, &format!("{directory}/{found}"))?;
            }
        }
    }
    Ok(config)
}

#[test]
fn bad_files_fail_with_upstreams_words() {
    let Some(folder) = data("conformance/metrics/prometheus/config/testdata") else { return };
    let Some(derived) = data("conformance/metrics/derived") else { return };
    let pairs: serde_json::Value =
        serde_json::from_str(&read(&derived.join("config_bad_expected_errors.json"))).unwrap();
    let mut wrong = Vec::new();
    let pairs = pairs.as_array().unwrap();
    assert!(pairs.len() >= 136);
    for pair in pairs {
        let name = pair["file"].as_str().unwrap().rsplit('/').next().unwrap();
        let want = pair["error_contains"].as_str().unwrap();
        match load(&folder, name, Mode::Server) {
            Ok(_) => wrong.push(format!("{name}: loads, want {want:?}")),
            Err(err) if !err.to_string().contains(want) => {
                wrong.push(format!("{name}: got {:?}, want {want:?}", err.to_string()));
            }
            Err(err) => assert!(!err.problems.is_empty(), "{name}"),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), pairs.len(), wrong.join("\n"));
}

#[test]
fn files_load_or_fail_by_their_names() {
    let Some(folder) = data("conformance/metrics/prometheus/config/testdata") else { return };
    let mut wrong = Vec::new();
    for name in file_names(&folder) {
        if !name.ends_with(".yml") {
            continue;
        }
        let mode = if name.starts_with("agent_mode") { Mode::Agent } else { Mode::Server };
        let refused_in_agent_mode = name.starts_with("agent_mode.with_");
        let refused = name.contains(".incompatible.") || name == "config_with_deprecated_am_api_config.yml";
        let bad = name.contains(".bad.") || refused || refused_in_agent_mode;
        match (load(&folder, &name, mode), bad) {
            (Ok(_), true) => wrong.push(format!("{name}: loads")),
            (Err(err), false) => wrong.push(format!("{name}: {err}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
