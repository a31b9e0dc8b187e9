//! Mechanisms with real files and sockets.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use scrape::sd_config::{FileSdConfig, HttpSdConfig};
use tokio::net::TcpListener;
use wire_core::http_config::{BasicAuth, HeaderValues, HttpClientConfig, Secret, SecretSource};

use super::*;
use crate::outbound::connections::Connections;

/// Nothing here takes longer unless it never ends.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a provider has reported.
pub(super) struct Seen {
    set: Arc<Mutex<Groups>>,
    changed: Arc<tokio::sync::Notify>,
}

impl Seen {
    /// The addresses of all targets, sorted.
    pub(super) fn addresses(&self) -> Vec<String> {
        let set = self.set.lock();
        let targets = set.values().flat_map(|group| &group.targets);
        let mut all: Vec<String> =
            targets.filter_map(|target| target.get("__address__")).map(str::to_owned).collect();
        all.sort();
        all
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn parser() -> GroupParser {
    Arc::new(|text| config::parse_target_groups(text).map_err(|e| e.to_string()))
}

fn id() -> SetId {
    SetId { name: "scrape", config: Arc::from("test") }
}

fn environment() -> Environment {
    Environment { var: Arc::new(|_| None), connections: Connections::within(1024) }
}

/// A provider whose reports the test sees at once.
pub(super) fn provider() -> (Provider, Seen) {
    let (set, changed) = (Arc::default(), Arc::new(tokio::sync::Notify::new()));
    let provider = Provider {
        idx: 0,
        config: Arc::from("test"),
        set: Arc::clone(&set),
        changed: Arc::clone(&changed),
        metrics: DiscoveryMetrics::new(&Registry::new()),
        parse: parser(),
        environment: environment(),
    };
    (provider, Seen { set, changed })
}

async fn until(set: &DiscoverySet, wanted: &[&str]) -> Arc<Vec<TargetGroup>> {
    let shown = |groups: &Arc<Vec<TargetGroup>>| -> Vec<String> {
        let targets = groups.iter().flat_map(|group| &group.targets);
        targets.filter_map(|target| target.get("__address__")).map(str::to_owned).collect()
    };
    let mut groups = set.groups();
    let found = tokio::time::timeout(PATIENCE, groups.wait_for(|groups| shown(groups) == wanted)).await;
    let found = found.expect("the targets arrive in time").unwrap();
    Arc::clone(&found)
}

#[derive(Default)]
struct Answers {
    body: Mutex<String>,
    headers: Mutex<HeaderMap>,
}

async fn targets(State(answers): State<Arc<Answers>>, headers: HeaderMap) -> Response {
    *answers.headers.lock() = headers;
    let body = answers.body.lock().clone();
    let mut response = Response::new(body.into());
    response.headers_mut().insert("content-type", "application/json; charset=utf-8".parse().unwrap());
    response
}

#[tokio::test]
async fn http_discovery_follows_the_server_and_sends_its_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/t", listener.local_addr().unwrap());
    let answers = Arc::new(Answers::default());
    *answers.body.lock() = "[{\"targets\": [\"a:1\"], \"labels\": {\"l\": \"v\"}}]".to_owned();
    let router = Router::new().route("/t", get(targets)).with_state(Arc::clone(&answers));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut http = HttpClientConfig::default();
    let own = HeaderValues { values: vec!["mine".to_owned()], ..HeaderValues::default() };
    http.headers.insert("X-Own".to_owned(), own);
    http.basic_auth = Some(BasicAuth {
        username: SecretSource::Inline(Secret::new("ali")),
        password: SecretSource::Inline(Secret::new("sesame")),
    });
    let config = SdConfig::Http(HttpSdConfig { url: url.clone(), refresh_interval_ms: 1000, http });
    let metrics = DiscoveryMetrics::new(&Registry::new());
    let set = DiscoverySet::start(&id(), &[config], &metrics, &parser(), &environment());
    let groups = until(&set, &["a:1"]).await;
    let labels = groups[0].labels.to_string();
    assert_eq!(labels, format!("{{__meta_url=\"{url}\", l=\"v\"}}"));
    for (name, value) in [
        ("accept", "application/json"),
        ("authorization", "Basic YWxpOnNlc2FtZQ=="),
        ("x-own", "mine"),
        ("x-prometheus-refresh-interval-seconds", "1"),
    ] {
        assert_eq!(answers.headers.lock()[name], value, "{name}");
    }
    // What cannot be read changes nothing; what follows it does.
    *answers.body.lock() = "[{".to_owned();
    let failed = async {
        while metrics.http_failures.get() < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.unwrap();
    until(&set, &["a:1"]).await;
    *answers.body.lock() = "[{\"targets\": [\"b:1\", \"b:2\"]}]".to_owned();
    until(&set, &["b:1", "b:2"]).await;
    *answers.body.lock() = "[]".to_owned();
    until(&set, &[]).await;
}

#[tokio::test]
async fn file_discovery_follows_files_that_come_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // Whoever writes target files renames them into place.
    let write = |name: &str, text: &str| {
        std::fs::write(path("new"), text).unwrap();
        std::fs::rename(path("new"), path(name)).unwrap();
    };
    write("a.json", "[{\"targets\": [\"a:1\"]}]");
    let pattern = |name: &str| path(name).display().to_string();
    let files = vec![pattern("*.json"), pattern("one.yml")];
    let config = SdConfig::File(FileSdConfig { files, refresh_interval_ms: 1000 });
    let metrics = DiscoveryMetrics::new(&Registry::new());
    let set = DiscoverySet::start(&id(), &[config], &metrics, &parser(), &environment());
    let groups = until(&set, &["a:1"]).await;
    let labels = groups[0].labels.to_string();
    assert_eq!(labels, format!("{{__meta_filepath=\"{}\"}}", pattern("a.json")));
    write("one.yml", "- targets: ['c:1']\n  labels: {l: v}\n");
    until(&set, &["a:1", "c:1"]).await;
    write("a.json", "[{\"targets\": [\"a:2\"]}, {\"targets\": [\"a:3\"]}]");
    until(&set, &["a:2", "a:3", "c:1"]).await;
    write("a.json", "[{");
    let failed = async {
        while metrics.file_read_errors.get() < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.unwrap();
    until(&set, &["a:2", "a:3", "c:1"]).await;
    std::fs::remove_file(path("a.json")).unwrap();
    until(&set, &["c:1"]).await;
}
