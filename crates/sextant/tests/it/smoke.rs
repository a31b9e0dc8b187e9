//! The program alone: start, reload, push, query, delete, access.

mod access;
mod alert_state;
mod mixin;
mod pages;
pub(crate) mod push;
mod query_log;
mod remote_read;

use std::time::Duration;

use crate::process::{Process, free_port};
use crate::sextant::{Sextant, command};
use crate::waiting::until;
use crate::{neighbours, process};

pub(crate) const IDLE: &str = "global:\n  scrape_interval: 1s\n";
const SOON: Duration = Duration::from_secs(20);

/// Exit 1 and a message that names the file, the place and the cause.
#[test]
fn refuses_bad_configuration_with_a_message() {
    for (config, flags, wanted) in [
        (
            Some("global:\n  scrape_intervall: 1s\n"),
            &[][..],
            &["prometheus.yml", "scrape_intervall", "2"][..],
        ),
        (Some("scrape_configs:\n- job_name: a\n- job_name: a\n"), &[], &["prometheus.yml", "\"a\""]),
        (Some("rule_files: [rules.yml]\n"), &[], &["rules.yml", "groops"]),
        (
            Some("scrape_configs:\n- job_name: a\n  authorization: {type: basic}\n"),
            &[],
            &["authorization type cannot be set", "prometheus.yml:3:"],
        ),
        (None, &[], &["prometheus.yml", "o such file"]),
        (Some(IDLE), &["--web.config.file=absent.yml"], &["absent.yml"]),
        (Some(IDLE), &["--query.timeout=soon"], &["query.timeout", "soon"]),
        (
            Some(IDLE),
            &["--enable-feature=otlp-deltatocumulative", "--enable-feature=otlp-native-delta-ingestion"],
            &[
                "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time",
            ],
        ),
        (Some(IDLE), &["--log.level=loud"], &["log.level", "loud"]),
        (Some(IDLE), &["--web.external-url=http://[bad"], &["web.external-url", "[bad"]),
        (Some(IDLE), &["--web.external-url=ftp://host/"], &["web.external-url", "ftp"]),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        if let Some(config) = config {
            std::fs::write(dir.join("prometheus.yml"), config).unwrap();
        }
        std::fs::write(dir.join("rules.yml"), "groops: []\n").unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let address = format!("127.0.0.1:{}", free_port());
        let mut process = Process::start(dir, "sextant", &mut command(dir, &address, &flags));
        let status = until(SOON, "the refusal", || process.ended().ok_or("a running server".to_owned()));
        assert_eq!(status.code(), Some(1), "{config:?} {flags:?}: {}", process.log());
        for part in wanted {
            assert!(process.log().contains(part), "{config:?} {flags:?}: no {part:?} in {}", process.log());
        }
    }
}

/// A bad file changes nothing and says why; a good one is taken, by HTTP and by SIGHUP.
#[test]
fn reload_takes_good_files_and_only_those() {
    let scratch = tempfile::tempdir().unwrap();
    let sextant = Sextant::start(scratch.path(), IDLE, &["--web.enable-lifecycle"]);
    let file = scratch.path().join("prometheus.yml");
    let loaded = || sextant.data("/api/v1/status/config", &[])["yaml"].as_str().unwrap().to_owned();
    let before = loaded();

    std::fs::write(&file, "global:\n  scrape_interval: often\n").unwrap();
    let refused = sextant.post("/-/reload", &[]);
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(refused.text().contains("often"), "{}", refused.text());
    assert_eq!(loaded(), before);
    let metrics = sextant.get("/metrics").text();
    assert!(metrics.contains("prometheus_config_last_reload_successful 0"), "{metrics}");

    std::fs::write(&file, "global:\n  scrape_interval: 7s\n").unwrap();
    assert_eq!(sextant.post("/-/reload", &[]).status, 200);
    assert!(loaded().contains("scrape_interval: 7s"), "{}", loaded());

    std::fs::write(&file, "global:\n  scrape_interval: 9s\n").unwrap();
    sextant.process.signal("HUP");
    until(SOON, "the reload that SIGHUP asks for", || {
        let text = loaded();
        if text.contains("scrape_interval: 9s") { Ok(()) } else { Err(text) }
    });
    let metrics = sextant.get("/metrics").text();
    assert!(metrics.contains("prometheus_config_last_reload_successful 1"), "{metrics}");
}

/// What the file says of retention holds from the reload on, and is shown; without it the flag counts.
#[test]
fn retention_follows_a_reload() {
    let scratch = tempfile::tempdir().unwrap();
    let flags =
        ["--web.enable-lifecycle", "--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=3d"];
    let sextant = Sextant::start(scratch.path(), IDLE, &flags);
    let old_ms = crate::waiting::unix_ms() - 5 * 3_600_000;
    let limited = format!("{IDLE}storage: {{tsdb: {{retention: {{time: 2h, size: 1GB}}}}}}\n");
    for (n, (config, shown, status)) in
        [(IDLE, "3d", 204), (limited.as_str(), "2h or 1GB", 400), (IDLE, "3d", 204)].into_iter().enumerate()
    {
        std::fs::write(scratch.path().join("prometheus.yml"), config).unwrap();
        assert_eq!(sextant.post("/-/reload", &[]).status, 200);
        assert_eq!(sextant.data("/api/v1/status/runtimeinfo", &[])["storageRetention"], *shown);
        let answer = push::push(&sextant, push::Version::V1, &format!("old_{n}"), &[(old_ms, 1.0)]);
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
    }
}

