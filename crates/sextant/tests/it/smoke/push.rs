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
    let (headers, body) = request(version, metric, samples);
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
