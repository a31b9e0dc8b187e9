//! The task that empties one queue into one remote.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Clock, TenantId};
use bytes::Bytes;
use config::prometheus::remote::{RemoteWriteConfig, RemoteWriteMessage};
use http::Uri;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use model::SeriesBatch;
use store_metrics::BatchId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire_core::compression::compress;
use wire_core::{Compression, decompress};
use wire_prom::remote_write::{SeriesCache, WriteMessage, WriteOptions, decode_v2, encode_v1, encode_v2};

use crate::batch_headers;
use crate::outbound::client::{HttpClient, Outgoing};

use super::known_metadata::KnownMetadata;
use super::metrics::{DropReason, QueueMetrics};
use super::queue::{Queue, Record};
use super::round::{Counts, Plan, RoundRules, drop_older, plan, shards_desired};
use super::verdict::{Backoff, Verdict, judge, written};

/// Answers are read this far, for the log.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How much of an answer the log shows.
const ANSWER_SHOWN_CHARS: usize = 256;

/// What a batch of the queue may decode to.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// Labels of queued series that are remembered while they are decoded.
const SERIES_CACHE_BYTES: usize = 16 << 20;

const WRITE_VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// What the sender is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Run,
    /// Send what waits without waiting for more, and end at the first failure: the rest is on disk.
    Drain,
    /// End after the requests in flight.
    Stop,
}

type Modes = watch::Receiver<Mode>;

/// One remote as it is configured now.
pub(super) struct Sender {
    pub(super) queue: Arc<Queue>,
    pub(super) config: RemoteWriteConfig,
    pub(super) client: HttpClient,
    pub(super) uri: Uri,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<QueueMetrics>,
    pub(super) metadata: Arc<KnownMetadata>,
    pub(super) tenant: TenantId,
    pub(super) names: BatchNames,
}

/// Names for the requests of one life of a sender.
#[derive(Debug)]
pub(super) struct BatchNames {
    epoch: u64,
    next_sequence: AtomicU64,
}

impl BatchNames {
    /// The hasher's keys are random. Two lives with one name would lose what one of them sends, so no
    /// clock may decide.
    pub(super) fn new() -> Self {
        Self { epoch: RandomState::new().hash_one(()), next_sequence: AtomicU64::new(1) }
    }

    /// The name of the next request of a writer, which has one under way at a time.
    fn next(&self, writer: u64) -> BatchId {
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        BatchId { writer, epoch: self.epoch, sequence }
    }
}

/// How posting a body ended.
enum Posted {
    Accepted(HeaderMap),
    Refused(HeaderMap),
    Interrupted,
}

/// What the log and the counters say of a body.
struct Body {
    bytes: Bytes,
    counts: Counts,
    n_metadata: usize,
}

