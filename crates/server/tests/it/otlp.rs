//! OTLP metrics into a whole server: over HTTP in both encodings, and over gRPC.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock as _, SystemClock};
use bytes::Bytes;
use config::sextant::Personality;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use server::delta_streams::{ConversionOptions, OtlpDeltas};
use server::outbound::client::Environment;
use server::outbound::connections::Connections;
use server::serve::{ListenerOptions, Running, ServeOptions, start};
use server::web::{BuildInfo, StatusFacts, WebSettings};
use wire_core::compression::compress;
use wire_core::{Compression, ProtoWriter};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

fn options(dir: &Path, enable_otlp_receiver: bool, otlp_deltas: OtlpDeltas) -> ServeOptions {
    let config_file = dir.join("prometheus.yml");
    std::fs::write(&config_file, "otlp: {promote_resource_attributes: [site]}\n").unwrap();
    ServeOptions {
        config_file: Some(config_file),
        data_dir: dir.join("data"),
        listeners: [Personality::All, Personality::OtlpHttp, Personality::OtlpGrpc, Personality::Prometheus]
            .map(|speaks| ListenerOptions {
                address: "127.0.0.1:0".to_owned(),
                web: Default::default(),
                web_config_file: None,
                speaks,
            })
            .to_vec(),
        auth: Default::default(),
        keep_accounts: false,
        tenancy: Default::default(),
        samples_per_second: base::PerTenant::all(0),
        insecure_no_auth: false,
        connections_max: 16,
        read_timeout: std::time::Duration::from_secs(300),
        web: WebSettings {
            enable_admin_api: false,
            enable_lifecycle: false,
            enable_remote_write_receiver: false,
            enable_otlp_receiver,
            otlp_deltas,
            consoles: Default::default(),
            enable_search_api: false,
            search_limit_max: 0,
            accepted_write_messages: Vec::new(),
            type_and_unit_labels: false,
            cors_origin: None,
            external_url: "http://localhost".to_owned(),
            route_prefix: String::new(),
            listen_address: String::new(),
            remote_read_samples_max: 0,
            remote_read_concurrency_max: 0,
            remote_read_frame_bytes_max: 1 << 20,
        },
        facts: StatusFacts {
            build: BuildInfo {
                version: String::new(),
                revision: String::new(),
                branch: String::new(),
                build_user: String::new(),
                build_date: String::new(),
                compiler: String::new(),
            },
            flags: Default::default(),
            started_ms: 0,
            working_directory: String::new(),
            command_line: Vec::new(),
            host_name: String::new(),
            server_timezone: String::new(),
            features: Default::default(),
        },
        engine: Default::default(),
        parser: Default::default(),
        query_limits: engine::QueryLimits {
            concurrency_max: 4,
            waiting_max: 4,
            timeout: Duration::from_secs(30),
            budget: base::Budget::new("queries", 64 << 20),
            tenants: base::PerTenant::all(engine::TenantQueryLimits {
                concurrency_max: 4,
                memory_bytes_max: 64 << 20,
            }),
            memory_bytes_per_query_max: 32 << 20,
            threads_per_query: 1,
        },
        store: Default::default(),
        journal: Default::default(),
        rules: Default::default(),
        concurrent_evals_max: 1,
        notifier: Default::default(),
        scrape: Default::default(),
        scrape_budget: base::Budget::unlimited(),
        host: None,
        auto_reload: None,
        flush_deadline: Duration::ZERO,
        environment: Environment { var: Arc::new(|_| None), connections: Connections::within(1024) },
    }
}

struct Server {
    address: SocketAddr,
    running: Running,
    now_ms: i64,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start(enable_otlp_receiver: bool) -> Self {
        Self::start_with(enable_otlp_receiver, OtlpDeltas::Refused).await
    }

