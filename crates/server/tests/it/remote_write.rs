//! Remote write against a receiver on loopback: what arrives, what survives, what is counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use base::{SystemClock, TenantId};
use config::PrometheusConfig;
use http::{HeaderMap, StatusCode};
use model::{BatchSeries, FloatSample, Labels, Metadata, MetricType, SeriesBatch};
use parking_lot::Mutex;
use server::outbound::client::Environment;
use server::outbound::connections::Connections;
use server::remote_write::{RemoteWriting, RemoteWritingParts};
use server::telemetry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use wire_core::{Compression, decompress};
use wire_prom::remote_write::{SeriesCache, WriteMessage, WriteOptions, decode_v1, decode_v2};

/// Nothing here takes longer unless it never ends.
const PATIENCE: Duration = Duration::from_secs(30);

type Sample = (String, i64, f64);

/// A receiver that answers as it is told and remembers what it accepted.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    /// Statuses of the next answers; then 200.
    answers: Mutex<Vec<u16>>,
    samples: watch::Sender<Vec<Sample>>,
    metadata: watch::Sender<Vec<(String, Metadata)>>,
    requests: watch::Sender<usize>,
    headers: Mutex<HeaderMap>,
    /// Status, and the name of the batch: writer, epoch, sequence.
    names: Mutex<Vec<(u16, [Option<u64>; 3])>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Self {
        let seen = Arc::new(Seen {
            answers: Mutex::new(answers.iter().rev().copied().collect()),
            samples: watch::Sender::default(),
            metadata: watch::Sender::default(),
            requests: watch::Sender::default(),
            headers: Mutex::default(),
            names: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/write", post(receive)).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    async fn wait_for_samples(&self, n: usize) -> Vec<Sample> {
        let mut samples = self.seen.samples.subscribe();
        let waited = tokio::time::timeout(PATIENCE, samples.wait_for(|samples| samples.len() >= n)).await;
        let mut samples = waited.expect("samples arrive in time").unwrap().clone();
        samples.sort_by(|a, b| a.partial_cmp(b).unwrap());
        samples
    }

    async fn wait_for_requests(&self, n: usize) {
        let mut requests = self.seen.requests.subscribe();
        let waited = tokio::time::timeout(PATIENCE, requests.wait_for(|requests| *requests >= n)).await;
        waited.expect("requests arrive in time").unwrap();
    }
}

async fn receive(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let status = seen.answers.lock().pop().unwrap_or(200);
    let plain = decompress(Compression::Snappy, &body, 1 << 24).unwrap();
    let message = WriteMessage::from_content_type(headers["content-type"].to_str().unwrap()).unwrap();
    let options = WriteOptions::new(i64::MAX);
    let mut cache = SeriesCache::new(TenantId::anonymous(), 1 << 20);
    let decoded = match message {
        WriteMessage::V1 => decode_v1(&plain, &options, &mut cache).unwrap(),
        WriteMessage::V2 => decode_v2(&plain, &options, &mut cache).unwrap(),
    };
    assert_eq!(headers["content-encoding"], "snappy");
    assert_eq!(headers["x-prometheus-remote-write-version"], message.version_header());
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    let name = ["x-sextant-writer", "x-sextant-epoch", "x-sextant-sequence"].map(number);
    seen.names.lock().push((status, name));
    *seen.headers.lock() = headers;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if status == 200 {
        seen.metadata.send_modify(|all| all.extend(decoded.batch.metadata.clone()));
        seen.samples.send_modify(|samples| {
            for sample in &decoded.batch.floats {
                let labels = decoded.batch.series[sample.series_idx as usize].labels.to_string();
                samples.push((labels, sample.t, sample.v));
            }
        });
        if message == WriteMessage::V2 {
            let written = decoded.stats.samples.into();
            response.headers_mut().insert("x-prometheus-remote-write-samples-written", written);
        }
    }
    seen.requests.send_modify(|requests| *requests += 1);
    response
}

struct Sending {
    remote_writing: Arc<RemoteWriting>,
    registry: Registry,
}

impl Sending {
    fn new(data_dir: &Path) -> Self {
        let registry = Registry::new();
        let parts = RemoteWritingParts {
            clock: Arc::new(SystemClock::new()),
            data_dir: data_dir.to_owned(),
            environment: Environment { var: Arc::new(|_| None), connections: Connections::within(1024) },
            flush_deadline: PATIENCE,
            tenant: TenantId::anonymous(),
            queue_bytes_max: 1 << 20,
        };
        Self { remote_writing: RemoteWriting::new(parts, &registry), registry }
    }

    /// One remote with these settings; the name makes the queue, whatever the URL.
    fn configure(&self, address: SocketAddr, settings: &str) {
        let text = format!(
            "global:\n  external_labels: {{site: here}}\nremote_write:\n- url: http://{address}/write\n  name: it\n  \
             queue_config: {{batch_send_deadline: 10ms, min_backoff: 1ms, max_backoff: 10ms, max_samples_per_send: 7}}\n{settings}"
        );
        let config = PrometheusConfig::parse(&text, "it.yml", &|_| None, config::Mode::Server).unwrap();
        let prepared = self.remote_writing.prepare(&config).unwrap();
        self.remote_writing.apply(prepared);
    }

    async fn offer(&self, batch: SeriesBatch) {
        let remote_writing = Arc::clone(&self.remote_writing);
        tokio::task::spawn_blocking(move || remote_writing.offer(&batch)).await.unwrap();
    }

    /// The sum of a family of metrics.
    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.snapshot();
        let found = families.iter().filter(|family| family.name == name);
        found.flat_map(|family| &family.series).map(|series| series.value).sum()
    }
}

