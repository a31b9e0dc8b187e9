//! `/api/v1/admin/tsdb/*`: deletion, cleaning and snapshots, when `--web.enable-admin-api` says so.

use std::sync::Arc;

use axum::extract::State;
use store_metrics::LiveSamples;
use wire_prom::api_json::ErrorType;

use super::App;
use super::access::{Admin, Caller};
use super::params::Params;
use super::reply::{ApiError, ApiResult, no_content, success};

fn enabled(app: &App) -> Result<(), ApiError> {
    if app.settings.enable_admin_api {
        return Ok(());
    }
    Err(ApiError::new(ErrorType::Unavailable, "admin APIs disabled"))
}

pub(crate) async fn delete_series(
    State(app): State<Arc<App>>,
    _admin: Admin,
    caller: Caller,
    params: Params,
) -> ApiResult {
    enabled(&app)?;
    params.well_formed()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (start_ms, end_ms) = params.time_range()?;
    let selectors = params.any_selectors().map_err(|e| ApiError::param("match[]", e))?;
    let store = Arc::clone(&app.store);
    app.compute(move || {
        selectors.iter().filter(|matchers| !matchers.is_empty()).try_for_each(|matchers| {
            store.delete_series(&caller.tenant, matchers, start_ms, end_ms).map(|_| ())
        })
    })
    .await?;
    no_content()
}

pub(crate) async fn clean_tombstones(State(app): State<Arc<App>>, _admin: Admin) -> ApiResult {
    enabled(&app)?;
    let store = Arc::clone(&app.store);
    app.compute(move || store.clean_tombstones()).await?;
    no_content()
}

pub(crate) async fn snapshot(State(app): State<Arc<App>>, _admin: Admin, params: Params) -> ApiResult {
    enabled(&app)?;
    let live = match params.get("skip_head") {
        "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => LiveSamples::CutFirst,
        "1" | "t" | "T" | "true" | "True" | "TRUE" => LiveSamples::LeaveOut,
        text => {
            let cause =
                format!("unable to parse boolean: strconv.ParseBool: parsing {text:?}: invalid syntax");
            return Err(ApiError::param("skip_head", cause));
        }
    };
    let now_ms = app.clock.now_ms();
    // Upstream draws 63 bits.
    let name = format!("{}-{:016x}", super::time::compact_utc(now_ms), app.random() >> 1);
    let store = Arc::clone(&app.store);
    let asked = name.clone();
    app.compute(move || store.snapshot(&asked, live)).await?;
    success(|w| {
        w.object(|w| {
            w.key("name");
            w.string(&name);
        });
    })
}
