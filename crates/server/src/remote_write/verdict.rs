//! What an answer means for the request that got it, and how long to wait before the next try. Pure.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};

use super::round::Counts;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// The receiver may take it later; it may say when.
    Retry {
        after: Option<Duration>,
    },
    /// It never will.
    Refused,
}

/// Judges an answer as upstream does.
pub(super) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    retry_on_http_429: bool,
    now_ms: i64,
) -> Verdict {
    if status.is_success() {
        return Verdict::Accepted;
    }
    let busy = status == StatusCode::TOO_MANY_REQUESTS && retry_on_http_429;
    if busy || status.is_server_error() {
        let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        return Verdict::Retry { after: text.and_then(|text| retry_after(text, now_ms)) };
    }
    Verdict::Refused
}

/// Seconds, or a date; a date that has passed is no wish to wait.
fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let wait_ms = date.timestamp().as_millisecond() - now_ms;
    u64::try_from(wait_ms).ok().map(Duration::from_millis)
}

/// Waits between tries: doubled each time, up to a limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    next_ms: i64,
    max_ms: i64,
}

/// The longest wait that a receiver is granted.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

impl Backoff {
    pub(super) fn new(min_ms: i64, max_ms: i64) -> Self {
        Self { next_ms: min_ms.max(1), max_ms: max_ms.max(1) }
    }

    /// How long to wait now; what the receiver says wins.
    pub(super) fn wait(&mut self, after: Option<Duration>) -> Duration {
        let own = Duration::from_millis(self.next_ms.min(self.max_ms).unsigned_abs());
        self.next_ms = self.next_ms.saturating_mul(2).min(self.max_ms);
        after.map_or(own, |after| after.min(RETRY_AFTER_MAX))
    }
}

/// What a receiver of 2.0 says it wrote; `None` if it says nothing, as one that took the request for
/// 1.0 would.
pub(super) fn written(headers: &HeaderMap) -> Option<Counts> {
    let number = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        text.trim().parse::<u64>().ok()
    };
    let samples = number("x-prometheus-remote-write-samples-written");
    let histograms = number("x-prometheus-remote-write-histograms-written");
    let exemplars = number("x-prometheus-remote-write-exemplars-written");
    samples.or(histograms).or(exemplars)?;
    Some(Counts {
        samples: samples.unwrap_or(0),
        histograms: histograms.unwrap_or(0),
        exemplars: exemplars.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn answers_are_judged_as_upstream_does() {
        let retry = |ms: u64| Verdict::Retry { after: Some(Duration::from_millis(ms)) };
        let later = Verdict::Retry { after: None };
        // 2026-11-22T00:00:00Z
        let now_ms = 1_795_305_600_000;
        for (status, header, on_429, expected) in [
            (200, None, true, Verdict::Accepted),
            (204, Some("5"), true, Verdict::Accepted),
            (301, None, true, Verdict::Refused),
            (400, Some("5"), true, Verdict::Refused),
            (415, None, true, Verdict::Refused),
            (429, Some("5"), false, Verdict::Refused),
            (429, Some("5"), true, retry(5000)),
            (429, None, true, later),
            (500, None, false, later),
            (503, Some(" 7 "), false, retry(7000)),
            (503, Some("Sun, 22 Nov 2026 00:00:02 GMT"), false, retry(2000)),
            (503, Some("Sat, 21 Nov 2026 00:00:02 GMT"), false, later),
            (503, Some("soon"), false, later),
            (503, Some("-1"), false, later),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(header));
            }
            let verdict = judge(StatusCode::from_u16(status).unwrap(), &headers, on_429, now_ms);
            assert_eq!(verdict, expected, "{status} {header:?} {on_429}");
        }
    }

    #[test]
    fn waits_double_up_to_their_limit() {
        let mut backoff = Backoff::new(30, 200);
        let waits: Vec<u128> = (0..5).map(|_| backoff.wait(None).as_millis()).collect();
        assert_eq!(waits, [30, 60, 120, 200, 200]);
        assert_eq!(backoff.wait(Some(Duration::from_secs(3))).as_secs(), 3);
        assert_eq!(backoff.wait(Some(Duration::from_secs(1 << 30))), RETRY_AFTER_MAX);
        assert_eq!(Backoff::new(500, 100).wait(None).as_millis(), 100);
    }

    #[test]
    fn what_was_written_is_read_when_it_is_said() {
        let mut headers = HeaderMap::new();
        assert_eq!(written(&headers), None);
        headers.insert("x-prometheus-remote-write-samples-written", HeaderValue::from_static("3"));
        assert_eq!(written(&headers), Some(Counts { samples: 3, ..Counts::default() }));
    }
}