/// Ten series with one sample each.
fn batch(t_ms: i64) -> SeriesBatch {
    let tenant = TenantId::anonymous();
    let mut batch = SeriesBatch::new(tenant.clone());
    for idx in 0..10 {
        let labels = Labels::from_pairs([("__name__", "m_total"), ("idx", idx.to_string().as_str())]);
        let series_idx = batch.add_series(BatchSeries::new(&tenant, labels));
        batch.floats.push(FloatSample { series_idx, st: 0, t: t_ms, v: f64::from(idx) / 3.0 });
    }
    let metadata = Metadata { metric_type: MetricType::Counter, unit: String::new(), help: "M.".to_owned() };
    batch.metadata.push(("m_total".to_owned(), metadata));
    batch
}

/// What a receiver has of the batches at `times_ms`.
fn expected(times_ms: RangeInclusive<i64>) -> Vec<Sample> {
    let of = |idx: i32| {
        let labels =
            Labels::from_pairs([("__name__", "m_total"), ("idx", &idx.to_string()), ("site", "here")]);
        (labels.to_string(), f64::from(idx) / 3.0)
    };
    let of = (0..10).map(of).flat_map(|(l, v)| times_ms.clone().map(move |t| (l.clone(), t, v)));
    of.collect()
}

/// An address where nobody listens.
async fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn samples_arrive_exactly_in_both_messages() {
    for settings in ["", "  protobuf_message: io.prometheus.write.v2.Request\n"] {
        let dir = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(&[]).await;
        let sending = Sending::new(dir.path());
        sending.configure(receiver.address, settings);
        for t_ms in 1..=5 {
            sending.offer(batch(t_ms)).await;
        }
        assert_eq!(receiver.wait_for_samples(50).await, expected(1..=5), "{settings}");
        sending.remote_writing.finish().await;
        assert_eq!(sending.metric("prometheus_remote_storage_samples_total"), 50.0, "{settings}");
        assert_eq!(sending.metric("prometheus_remote_storage_samples_in_total"), 50.0, "{settings}");
        assert_eq!(sending.metric("prometheus_remote_storage_samples_failed_total"), 0.0, "{settings}");
        assert_eq!(sending.metric("prometheus_remote_storage_samples_pending"), 0.0, "{settings}");
        let metadata = receiver.seen.metadata.borrow().clone();
        assert_eq!(metadata.is_empty(), settings.is_empty(), "2.0 has metadata with its samples");
        assert!(metadata.iter().all(|(family, m)| family == "m_total" && m.help == "M."), "{metadata:?}");
        let user_agent = receiver.seen.headers.lock()["user-agent"].clone();
        assert!(user_agent.to_str().unwrap().starts_with("Sextant/"));
    }
}

#[tokio::test]
async fn a_restart_resumes_where_it_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[]).await;
    let sending = Sending::new(dir.path());
    sending.configure(receiver.address, "");
    sending.offer(batch(1)).await;
    receiver.wait_for_samples(10).await;
    sending.remote_writing.finish().await;

    let sending = Sending::new(dir.path());
    sending.configure(dead_address().await, "");
    for t_ms in 2..=4 {
        sending.offer(batch(t_ms)).await;
    }
    // Nobody listens, so flushing gives up at once and leaves the queue on disk.
    sending.remote_writing.finish().await;
    assert_eq!(sending.metric("prometheus_remote_storage_samples_total"), 0.0);
    assert_eq!(sending.metric("prometheus_remote_storage_samples_pending"), 30.0);

    let sending = Sending::new(dir.path());
    sending.configure(receiver.address, "");
    sending.offer(batch(5)).await;
    assert_eq!(receiver.wait_for_samples(50).await, expected(1..=5));
    sending.remote_writing.finish().await;
    assert_eq!(sending.metric("prometheus_remote_storage_samples_total"), 40.0);
    assert_eq!(receiver.seen.samples.borrow().len(), 50);
}

