//! `/api/v1/search/{metric_names,label_names,label_values}`: names as one types them, as lines of
//! JSON. Behind the feature flag `search-api`, as upstream.

mod matching;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::{CancelToken, Charge};
use http::StatusCode;
use model::labels::METRIC_NAME;
use model::{Matcher, Metadata};
use store_metrics::LabelScope;
use wire_prom::api_json::{ErrorType, JsonWriter};

use super::App;
use super::access::Caller;
use super::params::Params;
use super::query_api::CancelOnDrop;
use super::reply::{ApiError, ApiResult, with_type};
use matching::{FuzzyAlgorithm, NameFilter};

const TERMS_MAX: usize = 32;
const LIMIT_DEFAULT: usize = 100;
const BATCH_DEFAULT: usize = 100;
const HOUR_MS: i64 = 3_600_000;

/// The parsed request.
struct Search {
    selectors: Vec<Vec<Matcher>>,
    filter: NameFilter,
    order: Order,
    include_score: bool,
    start_ms: i64,
    end_ms: i64,
    limit: usize,
    batch: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NameRising,
    NameFalling,
    ScoreFalling,
}

/// A name that passed.
struct Found {
    name: String,
    score: f64,
}

fn parse(app: &App, params: &Params, endpoint: &str) -> Result<Search, ApiError> {
    if !app.settings.enable_search_api {
        return Err(ApiError::new(ErrorType::Unavailable, "search API disabled"));
    }
    let now_ms = app.clock.now_ms();
    let start_ms = params.time_or("start", now_ms - HOUR_MS)?;
    let end_ms = params.time_or("end", now_ms)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let n_terms = params.all("search[]").count();
    if n_terms > TERMS_MAX {
        return Err(ApiError::bad_data(format!(
            "too many search[] terms: got {n_terms}, maximum is {TERMS_MAX}"
        )));
    }
    Ok(Search {
        selectors: params.selectors().map_err(ApiError::bad_data)?,
        filter: filter(params)?,
        order: order(params, endpoint, n_terms > 0)?,
        include_score: flag(params, "include_score", false)?,
        start_ms,
        end_ms,
        limit: limit(params, app.settings.search_limit_max)?,
        batch: positive(params, "batch_size", BATCH_DEFAULT)?,
    })
}

fn filter(params: &Params) -> Result<NameFilter, ApiError> {
    let threshold = match params.get("fuzz_threshold") {
        "" => 0,
        text => match text.parse::<u32>() {
            Ok(n) if n <= 100 => n,
            _ => return Err(ApiError::bad_data(format!("invalid fuzz_threshold {text:?}: must be 0-100"))),
        },
    };
    let algorithm = match params.get("fuzz_alg") {
        "" | "subsequence" => FuzzyAlgorithm::Subsequence,
        "jarowinkler" => FuzzyAlgorithm::JaroWinkler,
        other => {
            let message = format!("unsupported fuzz_alg {other:?}: must be one of [subsequence jarowinkler]");
            return Err(ApiError::bad_data(message));
        }
    };
    let case_sensitive = flag(params, "case_sensitive", true)?;
    Ok(NameFilter::new(params.all("search[]"), algorithm, f64::from(threshold) / 100.0, case_sensitive))
}

fn order(params: &Params, endpoint: &str, has_terms: bool) -> Result<Order, ApiError> {
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    if !direction.is_empty() && by.is_empty() {
        return Err(ApiError::bad_data("sort_dir is only valid when sort_by is set"));
    }
    if !direction.is_empty() && by == "score" {
        return Err(ApiError::bad_data("sort_dir is not supported for sort_by=score"));
    }
    if !matches!(direction, "" | "asc" | "dsc") {
        let message = format!("invalid sort_dir {direction:?}: must be \"asc\" or \"dsc\"");
        return Err(ApiError::bad_data(message));
    }
    match (by, direction) {
        ("score", _) if !has_terms => Err(ApiError::bad_data("sort_by=score requires search[] to be set")),
        ("score", _) => Ok(Order::ScoreFalling),
        ("alpha", "dsc") => Ok(Order::NameFalling),
        ("" | "alpha", _) => Ok(Order::NameRising),
        (other, _) => Err(ApiError::bad_data(format!(
            "invalid sort_by {other:?} for {endpoint}: must be \"alpha\" or \"score\""
        ))),
    }
}

fn limit(params: &Params, limit_max: usize) -> Result<usize, ApiError> {
    let default = if limit_max > 0 { LIMIT_DEFAULT.min(limit_max) } else { LIMIT_DEFAULT };
    let limit = positive(params, "limit", default)?;
    if limit_max > 0 && limit > limit_max {
        return Err(ApiError::bad_data(format!(
            "limit {limit} exceeds the configured maximum ({limit_max}, see --web.search.max-limit)"
        )));
    }
    Ok(limit)
}

