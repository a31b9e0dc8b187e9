//! `/api/v1/rules`, `alerts`, `alertmanagers`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::IntErrorKind;
use std::sync::Arc;

use axum::extract::State;
use model::Matcher;
use ring::digest;
use rules::alert::Alert;
use rules::snapshot::{GroupSnapshot, RuleSnapshot, RuleSnapshotKind};
use wire_prom::api_json::JsonWriter;

use super::App;
use super::access::Caller;
use super::params::Params;
use super::reply::{ApiError, ApiResult, success};
use super::time::rfc3339;

/// What the request wants to see.
struct Filter {
    names: BTreeSet<String>,
    groups: BTreeSet<String>,
    files: BTreeSet<String>,
    selectors: Vec<Vec<Matcher>>,
    alerting: bool,
    recording: bool,
    exclude_alerts: bool,
}

/// Where a page starts and how long it is.
struct Page {
    groups_max: usize,
    from_token: String,
}

pub(crate) async fn rules(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    params.well_formed()?;
    let filter = filter(&params)?;
    let page = page(&params)?;
    let groups = app.rule_groups_of(&caller);
    let mut shown: Vec<(&GroupSnapshot, Vec<&RuleSnapshot>)> = Vec::new();
    let mut next_token = None;
    let mut started = page.from_token.is_empty();
    for group in &groups {
        started = started || token(group) == page.from_token;
        let in_groups = filter.groups.is_empty() || filter.groups.contains(&group.name);
        let in_files = filter.files.is_empty() || filter.files.contains(&group.file);
        if !started || !in_groups || !in_files {
            continue;
        }
        let rules: Vec<&RuleSnapshot> = group.rules.iter().filter(|rule| filter.shows(rule)).collect();
        if rules.is_empty() {
            continue;
        }
        if shown.len() == page.groups_max {
            next_token = Some(token(group));
            break;
        }
        shown.push((group, rules));
    }
    if !started {
        let cause = format!("invalid group_next_token '{}'. were rule groups changed?", page.from_token);
        return Err(ApiError::param("group_next_token", cause));
    }
    success(|w| {
        w.object(|w| {
            w.key("groups");
            w.array(|w| shown.iter().for_each(|(group, rules)| write_group(w, group, rules, &filter)));
            if let Some(token) = &next_token {
                w.key("groupNextToken");
                w.string(token);
            }
        });
    })
}

fn filter(params: &Params) -> Result<Filter, ApiError> {
    let set = |name: &str| params.all(name).map(str::to_owned).collect::<BTreeSet<String>>();
    let kind = params.get("type").to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::param("type", format!("not supported value {kind:?}")));
    }
    let exclude = params.get("exclude_alerts").to_ascii_lowercase();
    let exclude_alerts = match exclude.as_str() {
        "" | "0" | "f" | "false" => false,
        "1" | "t" | "true" => true,
        text => {
            let cause = format!(
                "error converting exclude_alerts: strconv.ParseBool: parsing {text:?}: invalid syntax"
            );
            return Err(ApiError::param("exclude_alerts", cause));
        }
    };
    Ok(Filter {
        names: set("rule_name[]"),
        groups: set("rule_group[]"),
        files: set("file[]"),
        selectors: params.selectors().map_err(ApiError::bad_data)?,
        alerting: kind != "record",
        recording: kind != "alert",
        exclude_alerts,
    })
}

impl Filter {
    fn shows(&self, rule: &RuleSnapshot) -> bool {
        let kind = match rule.kind {
            RuleSnapshotKind::Recording => self.recording,
            RuleSnapshotKind::Alerting { .. } => self.alerting,
        };
        let named = self.names.is_empty() || self.names.contains(&rule.name);
        // Templated label values are not known before an alert exists, so they match no matcher.
        let holds = |m: &Matcher| {
            let value = rule.labels.get(&m.name).unwrap_or("");
            !value.contains("{{") && m.matches(value)
        };
        let selected = self.selectors.is_empty() || self.selectors.iter().any(|all| all.iter().all(holds));
        kind && named && selected
    }
}

fn page(params: &Params) -> Result<Page, ApiError> {
    let (limit, token) = (params.get("group_limit"), params.get("group_next_token"));
    if limit.is_empty() {
        if token.is_empty() {
            return Ok(Page { groups_max: usize::MAX, from_token: String::new() });
        }
        let cause = "group_limit needs to be present in order to paginate over the groups";
        return Err(ApiError::param("group_next_token", cause));
    }
    match limit.parse::<i32>() {
        Ok(n) if n > 0 => {
            Ok(Page { groups_max: usize::try_from(n).unwrap_or(usize::MAX), from_token: token.to_owned() })
        }
        Ok(_) => Err(ApiError::param("group_limit", "group_limit needs to be greater than 0")),
        Err(error) => {
            let problem = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            let cause = format!(
                "group_limit needs to be a valid number: strconv.ParseInt: parsing {limit:?}: {problem}"
            );
            Err(ApiError::param("group_limit", cause))
        }
    }
}

