//! One remote: a request runs on the runtime and hands over what arrives, piece by piece, to the thread
//! that evaluates, which takes it apart.

use std::sync::Arc;
use std::time::Duration;

use base::{CancelToken, Clock};
use bytes::Bytes;
use engine::remote::{PendingRead, RemoteAnswer, RemoteError, RemoteRequest, RemoteSource};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire_core::Compression;
use wire_core::compression::compress;
use wire_prom::remote_read::{ReadHints, ReadQuery, ReadResponseType, encode_request};

use super::gather::Gathering;
use crate::outbound::client::{HttpClient, Outgoing, read_limited};
use crate::telemetry::{Counter, Gauge, Histogram, Labelled};

/// What is asked for, the first preferred.
const ACCEPTED: [ReadResponseType; 2] = [ReadResponseType::StreamedXorChunks, ReadResponseType::Samples];

const READ_VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-read-version");

/// Pieces of a body that may wait for a busy evaluator; the connection pauses beyond that.
const PIECES_WAITING_MAX: usize = 8;

/// How much of an error's page is read.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How often a waiting query looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A remote as it is configured.
#[derive(Debug)]
pub(super) struct RemoteClient {
    pub(super) http: Arc<HttpClient>,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// For the whole answer.
    pub(super) timeout: Duration,
    pub(super) frame_bytes_max: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runtime: Handle,
    pub(super) in_flight: Gauge,
    pub(super) queries: Labelled<Counter>,
    pub(super) duration: Labelled<Histogram>,
    /// Name, URL and answer type, for each [`AnswerKind`].
    pub(super) labels_of: [[String; 3]; 3],
}

/// What an answer's content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerKind {
    Samples = 0,
    Chunks = 1,
    Unsupported = 2,
}

/// What the runtime hands over.
#[derive(Debug)]
enum Piece {
    Begins(AnswerKind),
    Data(Bytes),
    Failed(String),
}

impl RemoteSource for RemoteClient {
    fn begin(&self, request: RemoteRequest) -> Box<dyn PendingRead> {
        let hints = ReadHints {
            func: request.func.to_owned(),
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            ..ReadHints::default()
        };
        let query = ReadQuery {
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            matchers: request.matchers.clone(),
            hints: Some(hints),
        };
        let body = compress(Compression::Snappy, &encode_request(&[query], &ACCEPTED));
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let fetch = Fetch {
            http: Arc::clone(&self.http),
            outgoing: self.outgoing(body.into()),
            url: self.uri.to_string(),
            clock: Arc::clone(&self.clock),
            duration: self.duration.clone(),
            queries: self.queries.clone(),
            labels_of: self.labels_of.clone(),
            in_flight: InFlight::new(&self.in_flight),
        };
        let task = self.runtime.spawn(fetch.run(sender));
        Box::new(Reading {
            pieces,
            _task: AbortOnDrop(task),
            runtime: self.runtime.clone(),
            cancel: request.cancel.clone(),
            gathering: Gathering::new(&request.budget, self.frame_bytes_max),
        })
    }
}

impl RemoteClient {
    fn outgoing(&self, body: Bytes) -> Outgoing {
        let mut outgoing = Outgoing::post(self.uri.clone(), body, self.timeout);
        outgoing.headers = self.headers.clone();
        for (name, value) in [
            (CONTENT_ENCODING, "snappy"),
            (ACCEPT_ENCODING, "snappy"),
            (CONTENT_TYPE, "application/x-protobuf"),
            (USER_AGENT, crate::USER_AGENT),
            (READ_VERSION, "0.1.0"),
        ] {
            outgoing.headers.insert(name, HeaderValue::from_static(value));
        }
        outgoing
    }
}

/// Counts a request for as long as it runs.
struct InFlight(Gauge);

