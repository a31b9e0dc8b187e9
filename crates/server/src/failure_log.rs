//! `scrape_failure_log_file`: one JSON line per failed scrape, appended.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use parking_lot::Mutex;

/// The file is opened at the first failure and again after a rotation removed it.
#[derive(Debug)]
pub(crate) struct FailureLog {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl FailureLog {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: PathBuf::from(path), file: Mutex::new(None) }
    }

    pub(crate) fn write(&self, now_ms: i64, job: &str, target: &str, error: &str) {
        let line = serde_json::json!({
            "time": crate::web::time::rfc3339(now_ms),
            "level": "ERROR",
            "msg": error,
            "scrape_pool": job,
            "job_name": job,
            "target": target,
        });
        // One write for one line: several jobs may name the same file, each with a handle of its own.
        let line = format!("{line}\n");
        let mut file = self.file.lock();
        if !self.path.exists() {
            *file = None;
        }
        if file.is_none() {
            *file = OpenOptions::new().create(true).append(true).open(&self.path).ok();
        }
        let written = file.as_mut().is_some_and(|f| f.write_all(line.as_bytes()).is_ok());
        if !written {
            tracing::warn!(path = %self.path.display(), "cannot write the scrape failure log");
        }
    }
}
