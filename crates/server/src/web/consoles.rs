//! `/consoles/`: pages that operators write in Go's templates and that query the store, and `/user/`:
//! the files beside them.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use base::{CancelToken, TenantId};
use engine::QueryRequest;
use gotemplate::prometheus::{Environment, ExternalUrl, QuerySample, expand_html, labels_value};
use gotemplate::{CallError, Limits, List, Map, Object, Param, Value};
use http::header::HeaderMap;
use http::{StatusCode, Uri};
use ql_promql::query::QueryKind;
use tokio::sync::Semaphore;

use super::access::Caller;
use super::params::query_pairs;
use super::query_api::CancelOnDrop;
use super::reply::{plain_error, with_type};
use super::static_files::{self, below, read_within, sniffed_type};
use super::upstream_routing::redirect;
use super::{App, gate};

/// A console, and all libraries together.
const TEMPLATE_BYTES_MAX: u64 = 4 << 20;

/// Libraries of templates that consoles share.
const LIBRARIES_MAX: usize = 1_000;

/// Consoles that are made at once: each may hold several megabytes.
const AT_ONCE: usize = 8;

/// Upstream's convenience variables, before every console.
const PREAMBLE: &str = "{{$rawParams := .RawParams }}{{$params := .Params}}{{$path := .Path}}{{$externalLabels := .ExternalLabels}}";

/// Where the pages of operators are.
#[derive(Debug, Clone, Default)]
pub struct ConsoleSettings {
    /// `None`: there are no consoles.
    pub templates: Option<PathBuf>,
    pub libraries: Option<PathBuf>,
    /// `None`: `/user/` is not served.
    pub user_assets: Option<PathBuf>,
}

pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let console = move |app, caller, uri, path| show(Arc::clone(&places), app, caller, uri, path);
    let consoles = Router::new()
        .route("/consoles", get(with_slash))
        .route("/consoles/{*path}", get(console.clone()))
        .route("/consoles/", get(move |app, caller, uri| console(app, caller, uri, Path(String::new()))))
        .layer(from_fn_with_state(Arc::clone(app), gate));
    if app.settings.consoles.user_assets.is_none() {
        return consoles;
    }
    consoles
        .route("/user", get(with_slash))
        .route("/user/{*path}", get(user_file))
        .route("/user/", get(|app, headers| user_file(app, headers, Path(String::new()))))
}

async fn with_slash(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    // The router within a prefix does not see it.
    let prefix = app.settings.route_prefix.trim_end_matches('/');
    redirect(StatusCode::MOVED_PERMANENTLY, &format!("{prefix}{}/{query}", uri.path()))
}

async fn user_file(State(app): State<Arc<App>>, headers: HeaderMap, Path(path): Path<String>) -> Response {
    let Some(root) = app.settings.consoles.user_assets.clone() else {
        return plain_error(StatusCode::NOT_FOUND, "404 page not found");
    };
    let served = tokio::task::spawn_blocking(move || static_files::serve(&root, &path, &headers)).await;
    served.unwrap_or_else(|panic| plain_error(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()))
}

async fn show(
    places: Arc<Semaphore>,
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
    Path(path): Path<String>,
) -> Response {
    let Ok(place) = places.acquire_owned().await else {
        return plain_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    };
    let cancel = CancelToken::unbounded();
    let _hang_up = CancelOnDrop(cancel.clone());
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        let console = Console { app: &app, tenant: caller.tenant, cancel, path: &path };
        console.expand(uri.query().unwrap_or_default())
    });
    match made.await {
        Ok(Ok(page)) => with_type(StatusCode::OK, sniffed_type(page.as_bytes()), page),
        Ok(Err(refused)) => plain_error(refused.status(), &refused.to_string()),
        Err(panic) => plain_error(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    }
}

/// Why there is no page. The texts of the first four are upstream's.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("open {path}: {}", go_text(cause))]
    Open { path: String, cause: std::io::Error },
    #[error("read {path}: {}", go_text(cause))]
    Read { path: String, cause: std::io::Error },
    #[error("{0}")]
    Query(String),
    #[error(transparent)]
    Expand(#[from] gotemplate::prometheus::ExpandError),
    #[error("{path}: larger than {TEMPLATE_BYTES_MAX} bytes")]
    TooLarge { path: String },
    #[error("404 page not found")]
    NoConsoles,
    #[error("{path}: not UTF-8")]
    NotText { path: String },
    #[error("more than {LIBRARIES_MAX} libraries")]
    TooManyLibraries,
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Open { .. } | Self::NoConsoles => StatusCode::NOT_FOUND,
            Self::Query(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Go's words for an error of the system: lower case, without its number.
fn go_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase()
}

struct Console<'a> {
    app: &'a App,
    tenant: TenantId,
    cancel: CancelToken,
    /// Below `/consoles/`.
    path: &'a str,
}

