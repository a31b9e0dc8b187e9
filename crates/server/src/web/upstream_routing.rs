//! What upstream's router does and axum's does not: it cleans paths, says in words that a method is
//! not allowed, and answers `OPTIONS` on every path it knows.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_LENGTH, HeaderValue, LOCATION};
use http::{Method, StatusCode};

use super::reply::plain_error;

pub(crate) async fn answer_as_upstream(request: Request, next: Next) -> Response {
    if let Some(clean) = clean_path(request.uri().path()) {
        let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
        return redirect(StatusCode::MOVED_PERMANENTLY, &format!("{clean}{query}"));
    }
    let asked = request.method().clone();
    let mut response = next.run(request).await;
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED if response.headers().contains_key(ALLOW) => {
            not_allowed(&asked, &response)
        }
        StatusCode::NO_CONTENT => {
            // The router adds the methods even to an answer that a layer gave.
            response.headers_mut().remove(ALLOW);
            response
        }
        _ => response,
    }
}

/// Go's words; `OPTIONS` itself is allowed wherever something else is.
fn not_allowed(asked: &Method, refusal: &Response) -> Response {
    let listed = refusal.headers().get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut methods: Vec<&str> = listed.split(',').map(str::trim).chain(["OPTIONS"]).collect();
    methods.sort_unstable();
    methods.dedup();
    let methods = HeaderValue::from_str(&methods.join(", "));
    let mut response = if asked == Method::OPTIONS {
        Response::new(Body::empty())
    } else {
        plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    };
    // What layers below have added stays, such as the headers of the web configuration.
    for (name, value) in refusal.headers() {
        if name != CONTENT_LENGTH {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    if let Ok(methods) = methods {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// A redirect; `target` comes from a request's own path and query, which are valid in a header.
pub(crate) fn redirect(status: StatusCode, target: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(target) = HeaderValue::from_str(target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

/// `path` without empty, `.` and `..` segments; `None` when it has none of them.
fn clean_path(path: &str) -> Option<String> {
    let segments = || path.split('/').skip(1);
    let n = segments().count();
    let odd =
        |(idx, segment): (usize, &str)| (segment.is_empty() && idx + 1 < n) || matches!(segment, "." | "..");
    if !segments().enumerate().any(odd) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments() {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in [
            ("/", None),
            ("/a", None),
            ("/a/", None),
            ("/api/v1/label/a.b/values", None),
            ("//api/v1/query", Some("/api/v1/query")),
            ("/api//v1/./query", Some("/api/v1/query")),
            ("/a/../b/", Some("/b/")),
            ("/..", Some("/")),
            ("//", Some("/")),
        ] {
            assert_eq!(clean_path(path).as_deref(), expected, "{path}");
        }
    }
}
