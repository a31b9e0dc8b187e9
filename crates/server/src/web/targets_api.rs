//! `/api/v1/targets`, `targets/metadata`, `targets/relabel_steps`, `scrape_pools`, `scrape_pools/config`.

use std::sync::Arc;

use axum::extract::State;
use model::{Labels, Metadata, relabel};
use scrape::target::{SCRAPE_INTERVAL, SCRAPE_TIMEOUT};
use wire_prom::api_json::JsonWriter;

use super::App;
use super::access::Caller;
use super::params::Params;
use super::reply::{ApiError, ApiResult, success};
use super::time::rfc3339;
use crate::scraping::{PoolView, TargetView};

/// Names under which a target may mean this machine.
const LOCALHOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

pub(crate) async fn scrape_pools(State(app): State<Arc<App>>, caller: Caller) -> ApiResult {
    let pools = app.pools_of(&caller);
    success(|w| {
        w.object(|w| {
            w.key("scrapePools");
            w.strings(pools.iter().map(|pool| &pool.name));
        });
    })
}

pub(crate) async fn scrape_pool_config(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> ApiResult {
    let config = pool_config(&app, &caller, params.get("scrapePool"))?;
    success(|w| {
        w.object(|w| {
            w.key("yaml");
            w.string(&config.yaml);
        });
    })
}

fn pool_config(
    app: &App,
    caller: &Caller,
    name: &str,
) -> Result<Arc<scrape::config::ScrapeConfig>, ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let missing =
        || ApiError::bad_data(format!("error retrieving scrape config: scrape pool {name:?} not found"));
    app.pool_config_of(caller, name).ok_or_else(missing)
}

pub(crate) async fn targets(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let wanted = params.get("scrapePool").to_owned();
    let state = params.get("state").to_ascii_lowercase();
    let shows = |kind: &str| state.is_empty() || state == "any" || state == kind;
    let pools = app.pools_of(&caller);
    let chosen = || pools.iter().filter(|pool| wanted.is_empty() || pool.name == wanted);
    success(|w| {
        w.object(|w| {
            w.key("activeTargets");
            w.array(|w| {
                for pool in chosen().filter(|_| shows("active")) {
                    pool.active.iter().for_each(|target| write_target(w, &app, pool, target));
                }
            });
            w.key("droppedTargets");
            w.array(|w| {
                for pool in chosen().filter(|_| shows("dropped")) {
                    for dropped in &pool.dropped {
                        w.object(|w| {
                            w.key("discoveredLabels");
                            w.labels(&dropped.discovered);
                            w.key("scrapePool");
                            w.string(&pool.name);
                        });
                    }
                }
            });
            w.key("droppedTargetCounts");
            if shows("dropped") {
                w.object(|w| {
                    for pool in &pools {
                        w.key(&pool.name);
                        w.int(i64::try_from(pool.n_dropped).unwrap_or(i64::MAX));
                    }
                });
            } else {
                w.null();
            }
        });
    })
}

fn write_target(w: &mut JsonWriter, app: &App, pool: &PoolView, view: &TargetView) {
    let (target, status) = (&view.target, &view.status);
    w.object(|w| {
        w.key("discoveredLabels");
        w.labels(&target.discovered);
        w.key("labels");
        w.labels(&target.public_labels);
        for (name, text) in [
            ("scrapePool", pool.name.as_str()),
            ("scrapeUrl", target.url.as_str()),
            ("globalUrl", &global_url(&target.url, &app.settings.listen_address, &app.settings.external_url)),
            ("lastError", &status.last_error),
            ("lastScrape", &rfc3339(status.last_scrape_ms)),
        ] {
            w.key(name);
            w.string(text);
        }
        w.key("lastScrapeDuration");
        w.raw(base::gofloat::format_f(status.last_duration_s).as_bytes());
        w.key("health");
        w.string(status.health.as_str());
        w.key("scrapeInterval");
        w.string(target.labels.get(SCRAPE_INTERVAL).unwrap_or(""));
        w.key("scrapeTimeout");
        w.string(target.labels.get(SCRAPE_TIMEOUT).unwrap_or(""));
    });
}

