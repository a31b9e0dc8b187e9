//! The monitoring stack of the seed on real input: services under load, Debian's exporters, a real
//! PostgreSQL, Debian's Alertmanager with a webhook behind it, and Sextant in the place of Prometheus.
//! `tests/e2e/seed/README.md` says what the parts are.

mod expected;
mod grafana;
mod postgres;
mod promtool;
mod stack;
mod webhook;

use std::time::Duration;

use serde_json::Value;

use crate::neighbours::{root, skipped};
use crate::sextant::value;
use crate::waiting::{unix_ms, until};
use expected::{Kind, Load};
use stack::Stack;

/// How long anything may take that happens within a few intervals on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The traffic of the test. Reports take 600 ms; three in a hundred requests to the gateway fail.
const GATEWAY: &[Kind] = &[
    Kind { method: "GET", path: "/api/todos", route: "/api/todos", status: 200, count: 80 },
    Kind { method: "GET", path: "/api/todos/7", route: "/api/todos/:id", status: 200, count: 40 },
    Kind { method: "POST", path: "/api/todos", route: "/api/todos", status: 201, count: 20 },
    Kind { method: "GET", path: "/api/report", route: "/api/report", status: 200, count: 20 },
    Kind { method: "POST", path: "/api/checkout", route: "/api/checkout", status: 202, count: 34 },
    Kind { method: "GET", path: "/favicon.ico", route: "(unmatched)", status: 404, count: 0 },
];
const FAILING: &[Kind] =
    &[Kind { method: "POST", path: "/api/checkout", route: "/api/checkout", status: 503, count: 6 }];
const TODO: &[Kind] =
    &[Kind { method: "GET", path: "/api/todos", route: "/api/todos", status: 200, count: 100 }];

