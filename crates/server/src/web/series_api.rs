//! `/api/v1/labels`, `label/<name>/values`, `series`, `metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use base::{CancelToken, TenantId};
use engine::{QueryEngine, StoreSource};
use model::{Matcher, Metadata};
use ql_promql::source::SourceError;
use store_metrics::{LabelScope, MetricsView, SeriesAnswer, StoreError};

use wire_prom::negotiate::EscapingScheme;

use super::App;
use super::access::Caller;
use super::params::Params;
use super::query_api::CancelOnDrop;
use super::reply::{ApiError, ApiResult, success, success_with};

const TRUNCATED: &str = "results truncated due to limit";

/// The owned form of a [`LabelScope`], which travels to a worker.
struct Scope {
    selectors: Vec<Vec<Matcher>>,
    start_ms: i64,
    end_ms: i64,
    limit: usize,
}

impl Scope {
    fn as_ref(&self) -> LabelScope<'_> {
        let Self { selectors, start_ms, end_ms, limit } = self;
        LabelScope { selectors, start_ms: *start_ms, end_ms: *end_ms, limit: *limit }
    }
}

fn scope(params: &Params) -> Result<Scope, ApiError> {
    let limit = params.limit()?;
    let (start_ms, end_ms) = params.time_range()?;
    let selectors = params.selectors().map_err(ApiError::bad_data)?;
    Ok(Scope { selectors, start_ms, end_ms, limit })
}

/// What is missing from an answer: cut off, or unreadable in the store.
fn warnings(truncated: bool, view: &MetricsView) -> Vec<String> {
    let cut_off = truncated.then(|| TRUNCATED.to_owned());
    view.warnings().into_iter().chain(cut_off).collect()
}

/// As [`warnings`], for labels, of which remotes are not asked. The words are upstream's.
fn label_warnings(app: &App, tenant: &TenantId, truncated: bool, view: &MetricsView) -> Vec<String> {
    let not_asked = app.engine.has_remotes(tenant).then(|| "not implemented".to_owned());
    not_asked.into_iter().chain(warnings(truncated, view)).collect()
}

pub(crate) async fn labels(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let scope = scope(&params)?;
    let view = app.store.view();
    let seen = view.clone();
    let tenant = caller.tenant.clone();
    let (_share, budget) = app.engine.share_of(&tenant, "label names");
    let cancel = CancelToken::unbounded();
    let _hang_up = CancelOnDrop(cancel.clone());
    let answer =
        app.compute(move || view.label_names(&caller.tenant, &scope.as_ref(), &budget, &cancel)).await?;
    success_with(
        |w| w.array(|w| answer.values.iter().for_each(|v| w.string(v))),
        &label_warnings(&app, &tenant, answer.truncated, &seen),
        &[],
    )
}

pub(crate) async fn label_values(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    caller: Caller,
    params: Params,
) -> ApiResult {
    let Ok(Path(name)) = name else { return Err(ApiError::bad_data("invalid label name: not UTF-8")) };
    let name = EscapingScheme::Values.unescape(&name).into_owned();
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let scope = scope(&params)?;
    let view = app.store.view();
    let seen = view.clone();
    let tenant = caller.tenant.clone();
    let (_share, budget) = app.engine.share_of(&tenant, "label values");
    let cancel = CancelToken::unbounded();
    let _hang_up = CancelOnDrop(cancel.clone());
    let answer = app
        .compute(move || view.label_values(&caller.tenant, &name, &scope.as_ref(), &budget, &cancel))
        .await?;
    success_with(
        |w| w.array(|w| answer.values.iter().for_each(|v| w.string(v))),
        &label_warnings(&app, &tenant, answer.truncated, &seen),
        &[],
    )
}

