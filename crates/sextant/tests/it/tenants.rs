//! Users, tenants and limits of `sextant serve`.

use std::path::Path;
use std::process::{Command, Stdio};

use config::PasswordHash;
use serde_json::{Value, json};

use crate::http::{Response, form};
use crate::process::output;
use crate::sextant::{Sextant, success};
use crate::smoke::push::{Version, request};
use crate::waiting::{unix_ms, until};

const RULES: &str = "groups: [{name: g, interval: 1s, rules: [{alert: Always, expr: vector(1)}]}]\n";

fn config() -> String {
    let hash = |password: &str| PasswordHash::make(password, [7; 16]).expose().to_owned();
    format!(
        "listeners: [{{address: ADDRESS}}]\n\
         prometheus: prometheus.yml\n\
         tenants:\n\
        \x20 multi_tenant: true\n\
        \x20 limits: {{label_names_per_series: 3}}\n\
        \x20 overrides:\n\
        \x20   small: {{active_series: 1, label_value_length: 20}}\n\
        \x20   slow: {{samples_per_second: 5}}\n\
        \x20   poor: {{query_memory: 100B}}\n\
         auth:\n\
        \x20 users:\n\
        \x20   root: {{password_hash: '{}', admin: true}}\n\
        \x20   alice: {{password_hash: '{}', tenants: [a]}}\n",
        hash("top"),
        hash("secret"),
    )
}

/// `root:top` and `alice:secret`.
const ROOT: (&str, &str) = ("Authorization", "Basic cm9vdDp0b3A=");
const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6c2VjcmV0");

struct Bench {
    sextant: Sextant,
    _scratch: tempfile::TempDir,
}

impl Bench {
    fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        std::fs::write(dir.join("rules.yml"), RULES).unwrap();
        let prometheus = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n\
                          remote_read: [{url: 'http://127.0.0.1:1/read', read_recent: true}]\n\
                          scrape_configs: [{job_name: j, static_configs: [{targets: ['127.0.0.1:1']}]}]\n";
        std::fs::write(dir.join("prometheus.yml"), prometheus).unwrap();
        let sextant = Sextant::serve(dir, &config());
        Self { sextant, _scratch: scratch }
    }

    fn ask(&self, method: &str, path: &str, user: (&str, &str), tenant: &str) -> Response {
        self.sextant.ask(method, path, &[user, ("X-Scope-OrgID", tenant)], b"")
    }

    fn data(&self, path: &str, tenant: &str) -> Value {
        success(&self.ask("GET", path, ROOT, tenant))
    }

    fn push(&self, tenant: &str, metric: &str, samples: &[(i64, f64)]) -> Response {
        let (mut headers, body) = request(Version::V1, metric, samples);
        headers.extend([ROOT, ("X-Scope-OrgID", tenant)]);
        self.sextant.ask("POST", "/api/v1/write", &headers, &body)
    }
}

