//! `sextant query promql`: ask a server, see a table, JSON or a chart.

mod chart;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use base::{Clock as _, SystemClock};
use clap::{Args, Subcommand, ValueEnum};
use http::Uri;
use serde_json::Value;
use server::outbound::client::{HttpClient, Outgoing};
use wire_core::http_config::{Authorization, BasicAuth, HttpClientConfig, Secret, SecretSource};
use wire_prom::api_params;

use crate::{launch, output};

const ANSWER_BYTES_MAX: usize = 1 << 30;
const TIMEOUT: Duration = Duration::from_secs(120);
/// Points of a chart's or table's default step.
const POINTS_DEFAULT: i64 = 200;

/// Ask a running server.
#[derive(Debug, Args)]
pub(crate) struct Query {
    #[command(subcommand)]
    language: Language,
}

#[derive(Debug, Subcommand)]
enum Language {
    /// Evaluate a PromQL expression, at one moment or over a range.
    Promql(Promql),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Chart,
}

#[derive(Debug, Args)]
struct Promql {
    expr: String,
    /// The server; any that speaks the Prometheus API.
    #[arg(long, default_value = "http://127.0.0.1:9090")]
    server: String,
    /// A moment: RFC 3339 or Unix seconds. Now by default.
    #[arg(long, value_name = "TIME", conflicts_with = "range")]
    time: Option<String>,
    /// The last so much, e.g. 1h: a range query.
    #[arg(long, value_name = "DURATION", conflicts_with = "start")]
    range: Option<String>,
    #[arg(long, value_name = "TIME", conflicts_with = "time")]
    start: Option<String>,
    #[arg(long, value_name = "TIME", requires = "start")]
    end: Option<String>,
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,
    /// Tables for moments and charts for ranges, unless said otherwise.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// `name:password`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A bearer token.
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    token: Option<String>,
    /// The tenant to ask as.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

/// When to evaluate, in milliseconds.
enum When {
    Moment(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

pub(crate) fn run(query: &Query) -> ExitCode {
    let Language::Promql(promql) = &query.language;
    match ask(promql) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => launch::fail(&message),
    }
}

fn ask(args: &Promql) -> Result<(), String> {
    let when = when(args, SystemClock::new().now_ms())?;
    let answer = send(args, &when)?;
    let is_range = matches!(when, When::Range { .. });
    let format = args.format.unwrap_or(if is_range { Format::Chart } else { Format::Table });
    for kind in ["warnings", "infos"] {
        for text in answer[kind].as_array().into_iter().flatten() {
            output::remark(&format!("{}: {}", kind.trim_end_matches('s'), text.as_str().unwrap_or_default()));
        }
    }
    let data = &answer["data"];
    match format {
        Format::Json => output::line(&serde_json::to_string_pretty(data).map_err(|e| e.to_string())?),
        Format::Table => table::print(data),
        Format::Chart => chart::print(data),
    }
    Ok(())
}

fn when(args: &Promql, now_ms: i64) -> Result<When, String> {
    let time = |text: &str| api_params::parse_time_ms(text).map_err(|e| e.to_string());
    let span = |text: &str| api_params::parse_duration_ms(text).map_err(|e| e.to_string());
    let (start_ms, end_ms) = match (&args.range, &args.start) {
        (Some(range), _) => (now_ms - span(range)?, now_ms),
        (None, Some(start)) => (time(start)?, args.end.as_deref().map_or(Ok(now_ms), time)?),
        (None, None) => return Ok(When::Moment(args.time.as_deref().map_or(Ok(now_ms), time)?)),
    };
    let step_ms = match &args.step {
        Some(step) => span(step)?,
        None => ((end_ms - start_ms) / POINTS_DEFAULT).max(1000),
    };
    Ok(When::Range { start_ms, end_ms, step_ms })
}

fn send(args: &Promql, when: &When) -> Result<Value, String> {
    let seconds = |ms: i64| base::gofloat::format_f(ms as f64 / 1000.0);
    let (path, mut form) = match when {
        When::Moment(t_ms) => ("query", vec![("time", seconds(*t_ms))]),
        When::Range { start_ms, end_ms, step_ms } => {
            let times = [("start", *start_ms), ("end", *end_ms), ("step", *step_ms)];
            ("query_range", times.into_iter().map(|(name, ms)| (name, seconds(ms))).collect())
        }
    };
    form.push(("query", args.expr.clone()));
    let body: Vec<String> =
        form.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    let url = format!("{}/api/v1/{path}", args.server.trim_end_matches('/'));
    let uri: Uri = url.parse().map_err(|e| format!("{url}: {e}"))?;
    let mut request = Outgoing::post(uri, body.join("&").into(), TIMEOUT);
    let form_type = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.insert(http::header::CONTENT_TYPE, form_type);
    if let Some(tenant) = &args.tenant {
        let value = http::HeaderValue::from_str(tenant).map_err(|e| format!("--tenant: {e}"))?;
        request.headers.insert("x-scope-orgid", value);
    }
    let environment = launch::environment();
    let client = HttpClient::new(client_config(args)?, &environment, None).map_err(|e| e.to_string())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let answer =
        runtime.block_on(client.send(request, ANSWER_BYTES_MAX)).map_err(|e| format!("{url}: {e}"))?;
    let json: Value = serde_json::from_slice(&answer.body).map_err(|_| {
        let text: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
        format!("{url}: {} {text}", answer.status)
    })?;
    if json["status"] == "success" {
        return Ok(json);
    }
    let kind = json["errorType"].as_str().unwrap_or("error");
    Err(format!("{kind}: {}", json["error"].as_str().unwrap_or_default()))
}

fn client_config(args: &Promql) -> Result<HttpClientConfig, String> {
    let mut config = HttpClientConfig::default();
    let inline = |text: &str| SecretSource::Inline(Secret::new(text));
    if let Some(user) = &args.user {
        let (name, password) = user.split_once(':').ok_or("--user: expected name:password")?;
        config.basic_auth = Some(BasicAuth { username: inline(name), password: inline(password) });
    }
    if let Some(token) = &args.token {
        config.authorization =
            Some(Authorization { scheme: "Bearer".to_owned(), credentials: inline(token) });
    }
    Ok(config)
}

fn percent_encoded(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// `name{a="b"}` from the JSON of a metric.
fn metric_text(metric: &Value) -> String {
    let Some(labels) = metric.as_object() else { return "{}".to_owned() };
    let name = labels.get("__name__").and_then(Value::as_str).unwrap_or("");
    let others = labels.iter().filter(|(n, _)| *n != "__name__");
    let pairs: Vec<String> = others.map(|(n, v)| format!("{n}={v}")).collect();
    if pairs.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", pairs.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_print_as_selectors() {
        let metric = serde_json::json!({ "__name__": "up", "job": "a \"b\"" });
        assert_eq!(metric_text(&metric), r#"up{job="a \"b\""}"#);
        assert_eq!(metric_text(&serde_json::json!({ "__name__": "up" })), "up");
        assert_eq!(metric_text(&serde_json::json!({})), "{}");
        assert_eq!(percent_encoded("a+b c"), "a%2Bb%20c");
    }
}