    async fn start_with(enable_otlp_receiver: bool, otlp_deltas: OtlpDeltas) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock::new();
        let now_ms = clock.now_ms();
        let running =
            start(options(dir.path(), enable_otlp_receiver, otlp_deltas), Arc::new(clock)).await.unwrap();
        Self { address: running.addresses[0], running, now_ms, _dir: dir }
    }

    async fn send(&self, request: Request<Full<Bytes>>, http2: bool) -> (StatusCode, HeaderMap, Bytes) {
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let mut headers = head.headers;
        headers.extend(body.trailers().cloned().unwrap_or_default());
        (head.status, headers, body.to_bytes())
    }

    async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        self.post_to(self.address, path, headers, body).await
    }

    async fn post_to(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::builder().method(Method::POST).uri(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let http2 = path.starts_with("/opentelemetry");
        self.send(request.body(Full::from(body)).unwrap(), http2).await
    }

    /// The values that a query finds now, as text.
    async fn query(&self, query: &str) -> String {
        let uri = format!("http://{}/api/v1/query?query={query}", self.address);
        let (status, _, body) =
            self.send(Request::builder().uri(uri).body(Full::default()).unwrap(), false).await;
        assert_eq!(status, StatusCode::OK);
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn stop(self) {
        self.running.shutdown().begin();
        self.running.finish().await.unwrap();
    }
}

/// A gauge with one point, of a resource with a promoted attribute.
fn protobuf(name: &str, t_ms: i64, value: f64) -> Vec<u8> {
    let time_ns = u64::try_from(t_ms).unwrap() * 1_000_000;
    let mut w = ProtoWriter::new();
    w.message_field(1, |w| {
        w.message_field(1, |w| {
            w.message_field(1, |w| {
                w.str_field(1, "site");
                w.message_field(2, |w| w.str_field(1, "here"));
            });
        });
        w.message_field(2, |w| {
            w.message_field(2, |w| {
                w.str_field(1, name);
                w.message_field(5, |w| {
                    w.message_field(1, |w| {
                        // fixed64 and double look the same on the wire.
                        w.f64_field(3, f64::from_bits(time_ns));
                        w.f64_field(4, value);
                    });
                });
            });
        });
    });
    w.finish()
}

fn json(name: &str, t_ms: i64, value: f64) -> Vec<u8> {
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"{name}","gauge":{{"dataPoints":[
        {{"timeUnixNano":"{t_ms}000000","asDouble":{value}}}]}}}}]}}]}}]}}"#
    );
    text.into_bytes()
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn http_takes_both_encodings_compressed_or_not() {
    let server = Server::start(true).await;
    let t_ms = server.now_ms;
    let path = "/api/v1/otlp/v1/metrics";
    let (protobuf_type, json_type) = ("application/x-protobuf", "application/json");
    for (idx, (path, content_type, compression)) in [
        (path, protobuf_type, Compression::Identity),
        (path, protobuf_type, Compression::Gzip),
        (path, protobuf_type, Compression::Zstd),
        (path, json_type, Compression::Identity),
        (path, json_type, Compression::Gzip),
        ("/v1/metrics", protobuf_type, Compression::Identity),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, value) = (format!("m{idx}"), 0.5 + idx as f64);
        let plain = match content_type == json_type {
            true => json(&name, t_ms, value),
            false => protobuf(&name, t_ms, value),
        };
        let headers =
            [(CONTENT_TYPE.as_str(), content_type), (CONTENT_ENCODING.as_str(), compression.as_str())];
        let (status, answer, body) = server.post(path, &headers, compress(compression, &plain)).await;
        let empty: &[u8] = if content_type == json_type { b"{}" } else { b"" };
        assert_eq!((status, &body[..]), (StatusCode::OK, empty), "{name}");
        assert_eq!(answer[CONTENT_TYPE], content_type, "{name}");
        let found = server.query(&name).await;
        assert!(found.contains(&format!("\"{value}\"")), "{found}");
        assert_eq!(found.contains(r#""site":"here""#), content_type == protobuf_type, "{found}");
    }
    server.stop().await;
}

#[tokio::test]
async fn http_refuses_what_it_cannot_take() {
    let server = Server::start(true).await;
    let path = "/v1/metrics";
    for (headers, body, expected) in [
        (vec![("content-type", "text/plain")], vec![], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![("content-type", "application/json")], b"{".to_vec(), StatusCode::BAD_REQUEST),
        (vec![("content-type", "application/x-protobuf")], vec![0xff], StatusCode::BAD_REQUEST),
        (
            vec![("content-type", "application/json"), ("content-encoding", "gzip")],
            b"{}".to_vec(),
            StatusCode::BAD_REQUEST,
        ),
        (
            vec![("content-type", "application/json"), ("content-encoding", "br")],
            b"{}".to_vec(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            vec![("content-type", "application/json"), ("content-encoding", "zstd")],
            compress(Compression::Zstd, &vec![b' '; 33 << 20]),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let (status, _, _) = server.post(path, &headers, body).await;
        assert_eq!(status, expected, "{headers:?}");
    }
    // A point from the far future is refused; the request is not.
    let (status, _, body) = server
        .post(path, &[("content-type", "application/json")], json("late", server.now_ms + 3_600_000, 1.0))
        .await;
    assert_eq!(status, StatusCode::OK);
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains(r#""rejectedDataPoints":"1""#) && text.contains("too far in the future"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn grpc_takes_exports() {
    let server = Server::start(true).await;
    let grpc = ("content-type", "application/grpc");
    let plain = protobuf("over_grpc", server.now_ms, 4.5);
    let zipped = protobuf("over_grpc_zipped", server.now_ms, 5.5);
    for (headers, body, expected) in [
        (vec![grpc], frame(0, &plain), "0"),
        (vec![grpc, ("grpc-encoding", "gzip")], frame(1, &compress(Compression::Gzip, &zipped)), "0"),
        (vec![grpc, ("grpc-encoding", "snappy")], frame(1, b""), "12"),
        (vec![grpc], frame(0, &[0xff]), "3"),
        (vec![grpc], b"\0\0".to_vec(), "3"),
        (
            vec![grpc, ("grpc-encoding", "gzip")],
            frame(1, &compress(Compression::Gzip, &vec![0; 33 << 20])),
            "8",
        ),
    ] {
        let (status, answer, body) = server.post(GRPC_PATH, &headers, body).await;
        assert_eq!(status, StatusCode::OK, "{headers:?}");
        assert_eq!(answer["grpc-status"], expected, "{headers:?} {answer:?}");
        let empty_answer: &[u8] = if expected == "0" { &[0; 5] } else { b"" };
        assert_eq!(&body[..], empty_answer, "{headers:?}");
    }
    assert!(server.query("over_grpc").await.contains("\"4.5\""));
    assert!(server.query("over_grpc_zipped").await.contains("\"5.5\""));
    server.stop().await;
}

#[tokio::test]
async fn the_receiver_is_off_unless_it_is_asked_for() {
    let server = Server::start(false).await;
    for path in ["/api/v1/otlp/v1/metrics", "/v1/metrics"] {
        let (status, _, body) =
            server.post(path, &[("content-type", "application/json")], b"{}".to_vec()).await;
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
        assert_eq!((status, &body[..]), (StatusCode::NOT_FOUND, text.as_bytes()));
    }
    let (_, answer, _) = server.post(GRPC_PATH, &[("content-type", "application/grpc")], frame(0, b"")).await;
    assert_eq!(answer["grpc-status"], "12");
    server.stop().await;
}

/// A delta sum, a delta histogram and a delta exponential histogram of the ten seconds before `t_ms`.
fn deltas(t_ms: i64, value: i64) -> Vec<u8> {
    let times = format!(
        r#""startTimeUnixNano":"{}000000","timeUnixNano":"{t_ms}000000","count":"{value}","sum":{value}"#,
        t_ms - 10_000
    );
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[
        {{"name":"hits","sum":{{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[
            {{"asInt":"{value}",{times}}}]}}}},
        {{"name":"sizes","histogram":{{"aggregationTemporality":1,"dataPoints":[
            {{"bucketCounts":["{value}","0"],"explicitBounds":[1.5],{times}}}]}}}},
        {{"name":"waits","exponentialHistogram":{{"aggregationTemporality":1,"dataPoints":[
            {{"scale":0,"positive":{{"offset":0,"bucketCounts":["{value}"]}},{times}}}]}}}}
        ]}}]}}]}}"#
    );
    text.into_bytes()
}

