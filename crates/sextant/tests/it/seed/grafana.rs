//! The calls that Grafana makes to a Prometheus data source, as its plugin makes them.

use serde_json::{Value, json};

use super::expected::by_label;
use super::stack::Stack;
use crate::sextant::{Sextant, number, success, value};

pub(crate) fn asks(stack: &Stack, at_ms: i64) {
    let sextant = &stack.sextant;
    let at = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
    health(sextant);
    queries(sextant, &at(at_ms - 15_000), &at(at_ms));
    metadata(sextant, &at(at_ms - 15_000), &at(at_ms));
    alerting(sextant);
    search(sextant);
}

/// "Save & test": `1+1` by POST and by GET, then who is there. Features would mean Mimir.
fn health(sextant: &Sextant) {
    let two = json!({"resultType": "vector", "result": [{"metric": {}, "value": [4, "2"]}]});
    let one_plus_one = [("query", "1+1"), ("time", "4")];
    let scalar = json!({"resultType": "scalar", "result": [4, "2"]});
    for answer in
        [success(&sextant.post("/api/v1/query", &one_plus_one)), sextant.data("/api/v1/query", &one_plus_one)]
    {
        assert!(answer == scalar || answer == two, "{answer}");
    }
    let build = sextant.data("/api/v1/status/buildinfo", &[]);
    let version = build["version"].as_str().unwrap_or_default();
    // Grafana compares the release; what is behind the plus names the build.
    let release = version.split('+').next().unwrap_or_default();
    assert!(release.split('.').count() == 3 && release.starts_with("3."), "{build}");
    assert!(build["features"].as_object().is_none_or(serde_json::Map::is_empty), "{build}");
    assert_eq!(value(&sextant.query("prometheus_build_info")[0]), 1.0);
    // Thanos is told by its flags, and rulers by paths that Prometheus has not.
    let flags = sextant.data("/api/v1/status/flags", &[]);
    assert!(flags["web.listen-address"].is_string(), "{flags}");
    assert!(flags.as_object().unwrap().keys().all(|flag| !flag.starts_with("grpc-")), "{flags}");
    for path in ["/config/v1/rules", "/api/v1/rules/test/test", "/alertmanager/api/v2/status"] {
        let answer = sextant.get(path);
        assert!(matches!(answer.status, 404 | 405), "{path}: {}", answer.status);
    }
}

/// Panels: forms with times and steps as decimal seconds; errors that the panel shows.
fn queries(sextant: &Sextant, start: &str, end: &str) {
    let expr = "sum(http_requests_total) by (service)";
    let range = [("query", expr), ("start", start), ("end", end), ("step", "15.000"), ("timeout", "30s")];
    let answer = success(&sextant.post("/api/v1/query_range", &range));
    assert_eq!(answer["resultType"], "matrix");
    let series = answer["result"].as_array().unwrap();
    let services: Vec<&str> = series.iter().filter_map(|s| s["metric"]["service"].as_str()).collect();
    assert_eq!(services, ["api-gateway", "todo-service"]);
    let instant = sextant.data("/api/v1/query", &[("query", expr), ("time", end)])["result"].clone();
    let now = by_label(&instant, "service");
    for (service, series) in services.iter().zip(series) {
        let last = series["values"].as_array().unwrap().last().unwrap();
        assert_eq!(number(&last[1]), now[*service], "{service}");
    }
    let exemplars = sextant
        .post("/api/v1/query_exemplars", &[("query", "http_requests_total"), ("start", start), ("end", end)]);
    assert_eq!(success(&exemplars), json!([]));
    for (query, status, error_type) in [("sum(", 400, "bad_data"), ("up + on() up", 422, "execution")] {
        let answer = sextant.post("/api/v1/query", &[("query", query), ("time", end)]);
        let body = answer.json();
        assert_eq!((answer.status, body["status"].as_str()), (status, Some("error")), "{body}");
        assert_eq!(body["errorType"], error_type, "{body}");
        assert!(body["error"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
}

/// Completion in the query editor and template variables.
fn metadata(sextant: &Sextant, start: &str, end: &str) {
    let window = [("start", start), ("end", end)];
    let with = |pairs: &[(&'static str, &'static str)]| [&window[..], pairs].concat();
    let up = ("match[]", "up{job=\"todo-app-metrics\"}");

    let labels = success(&sextant.post("/api/v1/labels", &with(&[up])));
    assert_eq!(labels, json!(["__name__", "instance", "job", "service"]));
    let services = sextant.data(
        "/api/v1/label/service/values",
        &with(&[("match[]", "http_requests_total"), ("limit", "40000")]),
    );
    assert_eq!(services, json!(["api-gateway", "todo-service"]));
    let limited = sextant.data("/api/v1/label/__name__/values", &with(&[("limit", "1")]));
    assert_eq!(limited.as_array().map(Vec::len), Some(1));
    // A name that Prometheus would not take as it stands travels escaped.
    assert_eq!(sextant.data("/api/v1/label/U__service_2e_name/values", &window), json!([]));

    let series = success(&sextant.post("/api/v1/series", &with(&[up, ("limit", "40000")])));
    let mut services: Vec<&str> =
        series.as_array().unwrap().iter().filter_map(|labels| labels["service"].as_str()).collect();
    services.sort_unstable();
    assert_eq!(services, ["api-gateway", "todo-service"]);
    let metadata = sextant.data("/api/v1/metadata", &[("metric", "http_requests_total")]);
    let wanted = json!([{"type": "counter", "unit": "", "help": "Total number of HTTP requests"}]);
    assert_eq!(metadata["http_requests_total"], wanted);
    let histogram = sextant.data("/api/v1/metadata", &[("limit_per_metric", "1")]);
    assert_eq!(histogram["http_request_duration_seconds"][0]["type"], "histogram");
}

/// The alerting pages.
fn alerting(sextant: &Sextant) {
    let rules = sextant.data("/api/v1/rules", &[("type", "alert")]);
    let group = &rules["groups"][0];
    assert_eq!(group["name"], "todo-app-alerts");
    let names: Vec<&str> =
        group["rules"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(
        names,
        ["HighErrorRate", "HighResponseTime", "DatabaseDown", "HighCPUUsage", "HighMemoryUsage"]
    );
    for rule in group["rules"].as_array().unwrap() {
        assert_eq!((&rule["type"], &rule["health"]), (&json!("alerting"), &json!("ok")), "{rule}");
    }
    assert_eq!(sextant.data("/api/v1/rules", &[("type", "record")])["groups"], json!([]));
    assert!(sextant.data("/api/v1/alerts", &[])["alerts"].is_array());
}

/// The streamed search of the newest query editor: batches, one a line, and a last line that says so.
fn search(sextant: &Sextant) {
    let path = "/api/v1/search/metric_names?search[]=http_requests&fuzz_threshold=50&sort_by=score&limit=10&batch_size=5";
    let answer = sextant.get(path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"http_requests_total\""), "{}", answer.text());
    for line in answer.text().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}
