use std::collections::BTreeMap;

use base::ByteSize;
use model::relabel::RelabelConfig;
use wire_core::ProtoWriter;
use wire_core::http_config::HttpClientConfig;

use super::*;
use crate::config::{NameEscaping, ScrapeLimits, ScrapeProtocol};

fn config() -> ScrapeConfig {
    ScrapeConfig {
        job_name: "job".to_owned(),
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        params: BTreeMap::new(),
        interval_ms: 15_000,
        timeout_ms: 10_000,
        protocols: ScrapeProtocol::DEFAULT.to_vec(),
        fallback_protocol: None,
        native_histograms: false,
        always_scrape_classic_histograms: false,
        convert_classic_histograms_to_nhcb: false,
        extra_scrape_metrics: false,
        failure_log_file: String::new(),
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        enable_compression: true,
        limits: ScrapeLimits { body_size: ByteSize(0), ..ScrapeLimits::default() },
        name_validation: NameValidation::Utf8,
        name_escaping: NameEscaping::AllowUtf8,
        http: HttpClientConfig::default(),
        sd: Vec::new(),
        relabel: Vec::new(),
        metric_relabel: Vec::<RelabelConfig>::new(),
        yaml: String::new(),
    }
}

fn cycle_with(config: ScrapeConfig) -> ScrapeCycle {
    let address = Labels::from_pairs([("__address__", "host:1")]);
    let target = Target::build(&config, &address, &Labels::empty()).unwrap().unwrap();
    let options = CycleOptions { exemplars: true, ..CycleOptions::default() };
    ScrapeCycle::new(TenantId::anonymous(), Arc::new(config), Arc::new(target), options)
}

fn scrape(cycle: &mut ScrapeCycle, body: &str, t_ms: i64) -> Scraped {
    let fetched = Fetched::Body { body: body.as_bytes(), content_type: "text/plain" };
    cycle.ingest(fetched, t_ms, t_ms)
}

/// Lines `labels value@time`, in the order of the batch.
fn render(batch: &SeriesBatch) -> Vec<String> {
    let line = |s: &FloatSample| {
        let labels = batch.series[s.series_idx as usize].labels.without(|n| n == "instance" || n == "job");
        let value = if model::is_stale_nan(s.v) { "stale".to_owned() } else { s.v.to_string() };
        format!("{labels} {value}@{}", s.t)
    };
    batch.floats.iter().map(line).collect()
}

