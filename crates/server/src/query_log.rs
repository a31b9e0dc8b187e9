//! `global.query_log_file`: one line of JSON per evaluated query, with upstream's keys. Lines are made
//! by whoever evaluated and written by a task of their own, so that no query waits for the disk.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{Clock, gofloat};
use engine::{FinishedQuery, QueryEngine, QueryError, QueryLog, QueryOrigin};
use jiff::Timestamp;
use parking_lot::Mutex;
use ql_promql::eval::EvalError;
use ql_promql::query::{QueryKind, QueryStats};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire_prom::api_json::JsonWriter;

use crate::telemetry::{Counter, Gauge, Registry};
use crate::web::query_stats::write_stats;

/// Lines that may wait for the disk; more are dropped and counted as failures.
const LINES_WAITING_MAX: usize = 4096;

/// What the waiting lines may hold together, since a line holds the query's whole text.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Lines that one write takes together.
const LINES_PER_WRITE_MAX: usize = 256;

/// Tracing is not active, so no query has a span.
const NO_SPAN: &[u8] = b"\"0000000000000000\"";
const NO_TRACE: &[u8] = b"\"00000000000000000000000000000000\"";

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("can't create json log file: open {path}: {cause}")]
pub struct QueryLogError {
    path: String,
    cause: std::io::Error,
}

/// A file that is open already, so that applying it cannot fail.
#[derive(Debug)]
pub struct PreparedQueryLog(Option<(String, File)>);

/// The query log of a server.
#[derive(Debug)]
pub struct QueryLogging {
    engine: Arc<QueryEngine>,
    clock: Arc<dyn Clock>,
    enabled: Gauge,
    failures: Counter,
    writing: Mutex<Option<JoinHandle<()>>>,
}

impl QueryLogging {
    pub fn new(engine: Arc<QueryEngine>, clock: Arc<dyn Clock>, registry: &Registry) -> Arc<Self> {
        Arc::new(Self {
            engine,
            clock,
            enabled: registry.gauge("prometheus_engine_query_log_enabled", "State of the query log."),
            failures: registry
                .counter("prometheus_engine_query_log_failures_total", "The number of query log failures."),
            writing: Mutex::default(),
        })
    }

    /// Opens the file for appending; an empty path is no log.
    pub fn prepare(path: &str) -> Result<PreparedQueryLog, QueryLogError> {
        if path.is_empty() {
            return Ok(PreparedQueryLog(None));
        }
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Ok(PreparedQueryLog(Some((path.to_owned(), file)))),
            Err(cause) => Err(QueryLogError { path: path.to_owned(), cause }),
        }
    }

    /// Replaces the log, also by the same path: a file that was moved away is left alone from now on.
    pub fn apply(&self, prepared: PreparedQueryLog) {
        self.enabled.set(f64::from(u8::from(prepared.0.is_some())));
        let Some((path, file)) = prepared.0 else { return self.engine.set_query_log(None) };
        let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        self.engine.set_query_log(Some(Arc::new(LineMaker {
            lines,
            waiting_bytes: Arc::clone(&waiting_bytes),
            clock: Arc::clone(&self.clock),
            failures: self.failures.clone(),
        })));
        let writer =
            Writer { path, file: Arc::new(file), waiting, waiting_bytes, failures: self.failures.clone() };
        let mut writing = self.writing.lock();
        let before = writing.take();
        *writing = Some(tokio::spawn(async move {
            // Lines of the log before come first, in case it is the same file.
            if let Some(before) = before {
                drop(before.await);
            }
            writer.run().await;
        }));
    }

    /// Ends the log and waits until its lines are written.
    pub async fn finish(&self) {
        self.engine.set_query_log(None);
        let writing = self.writing.lock().take();
        if let Some(Err(panic)) = match writing {
            Some(writing) => Some(writing.await),
            None => None,
        } {
            tracing::error!(%panic, "writing the query log ended in a panic");
        }
    }
}

struct Writer {
    path: String,
    file: Arc<File>,
    waiting: mpsc::Receiver<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    failures: Counter,
}

