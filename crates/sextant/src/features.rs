//! What `/api/v1/features` answers: every feature upstream lists, and whether it is on here.

use std::collections::BTreeMap;

use config::sextant::Deltas;
use ql_promql::ast::functions::FUNCTIONS;

use crate::launch::Settings;

type Features = BTreeMap<String, BTreeMap<String, bool>>;

const OPERATORS: &[&str] = &[
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];
const EXPERIMENTAL_OPERATORS: &[&str] = &["limit_ratio", "limitk"];

/// Discovery that runs; the rest is read from configurations and shown as not active yet.
const ACTIVE_DISCOVERY: &[&str] = &["dns", "file", "http", "static"];
const INACTIVE_DISCOVERY: &[&str] = &[
    "aws",
    "azure",
    "consul",
    "digitalocean",
    "docker",
    "dockerswarm",
    "ec2",
    "ecs",
    "elasticache",
    "eureka",
    "gce",
    "hetzner",
    "ionos",
    "kubernetes",
    "kuma",
    "lightsail",
    "linode",
    "marathon",
    "msk",
    "nerve",
    "nomad",
    "oci",
    "openstack",
    "outscale",
    "ovhcloud",
    "puppetdb",
    "rds",
    "scaleway",
    "serverset",
    "stackit",
    "triton",
    "uyuni",
    "vultr",
];
const TEMPLATE_FUNCTIONS: &[&str] = &[
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

pub(crate) fn features(settings: &Settings) -> Features {
    let mut all = Features::new();
    let mut put = |category: &str, entries: &[(&str, bool)]| {
        let category = all.entry(category.to_owned()).or_default();
        category.extend(entries.iter().map(|(name, on)| ((*name).to_owned(), *on)));
    };
    let each =
        |names: &'static [&'static str], on: bool| names.iter().map(|name| (*name, on)).collect::<Vec<_>>();
    put(
        "api",
        &[
            ("admin", settings.enable_admin_api),
            ("exclude_alerts", true),
            ("label_values_match", true),
            ("lifecycle", settings.enable_lifecycle),
            ("openapi_3.1", true),
            ("openapi_3.2", false),
            ("otlp_write_receiver", settings.enable_otlp_receiver),
            ("query_stats", true),
            ("query_warnings", true),
            ("remote_write_receiver", settings.enable_remote_write_receiver),
            ("search", settings.enable_search_api),
            ("search_fuzz_alg_jarowinkler", true),
            ("search_fuzz_alg_subsequence", true),
            ("time_range_labels", true),
            ("time_range_series", true),
        ],
    );
    put(
        "otlp_receiver",
        &[
            ("delta_conversion", settings.otlp_deltas == Deltas::Convert),
            ("native_delta_ingestion", settings.otlp_deltas == Deltas::Keep),
        ],
    );
    put(
        "prometheus",
        &[
            ("agent_mode", false),
            ("auto_reload_config", settings.auto_reload.is_some()),
            ("server_mode", true),
            ("stringlabels", true),
        ],
    );
    let (extended, fill) = (settings.parser.extended_range_selectors, settings.parser.binop_fill);
    put(
        "promql",
        &[
            ("anchored", extended),
            ("at_modifier", true),
            ("bool", true),
            ("by", true),
            ("delayed_name_removal", settings.delayed_name_removal),
            ("duration_expr", settings.parser.duration_expr),
            ("fill", fill),
            ("fill_left", fill),
            ("fill_right", fill),
            ("group_left", true),
            ("group_right", true),
            ("ignoring", true),
            ("negative_offset", true),
            ("offset", true),
            ("on", true),
            ("per_query_lookback_delta", true),
            ("per_step_stats", settings.per_step_stats),
            ("smoothed", extended),
            ("subqueries", true),
            ("type_and_unit_labels", settings.type_and_unit_labels),
            ("without", true),
        ],
    );
    let experimental = settings.parser.experimental_functions;
    let functions: Vec<_> = FUNCTIONS.iter().map(|f| (f.name, experimental || !f.experimental)).collect();
    put("promql_functions", &functions);
    put("promql_operators", &each(OPERATORS, true));
    put("promql_operators", &each(EXPERIMENTAL_OPERATORS, experimental));
    put(
        "rules",
        &[
            ("concurrent_rule_eval", settings.concurrent_rule_eval),
            ("keep_firing_for", true),
            ("query_offset", true),
        ],
    );
    put(
        "scrape",
        &[
            ("extra_scrape_metrics", true),
            ("start_timestamp_zero_ingestion", settings.created_zero_samples),
            ("type_and_unit_labels", settings.type_and_unit_labels),
        ],
    );
    put("service_discovery_providers", &each(ACTIVE_DISCOVERY, true));
    put("service_discovery_providers", &each(INACTIVE_DISCOVERY, false));
    put("templating_functions", &each(TEMPLATE_FUNCTIONS, true));
    put(
        "tsdb",
        &[
            ("delayed_compaction", false),
            ("exemplar_storage", settings.exemplar_storage),
            ("histograms_st_encoding", settings.start_timestamps),
            ("isolation", true),
            ("native_histograms", true),
            ("st_storage", settings.start_timestamps),
            ("use_uncached_io", false),
            ("xor2_encoding", false),
        ],
    );
    put("ui", &[("ui_v2", false), ("ui_v3", false)]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where we answer otherwise than upstream, each with its reason.
    const DIFFERENT: &[(&str, &str)] = &[
        ("api", "openapi_3.2"),    // one version of the document is served
        ("tsdb", "xor2_encoding"), // our encodings are others
        ("ui", "ui_v3"),           // the web application comes later
    ];

    #[test]
    fn the_features_of_upstream_are_answered_one_by_one() {
        let root = std::env::var_os("SEXTANT_SHARED")
            .map_or_else(|| "../../../shared".into(), std::path::PathBuf::from);
        let path = root.join("conformance/metrics/prometheus/cmd/prometheus/testdata/features.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("SKIPPED: needs ../shared ({})", path.display());
            return;
        };
        let expected: Features = serde_json::from_str(&text).unwrap();
        let ours = features(&crate::prometheus::default_settings());
        for (category, entries) in &expected {
            for (name, on) in entries {
                let inactive =
                    category == "service_discovery_providers" && INACTIVE_DISCOVERY.contains(&name.as_str());
                let differs = inactive || DIFFERENT.contains(&(category.as_str(), name.as_str()));
                let answer = ours.get(category).and_then(|c| c.get(name)).copied();
                assert_eq!(answer, Some(*on != differs), "{category}.{name}");
            }
            assert_eq!(ours[category].len(), entries.len(), "{category}");
        }
        assert_eq!(ours.len(), expected.len());
    }
}