#[test]
fn samples_carry_the_targets_labels_and_vanished_series_become_stale() {
    let mut cycle = cycle_with(config());
    let first = scrape(&mut cycle, "a 1\nb{x=\"y\"} 2\n", 1000);
    assert_eq!(render(&first.batch), [r#"{__name__="a"} 1@1000"#, r#"{__name__="b", x="y"} 2@1000"#]);
    assert_eq!((first.counts.scraped, first.counts.added, first.counts.series_added), (2, 2, 2));
    assert_eq!(first.batch.series[0].labels.get("instance"), Some("host:1"));

    let second = scrape(&mut cycle, "a 3\n", 2000);
    assert_eq!(render(&second.batch), [r#"{__name__="a"} 3@2000"#, r#"{__name__="b", x="y"} stale@2000"#]);
    assert_eq!(second.counts.series_added, 0);

    let failed = cycle.ingest(Fetched::Failed { error: "refused", body_too_large: false }, 3000, 3000);
    assert_eq!(render(&failed.batch), [r#"{__name__="a"} stale@3000"#]);
    assert_eq!(failed.failure, Some(ScrapeFailure::Fetch("refused".to_owned())));

    let again = cycle.ingest(Fetched::Failed { error: "refused", body_too_large: false }, 4000, 4000);
    assert!(render(&again.batch).is_empty(), "a marker is written once");
}

#[test]
fn a_body_that_does_not_parse_stores_nothing_and_ends_everything() {
    let mut cycle = cycle_with(config());
    scrape(&mut cycle, "a 1\nb 2\n", 1000);
    let broken = scrape(&mut cycle, "a 1\n{{{ nonsense\n", 2000);
    assert!(matches!(broken.failure, Some(ScrapeFailure::Parse(_))));
    assert_eq!(render(&broken.batch), [r#"{__name__="a"} stale@2000"#, r#"{__name__="b"} stale@2000"#]);
    let recovered = scrape(&mut cycle, "a 1\n", 3000);
    assert_eq!(render(&recovered.batch), [r#"{__name__="a"} 1@3000"#]);
}

#[test]
fn limits_fail_the_scrape_with_upstreams_texts() {
    let check = |limits: ScrapeLimits, body: &str, expected: &str| {
        let mut cycle = cycle_with(ScrapeConfig { limits, ..config() });
        let scraped = scrape(&mut cycle, body, 1000);
        assert_eq!(scraped.failure.map(|f| f.to_string()), Some(expected.to_owned()));
        assert!(scraped.batch.floats.is_empty());
    };
    let none = ScrapeLimits::default();
    check(ScrapeLimits { samples: 1, ..none }, "a 1\nb 1\n", "sample limit exceeded");
    check(
        ScrapeLimits { labels: 3, ..none },
        "a{b=\"c\"} 1\n",
        "label_limit exceeded (metric: a, number of labels: 4, limit: 3)",
    );
    check(
        ScrapeLimits { label_value_bytes: 6, ..none },
        "a{b=\"ccccccc\"} 1\n",
        "label_value_length_limit exceeded (metric: a, label name: b, value: \"ccccccc\", length: 7, limit: 6)",
    );
}

#[test]
fn labels_of_target_and_sample_meet_as_configured() {
    let body = "a{job=\"own\",exported_job=\"older\"} 1\n";
    for (honor_labels, job, exported) in [(true, "own", None), (false, "job", Some("own"))] {
        let mut cycle = cycle_with(ScrapeConfig { honor_labels, ..config() });
        let scraped = scrape(&mut cycle, body, 1000);
        let labels = &scraped.batch.series[0].labels;
        assert_eq!((labels.get("job"), labels.get("exported_exported_job")), (Some(job), exported));
    }
}

#[test]
fn timestamps_of_the_target_count_when_honoured() {
    for (honor_timestamps, expected) in [(true, "500"), (false, "1000")] {
        let mut cycle = cycle_with(ScrapeConfig { honor_timestamps, ..config() });
        let scraped = scrape(&mut cycle, "a 1 500\n", 1000);
        assert_eq!(render(&scraped.batch), [format!(r#"{{__name__="a"}} 1@{expected}"#)]);
        let gone = scrape(&mut cycle, "b 1\n", 2000);
        assert_eq!(gone.batch.floats.len(), if honor_timestamps { 1 } else { 2 });
    }
    let mut cycle = cycle_with(config());
    let scraped = scrape(&mut cycle, "a 1 999999999\n", 1000);
    assert_eq!((scraped.counts.out_of_bounds, scraped.batch.floats.len()), (1, 0));
}

#[test]
fn repeated_lines_are_counted_not_stored() {
    let mut cycle = cycle_with(config());
    let scraped = scrape(&mut cycle, "a 1\na 2\n", 1000);
    assert_eq!((scraped.counts.duplicates, scraped.batch.floats.len()), (1, 1));
}

#[test]
fn the_automatic_series_tell_the_scrape_and_its_end() {
    let mut cycle = cycle_with(config());
    let mut scraped = scrape(&mut cycle, "a 1\n", 1000);
    cycle.report(&mut scraped, 1000, 0.25);
    let lines = render(&scraped.batch);
    assert_eq!(
        lines[1..3],
        [r#"{__name__="up"} 1@1000"#, r#"{__name__="scrape_duration_seconds"} 0.25@1000"#]
    );
    let end = cycle.end(2000);
    assert_eq!(end.floats.len(), 6);
    assert!(end.floats.iter().all(|s| model::is_stale_nan(s.v)));
}

#[test]
fn metadata_is_kept_by_family() {
    let mut cycle = cycle_with(config());
    scrape(&mut cycle, "# HELP a Help.\n# TYPE a counter\na 1\n", 1000);
    let all: Vec<_> = cycle.metadata().map(|(f, m)| (f.to_owned(), m.help.clone(), m.metric_type)).collect();
    assert_eq!(all, [("a".to_owned(), "Help.".to_owned(), model::MetricType::Counter)]);
    assert_eq!(cycle.n_metadata(), 1);
}

#[test]
fn the_extra_series_come_by_job_or_for_all() {
    for (of_job, for_all, expected) in [(false, false, 5), (true, false, 8), (false, true, 8)] {
        let config = ScrapeConfig { extra_scrape_metrics: of_job, ..config() };
        let address = Labels::from_pairs([("__address__", "host:1")]);
        let target = Target::build(&config, &address, &Labels::empty()).unwrap().unwrap();
        let options = CycleOptions { extra_scrape_metrics: for_all, ..CycleOptions::default() };
        let mut cycle = ScrapeCycle::new(TenantId::anonymous(), Arc::new(config), Arc::new(target), options);
        let mut scraped = scrape(&mut cycle, "", 1000);
        cycle.report(&mut scraped, 1000, 0.0);
        assert_eq!(scraped.batch.floats.len(), expected);
    }
}

#[test]
fn a_created_timestamp_becomes_one_zero_for_floats_and_native_histograms() {
    let created = |w: &mut ProtoWriter, field: u32, t_s: u64| w.message_field(field, |w| w.u64_field(1, t_s));
    let body = |t_s: u64| {
        let mut w = ProtoWriter::new();
        w.delimited(|w| {
            w.str_field(1, "c_total");
            w.u64_field(3, 0);
            w.message_field(4, |w| {
                w.message_field(3, |w| {
                    w.f64_field(1, 5.0);
                    created(w, 3, t_s);
                });
            });
        });
        w.delimited(|w| {
            w.str_field(1, "h");
            w.u64_field(3, 4);
            w.message_field(4, |w| {
                w.message_field(7, |w| {
                    w.u64_field(1, 3);
                    w.sint64_field(5, 2);
                    w.f64_field(6, 0.5);
                    w.u64_field(7, 3);
                    created(w, 15, t_s);
                });
            });
        });
        w.finish()
    };
    let config = ScrapeConfig { native_histograms: true, ..config() };
    let address = Labels::from_pairs([("__address__", "host:1")]);
    let target = Target::build(&config, &address, &Labels::empty()).unwrap().unwrap();
    let options = CycleOptions { created_zero_samples: true, ..CycleOptions::default() };
    let mut cycle = ScrapeCycle::new(TenantId::anonymous(), Arc::new(config), Arc::new(target), options);
    // (created, scraped at) in seconds, and the times at which each series gets a zero.
    let cases: [(u64, i64, &[i64]); 4] =
        [(7, 10, &[7000, 10_000]), (7, 20, &[20_000]), (25, 30, &[25_000, 30_000]), (50, 40, &[40_000])];
    for (created_s, at_s, expected) in cases {
        let bytes = body(created_s);
        let content_type = ScrapeProtocol::PrometheusProto.header();
        let scraped = cycle.ingest(Fetched::Body { body: &bytes, content_type }, at_s * 1000, at_s * 1000);
        assert_eq!(scraped.failure, None);
        let floats: Vec<(i64, bool)> = scraped.batch.floats.iter().map(|s| (s.t, s.v == 0.0)).collect();
        let histograms: Vec<(i64, bool)> =
            scraped.batch.histograms.iter().map(|s| (s.t, s.h.count == 0.0)).collect();
        let expected: Vec<(i64, bool)> = expected.iter().map(|t| (*t, *t != at_s * 1000)).collect();
        assert_eq!((floats, &histograms), (expected.clone(), &expected), "created at {created_s}");
        assert!(scraped.batch.histograms.iter().all(|s| s.h.schema == 2 && s.h.zero_threshold == 0.5));
    }
}

#[test]
fn histograms_beyond_the_bucket_limit_are_counted_among_the_samples_that_remained() {
    let mut w = ProtoWriter::new();
    w.delimited(|w| {
        w.str_field(1, "h");
        w.u64_field(3, 4);
        w.message_field(4, |w| {
            w.message_field(7, |w| {
                w.u64_field(1, 2);
                for (spans, deltas) in [(9, 10), (12, 13)] {
                    w.message_field(spans, |w| w.u64_field(2, 1));
                    w.packed_sint64(deltas, [1]);
                }
            });
        });
    });
    let (bytes, content_type) = (w.finish(), ScrapeProtocol::PrometheusProto.header());
    for (limit, stored, failure) in [(2, 1, None), (1, 0, Some(ScrapeFailure::BucketLimit))] {
        let limits = ScrapeLimits { native_histogram_buckets: limit, ..ScrapeLimits::default() };
        let mut cycle = cycle_with(ScrapeConfig { native_histograms: true, limits, ..config() });
        let scraped = cycle.ingest(Fetched::Body { body: &bytes, content_type }, 1000, 1000);
        assert_eq!(scraped.failure, failure);
        assert_eq!((scraped.counts.scraped, scraped.counts.added), (1, 1));
        assert_eq!(scraped.batch.histograms.len(), stored);
    }
}
