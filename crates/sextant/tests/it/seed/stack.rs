//! The parts of the stack, started and wired.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::SOON;
use super::expected::{Kind, Load, by_label};
use super::postgres::{Postgres, Programs};
use super::webhook::Webhook;
use crate::http;
use crate::neighbours::{find_all, root, skipped};
use crate::process::{Process, free_port, output};
use crate::sextant::Sextant;
use crate::waiting::until;

#[derive(Debug)]
pub(crate) struct Stack {
    // Dropped in this order: the programs before their folder.
    pub(crate) sextant: Sextant,
    pub(crate) postgres: Postgres,
    pub(crate) webhook: Webhook,
    pub(crate) promtool: PathBuf,
    node: PathBuf,
    gateway: String,
    todo: String,
    alertmanager: String,
    _others: Vec<Process>,
    pub(crate) scratch: TempDir,
}

/// The program's configuration with addresses in the place of `@NAME@`.
fn filled(name: &str, addresses: &[(&str, &str)]) -> String {
    let path = root().join("tests/e2e/seed").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    addresses.iter().fold(text, |text, (name, address)| text.replace(&format!("@{name}@"), address))
}

/// The seed's rules, unchanged but for the waiting times: minutes become seconds.
fn rules_with_short_waits() -> String {
    let rules = filled("alerts.yaml", &[]);
    let shortened = rules.replace("for: 5m\n", "for: 3s\n").replace("for: 2m\n", "for: 2s\n");
    let changed = rules.lines().zip(shortened.lines()).filter(|(before, after)| before != after).count();
    assert_eq!(
        (changed, rules.matches("alert:").count()),
        (5, 5),
        "each of the five rules waits, and only that changed"
    );
    shortened
}

