//! Files below a folder as Go's file server gives them: `index.html` for a folder, else a listing;
//! the type by the name's end, else by the first bytes.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, LAST_MODIFIED};

use super::reply::{plain_error, with_type};
use super::upstream_routing::redirect;

/// A larger file is not served: it is held in memory while it is sent.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Names that a listing shows.
const LISTED_MAX: usize = 10_000;

/// As many as Go looks at to guess a type.
const SNIFFED_BYTES: usize = 512;

/// The file that a decoded path names below `root`, whatever `..` the path has.
pub(super) fn below(root: &Path, path: &str) -> PathBuf {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    kept.iter().fold(root.to_path_buf(), |path, segment| path.join(segment))
}

/// Answers a request for `path`, decoded and without a leading slash. Blocks.
pub(super) fn serve(root: &Path, path: &str, headers: &HeaderMap) -> Response {
    if path == "index.html" || path.ends_with("/index.html") {
        return redirect(StatusCode::MOVED_PERMANENTLY, "./");
    }
    match open_and_answer(root, path, headers) {
        Ok(response) => response,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                plain_error(StatusCode::NOT_FOUND, "404 page not found")
            }
            ErrorKind::PermissionDenied => plain_error(StatusCode::FORBIDDEN, "403 Forbidden"),
            _ => plain_error(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error"),
        },
    }
}

fn open_and_answer(root: &Path, path: &str, headers: &HeaderMap) -> std::io::Result<Response> {
    let file_path = below(root, path);
    let metadata = std::fs::metadata(&file_path)?;
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let has_slash = path.is_empty() || path.ends_with('/');
    if !metadata.is_dir() {
        if has_slash {
            return Ok(redirect(StatusCode::MOVED_PERMANENTLY, &format!("../{}", escaped_path(last))));
        }
        return file(&file_path, &metadata, headers);
    }
    if !has_slash {
        return Ok(redirect(StatusCode::MOVED_PERMANENTLY, &format!("{}/", escaped_path(last))));
    }
    let index = file_path.join("index.html");
    match std::fs::metadata(&index) {
        Ok(metadata) if !metadata.is_dir() => file(&index, &metadata, headers),
        _ => listing(&file_path),
    }
}

fn file(path: &Path, metadata: &Metadata, headers: &HeaderMap) -> std::io::Result<Response> {
    let modified = metadata.modified().ok().and_then(http_date);
    if let (Some((modified_s, _)), Some(known)) = (&modified, headers.get(IF_MODIFIED_SINCE))
        && known.to_str().ok().and_then(parse_http_date).is_some_and(|known_s| *modified_s <= known_s)
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let Some(body) = read_within(path, FILE_BYTES_MAX)? else {
        let refused = format!("the file is larger than {FILE_BYTES_MAX} bytes");
        return Ok(plain_error(StatusCode::INTERNAL_SERVER_ERROR, &refused));
    };
    let content_type = type_of_name(path).unwrap_or_else(|| sniffed_type(&body));
    let mut response = with_type(StatusCode::OK, content_type, body);
    if let Some((_, text)) = modified
        && let Ok(text) = HeaderValue::from_str(&text)
    {
        response.headers_mut().insert(LAST_MODIFIED, text);
    }
    debug_assert!(response.headers().contains_key(CONTENT_TYPE));
    Ok(response)
}

/// The contents of a file; `None` if there are more than `bytes_max`.
#[expect(clippy::disallowed_methods, reason = "files of operators are no part of a store")]
pub(super) fn read_within(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut body)?;
    Ok(Some(body).filter(|body| body.len() as u64 <= bytes_max))
}

fn listing(folder: &Path) -> std::io::Result<Response> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(LISTED_MAX) {
        let entry = entry?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort_unstable();
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        let shown = gotemplate::escape_html(&name);
        page.push_str(&format!("<a href=\"{}\">{shown}</a>\n", escaped_path(&name)));
    }
    page.push_str("</pre>\n");
    Ok(with_type(StatusCode::OK, "text/html; charset=utf-8", page))
}

/// As Go writes a path in a URL; a colon in its first segment would make it a scheme.
fn escaped_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    if path.split('/').next().is_some_and(|first| first.contains(':')) {
        out.push_str("./");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Seconds since the epoch, and the time as HTTP writes it.
fn http_date(time: SystemTime) -> Option<(i64, String)> {
    let since: Duration = time.duration_since(UNIX_EPOCH).ok()?;
    let seconds = i64::try_from(since.as_secs()).ok()?;
    let timestamp = jiff::Timestamp::from_second(seconds).ok()?;
    Some((seconds, jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).ok()?))
}

fn parse_http_date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(parsed.as_second())
}

/// The types that Go knows without asking the machine.
fn type_of_name(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    Some(match extension.as_str() {
        "avif" => "image/avif",
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "htm" | "html" => "text/html; charset=utf-8",
        "jpeg" | "jpg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "webp" => "image/webp",
        "xml" => "text/xml; charset=utf-8",
        _ => return None,
    })
}