fn positive(params: &Params, name: &str, default: usize) -> Result<usize, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        text => match text.parse::<usize>() {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(ApiError::bad_data(format!("invalid {name} {text:?}: must be a positive integer"))),
        },
    }
}

fn flag(params: &Params, name: &str, default: bool) -> Result<bool, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        text => Err(ApiError::bad_data(format!("invalid {name} {text:?}: must be boolean"))),
    }
}

pub(crate) async fn metric_names(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let search = parse(&app, &params, "metric_names")?;
    let with_metadata = flag(&params, "include_metadata", false)?;
    let (found, search, _charge) = find(&app, caller.clone(), search, Some(METRIC_NAME.to_owned())).await?;
    let mut metadata: BTreeMap<String, Metadata> = BTreeMap::new();
    if with_metadata && !found.is_empty() {
        app.for_each_metadata_of(&caller, None, &mut |_, family, known| {
            metadata.entry(family.to_owned()).or_insert_with(|| known.clone());
        });
    }
    Ok(answer(&search, &found, |w, found| {
        write_found(w, "name", found, search.include_score);
        if let Some(metadata) = metadata.get(&found.name) {
            let texts =
                [("type", metadata.metric_type.as_str()), ("help", &metadata.help), ("unit", &metadata.unit)];
            for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                w.key(name);
                w.string(text);
            }
        }
    }))
}

pub(crate) async fn label_names(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let search = parse(&app, &params, "label_names")?;
    let (found, search, _charge) = find(&app, caller, search, None).await?;
    Ok(answer(&search, &found, |w, found| write_found(w, "name", found, search.include_score)))
}

pub(crate) async fn label_values(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let search = parse(&app, &params, "label_values")?;
    let label = params.get("label");
    if label.is_empty() {
        return Err(ApiError::bad_data("missing required parameter \"label\""));
    }
    let (found, search, _charge) = find(&app, caller, search, Some(label.to_owned())).await?;
    Ok(answer(&search, &found, |w, found| write_found(w, "value", found, search.include_score)))
}

/// Names that pass, in order, one more than the limit if there are so many, and what they are charged.
async fn find(
    app: &App,
    caller: Caller,
    search: Search,
    values_of: Option<String>,
) -> Result<(Vec<Found>, Search, Charge), ApiError> {
    let view = app.store.view();
    let (_share, budget) = app.engine.share_of(&caller.tenant, "search");
    let cancel = CancelToken::unbounded();
    let _hang_up = CancelOnDrop(cancel.clone());
    app.compute(move || {
        let scope = LabelScope {
            selectors: &search.selectors,
            start_ms: search.start_ms,
            end_ms: search.end_ms,
            limit: 0,
        };
        let names = match &values_of {
            Some(label) => view.label_values(&caller.tenant, label, &scope, &budget, &cancel)?,
            None => view.label_names(&caller.tenant, &scope, &budget, &cancel)?,
        };
        let score = |name: String| search.filter.score(&name).map(|score| Found { name, score });
        let mut found: Vec<Found> = names.values.into_iter().filter_map(score).collect();
        match search.order {
            Order::NameRising => {}
            Order::NameFalling => found.reverse(),
            Order::ScoreFalling => {
                found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
            }
        }
        found.truncate(search.limit.saturating_add(1));
        Ok((found, search, names.charge))
    })
    .await
}

fn write_found(w: &mut JsonWriter, key: &str, found: &Found, with_score: bool) {
    w.key(key);
    w.string(&found.name);
    if with_score {
        w.key("score");
        w.raw(base::gofloat::format_f(found.score).as_bytes());
    }
}

/// Batches of results, a line each, and a last line that says how it ended.
fn answer(search: &Search, found: &[Found], mut write: impl FnMut(&mut JsonWriter, &Found)) -> Response {
    let has_more = found.len() > search.limit;
    let shown = &found[..found.len().min(search.limit)];
    let mut out = Vec::new();
    let mut line = |batch: &[Found]| {
        let mut w = JsonWriter::new();
        w.object(|w| {
            w.key("results");
            w.array(|w| batch.iter().for_each(|found| w.object(|w| write(w, found))));
        });
        out.extend_from_slice(&w.finish());
        out.push(b'\n');
    };
    if shown.is_empty() {
        line(&[]);
    }
    shown.chunks(search.batch).for_each(line);
    let mut w = JsonWriter::new();
    w.object(|w| {
        w.key("status");
        w.string("success");
        w.key("has_more");
        w.bool(has_more);
    });
    out.extend_from_slice(&w.finish());
    out.push(b'\n');
    with_type(StatusCode::OK, "application/x-ndjson; charset=utf-8", out)
}