impl Sender {
    /// Runs until it is stopped, or drained; then the savepoint is on disk.
    pub(super) async fn run(self: Arc<Self>, mut modes: Modes) {
        self.show_settings();
        let mut metadata = JoinSet::new();
        if self.config.send_metadata && self.config.message == RemoteWriteMessage::V1 {
            metadata.spawn(Arc::clone(&self).run_metadata(modes.clone()));
        }
        while self.wait_for_batch(&mut modes).await {
            if !self.round(&mut modes).await {
                break;
            }
        }
        metadata.shutdown().await;
        let sender = Arc::clone(&self);
        let ended = tokio::task::spawn_blocking(move || {
            let saved = sender.queue.acknowledge(&[], sender.clock.now_ms(), true);
            saved.and_then(|()| Ok(sender.queue.sync()?))
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.log_queue_failure(&error),
            Err(panic) => tracing::error!(%panic, "saving a remote write queue ended in a panic"),
        }
    }

    fn show_settings(&self) {
        let (queue, metrics) = (&self.config.queue, &self.metrics);
        metrics.shards_min.set(queue.min_shards as f64);
        metrics.shards_max.set(queue.max_shards as f64);
        metrics.shard_capacity.set(queue.capacity as f64);
        metrics.max_samples_per_send.set(queue.max_samples_per_send as f64);
        metrics.shards.set(queue.min_shards as f64);
        metrics.shards_desired.set(queue.min_shards as f64);
        metrics.pending.set(self.queue.n_samples() as f64);
        metrics.current_segment.set(self.queue.current_segment() as f64);
    }

    fn log_queue_failure(&self, error: &dyn std::fmt::Display) {
        tracing::error!(url = %self.config.url, %error, "the queue of a remote write target failed");
    }

    /// Waits until a request is full or its deadline passes; false when it is time to end.
    async fn wait_for_batch(&self, modes: &mut Modes) -> bool {
        loop {
            match *modes.borrow_and_update() {
                Mode::Stop => return false,
                Mode::Drain => return !self.queue.is_empty(),
                Mode::Run if !self.queue.is_empty() => break,
                Mode::Run => {}
            }
            tokio::select! {
                () = self.queue.appended() => {}
                changed = modes.changed() => if changed.is_err() { return false },
            }
        }
        let wait_ms = self.config.queue.batch_send_deadline_ms.max(0).unsigned_abs();
        let deadline = tokio::time::sleep(Duration::from_millis(wait_ms));
        tokio::pin!(deadline);
        while self.queue.n_samples() < self.config.queue.max_samples_per_send {
            tokio::select! {
                () = self.queue.appended() => {}
                () = &mut deadline => break,
                changed = modes.changed() => match changed {
                    Ok(()) if *modes.borrow() != Mode::Stop => break,
                    _ => return false,
                },
            }
        }
        true
    }

    /// Sends the oldest records and acknowledges them; false when that was interrupted.
    async fn round(self: &Arc<Self>, modes: &mut Modes) -> bool {
        let worker = Arc::clone(self);
        let (records, plan) = match tokio::task::spawn_blocking(move || worker.next_round()).await {
            Ok(Ok(round)) => round,
            Ok(Err(error)) => {
                self.log_queue_failure(&error);
                return self.pause(Duration::from_millis(self.max_backoff_ms()), modes).await;
            }
            Err(panic) => {
                tracing::error!(%panic, "reading a remote write queue ended in a panic");
                return self.pause(Duration::from_millis(self.max_backoff_ms()), modes).await;
            }
        };
        self.metrics.dropped(DropReason::TooOld, plan.too_old);
        let custom = Counts { histograms: plan.custom_buckets, ..Counts::default() };
        self.metrics.dropped(DropReason::CustomBuckets, custom);
        let mut shards = JoinSet::new();
        for (writer, requests) in (0..).zip(plan.shards) {
            shards.spawn(Arc::clone(self).send_all(writer, requests, modes.clone()));
        }
        let mut all_done = true;
        while let Some(outcome) = shards.join_next().await {
            all_done &= outcome.unwrap_or(false);
        }
        if !all_done {
            return false;
        }
        let worker = Arc::clone(self);
        let acknowledged = tokio::task::spawn_blocking(move || {
            let outcome = worker.queue.acknowledge(&records, worker.clock.now_ms(), false);
            worker.metrics.pending.set(worker.queue.n_samples() as f64);
            worker.metrics.current_segment.set(worker.queue.current_segment() as f64);
            outcome
        });
        if let Ok(Err(error)) = acknowledged.await {
            self.log_queue_failure(&error);
        }
        true
    }

    fn max_backoff_ms(&self) -> u64 {
        self.config.queue.max_backoff_ms.max(1).unsigned_abs()
    }

    /// Reads, decodes and plans; for a blocking thread.
    fn next_round(&self) -> Result<(Vec<Record>, Plan), store_core::journal::JournalError> {
        let queue = &self.config.queue;
        let desired = shards_desired(self.queue.n_samples(), queue.max_samples_per_send);
        let n_shards = desired.clamp(queue.min_shards.min(queue.max_shards), queue.max_shards);
        self.metrics.shards_desired.set(desired as f64);
        self.metrics.shards.set(n_shards as f64);
        let records = self.queue.read(n_shards.saturating_mul(queue.max_samples_per_send))?;
        let mut cache = SeriesCache::new(self.tenant.clone(), SERIES_CACHE_BYTES);
        let mut batches = Vec::with_capacity(records.len());
        for record in &records {
            match decode_record(record.body(), &mut cache) {
                Some((batch, 0)) => batches.push(batch),
                Some((batch, n_refused)) => {
                    self.metrics.dropped_samples(DropReason::Unreadable, n_refused);
                    batches.push(batch);
                }
                None => self.metrics.dropped_samples(DropReason::Unreadable, record.n_samples),
            }
        }
        let rules = RoundRules {
            n_shards: usize::try_from(n_shards).unwrap_or(1),
            items_per_send: usize::try_from(queue.max_samples_per_send).unwrap_or(usize::MAX),
            oldest_ms: self.oldest_ms(),
            message: self.config.message,
        };
        let plan = plan(&batches, &self.tenant, &rules);
        Ok((records, plan))
    }

    fn oldest_ms(&self) -> i64 {
        match self.config.queue.sample_age_limit_ms {
            0 => i64::MIN,
            limit_ms => self.clock.now_ms() - limit_ms,
        }
    }

    /// Sends one shard's requests one after another; false when that was interrupted.
    async fn send_all(self: Arc<Self>, writer: u64, requests: Vec<SeriesBatch>, mut modes: Modes) -> bool {
        for request in requests {
            if *modes.borrow() == Mode::Stop || !self.send(writer, request, &mut modes).await {
                return false;
            }
        }
        true
    }

    async fn send(&self, writer: u64, mut request: SeriesBatch, modes: &mut Modes) -> bool {
        let newest_ms = newest_ms(&request);
        let encode = |request: &mut SeriesBatch| {
            let too_old = drop_older(request, self.oldest_ms());
            self.metrics.dropped(DropReason::TooOld, too_old);
            self.encode(request)
        };
        let body = || encode(&mut request);
        let name = self.names.next(writer);
        let (posted, counts) = self.post(body, Some(name), modes).await;
        match posted {
            Posted::Accepted(headers) => {
                self.count_written(counts, &headers);
                self.metrics.highest_sent.raise(newest_ms);
                true
            }
            Posted::Refused(headers) => {
                let wrote = written(&headers).filter(|_| self.config.message == RemoteWriteMessage::V2);
                self.metrics.sent(wrote.unwrap_or_default());
                self.metrics.failed(counts.less(wrote.unwrap_or_default()));
                true
            }
            Posted::Interrupted => false,
        }
    }

    /// A receiver of 2.0 has to say what it wrote: one that took the message for 1.0's answers 204
    /// without having understood anything.
    fn count_written(&self, counts: Counts, headers: &HeaderMap) {
        if self.config.message == RemoteWriteMessage::V1 {
            return self.metrics.sent(counts);
        }
        let wrote = written(headers);
        if wrote.is_none() && counts.total() > 0 {
            tracing::error!(
                url = %self.config.url,
                samples = counts.total(),
                "a remote write 2.0 request was answered with success, but nothing says that anything was \
                 written; does the receiver speak 2.0?"
            );
        }
        let wrote = wrote.unwrap_or_default();
        self.metrics.sent(wrote);
        self.metrics.failed(counts.less(wrote));
    }

    fn encode(&self, request: &mut SeriesBatch) -> Body {
        let (counts, n_metadata) = (Counts::of(request), request.metadata.len());
        let plain = match self.config.message {
            RemoteWriteMessage::V1 => encode_v1(request),
            RemoteWriteMessage::V2 => {
                self.metadata.attach_to(request);
                encode_v2(request)
            }
        };
        Body { bytes: compress(Compression::Snappy, &plain).into(), counts, n_metadata }
    }

    /// Posts until there is a final answer or the mode says to leave it; `body` is asked anew for each
    /// try, since samples age.
    async fn post(
        &self,
        mut body: impl FnMut() -> Body,
        name: Option<BatchId>,
        modes: &mut Modes,
    ) -> (Posted, Counts) {
        let mut backoff = Backoff::new(self.config.queue.min_backoff_ms, self.config.queue.max_backoff_ms);
        let mut is_first = true;
        loop {
            let body = body();
            if body.counts.total() == 0 && body.n_metadata == 0 {
                return (Posted::Refused(HeaderMap::new()), body.counts);
            }
            let (verdict, headers, problem) = self.try_once(&body, name).await;
            let after = match verdict {
                Verdict::Accepted => return (Posted::Accepted(headers), body.counts),
                Verdict::Refused => {
                    tracing::error!(url = %self.config.url, error = %problem, samples = body.counts.total(),
                        "remote write was refused, the samples are dropped");
                    return (Posted::Refused(headers), body.counts);
                }
                Verdict::Retry { after } => after,
            };
            if is_first {
                tracing::warn!(url = %self.config.url, error = %problem, "remote write failed, trying again");
            }
            is_first = false;
            self.metrics.retried(body.counts);
            self.metrics.metadata_retried.add(body.n_metadata as f64);
            if *modes.borrow() != Mode::Run || !self.pause(backoff.wait(after), modes).await {
                return (Posted::Interrupted, body.counts);
            }
        }
    }

    async fn try_once(&self, body: &Body, name: Option<BatchId>) -> (Verdict, HeaderMap, String) {
        let timeout = Duration::from_millis(self.config.timeout_ms.max(1).unsigned_abs());
        let mut request = Outgoing::post(self.uri.clone(), body.bytes.clone(), timeout);
        request.headers = self.headers();
        if let Some(name) = name {
            batch_headers::write(&mut request.headers, name, &body.bytes);
        }
        let started_ns = self.clock.monotonic_ns();
        let answer = self.client.send(request, ANSWER_BYTES_MAX).await;
        let seconds = self.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
        self.metrics.duration.observe(seconds);
        let bytes = if body.n_metadata > 0 { &self.metrics.metadata_bytes } else { &self.metrics.bytes };
        bytes.add(body.bytes.len() as f64);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return (Verdict::Retry { after: None }, HeaderMap::new(), error.to_string()),
        };
        let on_429 = self.config.queue.retry_on_http_429;
        let verdict = judge(answer.status, &answer.headers, on_429, self.clock.now_ms());
        let text = String::from_utf8_lossy(&answer.body);
        let shown: String = text.trim().chars().take(ANSWER_SHOWN_CHARS).collect();
        (verdict, answer.headers, format!("server returned HTTP status {}: {shown}", answer.status))
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.config.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        let message = match self.config.message {
            RemoteWriteMessage::V1 => WriteMessage::V1,
            RemoteWriteMessage::V2 => WriteMessage::V2,
        };
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content_type()));
        headers.insert(WRITE_VERSION, HeaderValue::from_static(message.version_header()));
        headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
        headers
    }

    /// False when the mode changed meanwhile, or cannot change any more.
    async fn pause(&self, wait: Duration, modes: &mut Modes) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            _ = modes.changed() => false,
        }
    }

    /// 1.0 has metadata in requests of its own.
    async fn run_metadata(self: Arc<Self>, mut modes: Modes) {
        let every = Duration::from_millis(self.config.metadata_interval_ms.max(1).unsigned_abs());
        let per_send = usize::try_from(self.config.metadata_max_samples_per_send).unwrap_or(0).max(1);
        while self.pause(every, &mut modes).await {
            for entries in self.metadata.snapshot().chunks(per_send) {
                let mut request = SeriesBatch::new(self.tenant.clone());
                request.metadata = entries.to_vec();
                let n = entries.len() as f64;
                match self.post(|| self.encode(&mut request), None, &mut modes).await.0 {
                    Posted::Accepted(_) => self.metrics.metadata_sent.add(n),
                    Posted::Refused(_) => self.metrics.metadata_failed.add(n),
                    Posted::Interrupted => return,
                }
            }
        }
    }
}

fn newest_ms(batch: &SeriesBatch) -> i64 {
    let floats = batch.floats.iter().map(|sample| sample.t);
    floats.chain(batch.histograms.iter().map(|sample| sample.t)).max().unwrap_or(0)
}

/// The form in which batches wait: the message of 2.0, which can say everything.
pub(super) fn encode_record(batch: &SeriesBatch) -> Vec<u8> {
    compress(Compression::Snappy, &encode_v2(batch))
}

/// The batch, and how many samples in it no receiver would take; `None` if it cannot be read.
fn decode_record(body: &[u8], cache: &mut SeriesCache) -> Option<(SeriesBatch, u64)> {
    let plain = decompress(Compression::Snappy, body, RECORD_BYTES_MAX).ok()?;
    let options =
        WriteOptions { max_series: usize::MAX, max_samples: usize::MAX, ..WriteOptions::new(i64::MAX) };
    let mut decoded = decode_v2(&plain, &options, cache).ok()?;
    // What is known of families is attached when the request is made.
    decoded.batch.metadata.clear();
    Some((decoded.batch, decoded.rejected.len() as u64))
}
