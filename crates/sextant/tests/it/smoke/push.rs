//! Remote write in, queries out, deletion and snapshots.

use base::TenantId;
use model::{BatchSeries, FloatSample, Labels, SeriesBatch};
use wire_prom::remote_write::{WriteMessage, encode_v1, encode_v2};

use super::IDLE;
use crate::http::Response;
use crate::sextant::{Sextant, number};
use crate::waiting::unix_ms;

/// The versions of the protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    V1,
    V2,
}

/// Pushes samples of one series with `job="pushed"`; the answer as it came.
pub(crate) fn push(sextant: &Sextant, version: Version, metric: &str, samples: &[(i64, f64)]) -> Response {
    push_named(sextant, version, metric, samples, &[])
}

/// As [`push`], with further headers.
fn push_named(
    sextant: &Sextant,
    version: Version,
    metric: &str,
    samples: &[(i64, f64)],
    named: &[(&str, &str)],
) -> Response {
    let (mut headers, body) = request(version, metric, samples);
    headers.extend(named);
    sextant.ask("POST", "/api/v1/write", &headers, &body)
}

/// Headers and body of a request that pushes samples of one series.
pub(crate) fn request(
    version: Version,
    metric: &str,
    samples: &[(i64, f64)],
) -> (Vec<(&'static str, &'static str)>, Vec<u8>) {
    let tenant = TenantId::anonymous();
    let mut batch = SeriesBatch::new(tenant.clone());
    let labels = Labels::from_pairs([("__name__", metric), ("job", "pushed")]);
    let series_idx = batch.add_series(BatchSeries::new(&tenant, labels));
    batch.floats.extend(samples.iter().map(|&(t, v)| FloatSample { series_idx, st: 0, t, v }));
    let (message, plain) = match version {
        Version::V1 => (WriteMessage::V1, encode_v1(&batch)),
        Version::V2 => (WriteMessage::V2, encode_v2(&batch)),
    };
    let body = snap::raw::Encoder::new().compress_vec(&plain).expect("a small body can be compressed");
    let headers = vec![
        ("Content-Type", message.content_type()),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", message.version_header()),
    ];
    (headers, body)
}

/// Pushes samples that the server must accept.
pub(crate) fn write(sextant: &Sextant, version: Version, metric: &str, samples: &[(i64, f64)]) {
    let answer = push(sextant, version, metric, samples);
    assert!(matches!(answer.status, 200 | 204), "{} {}", answer.status, answer.text());
}

/// What is stored of a metric: timestamps in milliseconds and values.
pub(crate) fn stored(sextant: &Sextant, metric: &str, at_ms: i64) -> Vec<(i64, f64)> {
    let result = sextant.query_at(&format!("{metric}[10m]"), at_ms);
    let series = result.as_array().unwrap();
    assert!(series.len() <= 1, "{result}");
    let samples = series.iter().flat_map(|series| series["values"].as_array().unwrap());
    samples.map(|pair| ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, number(&pair[1]))).collect()
}

#[test]
fn what_is_pushed_is_read_back() {
    let scratch = tempfile::tempdir().unwrap();
    let sextant = Sextant::start(scratch.path(), IDLE, &["--web.enable-remote-write-receiver"]);
    let now = unix_ms();
    for (version, metric) in [(Version::V1, "pushed_one"), (Version::V2, "pushed_two")] {
        let samples: Vec<(i64, f64)> = (0..20).map(|i| (now - 20_000 + i * 1000, i as f64 * 1.5)).collect();
        // The second half first: late samples are welcome.
        write(&sextant, version, metric, &samples[10..]);
        write(&sextant, version, metric, &samples[..10]);
        assert_eq!(stored(&sextant, metric, now), samples, "{version:?}");
        let answer = push(&sextant, version, metric, &samples[..1]);
        assert!(matches!(answer.status, 200 | 204), "the same sample again: {}", answer.text());
        assert_eq!(stored(&sextant, metric, now), samples, "{version:?}");
    }
    let wrong = sextant.ask("POST", "/api/v1/write", &[("Content-Encoding", "snappy")], b"not snappy");
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let closed = tempfile::tempdir().unwrap();
    let closed = Sextant::start(closed.path(), IDLE, &[]);
    assert_eq!(push(&closed, Version::V1, "refused", &[(now, 1.0)]).status, 404);
}