/// Whatever is asked, a tenant sees what is its own and nothing else.
#[test]
fn tenants_do_not_see_each_other() {
    let bench = Bench::start();
    let now_ms = unix_ms();
    for (tenant, metrics, value) in [("a", ["shared", "only_a"], 1.0), ("b", ["shared", "only_b"], 2.0)] {
        for metric in metrics {
            assert_eq!(bench.push(tenant, metric, &[(now_ms, value)]).status, 204);
        }
    }
    let time = form(&[("time", &format!("{}", now_ms as f64 / 1000.0)), ("query", "{job=\"pushed\"}")]);
    for (tenant, own, value) in [("a", "only_a", "1"), ("b", "only_b", "2")] {
        let result = bench.data(&format!("/api/v1/query?{time}"), tenant)["result"].clone();
        let seen: Vec<_> = result
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s["metric"]["__name__"].clone(), s["value"][1].clone()))
            .collect();
        assert_eq!(seen, [(json!(own), json!(value)), (json!("shared"), json!(value))], "{tenant}");
        let names = bench.data("/api/v1/label/__name__/values", tenant);
        assert_eq!(names, json!([own, "shared"]), "{tenant}");
        let series = bench.data("/api/v1/series?match[]=%7Bjob%3D%22pushed%22%7D", tenant);
        assert_eq!(series.as_array().unwrap().len(), 2, "{series}");
        assert_eq!(bench.data("/api/v1/status/tsdb", tenant)["headStats"]["numSeries"], json!(2));
        let federated = bench.ask("GET", "/federate?match[]=%7Bjob%3D%22pushed%22%7D", ROOT, tenant).text();
        let other = if own == "only_a" { "only_b" } else { "only_a" };
        assert!(federated.contains(own) && !federated.contains(other), "{federated}");
        let found = bench.ask("GET", "/api/v1/search/metric_names?search=only", ROOT, tenant).text();
        assert!(found.contains(own) && !found.contains(other), "{found}");
    }
    // What the server scrapes and evaluates belongs to the tenant that it does so for.
    until(std::time::Duration::from_secs(20), "an alert", || {
        let alerts = bench.data("/api/v1/alerts", "anonymous")["alerts"].clone();
        if alerts.as_array().is_some_and(|all| !all.is_empty()) { Ok(()) } else { Err(alerts.to_string()) }
    });
    for (path, pointer) in
        [("/api/v1/alerts", "/alerts"), ("/api/v1/rules", "/groups"), ("/api/v1/targets", "/activeTargets")]
    {
        let n = |tenant: &str| bench.data(path, tenant).pointer(pointer).unwrap().as_array().unwrap().len();
        assert_eq!((n("anonymous"), n("a")), (1, 0), "{path}");
    }
    // So does what other servers hold.
    let asks_remotes = |tenant: &str| {
        let answer = bench.ask("GET", "/api/v1/query?query=shared", ROOT, tenant).json();
        answer["warnings"].to_string().contains("remote_read")
    };
    assert_eq!((asks_remotes("anonymous"), asks_remotes("a")), (true, false));
    let metrics = bench.sextant.ask("GET", "/metrics", &[ROOT], b"").text();
    for tenant in ["a", "b"] {
        let wanted = format!("sextant_ingest_samples_total{{tenant=\"{tenant}\"}} 2\n");
        assert!(metrics.contains(&wanted), "no {wanted} in {metrics}");
    }
}

#[test]
fn users_act_for_their_tenants_and_only_administrators_for_everybody() {
    let bench = Bench::start();
    assert_eq!(bench.push("a", "m", &[(unix_ms(), 1.0)]).status, 204);
    assert_eq!(bench.push("b", "m", &[(unix_ms(), 1.0)]).status, 204);
    let query = "/api/v1/query?query=count(m)";
    for (method, path, user, tenant, status) in [
        ("GET", query, ALICE, Some("a"), 200),
        ("GET", query, ALICE, None, 200),
        ("GET", query, ALICE, Some("b"), 403),
        ("GET", query, ALICE, Some("../x"), 400),
        ("GET", query, ("Authorization", "Basic YWxpY2U6eA=="), Some("a"), 401),
        ("GET", query, ROOT, Some("b"), 200),
        ("POST", "/-/reload", ALICE, None, 403),
        ("POST", "/-/reload", ROOT, None, 200),
        ("POST", "/api/v1/admin/tsdb/delete_series?match[]=m", ALICE, None, 403),
        ("POST", "/api/v1/admin/tsdb/snapshot", ALICE, None, 403),
        ("POST", "/api/v1/admin/tsdb/clean_tombstones", ALICE, None, 403),
        ("POST", "/-/quit", ALICE, None, 403),
        ("POST", "/api/v1/admin/tsdb/delete_series?match[]=m", ROOT, Some("a"), 204),
    ] {
        let mut headers = vec![user];
        headers.extend(tenant.map(|tenant| ("X-Scope-OrgID", tenant)));
        let answer = bench.sextant.ask(method, path, &headers, b"");
        assert_eq!(answer.status, status, "{method} {path} {tenant:?}: {}", answer.text());
    }
    let count = |tenant: &str| bench.data(query, tenant)["result"].as_array().unwrap().len();
    assert_eq!((count("a"), count("b")), (0, 1), "a deletion is of one tenant");
}

