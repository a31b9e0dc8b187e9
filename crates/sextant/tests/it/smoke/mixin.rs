//! The self metrics that the dashboards and alerts of the Prometheus mixin read, by name and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::process::free_port;
use crate::sextant::Sextant;
use crate::waiting::until;

const SOON: Duration = Duration::from_secs(30);

const REMOTE: &[&str] = &["remote_name", "url"];
const BY_JOB: &[&str] = &["scrape_job"];
const BY_GROUP: &[&str] = &["rule_group"];
const BY_ALERTMANAGER: &[&str] = &["alertmanager"];

/// Every name in `documentation/prometheus-mixin` of release 3.14 except those that are there only for
/// older releases: `prometheus_remote_storage_{succeeded,failed,dropped,retried}_samples_total` and
/// `prometheus_remote_storage_pending_samples`, each beside its new name.
const READ: &[(&str, &[&str])] = &[
    ("process_start_time_seconds", &[]),
    ("prometheus_build_info", &["branch", "goarch", "goos", "goversion", "revision", "tags", "version"]),
    ("prometheus_config_last_reload_successful", &[]),
    ("prometheus_engine_queries", &[]),
    ("prometheus_engine_queries_concurrent_max", &[]),
    ("prometheus_engine_query_duration_seconds", &["quantile", "slice"]),
    ("prometheus_engine_query_duration_seconds_count", &["slice"]),
    ("prometheus_notifications_alertmanagers_discovered", &[]),
    ("prometheus_notifications_errors_total", BY_ALERTMANAGER),
    ("prometheus_notifications_queue_capacity", &[]),
    ("prometheus_notifications_queue_length", BY_ALERTMANAGER),
    ("prometheus_notifications_sent_total", BY_ALERTMANAGER),
    ("prometheus_remote_storage_enqueue_retries_total", REMOTE),
    ("prometheus_remote_storage_queue_highest_sent_timestamp_seconds", REMOTE),
    ("prometheus_remote_storage_queue_highest_timestamp_seconds", REMOTE),
    ("prometheus_remote_storage_samples_dropped_total", &["reason", "remote_name", "url"]),
    ("prometheus_remote_storage_samples_failed_total", REMOTE),
    ("prometheus_remote_storage_samples_in_total", &[]),
    ("prometheus_remote_storage_samples_pending", REMOTE),
    ("prometheus_remote_storage_samples_retried_total", REMOTE),
    ("prometheus_remote_storage_samples_total", REMOTE),
    ("prometheus_remote_storage_shard_capacity", REMOTE),
    ("prometheus_remote_storage_shards", REMOTE),
    ("prometheus_remote_storage_shards_desired", REMOTE),
    ("prometheus_remote_storage_shards_max", REMOTE),
    ("prometheus_remote_storage_shards_min", REMOTE),
    ("prometheus_rule_evaluation_failures_total", BY_GROUP),
    ("prometheus_rule_group_iterations_missed_total", BY_GROUP),
    ("prometheus_rule_group_rules", BY_GROUP),
    ("prometheus_sd_discovered_targets", &["config", "name"]),
    ("prometheus_sd_kubernetes_failures_total", &[]),
    ("prometheus_sd_refresh_failures_total", &["config", "mechanism"]),
    ("prometheus_target_interval_length_seconds", &["interval", "quantile"]),
    ("prometheus_target_interval_length_seconds_count", &["interval"]),
    ("prometheus_target_interval_length_seconds_sum", &["interval"]),
    ("prometheus_target_metadata_cache_entries", BY_JOB),
    ("prometheus_target_scrape_pool_exceeded_label_limits_total", &[]),
    ("prometheus_target_scrape_pool_exceeded_target_limit_total", &[]),
    ("prometheus_target_scrapes_exceeded_body_size_limit_total", &[]),
    ("prometheus_target_scrapes_exceeded_sample_limit_total", &[]),
    ("prometheus_target_scrapes_sample_duplicate_timestamp_total", &[]),
    ("prometheus_target_scrapes_sample_out_of_bounds_total", &[]),
    ("prometheus_target_scrapes_sample_out_of_order_total", &[]),
    ("prometheus_target_sync_failed_total", BY_JOB),
    ("prometheus_target_sync_length_seconds_sum", BY_JOB),
    ("prometheus_tsdb_clean_start", &[]),
    ("prometheus_tsdb_compactions_failed_total", &[]),
    ("prometheus_tsdb_head_chunks", &[]),
    ("prometheus_tsdb_head_samples_appended_total", &["type"]),
    ("prometheus_tsdb_head_series", &[]),
    ("prometheus_tsdb_reloads_failures_total", &[]),
    ("prometheus_tsdb_wal_segment_current", &[]),
    ("prometheus_wal_watcher_current_segment", &["consumer"]),
];

type Page = BTreeMap<String, Vec<(BTreeMap<String, String>, f64)>>;