/// The URL as others can reach it: a target on localhost is shown under our external host.
fn global_url(url: &str, listen_address: &str, external_url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (authority, ""),
    };
    if !LOCALHOSTS.contains(&host) {
        return url.to_owned();
    }
    let (own_scheme, own_rest) = external_url.split_once("://").unwrap_or(("http", external_url));
    let own_authority = own_rest.split('/').next().unwrap_or(own_rest);
    let own_port = listen_address.rsplit_once(':').map_or("", |(_, port)| port);
    if port == own_port {
        return format!("{own_scheme}://{own_authority}{path}");
    }
    let own_host = own_authority.rsplit_once(':').map_or(own_authority, |(host, _)| host);
    let separator = if port.is_empty() { "" } else { ":" };
    format!("{scheme}://{own_host}{separator}{port}{path}")
}

pub(crate) async fn target_metadata(
    State(app): State<Arc<App>>,
    caller: Caller,
    params: Params,
) -> ApiResult {
    let limit = match params.get("limit") {
        "" => -1,
        text => text.parse::<i64>().map_err(|_| ApiError::bad_data("limit must be a number"))?,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => {
            ql_promql::parser::parse_metric_selector(text).map_err(|e| ApiError::param("match_target", e))?
        }
    };
    let metric = Some(params.get("metric")).filter(|m| !m.is_empty());
    let mut found: Vec<(Labels, String, Metadata)> = Vec::new();
    app.for_each_metadata_of(&caller, metric, &mut |labels, family, metadata| {
        let matches = matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or("")));
        // As upstream: no further target is begun once there are enough, but one begun is given whole.
        let begun = found.last().is_some_and(|(target, _, _)| target == labels);
        if matches && (found.len() < limit || begun) {
            found.push((labels.clone(), family.to_owned(), metadata.clone()));
        }
    });
    success(|w| {
        w.array(|w| {
            for (labels, family, metadata) in &found {
                w.object(|w| {
                    w.key("target");
                    w.labels(labels);
                    if metric.is_none() {
                        w.key("metric");
                        w.string(family);
                    }
                    w.key("type");
                    w.string(metadata.metric_type.as_str());
                    w.key("help");
                    w.string(&metadata.help);
                    w.key("unit");
                    w.string(&metadata.unit);
                });
            }
        });
    })
}

pub(crate) async fn relabel_steps(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    if params.get("scrapePool").is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    if params.get("labels").is_empty() {
        return Err(ApiError::bad_data("no labels parameter provided"));
    }
    let pairs: std::collections::BTreeMap<String, String> = serde_json::from_str(params.get("labels"))
        .map_err(|e| ApiError::bad_data(format!("error parsing labels: {e}")))?;
    let config = pool_config(&app, &caller, params.get("scrapePool"))?;
    let steps = relabel::trace(&Labels::from_pairs(&pairs), &config.relabel);
    success(|w| {
        w.object(|w| {
            w.key("steps");
            w.array(|w| {
                for (rule, step) in config.relabel.iter().zip(&steps) {
                    w.object(|w| {
                        w.key("rule");
                        write_rule(w, rule);
                        w.key("output");
                        w.labels(&step.output);
                        w.key("keep");
                        w.bool(step.keep);
                    });
                }
            });
        });
    })
}

fn write_rule(w: &mut JsonWriter, rule: &relabel::RelabelConfig) {
    w.object(|w| {
        if !rule.source_labels.is_empty() {
            w.key("source_labels");
            w.strings(&rule.source_labels);
        }
        for (name, text) in [
            ("separator", rule.separator.as_str()),
            ("regex", rule.regex_text()),
            ("target_label", rule.target_label.as_str()),
            ("replacement", rule.replacement.as_str()),
            ("action", rule.action.as_str()),
        ] {
            if !text.is_empty() {
                w.key(name);
                w.string(text);
            }
        }
        if rule.modulus > 0 {
            w.key("modulus");
            w.raw(rule.modulus.to_string().as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_shown_under_the_external_host() {
        for (url, expected) in [
            ("http://a:1/m", "http://a:1/m"),
            ("http://localhost:9090/m", "https://ext:443/m"),
            ("http://127.0.0.1:9100/m", "http://ext:9100/m"),
        ] {
            assert_eq!(global_url(url, "0.0.0.0:9090", "https://ext:443/prefix"), expected);
        }
    }
}
