//! A PostgreSQL of the test's own and Debian's exporter beside it, as two containers of one pod.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::SOON;
use crate::process::{Process, free_port, output};
use crate::waiting::until;

#[derive(Debug)]
pub(crate) struct Postgres {
    programs: Programs,
    data: PathBuf,
    port: u16,
    exporter_port: u16,
    server: Option<Process>,
    exporter: Option<Process>,
}

#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    pub(crate) psql: PathBuf,
    pub(crate) exporter: PathBuf,
}

/// PostgreSQL refuses to run as root: then it runs as the user that Debian's package made.
fn unprivileged(program: &Path) -> Command {
    if output(Command::new("id").arg("-u")).trim() != "0" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

impl Postgres {
    /// Makes a cluster with the database `todo` below `dir`, and starts it with its exporter.
    pub(crate) fn new(dir: &Path, programs: Programs) -> Self {
        let data = dir.join("postgres");
        std::fs::create_dir(&data).expect("the scratch folder is writable");
        if output(Command::new("id").arg("-u")).trim() == "0" {
            output(Command::new("chmod").arg("a+x").arg(dir));
            output(Command::new("chown").arg("postgres").arg(&data));
        }
        let mut initdb = unprivileged(&programs.initdb);
        initdb.current_dir(&data).args(["--auth=trust", "--username=postgres", "--no-sync", "--no-locale"]);
        output(initdb.args(["--encoding=UTF8", "--pgdata"]).arg(&data));
        let (port, exporter_port) = (free_port(), free_port());
        let mut new = Self { programs, data, port, exporter_port, server: None, exporter: None };
        new.start(dir);
        output(&mut new.psql("postgres", "create database todo"));
        new
    }

    pub(crate) fn exporter_address(&self) -> String {
        format!("127.0.0.1:{}", self.exporter_port)
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new(&self.programs.psql);
        command.args(["--no-psqlrc", "-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command.args(["-d", database, "-c", sql]);
        command
    }

    /// Starts the server, waits until it answers, then starts the exporter.
    pub(crate) fn start(&mut self, dir: &Path) {
        let mut server = unprivileged(&self.programs.postgres);
        server.current_dir(&self.data).arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        server.arg("-c").arg(format!("unix_socket_directories={}", self.data.display()));
        self.server = Some(Process::start(dir, "postgres", &mut server));
        until(SOON, "PostgreSQL to answer", || {
            let out = self.psql("postgres", "select 1").output().map_err(|e| e.to_string())?;
            if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
        });
        let source = format!("postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        let mut exporter = Command::new(&self.programs.exporter);
        exporter.env("DATA_SOURCE_NAME", source);
        exporter.arg(format!("--web.listen-address={}", self.exporter_address()));
        self.exporter = Some(Process::start(dir, "postgres-exporter", &mut exporter));
    }

    /// Stops the server as an administrator would (a fast shutdown).
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal("INT");
            server.wait();
        }
    }

    pub(crate) fn stop_exporter(&mut self) {
        self.exporter = None;
    }

    /// Sessions of the database `todo`, open until they are dropped.
    pub(crate) fn open_sessions(&self, count: usize) -> Vec<Process> {
        let dir = self.data.parent().expect("the cluster lies in the scratch folder");
        let open =
            |i| Process::start(dir, &format!("session-{i}"), &mut self.psql("todo", "select pg_sleep(600)"));
        (0..count).map(open).collect()
    }
}
