//! `/debug/pprof/`: the paths of Go's profiler. What they serve upstream describes Go's runtime, which
//! this process has none of; what does not is answered, and the rest says so.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, StatusCode};

use super::App;
use super::reply::{plain_error, with_type};
use super::upstream_routing::redirect;

/// Profiles of Go programs, with what they would show.
const PROFILES: [(&str, &str); 10] = [
    ("allocs", "past memory allocations"),
    ("block", "where goroutines wait"),
    ("fgprof", "CPU and waiting time together"),
    ("goroutine", "stacks of goroutines"),
    ("goroutineleak", "stacks of leaked goroutines"),
    ("heap", "live memory allocations"),
    ("mutex", "holders of contended locks"),
    ("profile", "CPU time"),
    ("threadcreate", "what created threads"),
    ("trace", "execution trace"),
];

const TEXT: &str = "text/plain; charset=utf-8";

pub(crate) async fn serve(State(app): State<Arc<App>>, Path(subpath): Path<String>) -> Response {
    if subpath == "pprof" {
        let prefix = app.settings.route_prefix.trim_end_matches('/');
        return redirect(StatusCode::MOVED_PERMANENTLY, &format!("{prefix}/debug/pprof/"));
    }
    match subpath.strip_prefix("pprof/") {
        None => plain_error(StatusCode::NOT_FOUND, "404 page not found"),
        Some("") => with_type(StatusCode::OK, "text/html; charset=utf-8", index()),
        Some("cmdline") => unsniffed(with_type(StatusCode::OK, TEXT, app.facts.command_line.join("\0"))),
        // Go's answer to a tool that asks whether there are symbols; here there are none.
        Some("symbol") => unsniffed(with_type(StatusCode::OK, TEXT, "num_symbols: 0\n")),
        Some(name) => match PROFILES.iter().find(|(profile, _)| *profile == name) {
            Some((name, _)) => plain_error(StatusCode::NOT_IMPLEMENTED, &no_profile(name)),
            None => {
                let mut response = plain_error(StatusCode::NOT_FOUND, "Unknown profile");
                let is_of_pprof = HeaderName::from_static("x-go-pprof");
                response.headers_mut().insert(is_of_pprof, HeaderValue::from_static("1"));
                response
            }
        },
    }
}

fn unsniffed(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    debug_assert!(response.headers().contains_key(CONTENT_TYPE));
    response
}

fn no_profile(name: &str) -> String {
    format!(
        "profile {name:?} is made by Go's runtime, which this program does not have; its CPU time is seen with \
         `perf record -g -p {}`, its memory in process_resident_memory_bytes and the sextant_* metrics of /metrics",
        std::process::id()
    )
}

fn index() -> String {
    let mut page = "<html><head><title>/debug/pprof/</title></head><body><h1>/debug/pprof/</h1>\n<ul>\n\
        <li><a href=\"cmdline\">cmdline</a>: the command line of this process</li>\n\
        <li><a href=\"symbol\">symbol</a>: program counters to names; knows none</li>\n</ul>\n\
        <p>Not available, since this is no Go program:</p>\n<ul>\n"
        .to_owned();
    for (name, shows) in PROFILES {
        page.push_str(&format!("<li>{name}: {shows}</li>\n"));
    }
    page.push_str("</ul></body></html>\n");
    page
}
