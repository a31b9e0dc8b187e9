//! Remote read against servers on loopback that answer well and badly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use base::{Budget, CancelToken, PerTenant, SystemClock, TenantId};
use config::PrometheusConfig;
use engine::{QueryEngine, QueryError, QueryLimits, QueryOrigin, QueryRequest, TenantQueryLimits};
use http::{HeaderMap, StatusCode};
use model::Labels;
use parking_lot::Mutex;
use ql_promql::eval::EvalError;
use ql_promql::parser::ParserOptions;
use ql_promql::query::{EngineOptions, QueryKind};
use ql_promql::value::Value;
use server::outbound::client::Environment;
use server::outbound::connections::Connections;
use server::remote_read::{RemoteReading, RemoteReadingParts};
use server::telemetry::Registry;
use store_core::journal::JournalOptions;
use store_metrics::{MetricStore, StoreOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use vfs::RealVfs;
use wire_core::{Compression, decompress};
use wire_prom::api_json::SampleValue;
use wire_prom::remote_read::{
    FrameWriter, ReadRequest, ReadResponseType, SamplesResponse, decode_request, encode_chunks,
};

/// Nothing here takes longer unless it never ends.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(HeaderMap, ReadRequest)>>,
    n: watch::Sender<usize>,
}

async fn start() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let router = Router::new().route("/{how}", post(answer)).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "m"), ("from", "remote")])
}

fn samples() -> Vec<(i64, SampleValue<'static>)> {
    (1..=300).map(|i| (i * 1000, SampleValue::Float(i as f64))).collect()
}

async fn answer(
    State(seen): State<Arc<Seen>>,
    Path(how): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = decode_request(&decompress(Compression::Snappy, &body, 1 << 20).unwrap()).unwrap();
    assert_eq!(request.response_type, ReadResponseType::StreamedXorChunks);
    seen.requests.lock().push((headers, request));
    seen.n.send_modify(|n| *n += 1);
    let mut frames = Vec::new();
    FrameWriter::new(200).series(&mut frames, 0, &labels(), &encode_chunks(samples()));
    let mut response = Response::new(Body::empty());
    let kind = if how == "samples" { ReadResponseType::Samples } else { ReadResponseType::StreamedXorChunks };
    response.headers_mut().insert("content-type", kind.content_type().parse().unwrap());
    let body: Vec<u8> = match how.as_str() {
        "chunks" => frames,
        "samples" => {
            let mut plain = SamplesResponse::new();
            plain.result(|w| w.series(&labels(), samples()));
            snap::raw::Encoder::new().compress_vec(&plain.finish()).unwrap()
        }
        "cut" => frames[..frames.len() - 3].to_vec(),
        "damaged" => {
            let last = frames.len() - 1;
            frames[last] ^= 1;
            frames
        }
        "page" => {
            response.headers_mut().insert("content-type", "text/html".parse().unwrap());
            b"<html>".to_vec()
        }
        "broken" => {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            b"out of order\n".to_vec()
        }
        // Half an answer, and then nothing for ever.
        "silent" => {
            let half = Bytes::copy_from_slice(&frames[..frames.len() / 2]);
            let mut half = Some(half);
            let stream = futures_util::stream::poll_fn(move |_| match half.take() {
                Some(half) => std::task::Poll::Ready(Some(Ok::<_, std::convert::Infallible>(half))),
                None => std::task::Poll::Pending,
            });
            *response.body_mut() = Body::from_stream(stream);
            return response;
        }
        other => panic!("{other}"),
    };
    *response.body_mut() = Body::from(body);
    response
}

struct Reader {
    engine: Arc<QueryEngine>,
    reading: RemoteReading,
    registry: Registry,
    _dir: tempfile::TempDir,
}

fn reader(memory_bytes_per_query_max: u64) -> Reader {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let (journal, options) = (JournalOptions::default(), StoreOptions::default());
    let opened =
        MetricStore::open_dir(Arc::new(RealVfs), dir.path(), Arc::clone(&clock) as _, journal, options);
    let limits = QueryLimits {
        concurrency_max: 4,
        waiting_max: 4,
        timeout: PATIENCE,
        budget: Budget::new("queries", 1 << 30),
        tenants: PerTenant::all(TenantQueryLimits { concurrency_max: 4, memory_bytes_max: 1 << 30 }),
        memory_bytes_per_query_max,
        threads_per_query: 1,
    };
    let engine = Arc::new(QueryEngine::new(
        Arc::new(opened.unwrap().0),
        Arc::clone(&clock) as _,
        EngineOptions::default(),
        ParserOptions::default(),
        limits,
    ));
    let registry = Registry::new();
    let parts = RemoteReadingParts {
        engine: Arc::clone(&engine),
        clock,
        environment: Environment { var: Arc::new(|_| None), connections: Connections::within(1024) },
        tenant: TenantId::anonymous(),
    };
    let reading = RemoteReading::new(parts, &registry);
    Reader { engine, reading, registry, _dir: dir }
}