/// Deletion takes exactly what is selected; a snapshot serves as the data of another server.
#[test]
fn deletion_and_snapshots() {
    let scratch = tempfile::tempdir().unwrap();
    let flags = ["--web.enable-remote-write-receiver", "--web.enable-admin-api"];
    let sextant = Sextant::start(scratch.path(), IDLE, &flags);
    let now = unix_ms();
    let samples = [(now - 2000, 1.0), (now - 1000, 2.0)];
    write(&sextant, Version::V1, "goes", &samples);
    write(&sextant, Version::V1, "stays", &samples);

    let answer = sextant.post("/api/v1/admin/tsdb/snapshot", &[]).json();
    let name = answer["data"]["name"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let deleted = sextant.post("/api/v1/admin/tsdb/delete_series", &[("match[]", "goes")]);
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    assert_eq!(sextant.post("/api/v1/admin/tsdb/clean_tombstones", &[]).status, 204);
    assert_eq!(stored(&sextant, "goes", now), []);
    assert_eq!(stored(&sextant, "stays", now), samples);

    // As upstream's documentation says, and the doctor needs no server to have opened it before.
    let other = tempfile::tempdir().unwrap();
    let from = scratch.path().join("data/snapshots").join(&name);
    let copy = other.path().join("data");
    let copied = std::process::Command::new("cp").arg("-r").arg(&from).arg(&copy).status();
    assert!(copied.unwrap().success(), "no snapshot at {}", from.display());
    let doctor = std::process::Command::new(env!("CARGO_BIN_EXE_sextant")).arg("doctor").arg(&copy).output();
    let doctor = doctor.unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success() && said.ends_with("healthy\n"), "{doctor:?}");
    let restored = Sextant::start(other.path(), IDLE, &[]);
    assert_eq!(stored(&restored, "goes", now), samples);
    assert_eq!(stored(&restored, "stays", now), samples);
}

/// What the start finds wrong with the journal is what upstream's names say.
#[test]
fn a_damaged_journal_is_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let mut sextant = Sextant::start(scratch.path(), IDLE, &["--web.enable-remote-write-receiver"]);
    let now = unix_ms();
    let corruptions = |sextant: &Sextant| {
        let info = sextant.get("/api/v1/status/runtimeinfo").json();
        let replay = sextant.get("/api/v1/status/walreplay").json()["data"].clone();
        (info["data"]["corruptionCount"].as_u64(), replay)
    };
    assert_eq!(corruptions(&sextant), (Some(0), serde_json::json!({ "min": 0, "max": 0, "current": 0 })));
    for i in 0..3 {
        write(&sextant, Version::V1, "journalled", &[(now - 3_000 + i * 1_000, i as f64)]);
    }
    sextant.process.kill();
    let journal = std::fs::read_dir(scratch.path().join("data/metrics/journal")).unwrap().next();
    let journal = journal.unwrap().unwrap().path();
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    sextant.restart();
    assert_eq!(corruptions(&sextant).0, Some(1));
    let metrics = sextant.get("/metrics").text().to_owned();
    assert!(metrics.contains("\nprometheus_tsdb_wal_corruptions_total 1\n"), "{metrics}");
    assert!(metrics.contains("\nprometheus_tsdb_reloads_failures_total 0\n"));
}

