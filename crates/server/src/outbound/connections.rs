//! How many connections the process has to others, and how many of them may stay open while idle, so
//! that ten thousand targets do not use up the files that may be open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scrapes in flight at once where files are plenty. A scrape that must wait for a place is late, not
/// lost.
const IN_FLIGHT_MAX: usize = 4096;

/// Counts the connections of all clients that share it.
///
/// Of the files that the process may open, half may be connections that are kept. Requests that meet
/// more ask for their connection to be closed behind them. An eighth may be scrapes in flight; each may
/// have been sent before the others were counted, and so a quarter comes on top of the half. The last
/// quarter is for the store, the listeners and everything else.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    open: AtomicUsize,
    open_files_max: usize,
}

impl Connections {
    pub fn within(open_files_max: u64) -> Self {
        let open_files_max = usize::try_from(open_files_max).unwrap_or(usize::MAX);
        Self(Arc::new(Counted { open: AtomicUsize::new(0), open_files_max }))
    }

    /// Connections that may stay open while idle.
    pub fn kept_max(&self) -> usize {
        self.0.open_files_max / 2
    }

    /// Scrapes that may be in flight at once.
    pub fn in_flight_max(&self) -> usize {
        (self.0.open_files_max / 8).clamp(1, IN_FLIGHT_MAX)
    }

    /// Connections that are open now, busy or idle.
    pub fn n_open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Whether a connection should close behind its request.
    pub(super) fn are_crowded(&self) -> bool {
        self.n_open() > self.kept_max()
    }

    /// Counts a connection until the answer is dropped.
    pub(super) fn open(&self) -> OpenConnection {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }
}

/// One connection that is open.
#[derive(Debug)]
pub(super) struct OpenConnection(Connections);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_of_the_files_to_others() {
        let check = |open_files_max: u64, kept_max: usize, in_flight_max: usize| {
            let connections = Connections::within(open_files_max);
            assert_eq!((connections.kept_max(), connections.in_flight_max()), (kept_max, in_flight_max));
            assert!(kept_max + 2 * in_flight_max <= (open_files_max / 4 * 3) as usize);
        };
        check(64, 32, 8);
        check(1024, 512, 128);
        check(20_000, 10_000, 2_500);
        check(1 << 20, 1 << 19, IN_FLIGHT_MAX);

        let connections = Connections::within(4);
        let open: Vec<_> = (0..3).map(|_| connections.open()).collect();
        assert!(connections.are_crowded());
        drop(open);
        assert_eq!((connections.n_open(), connections.are_crowded()), (0, false));
    }
}
