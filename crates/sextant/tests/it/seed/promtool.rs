//! Debian's `promtool query` against the running server.

use std::process::Command;

use super::stack::Stack;
use crate::process::output;
use crate::sextant::value;

pub(crate) fn asks(stack: &Stack, at_ms: i64) {
    let server = format!("http://{}", stack.sextant.address);
    let at = |ms: i64| format!("{:.3}", ms as f64 / 1000.0);
    let run = |args: &[&str]| output(Command::new(&stack.promtool).arg("query").args(args));
    let window = [format!("--start={}", at(at_ms - 20_000)), format!("--end={}", at(at_ms))];
    let [start, end] = [window[0].as_str(), window[1].as_str()];

    let expr = "sum by (service) (http_requests_total)";
    let time = format!("--time={}", at(at_ms));
    let instant = run(&["instant", &time, &server, expr]);
    for sample in stack.sextant.query_at(expr, at_ms).as_array().unwrap() {
        let service = sample["metric"]["service"].as_str().unwrap();
        let line = format!("{{service=\"{service}\"}} => {} @[", value(sample));
        assert!(instant.contains(&line), "no {line:?} in {instant}");
    }
    let range = run(&["range", start, end, "--step=5s", &server, expr]);
    assert!(range.contains("{service=\"api-gateway\"} =>\n"), "{range}");
    assert_eq!(range.matches(" @[").count(), points(stack, expr, at_ms), "{range}");
    let series = run(&["series", start, end, "--match=up{job=\"postgres\"}", &server]);
    assert_eq!(
        series.trim(),
        format!("{{__name__=\"up\", instance=\"{}\", job=\"postgres\"}}", stack.postgres.exporter_address())
    );
    let labels = run(&["labels", start, end, &server, "service"]);
    assert_eq!(labels.split_whitespace().collect::<Vec<_>>(), ["api-gateway", "todo-service"]);
    let wrong = Command::new(&stack.promtool).args(["query", "instant", &server, "sum("]).output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("parse error"), "{said}");
}

/// How many values the same range has by the API.
fn points(stack: &Stack, expr: &str, at_ms: i64) -> usize {
    let [start, end] = [at_ms - 20_000, at_ms].map(|ms| format!("{:.3}", ms as f64 / 1000.0));
    let pairs = [("query", expr), ("start", &start), ("end", &end), ("step", "5")];
    let matrix = stack.sextant.data("/api/v1/query_range", &pairs);
    let series = matrix["result"].as_array().unwrap();
    let count = series.iter().map(|series| series["values"].as_array().unwrap().len()).sum();
    assert!(series.len() == 2 && count >= 2, "{matrix}");
    count
}
