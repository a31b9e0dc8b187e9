use base::{CancelToken, ManualClock, TenantId};
use engine::{AdmissionRefused, QueryAnswer, QueryRequest, QueryTimings};
use ql_promql::annotations::Annotations;
use ql_promql::query::QueryOutput;
use ql_promql::value::Value;

use super::*;

fn request(text: &str, kind: QueryKind, origin: QueryOrigin) -> QueryRequest {
    QueryRequest {
        tenant: TenantId::anonymous(),
        text: Arc::from(text),
        kind,
        timeout: None,
        lookback_delta_ms: 0,
        per_step_stats: false,
        cancel: CancelToken::unbounded(),
        origin,
    }
}

fn answer(stats: QueryStats) -> QueryAnswer {
    let value = Value::Scalar { t_ms: 0, value: 1.0 };
    let output = QueryOutput { value, annotations: Annotations::default(), stats };
    QueryAnswer { output, timings: QueryTimings::default(), store_warnings: Vec::new() }
}

/// The lines but for `source`, which is where the line was logged from.
#[test]
fn lines_are_upstreams() {
    let timings =
        QueryTimings { queue_s: 0.000_081_041, preparation_s: 7.11e-7, evaluation_s: 2.5, total_s: 3.0 };
    let times = "\"timings\":{\"evalTotalTime\":2.5,\"resultSortTime\":0,\"queryPreparationTime\":7.11e-7,\
                 \"innerEvalTime\":2.5,\"execQueueTime\":0.000081041,\"execTotalTime\":3}";
    let spans = "\"spanID\":\"0000000000000000\",\"traceID\":\"00000000000000000000000000000000\"";
    let check = |request: &QueryRequest, outcome: Result<&QueryAnswer, &QueryError>, expected: &str| {
        let written = line(&FinishedQuery { request, timings, outcome }, 1_764_328_649_180);
        let written = String::from_utf8(written).unwrap();
        let (before, rest) = written.split_once("\"source\":\"query_log.rs:").unwrap();
        let (_, after) = rest.split_once("\",").unwrap();
        let head =
            "{\"time\":\"2025-11-28T11:17:29.18Z\",\"level\":\"INFO\",\"msg\":\"promql query logged\",";
        assert_eq!(format!("{before}{after}"), format!("{head}{expected}\n"));
    };
    let http = QueryOrigin::Http {
        client_ip: "::1".to_owned(),
        method: "GET".to_owned(),
        path: "/p/api/v1/query_range".to_owned(),
    };
    let range = QueryKind::Range { start_ms: 0, end_ms: 60_123, step_ms: 1500 };
    let stats = QueryStats {
        total_queryable_samples: 9,
        total_queryable_samples_per_step: vec![(1500, 9)],
        samples_read: 8,
        samples_read_per_step: vec![(1500, 8)],
        peak_samples: 7,
    };
    check(
        &request("a\n{b=\"<&\u{2028}\"}", range, http),
        Ok(&answer(stats)),
        &format!(
            "\"params\":{{\"end\":\"1970-01-01T00:01:00.123Z\",\"query\":\"a\\n{{b=\\\"<&\\u2028\\\"}}\",\
             \"start\":\"1970-01-01T00:00:00.000Z\",\"step\":1}},\"stats\":{{{times},\"samples\":{{\
             \"totalQueryableSamplesPerStep\":[[1.5,9]],\"totalQueryableSamples\":9,\
             \"samplesReadPerStep\":[[1.5,8]],\"samplesRead\":8,\"peakSamples\":7}}}},{spans},\
             \"httpRequest\":{{\"clientIP\":\"::1\",\"method\":\"GET\",\"path\":\"/p/api/v1/query_range\"}}}}"
        ),
    );
    let group = QueryOrigin::RuleGroup { file: "r.yml".to_owned(), name: "g".to_owned() };
    let late = QueryError::Admission(AdmissionRefused::Timeout);
    check(
        &request("up", QueryKind::Instant { t_ms: 100_500 }, group),
        Err(&late),
        &format!(
            "\"params\":{{\"end\":\"1970-01-01T00:01:40.500Z\",\"query\":\"up\",\
             \"start\":\"1970-01-01T00:01:40.500Z\",\"step\":0}},\
             \"error\":\"query timed out in query queue\",\"stats\":{{{times},\"samples\":{{\
             \"totalQueryableSamples\":0,\"samplesRead\":0,\"peakSamples\":0}}}},{spans},\
             \"ruleGroup\":{{\"file\":\"r.yml\",\"name\":\"g\"}}}}"
        ),
    );
}

#[test]
fn lines_that_do_not_fit_are_dropped_and_counted() {
    let (lines, mut waiting) = mpsc::channel(2);
    let maker = LineMaker {
        lines,
        waiting_bytes: Arc::default(),
        clock: Arc::new(ManualClock::new(0)),
        failures: Counter::default(),
    };
    let (ok, instant) = (answer(QueryStats::default()), QueryKind::Instant { t_ms: 0 });
    let log = |text: &str| {
        let request = request(text, instant, QueryOrigin::Internal);
        maker.log(&FinishedQuery { request: &request, timings: QueryTimings::default(), outcome: Ok(&ok) });
        maker.failures.get()
    };
    assert_eq!([log(&"x".repeat(WAITING_BYTES_MAX)), log("a"), log("b"), log("c")], [1.0, 1.0, 1.0, 2.0]);
    let kept: Vec<Vec<u8>> = std::iter::from_fn(|| waiting.try_recv().ok()).collect();
    assert_eq!(kept.iter().map(Vec::len).sum::<usize>(), maker.waiting_bytes.load(Ordering::Relaxed));
    assert_eq!(kept.len(), 2);
}
