//! What upstream's tests assert about the good files.

use config::prometheus::otlp::TranslationStrategy;
use config::prometheus::remote::RemoteWriteMessage;
use config::{Mode, PrometheusConfig};
use scrape::sd_config::SdConfig;
use wire_core::http_config::{AzureAd, AzureCloud, AzureMethod, CloudAuth, GoogleIam, Secret, SigV4};

use crate::shared::{data, read};

fn load(name: &str) -> Option<PrometheusConfig> {
    let folder = data("conformance/metrics/prometheus/config/testdata")?;
    let text = read(&folder.join(name));
    Some(PrometheusConfig::parse(&text, &format!("testdata/{name}"), &|_| None, Mode::Server).unwrap())
}

#[test]
fn the_whole_example_has_upstreams_values() {
    let Some(config) = load("conf.good.yml") else { return };
    let global = &config.global;
    assert_eq!((global.scrape_interval_ms, global.scrape_timeout_ms), (15_000, 10_000));
    assert_eq!(global.evaluation_interval_ms, 30_000);
    assert_eq!(global.query_log_file, "testdata/query.log");
    assert_eq!(global.external_labels.to_string(), r#"{foo="bar", monitor="codelab"}"#);
    assert_eq!(config.rule_files, ["testdata/first.rules", "testdata/my/*.rules"]);

    let [first, second] = config.remote_write.as_slice() else { panic!("two targets") };
    assert_eq!((first.name.as_str(), first.url.as_str()), ("drop_expensive", "http://remote1/push"));
    assert_eq!((first.queue.max_shards, first.queue.capacity), (50, 10_000));
    assert!(!first.http.enable_http2 && first.http.follow_redirects);
    assert_eq!(first.http.oauth2.as_ref().unwrap().client_id, "123");
    assert_eq!(second.message, RemoteWriteMessage::V2);
    assert_eq!(second.headers["name"], "value");

    let [read_default, read_special] = config.remote_read.as_slice() else { panic!("two sources") };
    assert!(
        read_default.read_recent && !read_default.http.enable_http2 && read_default.filter_external_labels
    );
    assert_eq!(read_default.timeout_ms, 60_000);
    assert_eq!(read_special.required_matchers["job"], "special");
    assert_eq!(config.otlp.promote_resource_attributes.len(), 3);
    assert_eq!(config.otlp.translation_strategy, TranslationStrategy::UnderscoreEscapingWithSuffixes);
    assert_eq!(config.storage.out_of_order_time_window_ms, 1_800_000);
    assert_eq!(config.storage.retention_time_ms, Some(86_400_000));
    assert_eq!(config.storage.retention_size.unwrap().0, 1 << 30);
    assert_eq!(config.storage.retention_percentage, Some(28.0));
    let tracing = config.tracing.as_ref().unwrap();
    assert!(tracing.gzip && !tracing.http && tracing.tls.insecure_skip_verify);
    assert_eq!((tracing.endpoint.as_str(), tracing.timeout_ms), ("localhost:4317", 5_000));
    assert_eq!(config.alerting.alertmanagers.len(), 1);
    assert_eq!(config.alerting.alertmanagers[0].scheme, "https");
    assert_eq!(config.scrape_configs.len(), 34);
}

#[test]
fn jobs_have_upstreams_values() {
    let Some(config) = load("conf.good.yml") else { return };
    let job = |name: &str| config.scrape_configs.iter().find(|job| job.job_name == name).unwrap();
    let prometheus = job("prometheus");
    assert!(prometheus.honor_labels && prometheus.honor_timestamps);
    assert_eq!((prometheus.interval_ms, prometheus.timeout_ms), (15_000, 10_000));
    assert_eq!(prometheus.limits.body_size.0, 15 << 20);
    assert_eq!((prometheus.limits.samples, prometheus.limits.targets), (1_500, 30));
    assert_eq!(prometheus.failure_log_file, "testdata/fail_prom.log");
    assert_eq!(prometheus.fallback_protocol.unwrap().as_str(), "PrometheusText0.0.4");
    assert_eq!(prometheus.protocols.len(), 4);
    assert_eq!(prometheus.relabel.len(), 6);
    let mechanisms: Vec<&str> = prometheus.sd.iter().map(SdConfig::mechanism).collect();
    assert_eq!(mechanisms, ["file", "file", "static"]);
    let header = &prometheus.http.headers["foo"];
    assert_eq!(
        (header.values.len(), header.secrets.len(), header.files[0].as_str()),
        (1, 2, "testdata/valid_password_file")
    );
    let authorization = prometheus.http.authorization.as_ref().unwrap();
    assert_eq!(authorization.scheme, "Bearer");

    let service_x = job("service-x");
    assert_eq!((service_x.interval_ms, service_x.timeout_ms), (50_000, 5_000));
    assert_eq!((service_x.metrics_path.as_str(), service_x.scheme.as_str()), ("/my_path", "https"));
    assert_eq!((service_x.relabel.len(), service_x.metric_relabel.len()), (6, 1));
    assert_eq!(job("hetzner").protocols.len(), 5, "native histograms ask for protobuf first");
    let discovered = config.scrape_configs.iter().flat_map(|job| &job.sd);
    let mut mechanisms: Vec<&str> = discovered.map(SdConfig::mechanism).collect();
    mechanisms.sort_unstable();
    mechanisms.dedup();
    assert_eq!(mechanisms.len(), 30, "{mechanisms:?}");
    assert!(config.warnings.iter().any(|warning| warning.message.contains("kubernetes is not active yet")));
}

#[test]
fn printing_hides_secrets_and_reads_back() {
    for name in ["conf.good.yml", "roundtrip.good.yml", "remote_write_retry_on_rate_limit.good.yml"] {
        let Some(config) = load(name) else { return };
        let printed = config.to_yaml();
        assert!(!printed.contains("mysecret"), "{printed}");
        let again = PrometheusConfig::parse(&printed, "x.yml", &|_| None, Mode::Server)
            .unwrap_or_else(|err| panic!("{name}: {}\n{printed}", err.located()));
        assert_eq!(again.to_yaml(), printed, "{name}");
        if name == "conf.good.yml" {
            assert_eq!(printed.matches("<secret>").count(), 29, "{printed}");
        }
    }
}

#[test]
fn an_empty_file_prints_upstreams_defaults() {
    let config = PrometheusConfig::parse("", "x.yml", &|_| None, Mode::Server).unwrap();
    let want = "global:\n  scrape_interval: 1m\n  scrape_timeout: 10s\n  evaluation_interval: 1m\n  \
                metric_name_validation_scheme: utf8\n  metric_name_escaping_scheme: allow-utf-8\n  \
                scrape_native_histograms: false\n  extra_scrape_metrics: false\nruntime:\n  gogc: 75\n\
                storage:\n  tsdb:\n    retention: {}\notlp:\n  \
                translation_strategy: UnderscoreEscapingWithSuffixes\n  label_name_underscore_sanitization: true\n  \
                label_name_preserve_multiple_underscores: true\n";
    assert_eq!(config.to_yaml(), want);
}

/// The values that follow from small files: (text, job's or global's values).
#[test]
fn globals_and_jobs_complete_each_other() {
    let parse = |text: &str| PrometheusConfig::parse(text, "x.yml", &|_| None, Mode::Server);
    for (text, interval_ms, timeout_ms) in [
        ("", 60_000, 10_000),
        ("global:", 60_000, 10_000),
        ("global: {scrape_interval: 5s}", 5_000, 5_000),
        ("global: {scrape_interval: 5s, scrape_timeout: 3s}", 5_000, 3_000),
        ("global: {scrape_timeout: 50s}", 60_000, 50_000),
        ("global: {scrape_interval: 0s}", 60_000, 10_000),
    ] {
        let global = parse(text).unwrap().global;
        assert_eq!(
            (global.scrape_interval_ms, global.scrape_timeout_ms),
            (interval_ms, timeout_ms),
            "{text}"
        );
    }
    for (global, job, validation, escaping) in [
        ("", "", "utf8", "allow-utf-8"),
        ("metric_name_validation_scheme: legacy", "", "legacy", "underscores"),
        ("", "metric_name_validation_scheme: legacy", "legacy", "underscores"),
        (
            "metric_name_validation_scheme: legacy",
            "metric_name_validation_scheme: utf8",
            "utf8",
            "allow-utf-8",
        ),
        ("metric_name_escaping_scheme: dots", "", "utf8", "dots"),
        ("metric_name_escaping_scheme: dots", "metric_name_validation_scheme: utf8", "utf8", "allow-utf-8"),
        ("metric_name_escaping_scheme: dots", "metric_name_escaping_scheme: values", "utf8", "values"),
    ] {
        let text = format!("global: {{{global}}}\nscrape_configs:\n- job_name: j\n  {job}\n");
        let printed = &parse(&text).unwrap().scrape_configs[0].yaml;
        for (name, want) in [("validation", validation), ("escaping", escaping)] {
            let line = format!("metric_name_{name}_scheme: {want}\n");
            assert!(printed.contains(&line), "{text}\n{printed}");
        }
    }
    for (text, want) in [
        ("global: {scrape_timeout: 2m}", "global scrape timeout greater than scrape interval"),
        ("global: {scrape_protocols: []}", "scrape_protocols cannot be empty for global config"),
        (
            "global: {metric_name_escaping_scheme: x}\nscrape_configs: [{job_name: j}]",
            "unknown global name escaping method",
        ),
        ("global: {external_labels: {a: 1, a: 2}}", "key \"a\" already set in map"),
        ("scrape_configs: [{job_name: j, honor_labels: [1]}]", "cannot unmarshal !!seq into bool"),
        ("scrape_configs: {job_name: j}", "cannot unmarshal !!map into []"),
        ("otlp: {translation_strategy: Other}", "unsupported OTLP translation strategy \"Other\""),
        ("rule_files: [x, [y]]", "cannot unmarshal !!seq into string"),
        ("a: b: c", "yaml: line 1:"),
    ] {
        let err = parse(text).unwrap_err().to_string();
        assert!(err.starts_with("parsing YAML file x.yml: ") && err.contains(want), "{text}: {err}");
    }
}

#[test]
fn external_labels_take_the_environment() {
    let environment = |name: &str| (name == "TEST").then(|| "TestValue".to_owned());
    let Some(folder) = data("conformance/metrics/prometheus/config/testdata") else { return };
    let text = read(&folder.join("external_labels.good.yml"));
    let with = PrometheusConfig::parse(&text, "x.yml", &environment, Mode::Server).unwrap();
    let without = PrometheusConfig::parse(&text, "x.yml", &|_| None, Mode::Server).unwrap();
    let labels = |config: &PrometheusConfig| config.global.external_labels.to_string();
    assert_eq!(
        labels(&with),
        r#"{bar="foo", baz="fooTestValuebar", foo="TestValue", qux="foo${TEST}", xyz="foo$bar"}"#
    );
    assert_eq!(labels(&without), r#"{bar="foo", baz="foobar", qux="foo${TEST}", xyz="foo$bar"}"#);
    // An empty label is no label; it is still shown.
    assert!(without.to_yaml().contains("foo: \"\""));
    assert_eq!(without.warnings.len(), 2);
}

#[test]
fn azure_ad_files_load_or_fail_by_their_names() {
    let Some(folder) = data("conformance/metrics/prometheus/storage/remote/azuread/testdata") else { return };
    let mut wrong = Vec::new();
    for name in crate::shared::file_names(&folder) {
        let inside: Vec<String> =
            read(&folder.join(&name)).lines().map(|line| format!("    {line}")).collect();
        let text = format!("remote_write:\n- url: http://x\n  azuread:\n{}\n", inside.join("\n"));
        let loaded = PrometheusConfig::parse(&text, "x.yml", &|_| None, Mode::Server);
        if loaded.is_err() != name.contains("_bad_") {
            wrong.push(format!("{name}: {loaded:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cloud_credentials_become_client_settings() {
    let text = "alerting:\n  alertmanagers:\n  - sigv4: {region: r, role_arn: a, external_id: e, use_fips_sts_endpoint: true}\n\
                remote_write:\n\
                - {url: 'http://a', sigv4: {access_key: k, secret_key: s, profile: p, service_name: x}}\n\
                - {url: 'http://b', google_iam: {credentials_file: f.json}}\n\
                - {url: 'http://c', azuread: {cloud: AzureChina, scope: s, managed_identity: {}}}\n\
                - {url: 'http://d', azuread: {sdk: {tenant_id: t}}}\n\
                - {url: 'http://e', basic_auth: {username: u}}\n";
    let config = PrometheusConfig::parse(text, "x.yml", &|_| None, Mode::Server).unwrap();
    let of_alertmanager = SigV4 {
        region: "r".to_owned(),
        role_arn: "a".to_owned(),
        external_id: "e".to_owned(),
        use_fips_sts_endpoint: true,
        ..SigV4::default()
    };
    let auth = config.alerting.alertmanagers[0].http.cloud_auth.as_deref();
    assert_eq!(auth, Some(&CloudAuth::SigV4(of_alertmanager)));
    let keys = SigV4 {
        access_key: "k".to_owned(),
        secret_key: Secret::new("s"),
        profile: "p".to_owned(),
        service_name: "x".to_owned(),
        ..SigV4::default()
    };
    let google = GoogleIam { credentials_file: "f.json".to_owned() };
    let azure = |cloud: AzureCloud, scope: &str, method: AzureMethod| {
        Some(CloudAuth::AzureAd(AzureAd { cloud, scope: scope.to_owned(), method }))
    };
    let managed = AzureMethod::ManagedIdentity { client_id: String::new() };
    let wanted = [
        Some(CloudAuth::SigV4(keys)),
        Some(CloudAuth::GoogleIam(google)),
        azure(AzureCloud::China, "s", managed),
        azure(AzureCloud::Public, "", AzureMethod::Sdk { tenant_id: "t".to_owned() }),
        None,
    ];
    for (remote, wanted) in config.remote_write.iter().zip(&wanted) {
        assert_eq!(remote.http.cloud_auth.as_deref(), wanted.as_ref(), "{}", remote.url);
    }
    let warnings: Vec<&str> = config.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["azuread: sdk does not ask the command line tools of developers for tokens"]);
}

/// A file cut anywhere, or with any line spoilt, is read or refused with a place; it never panics.
#[test]
fn damaged_files_are_refused_with_a_place() {
    let Some(folder) = data("conformance/metrics/prometheus/config/testdata") else { return };
    let text = read(&folder.join("conf.good.yml"));
    let lines: Vec<&str> = text.lines().collect();
    let mut damaged: Vec<String> = (0..text.len())
        .step_by(131)
        .filter(|cut| text.is_char_boundary(*cut))
        .map(|cut| text[..cut].to_owned())
        .collect();
    for spoilt in (0..lines.len()).step_by(7) {
        for garbage in ["\u{1}", "  : -é", "!!binary x: ~", "- [{", "      <<: 1"] {
            let mut copy = lines.clone();
            copy[spoilt] = garbage;
            damaged.push(copy.join("\n"));
        }
    }
    for text in damaged {
        if let Err(err) = PrometheusConfig::parse(&text, "x.yml", &|_| None, Mode::Server) {
            assert!(
                err.problems.iter().all(|problem| problem.pos.is_some_and(|pos| pos.line > 0)),
                "{err:?}"
            );
        }
    }
}

/// What upstream says of the file as a whole has a place all the same.
#[test]
fn errors_about_jobs_and_rules_name_their_place() {
    let head = "scrape_configs:\n- job_name: j\n  static_configs: [{targets: ['a:1']}]\n";
    for (text, place) in [
        ("- job_name: j\n", "c.yml:4:13: found multiple scrape configs with job name \"j\""),
        ("- {job_name: k, scrape_timeout: 2m}\n", "c.yml:4:14: scrape timeout greater"),
        (
            "  relabel_configs:\n  - target_label: x\n  - {action: hashmod, target_label: a}\n",
            "c.yml:6:5: relabel configuration for hashmod requires non-zero modulus",
        ),
        (
            "  metric_relabel_configs: [{action: lowercase}]\n",
            "c.yml:4:28: relabel configuration for lowercase action requires 'target_label' value",
        ),
    ] {
        let error = PrometheusConfig::parse(&format!("{head}{text}"), "c.yml", &|_| None, Mode::Server);
        let located = error.unwrap_err().located();
        assert!(located.starts_with(place), "{text}: {located}");
    }
}