#[tokio::test]
async fn what_may_pass_is_retried_and_what_cannot_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[500, 503, 429, 200, 400]).await;
    let sending = Sending::new(dir.path());
    sending.configure(receiver.address, "");
    let mut first = batch(1);
    first.floats.truncate(3);
    sending.offer(first).await;
    receiver.wait_for_requests(3).await;
    let mut second = batch(2);
    second.floats.truncate(2);
    sending.offer(second).await;
    receiver.wait_for_requests(4).await;
    sending.offer(batch(3)).await;
    sending.remote_writing.finish().await;
    let metric = |name: &str| sending.metric(&format!("prometheus_remote_storage_samples_{name}"));
    // 429 is not retried unless it is configured, so the first batch failed with it. Of the third, one
    // request of seven was refused and one of three taken.
    assert_eq!((metric("retried_total"), metric("total")), (6.0, 5.0));
    assert_eq!(metric("failed_total"), 3.0 + 7.0);
    assert_eq!(metric("pending"), 0.0);
}

#[tokio::test]
async fn a_request_keeps_its_name_when_it_is_sent_again() {
    let mut epochs = Vec::new();
    for settings in ["", "  protobuf_message: io.prometheus.write.v2.Request\n"] {
        let dir = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(&[500, 503, 200, 400, 500]).await;
        let sending = Sending::new(dir.path());
        sending.configure(receiver.address, settings);
        for t_ms in 1..=3 {
            sending.offer(batch(t_ms)).await;
        }
        // Some are refused, so what arrives is known by requests: five to begin with, and at least one.
        receiver.wait_for_requests(6).await;
        sending.remote_writing.finish().await;
        let names = receiver.seen.names.lock().clone();
        let mut last: HashMap<u64, (u64, bool)> = HashMap::new();
        for (status, name) in &names {
            let [Some(writer), Some(epoch), Some(sequence)] = *name else { panic!("{names:?}") };
            epochs.push(epoch);
            let again = last.insert(writer, (sequence, *status >= 500));
            let expected = again.is_none_or(
                |(before, is_retried)| {
                    if is_retried { sequence == before } else { sequence > before }
                },
            );
            assert!(expected, "{names:?}");
        }
    }
    epochs.dedup();
    assert!(epochs.len() == 2 && epochs[0] != epochs[1], "each life has an epoch: {epochs:?}");
}

#[tokio::test]
async fn a_reload_keeps_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[]).await;
    let sending = Sending::new(dir.path());
    sending.configure(dead_address().await, "");
    sending.offer(batch(1)).await;
    // Relabelling is of the moment when a batch is stored.
    sending.configure(
        receiver.address,
        "  write_relabel_configs:\n  - {source_labels: [idx], regex: '[0-4]', action: drop}\n",
    );
    sending.offer(batch(2)).await;
    let samples = receiver.wait_for_samples(15).await;
    let mut wanted = expected(1..=2);
    wanted.retain(|(_, t, v)| *t == 1 || *v > 1.4);
    assert_eq!(samples, wanted);
    sending.remote_writing.finish().await;
    assert_eq!(sending.metric("prometheus_remote_storage_samples_dropped_total"), 5.0);
}

#[tokio::test]
async fn the_queue_of_a_remote_that_is_gone_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let sending = Sending::new(dir.path());
    sending.configure(dead_address().await, "");
    sending.offer(batch(1)).await;
    sending.remote_writing.finish().await;

    let sending = Sending::new(dir.path());
    let config = PrometheusConfig::parse("", "it.yml", &|_| None, config::Mode::Server).unwrap();
    sending.remote_writing.apply(sending.remote_writing.prepare(&config).unwrap());
    let receiver = Receiver::start(&[]).await;
    sending.configure(receiver.address, "");
    sending.offer(batch(2)).await;
    assert_eq!(receiver.wait_for_samples(10).await, expected(2..=2));
    sending.remote_writing.finish().await;
}
