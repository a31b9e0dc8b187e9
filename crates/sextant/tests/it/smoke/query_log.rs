//! `query_log_file`: which queries are written, where, and that a live Prometheus writes the same keys.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::SOON;
use crate::process::{Process, free_port};
use crate::sextant::Sextant;
use crate::waiting::until;
use crate::{http, neighbours};

const RANGE: &str = "/api/v1/query_range?query=up%7Ba%21%3D%22%3C%22%7D&start=0&end=60.5&step=1.5";

fn config(log: &str) -> String {
    format!(
        "global:\n  evaluation_interval: 1s\n  query_log_file: {log:?}\nrule_files: [rules.yml]\nscrape_configs: []\n"
    )
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The first line whose query is `text`.
fn line_of(path: &Path, text: &str) -> String {
    until(SOON, "a line of the query log", || {
        let lines = lines(path);
        let found = lines.iter().find(|line| {
            serde_json::from_str::<Value>(line).is_ok_and(|line| line["params"]["query"] == text)
        });
        found.cloned().ok_or_else(|| format!("{lines:?}"))
    })
}

/// The keys of a line in the order in which they stand there.
fn keys(line: &str) -> Vec<&str> {
    let quoted: Vec<&str> = line.split('"').collect();
    let key = |pair: &[&'_ str]| pair[1].starts_with(':');
    quoted.windows(2).filter(|pair| key(pair)).map(|pair| pair[0]).collect()
}

#[test]
fn queries_are_logged_where_the_configuration_says() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let rules = "groups:\n- name: g\n  rules:\n  - {record: b, expr: vector(1)}\n";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let log = dir.join("query.log");
    let flags = ["--web.enable-lifecycle", "--web.route-prefix=/"];
    let sextant = Sextant::start(dir, &config("query.log"), &flags);
    let reload = |log: &str| {
        std::fs::write(dir.join("prometheus.yml"), config(log)).unwrap();
        sextant.post("/-/reload", &[]).status
    };
    assert_eq!(sextant.get(RANGE).status, 200);
    let asked: Value = serde_json::from_str(&line_of(&log, "up{a!=\"<\"}")).unwrap();
    let params = json!({
        "start": "1970-01-01T00:00:00.000Z", "end": "1970-01-01T00:01:00.500Z", "step": 1,
        "query": "up{a!=\"<\"}",
    });
    assert_eq!(asked["params"], params);
    let by = json!({"clientIP": "127.0.0.1", "method": "GET", "path": "/api/v1/query_range"});
    assert_eq!(asked["httpRequest"], by);
    let rule: Value = serde_json::from_str(&line_of(&log, "vector(1)")).unwrap();
    let file = dir.join("rules.yml").display().to_string();
    assert_eq!(rule["ruleGroup"], json!({"file": file, "name": "g"}));

    // A file that is moved away is followed until the next reload.
    let moved = dir.join("moved.log");
    std::fs::rename(&log, &moved).unwrap();
    assert_eq!(sextant.get("/api/v1/query?query=sum(before)").status, 200);
    line_of(&moved, "sum(before)");
    sextant.process.signal("HUP");
    until(SOON, "a new file after SIGHUP", || log.exists().then_some(()).ok_or("none".to_owned()));
    assert_eq!(sextant.get("/api/v1/query?query=sum(after)").status, 200);
    line_of(&log, "sum(after)");
    assert!(sextant.get("/metrics").text().contains("prometheus_engine_query_log_enabled 1"));

    // A file that cannot be opened changes nothing, and none at all ends the log.
    assert_eq!(reload("absent/query.log"), 500);
    assert_eq!(sextant.get("/api/v1/query?query=sum(still)").status, 200);
    line_of(&log, "sum(still)");
    assert_eq!(reload(""), 200);
    assert_eq!(sextant.get("/api/v1/query?query=sum(unseen)").status, 200);
    assert_eq!(reload("query.log"), 200);
    assert_eq!(sextant.get("/api/v1/query?query=sum(seen)").status, 200);
    line_of(&log, "sum(seen)");
    assert!(!lines(&log).iter().any(|line| line.contains("unseen")));
    let metrics = sextant.get("/metrics").text();
    assert!(metrics.contains("prometheus_engine_query_log_failures_total 0"), "{metrics}");

    let Some(prometheus) = neighbours::prometheus_3() else { return };
    same_keys_as(&prometheus, dir, &lines(&log), &lines(&moved));
}

/// The release that Debian ships is older: it has neither `traceID` nor `samplesRead`.
fn same_keys_as(prometheus: &Path, dir: &Path, after: &[String], before: &[String]) {
    let address = format!("127.0.0.1:{}", free_port());
    std::fs::write(dir.join("theirs.yml"), config("theirs.log")).unwrap();
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", dir.join("theirs.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("theirs").display()))
        .arg(format!("--web.listen-address={address}"));
    let _process = Process::start(dir, "prometheus", &mut command);
    until(SOON, "a Prometheus that is ready", || {
        match http::request(&address, "GET", "/-/ready", &[], b"") {
            Ok(response) if response.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    http::request(&address, "GET", RANGE, &[], b"").unwrap();
    for query in ["up{a!=\"<\"}", "vector(1)"] {
        let theirs = line_of(&dir.join("theirs.log"), query);
        let shown = |line: &&String| line.contains(&json!(query).to_string());
        let ours = before.iter().chain(after).find(shown).unwrap();
        let newer = ["traceID", "samplesRead"];
        let ours: Vec<&str> = keys(ours).into_iter().filter(|key| !newer.contains(key)).collect();
        let theirs: Vec<&str> = keys(&theirs).into_iter().filter(|key| !newer.contains(key)).collect();
        assert_eq!(ours, theirs, "{query}");
    }
}