/// Everything acknowledged before `kill -9` is there after it, bit for bit.
#[test]
fn acknowledged_samples_survive_kill_9() {
    let scratch = tempfile::tempdir().unwrap();
    let mut sextant = Sextant::start(scratch.path(), IDLE, &["--web.enable-remote-write-receiver"]);
    let base = unix_ms() - 300_000;
    let mut acknowledged: Vec<(i64, f64)> = Vec::new();
    for round in 0..3i64 {
        for i in 0..40i64 {
            let sample = (base + (round * 40 + i) * 1000, (round * 1000 + i) as f64 / 3.0);
            let version = if i % 2 == 0 { Version::V1 } else { Version::V2 };
            write(&sextant, version, "acknowledged", &[sample]);
            acknowledged.push(sample);
        }
        sextant.process.kill();
        sextant.restart();
        assert_eq!(stored(&sextant, "acknowledged", base + 300_000), acknowledged, "round {round}");
    }
}

/// What a self metric without labels says.
fn self_metric(sextant: &Sextant, name: &str) -> Option<f64> {
    let text = sextant.get("/metrics").text();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok())
}

/// A request that comes again changes nothing, before and after `kill -9`, although what it says now would
/// win where it is not known to be a repetition: of two late samples the greater stays.
#[test]
fn a_named_batch_is_applied_once_and_acknowledged_each_time() {
    let scratch = tempfile::tempdir().unwrap();
    let flags = ["--web.enable-remote-write-receiver", "--web.enable-otlp-receiver"];
    let mut sextant = Sextant::start(scratch.path(), IDLE, &flags);
    let (early, late) = (unix_ms() - 60_000, unix_ms() - 30_000);
    let repeated = "sextant_ingest_batches_repeated_total";
    let name = |epoch: &'static str, sequence: &'static str| {
        [("X-Sextant-Writer", "7"), ("X-Sextant-Epoch", epoch), ("X-Sextant-Sequence", sequence)]
    };
    let send = |sextant: &Sextant, way: &str, sample: (i64, f64), named: &[(&str, &str)]| {
        let answer = match way {
            "v1" => push_named(sextant, Version::V1, way, &[sample], named),
            "v2" => push_named(sextant, Version::V2, way, &[sample], named),
            _ => {
                let body = format!(
                    r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"{way}","gauge":{{"dataPoints":[
                    {{"timeUnixNano":"{}000000","asDouble":{}}}]}}}}]}}]}}]}}"#,
                    sample.0, sample.1
                );
                let mut headers = vec![("Content-Type", "application/json")];
                headers.extend(named);
                sextant.ask("POST", "/api/v1/otlp/v1/metrics", &headers, body.as_bytes())
            }
        };
        assert!(matches!(answer.status, 200 | 204), "{way}: {} {}", answer.status, answer.text());
    };
    let ways = [("v1", "1"), ("v2", "2"), ("otlp", "3")];
    for (way, epoch) in ways {
        send(&sextant, way, (early, 1.0), &name(epoch, "1"));
        send(&sextant, way, (late, 5.0), &name(epoch, "20"));
        assert_eq!(self_metric(&sextant, repeated), Some(0.0), "{way}");
    }
    for round in 1..=2 {
        for (idx, (way, epoch)) in ways.iter().enumerate() {
            send(&sextant, way, (early, 9.0), &name(epoch, "1"));
            send(&sextant, way, (late, 5.0), &name(epoch, "20"));
            assert_eq!(self_metric(&sextant, repeated), Some(2.0 * (idx as f64 + 1.0)), "{way}");
            assert_eq!(
                stored(&sextant, way, late + 1000),
                [(early, 1.0), (late, 5.0)],
                "{way}, round {round}"
            );
        }
        sextant.process.kill();
        sextant.restart();
    }
    // Without its name, or with the next one, the sample is taken: the test could have seen it.
    send(&sextant, "v1", (early, 9.0), &[]);
    send(&sextant, "v2", (early, 9.0), &name("2", "21"));
    for way in ["v1", "v2"] {
        assert_eq!(stored(&sextant, way, late + 1000), [(early, 9.0), (late, 5.0)], "{way}");
    }
    let wrong = push_named(&sextant, Version::V2, "v2", &[(late, 5.0)], &name("two", "22"));
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("x-sextant-epoch must be one number"), "{}", wrong.text());
}
