//! `alerting`.

use super::relabel::{check_list, refuse_null, relabel_list};
use super::remote::SIGV4;
use super::sd::{self, SD_LISTS};
use super::{Kind, Preset, Schema, always, http_client, inline, opt};
use crate::decode::Record;
use crate::schema::http_client::HTTP_CLIENT;

const ALERTMANAGER: Schema = Schema::new(
    "config.AlertmanagerConfig",
    &[
        inline(&HTTP_CLIENT),
        opt("sigv4", Kind::MaybeSection(&SIGV4)),
        opt("scheme", Kind::Str).preset(Preset::Str("http")),
        opt("path_prefix", Kind::Str),
        opt("timeout", Kind::Duration).preset(Preset::DurationMs(10_000)),
        always("api_version", Kind::Word("config.AlertmanagerAPIVersion", parse_api_version))
            .preset(Preset::Str("v2")),
        relabel_list("relabel_configs"),
        relabel_list("alert_relabel_configs"),
        inline(&SD_LISTS),
    ],
)
.checked(|alertmanager| {
    for field in SD_LISTS.fields {
        refuse_null(alertmanager, field.name, &format!("empty or null section in {}", field.name))?;
    }
    http_client::check(alertmanager)?;
    if alertmanager.has("sigv4") && alertmanager.count_set(&["basic_auth", "authorization", "oauth2"]) > 0 {
        return Err("at most one of basic_auth, authorization, oauth2, & sigv4 must be configured".to_owned());
    }
    sd::check(alertmanager)?;
    refuse_null(alertmanager, "relabel_configs", "empty or null Alertmanager target relabeling rule")?;
    refuse_null(alertmanager, "alert_relabel_configs", "empty or null Alertmanager alert relabeling rule")
});

fn parse_api_version(text: &str) -> Result<String, String> {
    match text {
        "v2" => Ok(text.to_owned()),
        _ => Err(format!("expected Alertmanager api version to be one of [v2] but got {text}")),
    }
}

pub(crate) const ALERTING: Schema = Schema::new(
    "config.plain",
    &[
        relabel_list("alert_relabel_configs"),
        opt("alertmanagers", Kind::List(&Kind::MaybeSection(&ALERTMANAGER))),
    ],
)
.checked(|alerting| refuse_null(alerting, "alert_relabel_configs", "empty or null alert relabeling rule"));

/// The checks that need the global naming scheme.
pub(crate) fn check_names(alerting: &Record, legacy_names: bool) -> Result<(), String> {
    check_list(alerting, "alert_relabel_configs", legacy_names)?;
    for alertmanager in alerting.sections("alertmanagers") {
        check_list(alertmanager, "alert_relabel_configs", legacy_names)?;
        check_list(alertmanager, "relabel_configs", legacy_names)?;
    }
    Ok(())
}