impl InFlight {
    fn new(gauge: &Gauge) -> Self {
        gauge.add(1.0);
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}

/// A request on the runtime.
struct Fetch {
    http: Arc<HttpClient>,
    outgoing: Outgoing,
    url: String,
    clock: Arc<dyn Clock>,
    duration: Labelled<Histogram>,
    queries: Labelled<Counter>,
    labels_of: [[String; 3]; 3],
    in_flight: InFlight,
}

impl Fetch {
    async fn run(self, to: mpsc::Sender<Piece>) {
        let timeout = self.outgoing.timeout;
        let url = self.url.clone();
        let failure = match tokio::time::timeout(timeout, self.fetch(&to)).await {
            Ok(Ok(())) => return,
            Ok(Err(text)) => text,
            Err(_) => {
                let limit =
                    base::duration::format_go_ns(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX));
                format!(
                    "error sending request: Post \"{url}\": context deadline exceeded: request timed out after {limit}"
                )
            }
        };
        // Nobody listens when the query has ended.
        drop(to.send(Piece::Failed(failure)).await);
    }

    async fn fetch(self, to: &mpsc::Sender<Piece>) -> Result<(), String> {
        let started_ns = self.clock.monotonic_ns();
        let response = self.http.open(self.outgoing.clone()).await;
        let response = response.map_err(|e| format!("error sending request: Post \"{}\": {e}", self.url))?;
        let status = response.status();
        if !status.is_success() {
            let page = read_limited(response.into_body(), ERROR_BYTES_MAX).await.unwrap_or_default();
            let page = String::from_utf8_lossy(&page);
            let text = page.trim_matches('\n');
            return Err(format!("remote server {} returned http status {status}: {text}", self.url));
        }
        let kind = kind_of(&response);
        let [name, url, response_type] = &self.labels_of[kind as usize];
        let seconds = self.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
        self.duration.with(&[name, url, response_type]).observe(seconds);
        let outcome = if kind == AnswerKind::Unsupported {
            Err(format!("unsupported content type: {}", content_type(&response)))
        } else {
            hand_over(kind, response.into_body(), to).await
        };
        let code = match kind {
            AnswerKind::Chunks if outcome.is_err() => "aborted_stream",
            _ => status.as_str(),
        };
        self.queries.with(&[name, url, response_type, code]).inc();
        drop(self.in_flight);
        outcome
    }
}

fn content_type(response: &Response<Incoming>) -> &str {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn kind_of(response: &Response<Incoming>) -> AnswerKind {
    let content_type = content_type(response);
    if content_type.starts_with(ReadResponseType::StreamedXorChunks.content_type()) {
        AnswerKind::Chunks
    } else if content_type.starts_with(ReadResponseType::Samples.content_type()) {
        AnswerKind::Samples
    } else {
        AnswerKind::Unsupported
    }
}

async fn hand_over(kind: AnswerKind, mut body: Incoming, to: &mpsc::Sender<Piece>) -> Result<(), String> {
    let mut send = to.send(Piece::Begins(kind)).await;
    while send.is_ok()
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|e| format!("error reading response: {e}"))?;
        if let Ok(data) = frame.into_data() {
            send = to.send(Piece::Data(data)).await;
        }
    }
    Ok(())
}

/// The evaluator's end of a request.
struct Reading {
    pieces: mpsc::Receiver<Piece>,
    _task: AbortOnDrop,
    runtime: Handle,
    cancel: CancelToken,
    gathering: Gathering,
}

/// Ends the request when nobody waits for it any more.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reading {
    fn next(&mut self) -> Result<Option<Piece>, RemoteError> {
        loop {
            self.cancel.check()?;
            let arrived = async { tokio::time::timeout(LOOK_EVERY, self.pieces.recv()).await };
            if let Ok(piece) = self.runtime.block_on(arrived) {
                return Ok(piece);
            }
        }
    }

    fn gather(mut self) -> Result<RemoteAnswer, RemoteError> {
        while let Some(piece) = self.next()? {
            match piece {
                Piece::Begins(kind) => self.gathering.begin(kind),
                Piece::Data(bytes) => self.gathering.push(&bytes)?,
                Piece::Failed(text) => return Err(RemoteError::Failed(text)),
            }
        }
        self.gathering.finish()
    }
}

impl PendingRead for Reading {
    fn wait(self: Box<Self>) -> Result<RemoteAnswer, RemoteError> {
        self.gather().map_err(|error| match error {
            RemoteError::Failed(text) => RemoteError::Failed(format!("remote_read: {text}")),
            other => other,
        })
    }
}