/// Starts a program of the stack that serves HTTP at `address`, and waits until it answers.
fn serve(dir: &Path, name: &str, address: &str, path: &str, command: &mut Command) -> Process {
    let mut process = Process::start(dir, name, command);
    until(SOON, &format!("{name} to answer"), || {
        assert!(process.ended().is_none(), "{name} ended:\n{}", process.log());
        match http::request(address, "GET", path, &[], b"") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    process
}

impl Stack {
    /// Starts everything, or says what is missing.
    pub(crate) fn start() -> Option<Self> {
        let [node, promtool, alertmanager_program, node_exporter, exporter, initdb, postgres, psql] =
            find_all([
                "node",
                "promtool",
                "prometheus-alertmanager",
                "prometheus-node-exporter",
                "prometheus-postgres-exporter",
                "initdb",
                "postgres",
                "psql",
            ])?;
        let service = root().join("tests/e2e/seed");
        if !service.join("node_modules").is_dir() {
            skipped("npm ci in tests/e2e/seed (run tests/setup)");
            return None;
        }
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let dir = scratch.path();
        let [gateway, todo, alertmanager, host] = [(); 4].map(|()| format!("127.0.0.1:{}", free_port()));
        let mut others = Vec::new();
        for (name, address) in [("api-gateway", &gateway), ("todo-service", &todo)] {
            let port = address.rsplit(':').next().expect("an address has a port");
            let mut command = Command::new(&node);
            others.push(serve(
                dir,
                name,
                address,
                "/metrics",
                command.arg(service.join("server.js")).env("PORT", port),
            ));
        }
        let mut command = Command::new(node_exporter);
        command.arg(format!("--web.listen-address={host}"));
        others.push(serve(dir, "node-exporter", &host, "/metrics", &mut command));
        let webhook = Webhook::start();
        std::fs::write(
            dir.join("alertmanager.yml"),
            filled("alertmanager.yml", &[("WEBHOOK", &webhook.address)]),
        )
        .expect("the scratch folder is writable");
        let mut command = Command::new(alertmanager_program);
        command
            .arg(format!("--config.file={}", dir.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", dir.join("alertmanager").display()))
            .arg(format!("--web.listen-address={alertmanager}"))
            .arg("--cluster.listen-address=");
        others.push(serve(dir, "alertmanager", &alertmanager, "/-/ready", &mut command));
        let postgres = Postgres::new(dir, Programs { initdb, postgres, psql, exporter });

        std::fs::write(dir.join("alerts.yaml"), rules_with_short_waits())
            .expect("the scratch folder is writable");
        let pods = filled("pods.json", &[("GATEWAY", &gateway), ("TODO", &todo)]);
        std::fs::write(dir.join("pods.json"), pods).expect("the scratch folder is writable");
        let sextant = Self::start_sextant(dir, &alertmanager, &host, &postgres.exporter_address());
        let stack = Self {
            sextant,
            postgres,
            webhook,
            promtool,
            node,
            gateway,
            todo,
            alertmanager,
            _others: others,
            scratch,
        };
        Some(stack)
    }

    fn start_sextant(dir: &Path, alertmanager: &str, host: &str, postgres: &str) -> Sextant {
        // It scrapes itself, so its address must be known before it starts.
        let own = format!("127.0.0.1:{}", free_port());
        let addresses = [
            ("ALERTMANAGER", alertmanager),
            ("NODE_EXPORTER", host),
            ("POSTGRES_EXPORTER", postgres),
            ("SEXTANT", &own),
        ];
        let config = filled("prometheus.yml", &addresses);
        let url = format!("--web.external-url=http://{own}/");
        Sextant::start_at(dir, own.clone(), &config, &["--enable-feature=search-api", &url])
    }

    /// The four jobs of five targets; the pod without the annotation is dropped.
    pub(crate) fn until_all_targets_are_up(&self) {
        until(SOON, "five healthy targets", || {
            let targets = self.sextant.data("/api/v1/targets", &[("state", "any")]);
            let active = targets["activeTargets"].as_array().map_or(&[][..], Vec::as_slice);
            let healthy = active.iter().filter(|target| target["health"] == "up").count();
            let dropped = targets["droppedTargets"].as_array().map_or(0, Vec::len);
            if (active.len(), healthy, dropped) == (5, 5, 1) { Ok(()) } else { Err(targets.to_string()) }
        });
    }

    fn address_of(&self, service: &str) -> &str {
        if service == "api-gateway" { &self.gateway } else { &self.todo }
    }

    /// Sends exactly these requests and notes them.
    pub(crate) fn send(&self, load: &mut Load, service: &'static str, kinds: &[Kind], warm_up: bool) {
        load.add(service, kinds, warm_up);
        let plan: Vec<Value> = kinds
            .iter()
            .map(|kind| serde_json::json!([kind.method, kind.path, kind.status, kind.count]))
            .collect();
        let mut command = Command::new(&self.node);
        command.arg(root().join("tests/e2e/seed/load.js"));
        command.arg(format!("http://{}", self.address_of(service))).arg(Value::from(plan).to_string());
        output(&mut command);
    }

    /// Waits until the last scrape shows all that was sent.
    pub(crate) fn until_scraped(&self, load: &Load) {
        let wanted = load.totals();
        until(SOON, &format!("{wanted:?} requests scraped"), || {
            let seen = by_label(&self.sextant.query("sum by (service) (http_requests_total)"), "service");
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }

    /// Tells the gateway whether its checkout fails.
    pub(crate) fn switch_failures(&self, on: bool) {
        let path = format!("/switch/checkout-fails/{}", if on { "on" } else { "off" });
        let answer = http::request(&self.gateway, "PUT", &path, &[], b"").expect("the gateway answers");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// The alerts that Alertmanager holds.
    pub(crate) fn alertmanager_alerts(&self) -> Vec<Value> {
        let answer = http::request(&self.alertmanager, "GET", "/api/v2/alerts", &[], b"")
            .expect("Alertmanager answers");
        answer.json().as_array().cloned().unwrap_or_default()
    }
}