impl Console<'_> {
    fn expand(&self, query_string: &str) -> Result<String, Refused> {
        let settings = &self.app.settings.consoles;
        let templates = settings.templates.as_ref().ok_or(Refused::NoConsoles)?;
        let text = read_template(&below(templates, self.path))?;
        let params = query_pairs(query_string).map_err(Refused::Query)?;
        let libraries = settings.libraries.as_deref().map(read_libraries).transpose()?.unwrap_or_default();
        let libraries: Vec<(&str, &str)> = libraries.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let now_ms = self.app.clock.now_ms();
        let query = |text: &str| self.query(text, now_ms);
        let external_url = ExternalUrl::new(&self.app.settings.external_url);
        let environment =
            Environment { now_ms, query: &query, external_url: &external_url, limits: Limits::default() };
        let name = format!("__console_/{}", self.path);
        let data = self.data(&params);
        Ok(expand_html(&name, &format!("{PREAMBLE}{text}"), &libraries, &data, environment)?)
    }

    fn data(&self, params: &[(String, String)]) -> Value {
        let config = self.app.reload.current();
        let mut raw = std::collections::BTreeMap::<String, Vec<&str>>::new();
        for (name, value) in params {
            raw.entry(name.clone()).or_default().push(value);
        }
        let first = raw.iter().filter_map(|(name, values)| Some((name.clone(), *values.first()?)));
        Value::object(ConsoleData {
            params: Value::string_map(first),
            path: self.path.trim_start_matches('/').to_owned(),
            external_labels: config.map_or_else(
                || Value::string_map::<String, String>([]),
                |config| labels_value(&config.global.external_labels),
            ),
            raw_params: Value::object(UrlValues(
                raw.into_iter().map(|(name, values)| (name, Value::strings(values))).collect(),
            )),
        })
    }

    fn query(&self, text: &str, now_ms: i64) -> Result<Vec<QuerySample>, CallError> {
        let request = QueryRequest {
            tenant: self.tenant.clone(),
            text: Arc::from(text),
            kind: QueryKind::Instant { t_ms: now_ms },
            timeout: None,
            lookback_delta_ms: 0,
            per_step_stats: false,
            origin: engine::QueryOrigin::Internal,
            cancel: self.cancel.clone(),
        };
        let answer = self.app.engine.run(&request).map_err(|error| CallError::new(error.to_string()))?;
        rules::query::template_samples(answer.output.value)
    }
}

fn read_template(path: &FilePath) -> Result<String, Refused> {
    let shown = path.display().to_string();
    let failed = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::IsADirectory => Refused::Read { path: shown.clone(), cause },
        _ => Refused::Open { path: shown.clone(), cause },
    };
    let Some(bytes) = read_within(path, TEMPLATE_BYTES_MAX).map_err(failed)? else {
        return Err(Refused::TooLarge { path: shown });
    };
    String::from_utf8(bytes).map_err(|_| Refused::NotText { path: shown })
}

/// Every `*.lib`, by name. A folder that is not there has none, as upstream.
fn read_libraries(folder: &FilePath) -> Result<Vec<(String, String)>, Refused> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let is_library = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lib");
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(is_library).take(LIBRARIES_MAX + 1).collect();
    if paths.len() > LIBRARIES_MAX {
        return Err(Refused::TooManyLibraries);
    }
    paths.sort();
    let (mut libraries, mut n_bytes) = (Vec::new(), 0u64);
    for path in paths {
        let text = match read_template(&path) {
            Err(Refused::Open { path, cause }) => return Err(Refused::Read { path, cause }),
            read => read?,
        };
        n_bytes += text.len() as u64;
        if n_bytes > TEMPLATE_BYTES_MAX {
            return Err(Refused::TooLarge { path: folder.display().to_string() });
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        libraries.push((name, text));
    }
    Ok(libraries)
}

/// What a console is given.
#[derive(Debug)]
struct ConsoleData {
    raw_params: Value,
    params: Value,
    path: String,
    external_labels: Value,
}

impl Object for ConsoleData {
    fn type_name(&self) -> &str {
        "struct { RawParams url.Values; Params map[string]string; Path string; ExternalLabels map[string]string }"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("RawParams", self.raw_params.clone()),
            ("Params", self.params.clone()),
            ("Path", Value::str(&self.path)),
            ("ExternalLabels", self.external_labels.clone()),
        ]
    }
}

/// Go's `url.Values`, with the methods that read.
#[derive(Debug)]
struct UrlValues(std::collections::BTreeMap<String, Value>);

impl UrlValues {
    fn all(&self, args: &[Value]) -> Option<&List> {
        match self.0.get(args.first()?.as_str()?)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}

impl Object for UrlValues {
    fn type_name(&self) -> &str {
        "url.Values"
    }

    fn method(&self, name: &str) -> Option<&'static [Param]> {
        matches!(name, "Get" | "Has").then_some(&[Param::Str])
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, CallError> {
        let all = self.all(args);
        match name {
            "Has" => Ok(Value::Bool(all.is_some())),
            _ => Ok(all.and_then(|list| list.items.first().cloned()).unwrap_or_else(|| Value::str(""))),
        }
    }

    fn underlying(&self) -> Option<Value> {
        let zero = Value::strings::<&str>([]);
        Some(Value::Map(Arc::new(Map { type_name: "map[string][]string", zero, entries: self.0.clone() })))
    }
}