impl Reader {
    fn configure(&self, url: &str, settings: &str) {
        let text = format!("remote_read:\n- url: {url}\n{settings}");
        let config = PrometheusConfig::parse(&text, "it.yml", &|_| None, config::Mode::Server).unwrap();
        self.reading.apply(self.reading.prepare(&config).unwrap());
    }

    async fn count(&self, cancel: CancelToken) -> Result<(Option<f64>, Vec<String>), QueryError> {
        let request = QueryRequest {
            tenant: TenantId::anonymous(),
            text: Arc::from("count_over_time(m[1h])"),
            kind: QueryKind::Instant { t_ms: 300_000 },
            timeout: None,
            lookback_delta_ms: 0,
            per_step_stats: false,
            cancel,
            origin: QueryOrigin::Internal,
        };
        let engine = Arc::clone(&self.engine);
        let answer = tokio::task::spawn_blocking(move || engine.run(&request)).await.unwrap()?;
        let Value::Vector { samples, .. } = &answer.output.value else { panic!("{answer:?}") };
        let count = samples.first().map(|sample| match &sample.value {
            ql_promql::value::SampleValue::Float(v) => *v,
            other => panic!("{other:?}"),
        });
        Ok((count, answer.store_warnings))
    }

    fn in_flight(&self) -> f64 {
        let families = self.registry.snapshot();
        let found = families.iter().find(|family| family.name == "prometheus_remote_read_client_queries");
        found.map_or(0.0, |family| family.series.iter().map(|series| series.value).sum())
    }
}

#[tokio::test]
async fn answers_of_both_types_are_read_and_bad_ones_are_warnings() {
    let (address, seen) = start().await;
    let reader = reader(1 << 30);
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let at = |how: &str| format!("http://{address}/{how}");
    let settings = "  headers: {X-Own: me}\n  basic_auth: {username: ali, password: sesame}\n";
    for (url, settings, count, warning) in [
        (at("chunks"), settings, Some(300.0), None),
        (at("samples"), settings, Some(300.0), None),
        (at("cut"), "", None, Some("remote_read: the answer ends within a frame".to_owned())),
        (
            at("damaged"),
            "",
            None,
            Some("remote_read: chunkedReader: corrupted frame; checksum mismatch".to_owned()),
        ),
        (at("page"), "", None, Some("remote_read: unsupported content type: text/html".to_owned())),
        (
            at("broken"),
            "",
            None,
            Some(format!(
                "remote_read: remote server {} returned http status 500 Internal Server Error: out of order",
                at("broken")
            )),
        ),
        (
            at("silent"),
            "  remote_timeout: 100ms\n",
            None,
            Some(format!(
                "remote_read: error sending request: Post \"{}\": context deadline exceeded: request timed out after 100ms",
                at("silent")
            )),
        ),
        (
            format!("http://{dead}/"),
            "",
            None,
            Some(format!(
                "remote_read: error sending request: Post \"http://{dead}/\": dial tcp {dead}: connect: connection refused"
            )),
        ),
    ] {
        reader.configure(&url, settings);
        let answer = reader.count(CancelToken::unbounded()).await.unwrap();
        assert_eq!(answer, (count, warning.into_iter().collect()), "{url}");
    }
    let requests = seen.requests.lock();
    let (headers, request) = &requests[0];
    for (name, value) in [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-protobuf"),
        ("x-prometheus-remote-read-version", "0.1.0"),
        ("x-own", "me"),
        ("authorization", "Basic YWxpOnNlc2FtZQ=="),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let query = &request.queries[0];
    assert_eq!((query.end_ms, query.matchers.len()), (300_000, 1));
    assert_eq!(reader.engine.budget().used_bytes(), 0);
}

#[tokio::test]
async fn a_remote_answer_is_charged_to_the_query() {
    let (address, _) = start().await;
    let reader = reader(50_000);
    for how in ["chunks", "samples"] {
        reader.configure(&format!("http://{address}/{how}"), "");
        let refused = reader.count(CancelToken::unbounded()).await.unwrap_err();
        assert!(matches!(refused, QueryError::Eval(EvalError::Budget(_))), "{how}: {refused:?}");
    }
    assert_eq!(reader.engine.budget().used_bytes(), 0);
}

#[tokio::test]
async fn a_cancelled_query_does_not_wait_for_its_remote() {
    let (address, seen) = start().await;
    let reader = reader(1 << 30);
    reader.configure(&format!("http://{address}/silent"), "");
    let (cancel, mut n) = (CancelToken::unbounded(), seen.n.subscribe());
    let asked = cancel.clone();
    let (outcome, ()) = tokio::join!(reader.count(cancel), async move {
        n.wait_for(|n| *n == 1).await.unwrap();
        asked.cancel();
    });
    assert!(matches!(outcome.unwrap_err(), QueryError::Eval(EvalError::Cancelled)));
    // The request ends with the query that asked for it.
    let ended = async {
        while reader.in_flight() > 0.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}
