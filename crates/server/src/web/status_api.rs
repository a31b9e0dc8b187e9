//! `/api/v1/status/*`, `features`, `openapi.yaml`, `/version` and the front page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use store_metrics::{Count, RetentionOptions};
use wire_prom::api_json::JsonWriter;

use super::App;
use super::access::Caller;
use super::params::Params;
use super::reply::{ApiError, ApiResult, success, with_type};
use super::time::rfc3339;
use crate::telemetry::Registry;

const TSDB_LIMIT_DEFAULT: usize = 10;
const TSDB_LIMIT_MAX: usize = 10_000;

/// What the build says of itself.
#[derive(Debug, Clone)]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    /// The compiler, under the field where clients expect Go's version.
    pub compiler: String,
}

impl BuildInfo {
    /// Shows the build as labels of a constant, which dashboards and data sources look for.
    pub(crate) fn register(&self, registry: &Registry) {
        const LABELS: &[&str] = &["branch", "goarch", "goos", "goversion", "revision", "tags", "version"];
        let info = registry.gauges("sextant_build_info", "The build, told by labels; always 1.", LABELS);
        let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
        info.with(&[&self.branch, arch, os, &self.compiler, &self.revision, "", &self.version]).set(1.0);
        registry.alias("sextant_build_info", "prometheus_build_info");
    }
}

/// Facts that do not change while the process runs.
#[derive(Debug, Clone)]
pub struct StatusFacts {
    pub build: BuildInfo,
    /// Command line flags by name, as upstream shows them.
    pub flags: BTreeMap<String, String>,
    pub started_ms: i64,
    pub working_directory: String,
    /// The program and its arguments.
    pub command_line: Vec<String>,
    pub host_name: String,
    pub server_timezone: String,
    /// Feature flags by category, the shape of upstream's `features.json`.
    pub features: BTreeMap<String, BTreeMap<String, bool>>,
}

pub(crate) async fn config(State(app): State<Arc<App>>) -> ApiResult {
    let yaml = app.reload.current_yaml();
    success(|w| {
        w.object(|w| {
            w.key("yaml");
            w.string(&yaml);
        });
    })
}

pub(crate) async fn flags(State(app): State<Arc<App>>) -> ApiResult {
    success(|w| write_map(w, &app.facts.flags))
}

fn write_map(w: &mut JsonWriter, map: &BTreeMap<String, String>) {
    w.object(|w| {
        for (name, value) in map {
            w.key(name);
            w.string(value);
        }
    });
}

pub(crate) async fn build_info(State(app): State<Arc<App>>) -> ApiResult {
    success(|w| write_build(w, &app.facts.build))
}

fn write_build(w: &mut JsonWriter, build: &BuildInfo) {
    w.object(|w| {
        for (name, value) in [
            ("version", &build.version),
            ("revision", &build.revision),
            ("branch", &build.branch),
            ("buildUser", &build.build_user),
            ("buildDate", &build.build_date),
            ("goVersion", &build.compiler),
        ] {
            w.key(name);
            w.string(value);
        }
    });
}

/// `GET /version`: the same facts without an envelope.
pub(crate) async fn version(State(app): State<Arc<App>>) -> Response {
    let mut w = JsonWriter::new();
    write_build(&mut w, &app.facts.build);
    let mut body = w.finish();
    body.push(b'\n');
    // Go guesses this type from the text, and clients compare it.
    with_type(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// The limits, as upstream words them.
fn retention_text(retention: &RetentionOptions) -> String {
    let mut shown = Vec::new();
    shown.extend(retention.time_ms.map(base::duration::format_ms));
    shown.extend(retention.size_bytes.map(|bytes| base::ByteSize(bytes).to_string()));
    shown.extend(retention.disk_percent.map(|percent| format!("{percent}%")));
    shown.join(" or ")
}

pub(crate) async fn runtime_info(State(app): State<Arc<App>>) -> ApiResult {
    let status = app.reload.status();
    let stats = app.store.stats();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    success(|w| {
        w.object(|w| {
            for (name, text) in [
                ("startTime", rfc3339(app.facts.started_ms)),
                ("CWD", app.facts.working_directory.clone()),
                ("hostname", app.facts.host_name.clone()),
                ("serverTime", rfc3339(app.clock.now_ms())),
            ] {
                w.key(name);
                w.string(&text);
            }
            w.key("reloadConfigSuccess");
            w.bool(status.successful);
            w.key("lastConfigTime");
            w.string(&rfc3339(status.last_success_ms));
            w.key("corruptionCount");
            w.int(number(stats.journal_corruptions));
            w.key("goroutineCount");
            w.int(app.process.n_threads() as i64);
            w.key("GOMAXPROCS");
            w.int(std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1)));
            w.key("GOMEMLIMIT");
            w.int(i64::try_from(app.engine.budget().limit_bytes()).unwrap_or(i64::MAX));
            w.key("GOGC");
            w.string("");
            w.key("GODEBUG");
            w.string("");
            w.key("storageRetention");
            w.string(&retention_text(&app.store.retention()));
            w.key("sextantSamplesRejected");
            w.int(number(stats.rejected.total()));
        });
    })
}