impl Writer {
    async fn run(mut self) {
        let (mut batch, mut is_failing) = (Vec::new(), false);
        while self.waiting.recv_many(&mut batch, LINES_PER_WRITE_MAX).await > 0 {
            let n_lines = batch.len();
            let text: Vec<u8> = batch.drain(..).flatten().collect();
            let n_bytes = text.len();
            let file = Arc::clone(&self.file);
            let written = tokio::task::spawn_blocking(move || (&*file).write_all(&text)).await;
            self.waiting_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            let failure = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(panic) => Some(panic.to_string()),
            };
            if let Some(error) = &failure {
                self.failures.add(n_lines as f64);
                // A full disk would otherwise fill the other log too.
                if !is_failing {
                    tracing::error!(path = self.path, error, "can't log queries");
                }
            }
            is_failing = failure.is_some();
        }
    }
}

#[derive(Debug)]
struct LineMaker {
    lines: mpsc::Sender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
    failures: Counter,
}

impl QueryLog for LineMaker {
    fn log(&self, query: &FinishedQuery<'_>) {
        // As upstream, a query that was refused before it could run is not logged.
        if matches!(query.outcome, Err(QueryError::Parse(_) | QueryError::Eval(EvalError::Preparation(_)))) {
            return;
        }
        let line = line(query, self.clock.now_ms());
        let n_bytes = line.len();
        let before = self.waiting_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let fits = before + n_bytes <= WAITING_BYTES_MAX;
        if !fits || self.lines.try_send(line).is_err() {
            self.waiting_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            self.failures.inc();
        }
    }
}

fn line(query: &FinishedQuery<'_>, now_ms: i64) -> Vec<u8> {
    let mut w = JsonWriter::new();
    w.object(|w| {
        text(w, "time", &crate::web::time::rfc3339(now_ms));
        text(w, "level", "INFO");
        text(w, "source", concat!("query_log.rs:", line!()));
        text(w, "msg", "promql query logged");
        w.key("params");
        w.object(|w| write_params(w, query));
        if let Err(error) = &query.outcome {
            text(w, "error", &error.to_string());
        }
        w.key("stats");
        let unknown = QueryStats::default();
        let stats = query.outcome.map_or(&unknown, |answer| &answer.output.stats);
        write_stats(w, &query.timings, stats, seconds_text);
        w.key("spanID");
        w.raw(NO_SPAN);
        w.key("traceID");
        w.raw(NO_TRACE);
        match &query.request.origin {
            QueryOrigin::Internal => {}
            QueryOrigin::Http { client_ip, method, path } => {
                w.key("httpRequest");
                w.object(|w| {
                    text(w, "clientIP", client_ip);
                    text(w, "method", method);
                    text(w, "path", path);
                });
            }
            QueryOrigin::RuleGroup { file, name } => {
                w.key("ruleGroup");
                w.object(|w| {
                    text(w, "file", file);
                    text(w, "name", name);
                });
            }
        }
    });
    let mut line = w.finish();
    line.push(b'\n');
    line
}

fn write_params(w: &mut JsonWriter, query: &FinishedQuery<'_>) {
    let (start_ms, end_ms, step_ms) = match query.request.kind {
        QueryKind::Instant { t_ms } => (t_ms, t_ms, 0),
        QueryKind::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
    };
    text(w, "end", &date(end_ms));
    text(w, "query", &query.request.text);
    text(w, "start", &date(start_ms));
    w.key("step");
    w.int(step_ms / 1000);
}

/// With three decimals always. Years of more than four digits are shown as the last that has four.
fn date(t_ms: i64) -> String {
    let nearest = if t_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let instant = Timestamp::from_millisecond(t_ms).unwrap_or(nearest);
    instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A member with a string as Go writes it when it is not told to mind HTML.
fn text(w: &mut JsonWriter, name: &str, value: &str) {
    w.key(name);
    let quoted = serde_json::Value::from(value).to_string();
    w.raw(quoted.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").as_bytes());
}

/// A number as Go's `encoding/json` writes it: with an exponent below a millionth, whose leading zero
/// is left out.
fn seconds_text(seconds: f64) -> String {
    if seconds == 0.0 || seconds >= 1e-6 {
        return gofloat::format_f(seconds);
    }
    gofloat::format_e(seconds).replace("e-0", "e-")
}

#[cfg(test)]
mod tests;
