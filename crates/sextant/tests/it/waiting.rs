//! The one way tests wait: for a condition, up to a deadline.

use std::time::{Duration, Instant};

use base::{Clock, SystemClock};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` finds something. After the deadline the test fails with what it waited for and
/// what it saw last.
pub(crate) fn until<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(started.elapsed() < deadline, "waited {deadline:?} for {what}; saw {seen}"),
        }
        std::thread::sleep(EVERY);
    }
}

/// The moment, for tests that talk to the program in real time.
#[expect(clippy::disallowed_methods, reason = "a test of a running program lives in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    SystemClock::new().now_ms()
}