/// Tags that pages begin with, in Go's table.
const HTML_STARTS: [&str; 16] = [
    "<!DOCTYPE HTML",
    "<HTML",
    "<HEAD",
    "<SCRIPT",
    "<IFRAME",
    "<H1",
    "<DIV",
    "<FONT",
    "<TABLE",
    "<A",
    "<STYLE",
    "<TITLE",
    "<B",
    "<BODY",
    "<BR",
    "<P",
];

/// What Go takes bytes for: a page, XML, text, or something else.
pub(super) fn sniffed_type(body: &[u8]) -> &'static str {
    let head = &body[..body.len().min(SNIFFED_BYTES)];
    let text = head.trim_ascii_start();
    let begins_tag = |start: &&str| {
        let (tag, rest) = text.split_at_checked(start.len()).unwrap_or((&[], &[]));
        tag.eq_ignore_ascii_case(start.as_bytes()) && matches!(rest.first(), Some(b' ' | b'>'))
    };
    if HTML_STARTS.iter().any(begins_tag) || text.starts_with(b"<!--") {
        return "text/html; charset=utf-8";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    let is_binary = |byte: &u8| matches!(byte, 0..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if head.iter().any(is_binary) { "application/octet-stream" } else { "text/plain; charset=utf-8" }
}

#[cfg(test)]
mod tests {
    use http::header::LOCATION;

    use super::*;

    #[test]
    fn paths_stay_below_their_root() {
        for (path, expected) in [
            ("a/b.html", "/root/a/b.html"),
            ("", "/root"),
            ("../../etc/passwd", "/root/etc/passwd"),
            ("a/../../../b", "/root/b"),
            ("./a//b/", "/root/a/b"),
            ("..", "/root"),
        ] {
            assert_eq!(below(Path::new("/root"), path), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn types_are_guessed_as_go_does() {
        for (body, expected) in [
            (&b"  <!doctype html>\n"[..], "text/html; charset=utf-8"),
            (b"<html lang=\"en\">", "text/html; charset=utf-8"),
            (b"<htmlx>", "text/plain; charset=utf-8"),
            (b"<!-- a comment -->", "text/html; charset=utf-8"),
            (b"<?xml version", "text/xml; charset=utf-8"),
            (b"<p", "text/plain; charset=utf-8"),
            (b"", "text/plain; charset=utf-8"),
            (b"a\x00b", "application/octet-stream"),
            ("gr\u{fc}n".as_bytes(), "text/plain; charset=utf-8"),
        ] {
            assert_eq!(sniffed_type(body), expected, "{body:?}");
        }
    }

    #[tokio::test]
    async fn files_folders_and_what_is_neither() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("assets");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::create_dir_all(root.join("with index")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("app.js"), "let a = 1;").unwrap();
        std::fs::write(root.join("sub/a<b"), "text").unwrap();
        std::fs::write(root.join("with index/index.html"), "<p>hello").unwrap();
        let get = async |path: &str| {
            let response = serve(&root, path, &HeaderMap::new());
            let header =
                |name| response.headers().get(name).map_or("", |v: &HeaderValue| v.to_str().unwrap());
            let (status, kind, to) =
                (response.status().as_u16(), header(CONTENT_TYPE).to_owned(), header(LOCATION).to_owned());
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (status, kind, to, String::from_utf8(body.to_vec()).unwrap())
        };
        for (path, status, kind, to, body) in [
            ("app.js", 200, "text/javascript; charset=utf-8", "", "let a = 1;"),
            ("sub/a<b", 200, "text/plain; charset=utf-8", "", "text"),
            ("with index/", 200, "text/html; charset=utf-8", "", "<p>hello"),
            ("with index", 301, "", "with%20index/", ""),
            ("with index/index.html", 301, "", "./", ""),
            ("app.js/", 301, "", "../app.js", ""),
            (
                "sub/",
                200,
                "text/html; charset=utf-8",
                "",
                "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n<a href=\"a%3Cb\">a&lt;b</a>\n</pre>\n",
            ),
            ("missing", 404, "text/plain; charset=utf-8", "", "404 page not found\n"),
            ("app.js/x", 404, "text/plain; charset=utf-8", "", "404 page not found\n"),
            ("../secret", 404, "text/plain; charset=utf-8", "", "404 page not found\n"),
        ] {
            let expected = (status, kind.to_owned(), to.to_owned(), body.to_owned());
            assert_eq!(get(path).await, expected, "{path}");
        }
        let modified = serve(&root, "app.js", &HeaderMap::new()).headers()[LAST_MODIFIED].clone();
        let again = serve(&root, "app.js", &HeaderMap::from_iter([(IF_MODIFIED_SINCE, modified)]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        std::fs::File::create(root.join("large")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(get("large").await.0, 500);
    }
}