#[tokio::test]
async fn deltas_are_refused_kept_or_added_up() {
    let convert = || {
        OtlpDeltas::Converted(ConversionOptions {
            stale_after: ConversionOptions::STALE_AFTER,
            streams_max: 3,
            budget: base::Budget::unlimited(),
        })
    };
    // What the second of two requests leaves: the name of the counter's series, and the values.
    for (mode, hits, values) in [
        (OtlpDeltas::Refused, "hits_total", None),
        (OtlpDeltas::AsTheyAre, "hits_total", Some(5)),
        (convert(), "hits_total", Some(7)),
    ] {
        let server = Server::start_with(true, mode.clone()).await;
        let json = [("content-type", "application/json")];
        let mut answers = Vec::new();
        for (ago_ms, value) in [(20_000, 2), (0, 5), (10_000, 1)] {
            let body = deltas(server.now_ms - ago_ms, value);
            let (status, _, answer) = server.post("/v1/metrics", &json, body).await;
            assert_eq!(status, StatusCode::OK, "{mode:?}");
            answers.push(String::from_utf8(answer.to_vec()).unwrap());
        }
        let at = format!("&time={}.{:03}", server.now_ms / 1000, server.now_ms % 1000);
        for query in [
            hits.to_owned(),
            "sizes_count".to_owned(),
            "sizes_bucket{le=\"1.5\"}".to_owned(),
            "histogram_count(waits)".to_owned(),
        ] {
            let encoded =
                query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22").replace('=', "%3D");
            let found = server.query(&format!("{encoded}{at}")).await;
            match values {
                Some(value) => {
                    assert!(found.contains(&format!(",\"{value}\"]")), "{mode:?} {query}: {found}");
                }
                None => {
                    assert!(found.contains("\"result\":[]"), "{mode:?} {query}: {found}");
                }
            }
        }
        let metadata = {
            let uri = format!("http://{}/api/v1/metadata?metric={hits}", server.address);
            let request = Request::builder().uri(uri).body(Full::default()).unwrap();
            String::from_utf8(server.send(request, false).await.2.to_vec()).unwrap()
        };
        let metrics = {
            let uri = format!("http://{}/metrics", server.address);
            let request = Request::builder().uri(uri).body(Full::default()).unwrap();
            String::from_utf8(server.send(request, false).await.2.to_vec()).unwrap()
        };
        match mode {
            OtlpDeltas::Refused => {
                let refused = "invalid temporality and type combination for metric";
                assert!(answers.iter().all(|answer| answer.contains(refused)), "{answers:?}");
            }
            OtlpDeltas::AsTheyAre => {
                assert!(answers.iter().all(|answer| answer == "{}"), "{answers:?}");
                assert!(metadata.contains("\"unknown\""), "{metadata}");
            }
            OtlpDeltas::Converted(_) => {
                assert_eq!(answers[..2], ["{}", "{}"]);
                assert!(answers[2].contains(r#""rejectedDataPoints":"3""#), "{}", answers[2]);
                assert!(answers[2].contains("hits: out of order: dropped a delta"), "{}", answers[2]);
                assert!(metadata.contains("\"counter\""), "{metadata}");
                for line in [
                    "sextant_otlp_delta_streams 3",
                    "sextant_otlp_deltas_dropped_total{reason=\"out of order\"} 3",
                ] {
                    assert!(metrics.contains(line), "{line}: {metrics}");
                }
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn listeners_of_otlp_take_that_and_nothing_else() {
    let server = Server::start(true).await;
    let [_, http, grpc, prometheus] = server.running.addresses[..] else { panic!("four listeners") };
    let (json_type, grpc_type) = (("content-type", "application/json"), ("content-type", "application/grpc"));
    let body = |name: &str| json(name, server.now_ms, 1.0);
    let framed = |name: &str| frame(0, &protobuf(name, server.now_ms, 1.0));
    let other = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    for (address, path, header, body, status, grpc_status) in [
        (http, "/v1/metrics", json_type, body("by_http"), 200, None),
        (http, "/api/v1/otlp/v1/metrics", json_type, body("lost"), 404, None),
        (http, "/api/v1/query", json_type, Vec::new(), 404, None),
        (http, "/-/reload", json_type, Vec::new(), 404, None),
        (http, GRPC_PATH, grpc_type, framed("lost"), 404, None),
        (grpc, GRPC_PATH, grpc_type, framed("by_grpc"), 200, Some("0")),
        (grpc, other, grpc_type, framed("lost"), 200, Some("12")),
        (grpc, "/v1/metrics", json_type, body("lost"), 404, None),
        (grpc, "/api/v1/query", json_type, Vec::new(), 404, None),
        (prometheus, "/api/v1/otlp/v1/metrics", json_type, body("by_prometheus"), 200, None),
        (prometheus, "/v1/metrics", json_type, body("lost"), 404, None),
        (prometheus, GRPC_PATH, grpc_type, framed("lost"), 404, None),
    ] {
        let (found, headers, _) = server.post_to(address, path, &[header], body).await;
        assert_eq!(found.as_u16(), status, "{address} {path}");
        let found = headers.get("grpc-status").map(|value| value.to_str().unwrap());
        assert_eq!(found, grpc_status, "{address} {path}");
    }
    for (name, is_there) in [("by_http", true), ("by_grpc", true), ("by_prometheus", true), ("lost", false)] {
        let found = server.query(name).await;
        assert_eq!(!found.contains("\"result\":[]"), is_there, "{name}: {found}");
    }
    server.stop().await;
}
