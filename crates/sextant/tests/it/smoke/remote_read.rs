//! `remote_read`: queries over another Sextant and over a live Prometheus.

use std::process::Command;

use serde_json::{Value, json};

use super::push::{Version, write};
use super::{IDLE, SOON};
use crate::http::{self, form};
use crate::neighbours;
use crate::process::{Process, free_port};
use crate::sextant::{Sextant, success, value};
use crate::waiting::{unix_ms, until};

const RECEIVER: &[&str] = &["--web.enable-remote-write-receiver"];

#[test]
fn a_query_reads_another_sextant() {
    let (far_dir, near_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let far = Sextant::start(far_dir.path(), "global:\n  external_labels: {site: far}\n", RECEIVER);
    let now = unix_ms();
    write(&far, Version::V2, "both", &[(now - 5000, 1.0), (now - 4000, 2.0), (now - 3000, 3.0)]);
    write(&far, Version::V2, "distant", &[(now - 3000, 30.0)]);
    let far_address = &far.address;
    let dead = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "global:\n  external_labels: {{site: far}}\nremote_read:\n\
         - {{url: 'http://{far_address}/api/v1/read', read_recent: true}}\n\
         - {{url: 'http://{dead}/read', read_recent: true, required_matchers: {{want: dead}}}}\n"
    );
    let near = Sextant::start(near_dir.path(), &config, RECEIVER);
    write(&near, Version::V2, "both", &[(now - 4000, 22.0), (now - 2000, 4.0)]);

    // The store's sample counts where both have one, and the external label is gone.
    let result = near.query_at("both[10m]", now);
    let times: Vec<f64> =
        [5000, 4000, 3000, 2000].into_iter().map(|ago| (now - ago) as f64 / 1000.0).collect();
    let values: Vec<Value> = times.iter().zip(["1", "22", "3", "4"]).map(|(t, v)| json!([t, v])).collect();
    assert_eq!(result, json!([{"metric": {"__name__": "both", "job": "pushed"}, "values": values}]));
    assert_eq!(value(&near.query_at("sum(both) + sum(distant)", now)[0]), 34.0);
    let series = near.data("/api/v1/series", &[("match[]", "{job=\"pushed\"}")]);
    let names: Vec<&str> = series.as_array().unwrap().iter().filter_map(|s| s["__name__"].as_str()).collect();
    assert_eq!(names, ["both", "distant"]);

    // A remote that fails is a warning, and the rest is answered.
    let asked =
        form(&[("query", "distant or up{want=\"dead\"}"), ("time", &format!("{}", now as f64 / 1000.0))]);
    let answer = near.get(&format!("/api/v1/query?{asked}")).json();
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1, "{answer}");
    let refused = format!(
        "remote_read: error sending request: Post \"http://{dead}/read\": dial tcp {dead}: connect: connection refused"
    );
    assert_eq!(answer["warnings"], json!([refused]), "{answer}");
    let labels = near.get("/api/v1/labels").json();
    assert_eq!(labels["warnings"], json!(["not implemented"]), "{labels}");
    let metrics = near.get("/metrics").text();
    let counted = |line: &str| {
        line.starts_with("prometheus_remote_read_client_queries_total{")
            && line.contains("response_type=\"chunked\"")
    };
    assert!(metrics.lines().any(counted), "{metrics}");

    // Who reads the near one through remote read gets what the far one holds.
    let third_dir = tempfile::tempdir().unwrap();
    let config =
        format!("remote_read: [{{url: 'http://{}/api/v1/read', read_recent: true}}]\n", near.address);
    let third = Sextant::start(third_dir.path(), &config, &[]);
    assert_eq!(value(&third.query_at("distant{site=\"far\"}", now)[0]), 30.0);

    let twice =
        format!("{config}- {{url: 'http://{dead}/read'}}\n").replace("[{", "\n- {").replace("}]", "}");
    let twice = format!("{twice}- {{url: 'http://{dead}/read'}}\n");
    std::fs::write(third_dir.path().join("prometheus.yml"), twice).unwrap();
    third.process.signal("HUP");
    until(SOON, "a refused reload", || {
        let log = third.process.log();
        if log.contains("duplicate remote read configs") { Ok(()) } else { Err(log) }
    });
}

/// The chunks of a real TSDB, floats and histograms, give what Prometheus itself answers.
#[test]
fn a_query_reads_a_live_prometheus() {
    let Some(prometheus) = neighbours::prometheus_3() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let address = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n\
         - {{job_name: self, static_configs: [{{targets: ['{address}']}}]}}\n"
    );
    std::fs::write(dir.join("theirs.yml"), config).unwrap();
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", dir.join("theirs.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("theirs").display()))
        .arg("--enable-feature=native-histograms")
        .arg(format!("--web.listen-address={address}"));
    let _process = Process::start(dir, "prometheus", &mut command);
    let ask = |path: &str, pairs: &[(&str, &str)]| {
        let answer = http::request(&address, "GET", &format!("{path}?{}", form(pairs)), &[], b"");
        match answer {
            Ok(answer) if answer.status == 200 => Ok(success(&answer)["result"].clone()),
            other => Err(format!("{other:?}")),
        }
    };
    let start = unix_ms();
    // More than a chunk's 120 samples, so that series have several.
    let enough = "count_over_time(up[10m]) > 150 and on () count_over_time(prometheus_http_request_duration_seconds{handler=\"/metrics\"}[10m]) > 150";
    until(SOON * 4, "a Prometheus that has scraped itself", || {
        let result = ask("/api/v1/query", &[("query", enough)])?;
        if result.as_array().is_some_and(|all| !all.is_empty()) { Ok(()) } else { Err(result.to_string()) }
    });
    let end = unix_ms();
    let ours = tempfile::tempdir().unwrap();
    let config = format!("{IDLE}remote_read: [{{url: 'http://{address}/api/v1/read'}}]\n");
    let sextant = Sextant::start(ours.path(), &config, &[]);
    let seconds = |t_ms: i64| format!("{}", t_ms as f64 / 1000.0);
    for query in [
        "up",
        "rate(prometheus_http_requests_total[5s])",
        "sum by (__name__) ({__name__=~\"go_.*\"})",
        "prometheus_http_request_duration_seconds",
        "rate(prometheus_http_request_duration_seconds[7s])",
        "histogram_sum(rate(prometheus_http_request_duration_seconds[7s]))",
        "histogram_count(prometheus_tsdb_compaction_duration_seconds)",
    ] {
        let pairs = [("query", query), ("start", &*seconds(start)), ("end", &seconds(end)), ("step", "1.7")];
        let theirs = ask("/api/v1/query_range", &pairs).unwrap();
        let ours = sextant.data("/api/v1/query_range", &pairs)["result"].clone();
        assert!(theirs.as_array().is_some_and(|all| !all.is_empty()), "{query}");
        let sorted = |result: &Value| -> Vec<String> {
            let mut all: Vec<String> = result.as_array().unwrap().iter().map(Value::to_string).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&ours), sorted(&theirs), "{query}");
    }
}
