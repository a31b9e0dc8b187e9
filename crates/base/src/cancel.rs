//! Cancellation and deadlines, checked by long loops at their own pace.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;

/// Why a computation was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The caller went away or asked for it.
    ByCaller,
    /// The deadline passed.
    Deadline,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByCaller => "canceled",
            Self::Deadline => "deadline exceeded",
        })
    }
}

impl std::error::Error for Cancelled {}

/// Shared by whoever may cancel and whoever must notice. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    deadline: Option<(Arc<dyn Clock>, u64)>,
    parent: Option<CancelToken>,
}

impl CancelToken {
    /// A token without a deadline.
    pub fn unbounded() -> Self {
        Self { inner: Arc::new(Inner { cancelled: AtomicBool::new(false), deadline: None, parent: None }) }
    }

    /// A token that expires `timeout` from now on `clock`'s monotonic time.
    pub fn with_timeout(clock: Arc<dyn Clock>, timeout: std::time::Duration) -> Self {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let at_ns = clock.monotonic_ns().saturating_add(timeout_ns);
        let deadline = Some((clock, at_ns));
        Self { inner: Arc::new(Inner { cancelled: AtomicBool::new(false), deadline, parent: None }) }
    }

    /// A token that is cancelled with this one and also expires `timeout` from now.
    pub fn with_deadline(&self, clock: Arc<dyn Clock>, timeout: std::time::Duration) -> Self {
        let timed = Self::with_timeout(clock, timeout);
        let inner = Inner {
            cancelled: AtomicBool::new(false),
            deadline: timed.inner.deadline.clone(),
            parent: Some(self.clone()),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Release);
    }

    /// Cheap enough for every few thousand samples; reads the clock only when there is a deadline.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.inner.cancelled.load(Ordering::Acquire) {
            return Err(Cancelled::ByCaller);
        }
        if let Some(parent) = &self.inner.parent {
            parent.check()?;
        }
        match &self.inner.deadline {
            Some((clock, at_ns)) if clock.monotonic_ns() >= *at_ns => Err(Cancelled::Deadline),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::time::Duration;

    #[test]
    fn a_token_expires_or_is_cancelled() {
        let clock = Arc::new(ManualClock::new(0));
        let token = CancelToken::with_timeout(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(1));
        assert_eq!(token.check(), Ok(()));
        clock.advance(Duration::from_secs(1));
        assert_eq!(token.check(), Err(Cancelled::Deadline));

        let token = CancelToken::unbounded();
        let child = token.with_deadline(clock, Duration::from_secs(1));
        assert_eq!(child.check(), Ok(()));
        token.clone().cancel();
        assert_eq!(token.check(), Err(Cancelled::ByCaller));
        assert_eq!(child.check(), Err(Cancelled::ByCaller));
    }
}