/// `--web.read-timeout`: whoever is slow to send frees the place it took.
#[test]
fn slow_clients_are_cut_off() {
    use std::io::{Read as _, Write as _};
    let scratch = tempfile::tempdir().unwrap();
    let sextant = Sextant::start(scratch.path(), IDLE, &["--web.read-timeout=1s", "--web.max-connections=4"]);
    let head = "POST /api/v1/query HTTP/1.1\r\nHost: a\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nquery";
    let starts = ["", "P", head, &format!("{head}{form}")];
    let mut slow: Vec<_> = starts
        .iter()
        .map(|start| {
            let mut stream = std::net::TcpStream::connect(&sextant.address).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream
        })
        .collect();
    for (start, stream) in starts.iter().zip(&mut slow) {
        let ended = stream.read_to_end(&mut Vec::new());
        let ended = ended.map_err(|e| e.kind());
        assert!(
            matches!(ended, Ok(_) | Err(std::io::ErrorKind::ConnectionReset)),
            "{start:?} was not cut off: {ended:?}"
        );
    }
    assert_eq!(sextant.get("/-/ready").status, 200);
}

/// The server scrapes itself, ends on SIGTERM with success, and reads its data again.
#[test]
fn ends_in_order_and_remembers() {
    let scratch = tempfile::tempdir().unwrap();
    let mut sextant = Sextant::start(scratch.path(), IDLE, &["--web.enable-lifecycle"]);
    let config = format!(
        "{IDLE}scrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['{}']\n",
        sextant.address
    );
    std::fs::write(scratch.path().join("prometheus.yml"), config).unwrap();
    assert_eq!(sextant.post("/-/reload", &[]).status, 200);
    let up = || match sextant.number("count_over_time(up{job=\"self\"}[5m]) >= 2") {
        Some(count) => Ok(count),
        None => Err(sextant.query("up").to_string()),
    };
    until(SOON, "two scrapes of itself", up);

    sextant.process.signal("TERM");
    assert_eq!(sextant.process.wait().code(), Some(0), "{}", sextant.process.log());
    sextant.restart();
    let kept = sextant.number("count_over_time(up{job=\"self\"}[5m])");
    assert!(kept >= Some(2.0), "{kept:?}");
}

/// What `/federate` and `/metrics` say is fine with Prometheus' own linter and parser.
#[test]
fn promtool_reads_federation_and_self_metrics() {
    let Some([promtool]) = neighbours::find_all(["promtool"]) else { return };
    let scratch = tempfile::tempdir().unwrap();
    let sextant = Sextant::start(scratch.path(), IDLE, &["--web.enable-remote-write-receiver"]);
    push::write(&sextant, push::Version::V1, "queue_length", &[(crate::waiting::unix_ms(), 3.0)]);
    let federated = sextant.get("/federate?match[]=queue_length").text();
    assert!(federated.contains("queue_length{job=\"pushed\",instance=\"\"} 3 "), "{federated}");
    for (name, text) in [("federate", federated), ("metrics", sextant.get("/metrics").text())] {
        let file = scratch.path().join(name);
        std::fs::write(&file, &text).unwrap();
        let command = format!("'{}' check metrics < '{}'", promtool.display(), file.display());
        let out = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        // 3 means that it parsed and that the linter has opinions about names.
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(matches!(out.status.code(), Some(0 | 3)), "{name}: {said}\n{text}");
    }
    let version = process::output(std::process::Command::new(env!("CARGO_BIN_EXE_sextant")).arg("--version"));
    assert!(version.starts_with("sextant "), "{version}");
    let version = process::output(
        std::process::Command::new(env!("CARGO_BIN_EXE_sextant")).args(["prometheus", "--version"]),
    );
    assert!(version.starts_with("prometheus, version 3."), "{version}");
}

/// As Go reads it: what people type is taken unescaped.
#[test]
fn urls_may_hold_quotes_and_comparisons() {
    let scratch = tempfile::tempdir().unwrap();
    let sextant = Sextant::start(scratch.path(), IDLE, &[]);
    for path in
        ["/api/v1/query?query=up{job=\"self\"}", "/api/v1/query?query=1<bool+2", "/api/v1/query?query=up>0"]
    {
        assert_eq!(sextant.get(path).status, 200, "{path}: {}", sextant.get(path).text());
    }
}

/// Whoever reads no further is no error.
#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let command = format!("'{}' completions bash | head -n 1", env!("CARGO_BIN_EXE_sextant"));
    let out = std::process::Command::new("bash").args(["-o", "pipefail", "-c", &command]).output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()), (Some(0), ""));
}