pub(crate) async fn series(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    params.well_formed()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let (start_ms, end_ms) = params.time_range()?;
    let selectors = params.selectors().map_err(|e| ApiError::param("match[]", e))?;
    let scope = Scope { selectors, start_ms, end_ms, limit };
    let view = app.store.view();
    let seen = view.clone();
    let (_share, budget) = app.engine.share_of(&caller.tenant, "series");
    let cancel = CancelToken::unbounded();
    let _hang_up = CancelOnDrop(cancel.clone());
    let local = StoreSource { view: view.clone(), tenant: caller.tenant, budget, cancel };
    let engine = Arc::clone(&app.engine);
    let (answer, from_remotes) = app.compute(move || joined_series(&engine, &local, &scope)).await?;
    let warnings: Vec<String> = from_remotes.into_iter().chain(warnings(answer.truncated, &seen)).collect();
    success_with(|w| w.array(|w| answer.series.iter().for_each(|l| w.labels(l))), &warnings, &[])
}

/// The series of the store and of the remotes, and what the remotes that failed said.
fn joined_series(
    engine: &QueryEngine,
    local: &StoreSource,
    scope: &Scope,
) -> Result<(SeriesAnswer, Vec<String>), StoreError> {
    let StoreSource { view, tenant, budget, cancel } = local;
    let mut answer = view.series(tenant, &scope.as_ref(), budget, cancel)?;
    if !engine.has_remotes(tenant) {
        return Ok((answer, Vec::new()));
    }
    let mut joined = engine.joined_source(local.clone());
    let mut found = BTreeSet::new();
    loop {
        for matchers in &scope.selectors {
            let labels = joined.remote_labels(matchers, scope.start_ms, scope.end_ms);
            found.extend(labels.map_err(|error| match error {
                SourceError::Budget(refused) => StoreError::Budget(refused),
                SourceError::Cancelled(cancelled) => StoreError::Cancelled(cancelled),
                SourceError::Storage(text) => StoreError::Storage(text),
            })?);
        }
        if !joined.is_torn() {
            break;
        }
        joined = joined.without_failed();
        found.clear();
    }
    found.extend(std::mem::take(&mut answer.series));
    answer.series = found.into_iter().collect();
    if scope.limit > 0 && answer.series.len() > scope.limit {
        answer.series.truncate(scope.limit);
        answer.truncated = true;
    }
    Ok((answer, joined.warnings()))
}

/// Metadata that scraped targets expose, joined with what remote writers sent.
pub(crate) async fn metadata(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let number = |name: &'static str| match params.get(name) {
        "" => Ok(None),
        text => {
            text.parse::<i64>().map(Some).map_err(|_| ApiError::bad_data(format!("{name} must be a number")))
        }
    };
    let limit = number("limit")?.filter(|n| *n >= 0).map_or(usize::MAX, |n| n.unsigned_abs() as usize);
    let per_metric =
        number("limit_per_metric")?.filter(|n| *n > 0).map_or(usize::MAX, |n| n.unsigned_abs() as usize);
    let metric = Some(params.get("metric")).filter(|m| !m.is_empty());

    let mut families: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    let mut add = |family: &str, metadata: Metadata| {
        let known = families.entry(family.to_owned()).or_default();
        if known.len() < per_metric && !known.contains(&metadata) {
            known.push(metadata);
        }
    };
    app.for_each_metadata_of(&caller, metric, &mut |_, family, metadata| add(family, metadata.clone()));
    app.store.for_each_metadata(&caller.tenant, metric, &mut |family, all| {
        all.iter().for_each(|metadata| add(family, metadata.clone()));
    });
    success(|w| {
        w.object(|w| {
            for (family, all) in families.iter().take(limit) {
                w.key(family);
                w.array(|w| {
                    for metadata in all {
                        w.object(|w| {
                            w.key("type");
                            w.string(metadata.metric_type.as_str());
                            w.key("unit");
                            w.string(&metadata.unit);
                            w.key("help");
                            w.string(&metadata.help);
                        });
                    }
                });
            }
        });
    })
}