/// SHA-256 of file and name, as upstream, so that a page turns over a changed list safely.
fn token(group: &GroupSnapshot) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{};{}", group.file, group.name).as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
        out
    })
}

fn write_group(w: &mut JsonWriter, group: &GroupSnapshot, rules: &[&RuleSnapshot], filter: &Filter) {
    w.object(|w| {
        w.key("name");
        w.string(&group.name);
        w.key("file");
        w.string(&group.file);
        w.key("rules");
        w.array(|w| rules.iter().for_each(|rule| write_rule(w, rule, filter)));
        w.key("interval");
        number(w, group.interval_ms as f64 / 1000.0);
        w.key("limit");
        w.int(i64::try_from(group.limit).unwrap_or(i64::MAX));
        w.key("evaluationTime");
        number(w, group.evaluation_ns as f64 / 1e9);
        w.key("lastEvaluation");
        w.string(&rfc3339(group.last_evaluation_ms.unwrap_or(0)));
    });
}

fn write_rule(w: &mut JsonWriter, rule: &RuleSnapshot, filter: &Filter) {
    w.object(|w| {
        if let RuleSnapshotKind::Alerting { state, .. } = &rule.kind {
            w.key("state");
            w.string(state.as_str());
        }
        w.key("name");
        w.string(&rule.name);
        w.key("query");
        w.string(&rule.query);
        if let RuleSnapshotKind::Alerting { for_ms, keep_firing_for_ms, .. } = &rule.kind {
            w.key("duration");
            number(w, *for_ms as f64 / 1000.0);
            w.key("keepFiringFor");
            number(w, *keep_firing_for_ms as f64 / 1000.0);
        }
        w.key("labels");
        w.labels(&rule.labels);
        if let RuleSnapshotKind::Alerting { annotations, alerts, .. } = &rule.kind {
            w.key("annotations");
            write_map(w, annotations);
            w.key("alerts");
            if filter.exclude_alerts {
                w.null();
            } else {
                w.array(|w| alerts.iter().for_each(|alert| write_alert(w, alert)));
            }
        }
        w.key("health");
        w.string(rule.health.as_str());
        if let Some(error) = &rule.last_error {
            w.key("lastError");
            w.string(error);
        }
        w.key("evaluationTime");
        number(w, rule.evaluation_ns as f64 / 1e9);
        w.key("lastEvaluation");
        w.string(&rfc3339(rule.last_evaluation_ms.unwrap_or(0)));
        w.key("type");
        w.string(match rule.kind {
            RuleSnapshotKind::Recording => "recording",
            RuleSnapshotKind::Alerting { .. } => "alerting",
        });
    });
}

fn write_map(w: &mut JsonWriter, map: &std::collections::BTreeMap<String, String>) {
    w.object(|w| {
        for (name, value) in map {
            w.key(name);
            w.string(value);
        }
    });
}

fn write_alert(w: &mut JsonWriter, alert: &Alert) {
    w.object(|w| {
        w.key("labels");
        w.labels(&alert.labels);
        w.key("annotations");
        write_map(w, &alert.annotations);
        w.key("state");
        w.string(alert.state.as_str());
        w.key("activeAt");
        w.string(&rfc3339(alert.active_at_ms));
        if let Some(since_ms) = alert.keep_firing_since_ms {
            w.key("keepFiringSince");
            w.string(&rfc3339(since_ms));
        }
        w.key("value");
        w.string(&base::gofloat::format_e(alert.value));
    });
}

fn number(w: &mut JsonWriter, value: f64) {
    w.raw(base::gofloat::format_f(value).as_bytes());
}

pub(crate) async fn alerts(State(app): State<Arc<App>>, caller: Caller) -> ApiResult {
    let alerts = app.alerts_of(&caller);
    success(|w| {
        w.object(|w| {
            w.key("alerts");
            w.array(|w| alerts.iter().for_each(|alert| write_alert(w, alert)));
        });
    })
}

pub(crate) async fn alertmanagers(State(app): State<Arc<App>>) -> ApiResult {
    let notifying = &app.ruling.notifying;
    let write = |w: &mut JsonWriter, urls: Vec<String>| {
        w.array(|w| {
            for url in urls {
                w.object(|w| {
                    w.key("url");
                    w.string(&url);
                });
            }
        });
    };
    success(|w| {
        w.object(|w| {
            w.key("activeAlertmanagers");
            write(w, notifying.active_urls());
            w.key("droppedAlertmanagers");
            write(w, notifying.dropped_urls());
        });
    })
}