pub(crate) async fn tsdb(State(app): State<Arc<App>>, caller: Caller, params: Params) -> ApiResult {
    let limit = match params.get("limit") {
        "" => TSDB_LIMIT_DEFAULT,
        text => match text.parse::<usize>() {
            Ok(n) if n >= 1 => n,
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    if limit > TSDB_LIMIT_MAX {
        return Err(ApiError::bad_data(format!("limit must not exceed {TSDB_LIMIT_MAX}")));
    }
    let store = Arc::clone(&app.store);
    let stats = app.compute(move || Ok(store.cardinality(&caller.tenant, limit))).await?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    success(|w| {
        w.object(|w| {
            w.key("headStats");
            w.object(|w| {
                for (name, value) in [
                    ("numSeries", number(stats.head.n_series)),
                    ("numLabelPairs", number(stats.head.n_label_pairs)),
                    ("chunkCount", number(stats.head.chunk_count)),
                    ("minTime", stats.head.min_time_ms),
                    ("maxTime", stats.head.max_time_ms),
                ] {
                    w.key(name);
                    w.int(value);
                }
            });
            for (name, list) in [
                ("seriesCountByMetricName", &stats.series_by_metric_name),
                ("labelValueCountByLabelName", &stats.values_by_label_name),
                ("memoryInBytesByLabelName", &stats.memory_bytes_by_label_name),
                ("seriesCountByLabelValuePair", &stats.series_by_label_pair),
            ] {
                w.key(name);
                write_counts(w, list);
            }
        });
    })
}

/// The tenant's parts in the shape of upstream's blocks: one chunk per series and part, and the level
/// one higher, since upstream counts levels from 1.
pub(crate) async fn blocks(State(app): State<Arc<App>>, caller: Caller) -> ApiResult {
    let parts = app.store.parts(&caller.tenant);
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    success(|w| {
        w.object(|w| {
            w.key("blocks");
            w.array(|w| {
                for part in &parts {
                    let ulid = ulid(part.id);
                    w.object(|w| {
                        w.key("ulid");
                        w.string(&ulid);
                        w.key("minTime");
                        w.int(part.min_time_ms);
                        // The end of a block is the first instant that is not in it.
                        w.key("maxTime");
                        w.int(part.max_time_ms.saturating_add(1));
                        w.key("stats");
                        w.object(|w| {
                            for (name, value) in [
                                ("numSamples", number(part.n_samples)),
                                ("numSeries", number(part.n_series)),
                                ("numChunks", number(part.n_series)),
                            ] {
                                w.key(name);
                                w.int(value);
                            }
                        });
                        w.key("compaction");
                        w.object(|w| {
                            w.key("level");
                            w.int(i64::from(part.level) + 1);
                            w.key("sources");
                            w.strings([&ulid]);
                        });
                        w.key("version");
                        w.int(1);
                    });
                }
            });
        });
    })
}

/// 128 bits as 26 digits of Crockford's base 32, highest first.
fn ulid(id: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    (0..26).rev().map(|place| char::from(DIGITS[(id >> (place * 5)) as usize & 31])).collect()
}

fn write_counts(w: &mut JsonWriter, counts: &[Count]) {
    w.array(|w| {
        for count in counts {
            w.object(|w| {
                w.key("name");
                w.string(&count.name);
                w.key("value");
                w.int(i64::try_from(count.value).unwrap_or(i64::MAX));
            });
        }
    });
}

/// Replay is over before this server listens; upstream's shape for "nothing to do".
/// The segments that the start has read, counted from 0. Requests are answered once all of them are.
pub(crate) async fn wal_replay(State(app): State<Arc<App>>) -> ApiResult {
    let n_segments = app.store.stats().journal_segments_read;
    let last = i64::try_from(n_segments.saturating_sub(1)).unwrap_or(i64::MAX);
    success(|w| {
        w.object(|w| {
            for (name, segment) in [("min", 0), ("max", last), ("current", last)] {
                w.key(name);
                w.int(segment);
            }
        });
    })
}

pub(crate) async fn features(State(app): State<Arc<App>>) -> ApiResult {
    success(|w| {
        w.object(|w| {
            for (category, features) in &app.facts.features {
                w.key(category);
                w.object(|w| {
                    for (name, enabled) in features {
                        w.key(name);
                        w.bool(*enabled);
                    }
                });
            }
        });
    })
}

/// Until the web application is embedded, the front page says what lives here.
pub(crate) async fn front_page(State(app): State<Arc<App>>) -> Response {
    let body = include_str!("front_page.html").replace("{version}", &app.facts.build.version);
    with_type(StatusCode::OK, "text/html; charset=utf-8", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_ulids() {
        for (id, expected) in [
            (0, "00000000000000000000000000"),
            (31, "0000000000000000000000000Z"),
            (u128::MAX, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
            (0x0156_3e3a_b5d3_d676_4c61_efb9_9302_bd5b, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ] {
            assert_eq!(ulid(id), expected);
        }
    }
}