#[test]
fn each_limit_of_a_tenant_says_which_it_is() {
    let bench = Bench::start();
    let now_ms = unix_ms();
    let many: Vec<(i64, f64)> = (0..50).map(|i| (now_ms - i, 1.0)).collect();
    for (tenant, metric, samples, status, text) in [
        ("small", "first", &many[..1], 204, ""),
        ("small", "second", &many[..1], 429, "per-tenant series limit exceeded"),
        ("large", "a_name_that_is_longer_than_twenty", &many[..1], 204, ""),
        ("small", "a_name_that_is_longer_than_twenty", &many[..1], 429, "per-tenant series limit exceeded"),
        ("slow", "m", &many[..], 204, ""),
        ("slow", "m", &many[..1], 429, "tenant slow sends more than 5 samples per second"),
        ("poor", "m", &many[..1], 204, ""),
    ] {
        let answer = bench.push(tenant, metric, samples);
        assert_eq!(answer.status, status, "{tenant} {metric}: {}", answer.text());
        assert!(answer.text().contains(text), "{tenant} {metric}: {}", answer.text());
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429, "{:?}", answer.headers);
    }
    let refused = bench.ask("GET", "/api/v1/query?query=m", ROOT, "poor");
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("tenant queries"), "{}", refused.text());
}

/// The first start makes an administrator, whose password closes what other machines can reach.
#[test]
fn a_first_start_shows_a_password_once() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let mut sextant = Sextant::serve(dir, "listeners: [{address: ADDRESS}, {address: '0.0.0.0:0'}]\n");
    let shown = |log: &str| {
        let (_, rest) = log.split_once("with the password ").expect("a password");
        rest.split_whitespace().next().expect("a password").to_owned()
    };
    let password = shown(&sextant.process.log());
    let open = sextant.process.log();
    let wide = open.lines().find_map(|line| line.split_once("address=0.0.0.0:")).expect("a second listener");
    let wide = format!("127.0.0.1:{}", wide.1.trim());
    let status = |address: &str, user: Option<&str>| {
        let value = user.map(|text| format!("Basic {text}"));
        let headers: Vec<_> = value.iter().map(|value| ("Authorization", value.as_str())).collect();
        crate::http::request(address, "GET", "/api/v1/query?query=1", &headers, b"").unwrap().status
    };
    let encoded = base64(&format!("admin:{password}"));
    assert_eq!(status(&sextant.address, None), 200, "this machine is let in as ever");
    assert_eq!(status(&wide, None), 401);
    assert_eq!(status(&wide, Some(&base64("admin:admin"))), 401);
    assert_eq!(status(&wide, Some(&encoded)), 200);

    sextant.process.signal("TERM");
    sextant.process.wait();
    let n_shown = |log: &str| log.matches("with the password").count();
    assert_eq!(n_shown(&sextant.process.log()), 1);
    sextant.restart();
    assert_eq!(n_shown(&sextant.process.log()), 1, "a second start shows nothing");
    sextant.process.signal("TERM");
    sextant.process.wait();

    let users = |args: &[&str]| output(command(dir).args(args));
    assert_eq!(users(&["list"]).trim(), "admin\tadmin\tall tenants");
    assert_eq!(users(&["add", "bob", "--tenant", "a"]).trim().len(), 20);
    assert_eq!(users(&["list"]).lines().count(), 2);
    let fresh = users(&["reset-password", "admin"]);
    assert_ne!(fresh.trim(), password);
    users(&["remove", "bob"]);
    assert_eq!(users(&["list"]).lines().count(), 1);
    let refused = command(dir).args(["remove", "bob"]).output().unwrap();
    assert!(!refused.status.success());
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant"));
    command.arg("users").arg("--data-dir").arg(dir.join("data")).stdin(Stdio::null());
    command
}

fn base64(text: &str) -> String {
    use std::fmt::Write as _;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes().chunks(3).fold(String::new(), |mut out, chunk| {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            write!(out, "{}", if i <= chunk.len() { char::from(digit) } else { '=' }).unwrap();
        }
        out
    })
}