/// The series of a page in the text format; values of labels have no quotes or commas here.
fn series(page: &str) -> Page {
    let mut found = Page::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
        let labels = pairs.map(|pair| {
            let (label, value) = pair.split_once("=\"").unwrap();
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        });
        let value = value.parse().unwrap_or(f64::NAN);
        found.entry(name.to_owned()).or_default().push((labels.collect(), value));
    }
    found
}

/// The value of the series with these labels.
fn value(page: &Page, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let matches = |found: &BTreeMap<String, String>| {
        labels.iter().all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
    };
    page.get(name)?.iter().find(|(found, _)| matches(found)).map(|(_, value)| *value)
}

#[test]
fn every_metric_that_the_mixin_reads_is_there() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let address = format!("127.0.0.1:{}", free_port());
    let rules =
        "groups:\n- name: g\n  rules:\n  - {record: r, expr: 'sum(up)'}\n  - {alert: a, expr: 'vector(1)'}\n";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}\n\
         remote_write: [{{name: itself, url: 'http://{address}/api/v1/write'}}]\n\
         scrape_configs:\n\
         - {{job_name: self, static_configs: [{{targets: ['{address}']}}]}}\n\
         - {{job_name: missing, http_sd_configs: [{{url: 'http://{address}/missing'}}]}}\n"
    );
    let mut sextant =
        Sextant::start_at(dir, address.clone(), &config, &["--web.enable-remote-write-receiver"]);
    let page = until(SOON, "every metric of the mixin", || {
        let page = series(&sextant.get("/metrics").text());
        let missing: Vec<&str> =
            READ.iter().map(|(name, _)| *name).filter(|n| !page.contains_key(*n)).collect();
        let scraped = value(&page, "prometheus_target_interval_length_seconds_count", &[("interval", "1s")]);
        let chunks = value(&page, "prometheus_tsdb_head_chunks", &[]);
        let is_busy = scraped >= Some(2.0) && chunks > Some(0.0);
        if missing.is_empty() && is_busy {
            Ok(page)
        } else {
            Err(format!("{missing:?} {scraped:?} {chunks:?}"))
        }
    });
    for (name, labels) in READ {
        for (found, _) in &page[*name] {
            let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
            assert_eq!(found, labels.iter().copied().collect::<BTreeSet<&str>>(), "{name}");
        }
    }
    let url = format!("http://{address}/api/v1/write");
    let remote = [("remote_name", "itself"), ("url", url.as_str())];
    let of = |name, labels: &[(&str, &str)]| value(&page, name, labels);
    let chunks = of("prometheus_tsdb_head_chunks", &[]);
    let live = of("prometheus_tsdb_head_series", &[]);
    assert!(chunks <= live.map(|n| n * 2.0) && live > Some(100.0), "{chunks:?} {live:?}");
    for (name, labels, expected) in [
        ("prometheus_tsdb_clean_start", &[][..], 1.0),
        ("prometheus_engine_queries_concurrent_max", &[], 20.0),
        ("prometheus_sd_discovered_targets", &[("name", "scrape"), ("config", "self")], 1.0),
        ("prometheus_sd_discovered_targets", &[("name", "scrape"), ("config", "missing")], 0.0),
        ("prometheus_sd_discovered_targets", &[("name", "notify"), ("config", "config-0")], 1.0),
        ("prometheus_target_sync_failed_total", &[("scrape_job", "self")], 0.0),
        ("prometheus_remote_storage_shards_max", &remote, 50.0),
        ("prometheus_wal_watcher_current_segment", &[("consumer", "itself")], 0.0),
        ("prometheus_rule_group_rules", &[], 2.0),
    ] {
        assert_eq!(of(name, labels), Some(expected), "{name} {labels:?}");
    }
    for (name, labels) in [
        ("prometheus_engine_query_duration_seconds", &[("slice", "inner_eval"), ("quantile", "0.9")][..]),
        ("prometheus_target_interval_length_seconds", &[("interval", "1s"), ("quantile", "0.5")]),
        ("prometheus_sd_refresh_failures_total", &[("mechanism", "http"), ("config", "missing")]),
        ("prometheus_tsdb_head_samples_appended_total", &[("type", "float")]),
        ("prometheus_target_metadata_cache_entries", &[("scrape_job", "self")]),
    ] {
        let found = of(name, labels);
        assert!(found > Some(0.0), "{name} {labels:?}: {found:?}");
    }
    let median = of("prometheus_target_interval_length_seconds", &[("quantile", "0.5")]).unwrap();
    assert!((0.5..2.0).contains(&median), "{median}");

    // What was not ended in order is said, once.
    for (signal, clean) in [("KILL", 0.0), ("TERM", 1.0)] {
        sextant.process.signal(signal);
        sextant.process.wait();
        sextant.restart();
        let page = series(&sextant.get("/metrics").text());
        assert_eq!(value(&page, "prometheus_tsdb_clean_start", &[]), Some(clean), "after {signal}");
    }
}
