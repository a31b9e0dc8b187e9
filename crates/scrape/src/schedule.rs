//! When a target is scraped: spread over the interval by a hash, and stamped with the ideal time
//! when the real one is close to it.

/// A scrape this close to its ideal time carries the ideal timestamp, which costs a regular series
/// nothing to store. Never more than a hundredth of the interval.
pub const TIMESTAMP_TOLERANCE_MS: i64 = 2;

/// Milliseconds from `now_ns` to the first scrape: a point of the interval fixed by the target's hash
/// and the server's seed, whatever the start time, so that two servers scrape at different moments
/// and a restart does not move anybody.
pub fn first_delay_ms(target_hash: u64, offset_seed: u64, interval_ms: i64, now_ns: i64) -> i64 {
    let interval_ns = interval_ms.max(1).saturating_mul(1_000_000);
    let base_ns = interval_ns - now_ns.rem_euclid(interval_ns);
    let offset_ns = (target_hash ^ offset_seed) % interval_ns.unsigned_abs();
    let mut next_ns = base_ns.saturating_add(i64::try_from(offset_ns).unwrap_or(0));
    if next_ns > interval_ns {
        next_ns -= interval_ns;
    }
    next_ns / 1_000_000
}

/// The ticks of one target.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    ideal_ms: i64,
    interval_ms: i64,
}

impl Ticks {
    /// `first_ms` is when the first scrape happens.
    pub fn new(first_ms: i64, interval_ms: i64) -> Self {
        Self { ideal_ms: first_ms, interval_ms: interval_ms.max(1) }
    }

    /// The timestamp of a scrape that starts at `now_ms`: the ideal one if it is near.
    pub fn stamp(&mut self, now_ms: i64) -> i64 {
        let missed = (now_ms - self.ideal_ms).div_euclid(self.interval_ms).max(0);
        self.ideal_ms += missed * self.interval_ms;
        let tolerance_ms = TIMESTAMP_TOLERANCE_MS.min(self.interval_ms / 100);
        let late_ms = now_ms - self.ideal_ms;
        if (0..=tolerance_ms).contains(&late_ms) { self.ideal_ms } else { now_ms }
    }

    /// When the next scrape is due after one at `now_ms`; ticks that were missed are skipped.
    pub fn next_due_ms(&self, now_ms: i64) -> i64 {
        let ahead = (now_ms - self.ideal_ms).div_euclid(self.interval_ms) + 1;
        self.ideal_ms + ahead.max(1) * self.interval_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_scrape_falls_on_the_hash() {
        for (hash, seed, now_ns, expected_ms) in [
            (0, 0, 0, 10_000),
            (3_000_000_000, 0, 0, 3_000),
            (3_000_000_000, 0, 2_000_000_000, 1_000),
            (3_000_000_000, 0, 4_000_000_000, 9_000),
            (5, 5, 1_000_000_000, 9_000),
        ] {
            assert_eq!(first_delay_ms(hash, seed, 10_000, now_ns), expected_ms);
        }
    }

    #[test]
    fn timestamps_snap_to_the_ideal_tick_when_near() {
        let mut ticks = Ticks::new(1_000, 10_000);
        for (now_ms, stamped) in [(1_000, 1_000), (11_002, 11_000), (21_003, 21_003), (61_001, 61_000)] {
            assert_eq!(ticks.stamp(now_ms), stamped);
        }
        assert_eq!(ticks.next_due_ms(61_001), 71_000);
        assert_eq!(ticks.next_due_ms(99_000), 101_000);

        let mut fast = Ticks::new(0, 100);
        assert_eq!(fast.stamp(102), 102, "a hundredth of 100 ms is 1 ms");
    }
}
