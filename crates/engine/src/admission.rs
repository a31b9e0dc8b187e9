//! How many queries run at once, and how many may wait.

use std::time::Duration;

use base::{CancelToken, Cancelled};
use parking_lot::{Condvar, Mutex};

/// How often a waiting query looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a query was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionRefused {
    #[error("query timed out in query queue")]
    Timeout,
    #[error("query was canceled in query queue")]
    Cancelled,
    #[error("too many queries are waiting ({waiting_max}); try again later")]
    QueueFull { waiting_max: usize },
}

/// A counting gate with a bounded queue.
#[derive(Debug)]
pub struct Admission {
    running_max: usize,
    waiting_max: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
}

/// Held while a query runs.
#[derive(Debug)]
pub struct Admitted<'a> {
    gate: &'a Admission,
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().running -= 1;
        self.gate.freed.notify_one();
    }
}

impl Admission {
    pub fn new(running_max: usize, waiting_max: usize) -> Self {
        let running_max = running_max.max(1);
        Self { running_max, waiting_max, state: Mutex::default(), freed: Condvar::new() }
    }

    pub fn running(&self) -> usize {
        self.state.lock().running
    }

    pub fn running_max(&self) -> usize {
        self.running_max
    }

    /// Waits for a place, not longer than the token lives.
    pub fn enter(&self, cancel: &CancelToken) -> Result<Admitted<'_>, AdmissionRefused> {
        let mut state = self.state.lock();
        if state.running >= self.running_max && state.waiting >= self.waiting_max {
            return Err(AdmissionRefused::QueueFull { waiting_max: self.waiting_max });
        }
        state.waiting += 1;
        while state.running >= self.running_max {
            if let Err(cancelled) = cancel.check() {
                state.waiting -= 1;
                return Err(match cancelled {
                    Cancelled::ByCaller => AdmissionRefused::Cancelled,
                    Cancelled::Deadline => AdmissionRefused::Timeout,
                });
            }
            self.freed.wait_for(&mut state, LOOK_EVERY);
        }
        state.waiting -= 1;
        state.running += 1;
        Ok(Admitted { gate: self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_counts_and_refuses() {
        let gate = Admission::new(1, 1);
        let token = CancelToken::unbounded();
        let first = gate.enter(&token).unwrap();
        assert_eq!(gate.running(), 1);

        let cancelled = CancelToken::unbounded();
        cancelled.cancel();
        assert_eq!(gate.enter(&cancelled).unwrap_err(), AdmissionRefused::Cancelled);
        drop(first);
        assert!(gate.enter(&token).is_ok());

        let closed = Admission::new(1, 0);
        let _held = closed.enter(&token).unwrap();
        assert_eq!(closed.enter(&token).unwrap_err(), AdmissionRefused::QueueFull { waiting_max: 0 });
    }
}
