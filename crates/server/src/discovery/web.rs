//! `http_sd_configs`: a URL that answers with target groups.

use std::time::Duration;

use http::Uri;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use scrape::sd_config::{HttpSdConfig, TargetGroup};

use super::Provider;
use super::files::with_label;
use crate::outbound::client::{HttpClient, Outgoing};

const BODY_BYTES_MAX: usize = 64 << 20;
const REFRESH_HEADER: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");

pub(super) async fn follow(provider: Provider, config: HttpSdConfig) {
    let client = match HttpClient::new(config.http.clone(), &provider.environment, None) {
        Ok(client) => client,
        Err(error) => return provider.failed("http", &error.to_string()),
    };
    let refresh = Duration::from_millis(config.refresh_interval_ms.max(1000).unsigned_abs());
    loop {
        match fetch(&provider, &client, &config, refresh).await {
            Ok(groups) => provider.replace(groups),
            Err(error) => {
                provider.metrics.http_failures.inc();
                provider.failed("http", &format!("{}: {error}", config.url));
            }
        }
        tokio::time::sleep(refresh).await;
    }
}

async fn fetch(
    provider: &Provider,
    client: &HttpClient,
    config: &HttpSdConfig,
    refresh: Duration,
) -> Result<Vec<TargetGroup>, String> {
    let uri: Uri = config.url.parse().map_err(|e| format!("invalid URL: {e}"))?;
    let mut request = Outgoing::get(uri, refresh);
    request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
    let seconds = base::gofloat::format_f(refresh.as_secs_f64());
    let seconds = HeaderValue::from_str(&seconds).expect("a number is a valid header value");
    request.headers.insert(REFRESH_HEADER, seconds);
    let answer = client.send(request, BODY_BYTES_MAX).await.map_err(|e| e.to_string())?;
    if answer.status != http::StatusCode::OK {
        return Err(format!("server returned HTTP status {}", answer.status));
    }
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !content_type.trim().to_ascii_lowercase().starts_with("application/json") {
        return Err(format!("unsupported content type {content_type:?}"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|e| e.to_string())?;
    let mut groups = (provider.parse)(text)?;
    for (idx, group) in groups.iter_mut().enumerate() {
        group.source = format!("{}:{idx}", config.url);
        group.labels = with_label(&group.labels, "__meta_url", &config.url);
    }
    Ok(groups)
}