/// The files of the seed that the test runs are the seed's own.
#[test]
fn the_seed_files_are_unchanged() {
    let shared = std::env::var_os("SEXTANT_SHARED").map_or_else(|| root().join("../shared"), Into::into);
    if !shared.is_dir() {
        return skipped("../shared (the seed's files)");
    }
    for name in ["alerts.yaml", "todo-app-overview.json"] {
        let theirs = std::fs::read_to_string(shared.join("seed").join(name)).unwrap();
        let ours = std::fs::read_to_string(root().join("tests/e2e/seed").join(name)).unwrap();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn the_seed_runs_on_sextant() {
    let Some(mut stack) = Stack::start() else { return };
    stack.until_all_targets_are_up();
    let mut load = Load::default();
    send_base_load(&stack, &mut load);
    let sessions = stack.postgres.open_sessions(3);

    let evaluated_ms = dashboard_shows_the_load(&stack, &load);
    host_is_seen(&stack);
    grafana::asks(&stack, evaluated_ms);
    promtool::asks(&stack, evaluated_ms);

    errors_raise_the_alert(&stack, &mut load);
    drop(sessions);
    database_goes_and_comes_back(&mut stack);
    kill_9_loses_nothing(&mut stack);
    errors_pass(&stack, &mut load);
}

/// One request of each kind, so that every series exists before it counts; then the load itself.
fn send_base_load(stack: &Stack, load: &mut Load) {
    for warm_up in [true, false] {
        let sized = |kinds: &[Kind]| -> Vec<Kind> {
            kinds.iter().map(|kind| Kind { count: if warm_up { 1 } else { kind.count }, ..*kind }).collect()
        };
        stack.switch_failures(true);
        stack.send(load, "api-gateway", &sized(FAILING), warm_up);
        stack.switch_failures(false);
        stack.send(load, "api-gateway", &sized(GATEWAY), warm_up);
        stack.send(load, "todo-service", &sized(TODO), warm_up);
        stack.until_scraped(load);
    }
}

/// The four panels of the seed's dashboard; the time at which they were evaluated.
fn dashboard_shows_the_load(stack: &Stack, load: &Load) -> i64 {
    let text = std::fs::read_to_string(root().join("tests/e2e/seed/todo-app-overview.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["dashboard"]["panels"].as_array().unwrap();
    let exprs: Vec<&str> = panels.iter().map(|p| p["targets"][0]["expr"].as_str().unwrap()).collect();
    let [request_rate, response_time, error_rate, connections] = exprs[..] else { panic!("{exprs:?}") };

    until(SOON, "three sessions seen", || {
        match stack.sextant.number("pg_stat_database_numbackends{datname=\"todo\"}") {
            Some(3.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let now_ms = unix_ms();
    let seen = expected::Seen::read(&stack.sextant, load, now_ms);
    let by_service = |expr: &str| expected::by_label(&stack.sextant.query_at(expr, now_ms), "service");

    expected::assert_close(request_rate, &by_service(request_rate), &seen.rates(|_| true));
    let failed = seen.rates(|kind| kind.status >= 500);
    let all = seen.rates(|_| true);
    let share = failed.iter().map(|(service, rate)| (service.clone(), rate / all[service] * 100.0)).collect();
    expected::assert_close(error_rate, &by_service(error_rate), &share);
    // Three in a hundred were sent; extrapolation treats series of different age a little differently.
    assert!((2.0..4.0).contains(&share["api-gateway"]), "{share:?}");

    let quantiles = by_service(response_time);
    expected::assert_close(response_time, &quantiles, &seen.quantiles(0.95));
    // A tenth of the requests takes 600 ms, in the bucket from 0.5 s to 1 s.
    assert!((0.5..1.0).contains(&quantiles["api-gateway"]), "{quantiles:?}");

    let databases = expected::by_label(&stack.sextant.query_at(connections, now_ms), "datname");
    assert_eq!(databases["todo"], 3.0, "{databases:?}");
    assert!(databases.contains_key("template1"), "{databases:?}");
    now_ms
}

/// What the seed's node alerts read agrees with the host.
fn host_is_seen(stack: &Stack) {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let total_kib: f64 = total.trim().trim_end_matches(" kB").parse().unwrap();
    assert_eq!(stack.sextant.number("node_memory_MemTotal_bytes"), Some(total_kib * 1024.0));
    for expr in [
        "100 - (avg by(instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[2m])) * 100)",
        "(1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)) * 100",
    ] {
        let percent = stack.sextant.number(expr).unwrap_or(f64::NAN);
        assert!((-5.0..=100.0).contains(&percent), "{expr}: {percent}");
    }
}

fn errors_raise_the_alert(stack: &Stack, load: &mut Load) {
    assert_eq!(stack.sextant.query("ALERTS{alertname=\"HighErrorRate\"}"), Value::Array(Vec::new()));
    stack.switch_failures(true);
    stack.send(load, "api-gateway", &[Kind { count: 40, ..FAILING[0] }], false);
    stack.switch_failures(false);

    let alert = stack.webhook.until_told("HighErrorRate", "firing");
    assert_eq!(alert["labels"]["service"], "api-gateway", "{alert}");
    assert_eq!(alert["labels"]["severity"], "critical", "{alert}");
    assert_eq!(alert["annotations"]["summary"], "High error rate detected", "{alert}");
    assert_eq!(alert["annotations"]["description"], "api-gateway has error rate above 10%", "{alert}");
    let link = alert["generatorURL"].as_str().unwrap();
    assert!(link.starts_with(&format!("http://{}/graph?g0.expr=", stack.sextant.address)), "{link}");

    let alerts = stack.sextant.data("/api/v1/alerts", &[]);
    let own =
        alerts["alerts"].as_array().unwrap().iter().find(|a| a["labels"]["alertname"] == "HighErrorRate");
    assert_eq!(own.map(|alert| &alert["state"]), Some(&Value::from("firing")), "{alerts}");
    let there = stack.alertmanager_alerts();
    let names: Vec<&str> = there.iter().filter_map(|a| a["labels"]["alertname"].as_str()).collect();
    assert!(names.contains(&"HighErrorRate"), "{names:?}");
    let share = stack.sextant.query("ALERTS{alertname=\"HighErrorRate\",alertstate=\"firing\"}");
    assert_eq!(value(&share[0]), 1.0, "{share}");
}

/// A stopped database alone leaves the exporter up; with the exporter gone, as in one pod, the rule fires.
fn database_goes_and_comes_back(stack: &mut Stack) {
    stack.postgres.stop();
    until(SOON, "the exporter to say that its database is down", || {
        match (stack.sextant.number("pg_up"), stack.sextant.number("up{job=\"postgres\"}")) {
            (Some(0.0), Some(1.0)) => Ok(()),
            other => Err(format!("pg_up, up: {other:?}")),
        }
    });
    stack.postgres.stop_exporter();
    let alert = stack.webhook.until_told("DatabaseDown", "firing");
    assert_eq!(alert["annotations"]["description"], "PostgreSQL database is not responding", "{alert}");
    assert_eq!(alert["labels"]["job"], "postgres", "{alert}");
    let gone = stack.sextant.query("pg_stat_database_numbackends");
    assert_eq!(gone, Value::Array(Vec::new()), "series of a target that is down are stale");

    stack.postgres.start(stack.scratch.path());
    stack.webhook.until_told("DatabaseDown", "resolved");
    assert_eq!(stack.sextant.number("up{job=\"postgres\"}"), Some(1.0));
}

/// What was scraped before `kill -9` is there after it, and alerting goes on.
fn kill_9_loses_nothing(stack: &mut Stack) {
    const EVERYTHING: [&str; 3] = ["http_requests_total[10m]", "up[10m]", "ALERTS[10m]"];
    let before_ms = unix_ms();
    let read =
        |stack: &Stack| EVERYTHING.map(|expr| expected::sorted(stack.sextant.query_at(expr, before_ms)));
    let before = read(stack);
    stack.sextant.process.kill();
    stack.sextant.restart();
    let after = read(stack);
    for ((expr, before), after) in EVERYTHING.iter().zip(&before).zip(&after) {
        assert!(!before.as_array().unwrap().is_empty(), "{expr}");
        let after = after.as_array().unwrap();
        for series in before.as_array().unwrap() {
            let same = after.iter().find(|other| other["metric"] == series["metric"]);
            // A scrape that was under way may have been stored between the reading and the kill.
            let kept =
                same.and_then(|same| same["values"].as_array()?.get(..series["values"].as_array()?.len()));
            assert_eq!(kept, series["values"].as_array().map(Vec::as_slice), "{expr} after kill -9");
        }
    }
    stack.until_all_targets_are_up();
    // The stored ALERTS of before the kill would answer a query; only the rules themselves tell that the
    // new process has seen the alert fire, and will say when it is over.
    until(SOON, "the alert to fire again", || {
        let alerts = stack.sextant.data("/api/v1/alerts", &[]);
        let fires =
            |alert: &Value| alert["labels"]["alertname"] == "HighErrorRate" && alert["state"] == "firing";
        let found = alerts["alerts"].as_array().is_some_and(|all| all.iter().any(fires));
        if found { Ok(()) } else { Err(alerts.to_string()) }
    });
}

/// Good requests bring the share of errors below a tenth.
fn errors_pass(stack: &Stack, load: &mut Load) {
    let good = [Kind { count: 600, ..GATEWAY[0] }];
    stack.send(load, "api-gateway", &good, false);
    stack.webhook.until_told("HighErrorRate", "resolved");
}
