//! When a group is due. Slots lie `interval` apart, shifted by a hash of the group's name, so that
//! groups do not all start at once and a restart keeps the rhythm.

use model::Labels;
use parking_lot::Mutex;

use super::GroupKey;

/// A slot to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) slot_ms: i64,
    /// Slots skipped since the last one, because evaluations took too long.
    pub(crate) missed: u64,
    /// Whether `for` state is to be read back after this evaluation.
    pub(crate) restores: bool,
}

#[derive(Debug)]
pub(crate) struct Timing {
    interval_ns: i128,
    state: Mutex<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    /// The slot evaluated last; before the first one, that before it.
    slot_ns: i128,
    started: bool,
    /// Taken and not yet given back.
    running: bool,
    /// Evaluations to go until `for` state is read back.
    restores_after: Option<u8>,
}

/// State is read back after the second evaluation: before it, recording rules and scrapes may not
/// have brought the data that alerts depend on.
const EVALUATIONS_BEFORE_RESTORE: u8 = 2;

/// The slot at or before `now_ns`.
pub(super) fn slot_before(key: &GroupKey, interval_ns: i128, now_ns: i128) -> i128 {
    let name = Labels::from_pairs([("file", key.file.as_str()), ("name", key.name.as_str())]);
    let offset = i128::from(name.hash64()) % interval_ns;
    let shifted = now_ns - offset;
    shifted - shifted.rem_euclid(interval_ns) + offset
}

impl Timing {
    pub(super) fn new(key: &GroupKey, interval_ms: i64, now_ms: i64, must_restore: bool) -> Self {
        let interval_ns = i128::from(interval_ms) * 1_000_000;
        let slot_ns = slot_before(key, interval_ns, i128::from(now_ms) * 1_000_000);
        let restores_after = must_restore.then_some(EVALUATIONS_BEFORE_RESTORE);
        let state = Mutex::new(Schedule { slot_ns, started: false, running: false, restores_after });
        Self { interval_ns, state }
    }

    /// When the next slot begins; `None` while one is being evaluated.
    pub(super) fn next_ms(&self) -> Option<i64> {
        let state = self.state.lock();
        (!state.running).then(|| ceil_ms(state.slot_ns + self.interval_ns))
    }

    /// Takes the next slot if it has begun at `now_ms`. It must be given back by [`Timing::done`].
    pub(super) fn take(&self, now_ms: i64) -> Option<Tick> {
        let mut state = self.state.lock();
        let elapsed = i128::from(now_ms) * 1_000_000 - state.slot_ns;
        if state.running || i128::from(now_ms) < i128::from(ceil_ms(state.slot_ns + self.interval_ns)) {
            return None;
        }
        // Before the first evaluation nothing can be missed: the process was not there.
        let missed = if state.started { (elapsed / self.interval_ns - 1).max(0) } else { 0 };
        state.slot_ns += (missed + 1) * self.interval_ns;
        state.started = true;
        state.running = true;
        let restores = match state.restores_after.as_mut() {
            Some(left) => {
                *left -= 1;
                *left == 0
            }
            None => false,
        };
        if restores {
            state.restores_after = None;
        }
        Some(Tick {
            slot_ms: floor_ms(state.slot_ns),
            missed: u64::try_from(missed).unwrap_or(u64::MAX),
            restores,
        })
    }

    pub(super) fn done(&self) {
        self.state.lock().running = false;
    }
}

fn floor_ms(ns: i128) -> i64 {
    i64::try_from(ns.div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

fn ceil_ms(ns: i128) -> i64 {
    i64::try_from((ns + 999_999).div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> GroupKey {
        GroupKey { file: "rules.yml".to_owned(), name: "g".to_owned() }
    }

    #[test]
    fn slots_do_not_depend_on_when_the_process_started() {
        let interval_ns = 60_000_000_000;
        let first = slot_before(&key(), interval_ns, 1_000_000_000_000_000_000);
        for later_ms in [0, 1, 59_000, 60_000, 61_000, 3_600_000] {
            let now_ns = 1_000_000_000_000_000_000 + later_ms * 1_000_000;
            let slot = slot_before(&key(), interval_ns, now_ns);
            assert_eq!((slot - first) % interval_ns, 0);
            assert!(slot <= now_ns && now_ns - slot < interval_ns);
        }
    }

    #[test]
    fn slow_evaluations_miss_slots() {
        let now_ms = 1_000_000_000_000;
        let timing = Timing::new(&key(), 10_000, now_ms, true);
        let first_ms = timing.next_ms().unwrap();
        assert!(first_ms > now_ms && first_ms <= now_ms + 10_000);
        assert_eq!(timing.take(first_ms - 1), None);
        let first = timing.take(first_ms).unwrap();
        assert_eq!((first.missed, first.restores), (0, false));
        assert_eq!((timing.take(first_ms + 50_000), timing.next_ms()), (None, None), "running");
        timing.done();
        // The evaluation took 35 s: three slots began meanwhile, the last of them is evaluated.
        let second = timing.take(first_ms + 35_000).unwrap();
        assert_eq!((second.missed, second.restores), (2, true));
        assert_eq!(second.slot_ms, first.slot_ms + 30_000);
        timing.done();
        assert_eq!(timing.next_ms(), Some(first_ms + 40_000));
        let third = timing.take(first_ms + 40_000).unwrap();
        assert_eq!((third.missed, third.restores), (0, false));
    }

    #[test]
    fn a_late_start_misses_nothing() {
        let timing = Timing::new(&key(), 10_000, 0, false);
        assert_eq!(timing.take(1_000_000).unwrap().missed, 0);
    }
}
