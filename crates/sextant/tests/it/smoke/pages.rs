//! Pages of operators: consoles, the files beside them, and what profilers ask for.

use std::path::Path;

use super::{IDLE, push};
use crate::http::Response;
use crate::sextant::Sextant;
use crate::waiting::unix_ms;

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn answer(response: &Response) -> (u16, String) {
    (response.status, response.text())
}

/// In the manner of the consoles that came with older releases of Prometheus.
const OVERVIEW: &str = r#"{{ template "head" . }}
<h1>{{ .Path }} of {{ $externalLabels.site }}</h1>
<table>
{{ range query "sum by (job, unit) (queue_length)" | sortByLabel "job" }}
<tr><td><a href="worker.html?job={{ .Labels.job }}">{{ .Labels.job }}</a></td><td title="{{ .Labels.unit }}">{{ template "load" (args .Value "jobs") }}</td></tr>
{{ else }}
<tr><td>No workers found.</td></tr>
{{ end }}
</table>
<script>var wanted = {{ $params.job }};</script>
<p>{{ .RawParams.Get "job" }} {{ range .RawParams.job }}[{{ . }}]{{ end }} {{ $params.absent }}</p>
<a href="{{ pathPrefix }}/consoles/{{ $path }}">again</a>
{{ template "tail" }}
"#;

const LIBRARY: &str = r#"{{ define "head" }}<!DOCTYPE html>
<html><body>{{ end }}
{{ define "load" }}{{ humanize .arg0 }} {{ .arg1 }}{{ end }}
{{ define "tail" }}</body></html>{{ end }}
"#;

#[test]
fn consoles_query_and_escape() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    write(dir, "consoles/overview.html", OVERVIEW);
    write(dir, "consoles/deep/plain.html", "{{ printf \"%d\" 7 }} {{ $path }}");
    write(dir, "consoles/broken.html", "{{ if }}");
    write(dir, "consoles/failing.html", "{{ query \"sum(\" }}");
    write(dir, "consoles/binary.html", "x");
    std::fs::write(dir.join("consoles/binary.html"), [0xff, 0xfe]).unwrap();
    write(dir, "libraries/shared.lib", LIBRARY);
    write(dir, "libraries/ignored.txt", "{{ if }}");
    write(dir, "secret.html", "secret");
    let config = "global:\n  external_labels: {site: 'here & there'}\n";
    let consoles = format!("--web.console.templates={}", dir.join("consoles").display());
    let libraries = format!("--web.console.libraries={}", dir.join("libraries").display());
    let flags = [
        consoles.as_str(),
        libraries.as_str(),
        "--web.enable-remote-write-receiver",
        "--web.external-url=http://proxy/prometheus",
        "--web.route-prefix=/",
    ];
    let sextant = Sextant::start(dir, config, &flags);
    push::write(&sextant, push::Version::V1, "queue_length", &[(unix_ms(), 1234.0)]);

    let page = sextant.get("/consoles/overview.html?job=%3Cb%3E&job=2");
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    for part in [
        "<h1>overview.html of here &amp; there</h1>",
        "<a href=\"worker.html?job=pushed\">pushed</a>",
        "1.234k jobs",
        r#"var wanted = "\u003cb\u003e";"#,
        "<p>&lt;b&gt; [&lt;b&gt;][2] </p>",
        "<a href=\"/prometheus/consoles/overview.html\">again</a>",
    ] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    for (path, status, text) in [
        ("/consoles/deep/plain.html", 200, "7 deep/plain.html"),
        ("/consoles/deep/../deep/plain.html", 301, ""),
        ("/consoles/%2e%2e/secret.html", 404, "no such file or directory"),
        ("/consoles/..%2fsecret.html", 404, "no such file or directory"),
        ("/consoles/absent.html", 404, "consoles/absent.html: no such file or directory"),
        ("/consoles/", 500, "is a directory"),
        ("/consoles/deep", 500, "is a directory"),
        ("/consoles", 301, ""),
        ("/consoles/broken.html", 500, "error parsing template __console_/broken.html: template: "),
        ("/consoles/failing.html", 500, "error calling query: "),
        ("/consoles/binary.html", 500, "not UTF-8"),
        ("/consoles/deep/plain.html?a=%zz", 400, "invalid URL escape \"%zz\""),
        ("/user/", 404, "404 page not found"),
    ] {
        let (found, body) = answer(&sextant.get(path));
        assert!(found == status && body.contains(text), "{path}: {found} {body}");
        assert!(!body.contains("secret\n"), "{path}: {body}");
    }
    write(dir, "libraries/wrong.lib", "{{ if }}");
    let (status, body) = answer(&sextant.get("/consoles/overview.html"));
    let text = "error parsing template files for __console_/overview.html: template: wrong.lib:1:";
    assert!(status == 500 && body.starts_with(text), "{status} {body}");
}

#[test]
fn files_of_operators_are_served_and_no_others() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    write(dir, "assets/style.css", "p { color: red }");
    write(dir, "assets/sub/index.html", "<p>hello");
    write(dir, "secret", "secret");
    let flag = format!("--web.user-assets={}", dir.join("assets").display());
    let sextant = Sextant::start(dir, IDLE, &[&flag]);
    let css = sextant.get("/user/style.css");
    assert_eq!((css.status, css.text()), (200, "p { color: red }".to_owned()));
    assert_eq!(css.headers["content-type"], "text/css; charset=utf-8");
    for (path, status, text) in [
        ("/user/sub/", 200, "<p>hello"),
        ("/user/", 200, "<a href=\"style.css\">style.css</a>"),
        ("/user", 301, ""),
        ("/user/sub", 301, ""),
        ("/user/%2e%2e/secret", 404, "404 page not found"),
        ("/user/..%2f..%2fetc%2fpasswd", 404, "404 page not found"),
    ] {
        let (found, body) = answer(&sextant.get(path));
        assert!(found == status && body.contains(text), "{path}: {found} {body}");
    }
}

#[test]
fn profilers_are_told_what_there_is() {
    let scratch = tempfile::tempdir().unwrap();
    let sextant = Sextant::start(scratch.path(), IDLE, &[]);
    for (path, status, text) in [
        ("/debug/pprof", 301, ""),
        ("/debug/pprof/", 200, "<a href=\"cmdline\">cmdline</a>"),
        ("/debug/pprof/cmdline", 200, "sextant\0prometheus\0--config.file="),
        ("/debug/pprof/symbol", 200, "num_symbols: 0\n"),
        ("/debug/pprof/profile?seconds=1", 501, "profile \"profile\" is made by Go's runtime"),
        ("/debug/pprof/heap", 501, "profile \"heap\" is made by Go's runtime"),
        ("/debug/pprof/fgprof", 501, "perf record"),
        ("/debug/pprof/nothing", 404, "Unknown profile\n"),
        ("/debug/vars", 404, "404 page not found"),
    ] {
        let (found, body) = answer(&sextant.get(path));
        assert!(found == status && body.contains(text), "{path}: {found} {body}");
    }
}
