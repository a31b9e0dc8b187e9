//! The program under test, started as a drop-in for Prometheus.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::http::{self, Response, form};
use crate::process::{Process, free_port};
use crate::waiting::until;

/// How long the program may take to start on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// A running server with its folder.
#[derive(Debug)]
pub(crate) struct Sextant {
    pub(crate) process: Process,
    /// `127.0.0.1:port`; the same after a restart.
    pub(crate) address: String,
    dir: PathBuf,
    flags: Vec<String>,
    command: CommandLine,
}

/// From folder, address and flags to the program's command line.
type CommandLine = fn(&Path, &str, &[String]) -> Command;

/// `sextant serve` with the `sextant.yml` in `dir`, which names the address itself.
fn serve_command(dir: &Path, _address: &str, flags: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant"));
    let config = dir.join("sextant.yml");
    command.arg("serve").arg("--config").arg(config).arg("--enable-admin-api").args(flags);
    command
}

/// The command line of a server on `address` with its configuration and data in `dir`.
pub(crate) fn command(dir: &Path, address: &str, flags: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant"));
    command
        .arg("prometheus")
        .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(flags);
    command
}

impl Sextant {
    /// Writes `prometheus.yml` and starts; returns when the server says that it is ready.
    pub(crate) fn start(dir: &Path, config: &str, flags: &[&str]) -> Self {
        Self::start_at(dir, format!("127.0.0.1:{}", free_port()), config, flags)
    }

    /// Starts on an address that the caller had to know before.
    pub(crate) fn start_at(dir: &Path, address: String, config: &str, flags: &[&str]) -> Self {
        let started = Self::start_unready_at(dir, address, config, flags);
        started.until_ready();
        started
    }

    /// Starts without waiting, for servers that plain HTTP does not reach.
    pub(crate) fn start_unready(dir: &Path, config: &str, flags: &[&str]) -> Self {
        Self::start_unready_at(dir, format!("127.0.0.1:{}", free_port()), config, flags)
    }

    fn start_unready_at(dir: &Path, address: String, config: &str, flags: &[&str]) -> Self {
        std::fs::write(dir.join("prometheus.yml"), config).expect("the scratch folder is writable");
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let process = Process::start(dir, "sextant", &mut command(dir, &address, &flags));
        Self { process, address, dir: dir.to_owned(), flags, command }
    }

    /// Starts `sextant serve` on a `sextant.yml` in which `ADDRESS` stands for an address.
    pub(crate) fn serve(dir: &Path, config: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let config = config.replace("ADDRESS", &format!("'{address}'"));
        std::fs::write(dir.join("sextant.yml"), config).expect("the scratch folder is writable");
        let process = Process::start(dir, "sextant", &mut serve_command(dir, &address, &[]));
        let started =
            Self { process, address, dir: dir.to_owned(), flags: Vec::new(), command: serve_command };
        started.until_ready();
        started
    }

    /// Starts again on the same data and address.
    pub(crate) fn restart(&mut self) {
        self.process =
            Process::start(&self.dir, "sextant", &mut (self.command)(&self.dir, &self.address, &self.flags));
        self.until_ready();
    }

    fn until_ready(&self) {
        until(START, "a ready server", || match http::request(&self.address, "GET", "/-/ready", &[], b"") {
            // Who asks for users has started as well.
            Ok(response) if matches!(response.status, 200 | 401) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let answer = http::request(&self.address, method, path, headers, body);
        answer.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// POSTs a form.
    pub(crate) fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        let content_type = [("Content-Type", "application/x-www-form-urlencoded")];
        self.ask("POST", path, &content_type, form(pairs).as_bytes())
    }

    /// `data` of a successful answer to a GET.
    pub(crate) fn data(&self, path: &str, pairs: &[(&str, &str)]) -> Value {
        success(&self.get(&format!("{path}?{}", form(pairs))))
    }

    /// `result` of an instant query at a time in milliseconds.
    pub(crate) fn query_at(&self, expr: &str, t_ms: i64) -> Value {
        let time = format!("{}", t_ms as f64 / 1000.0);
        self.data("/api/v1/query", &[("query", expr), ("time", &time)])["result"].clone()
    }

    /// `result` of an instant query now.
    pub(crate) fn query(&self, expr: &str) -> Value {
        self.data("/api/v1/query", &[("query", expr)])["result"].clone()
    }

    /// The value of an instant query that returns at most one sample.
    pub(crate) fn number(&self, expr: &str) -> Option<f64> {
        let result = self.query(expr);
        let samples = result.as_array().expect("a vector");
        assert!(samples.len() <= 1, "{expr}: {result}");
        samples.first().map(value)
    }
}

/// `data` of a successful answer.
pub(crate) fn success(response: &Response) -> Value {
    let answer = response.json();
    assert_eq!((response.status, answer["status"].as_str()), (200, Some("success")), "{answer}");
    answer["data"].clone()
}

/// The number in an element of an instant vector.
pub(crate) fn value(sample: &Value) -> f64 {
    number(&sample["value"][1])
}

/// A sample value: a number in a string.
pub(crate) fn number(text: &Value) -> f64 {
    text.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("not a sample value: {text}"))
}
