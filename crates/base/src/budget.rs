//! Memory budgets: every allocation that grows with input is charged to one.
//! A budget has a name, a limit in bytes and optionally a parent, so that a query's budget is part
//! of its tenant's, which is part of the process's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit in bytes that many owners draw from. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    limit_bytes: u64,
    used_bytes: AtomicU64,
    parent: Option<Budget>,
}

/// The typed refusal: which budget, how much was asked, how much it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExceeded {
    pub budget: &'static str,
    pub asked_bytes: u64,
    pub used_bytes: u64,
    pub limit_bytes: u64,
}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory budget {:?} exceeded: {} bytes asked, {} of {} in use",
            self.budget, self.asked_bytes, self.used_bytes, self.limit_bytes
        )
    }
}

impl std::error::Error for BudgetExceeded {}

impl Budget {
    pub fn new(name: &'static str, limit_bytes: u64) -> Self {
        Self { inner: Arc::new(Inner { name, limit_bytes, used_bytes: AtomicU64::new(0), parent: None }) }
    }

    /// A budget for tests and tools that need none.
    pub fn unlimited() -> Self {
        Self::new("unlimited", u64::MAX)
    }

    /// A part of this budget with its own limit: a charge counts against both.
    pub fn child(&self, name: &'static str, limit_bytes: u64) -> Self {
        let parent = Some(self.clone());
        Self { inner: Arc::new(Inner { name, limit_bytes, used_bytes: AtomicU64::new(0), parent }) }
    }

    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    pub fn limit_bytes(&self) -> u64 {
        self.inner.limit_bytes
    }

    pub fn used_bytes(&self) -> u64 {
        self.inner.used_bytes.load(Ordering::Relaxed)
    }

    /// Charges `bytes`, to be given back when the [`Charge`] is dropped.
    pub fn charge(&self, bytes: u64) -> Result<Charge, BudgetExceeded> {
        self.take(bytes)?;
        Ok(Charge { budget: self.clone(), bytes })
    }

    /// Charges `bytes` whether there is room or not: for memory that exists already, or that it takes to
    /// give more of it back. Everybody else is refused until it is.
    pub fn overdraw(&self, bytes: u64) -> Charge {
        let mut charge = Charge { budget: self.clone(), bytes: 0 };
        charge.overdraw(bytes);
        charge
    }

    fn take_anyway(&self, bytes: u64) {
        self.inner.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.inner.parent {
            parent.take_anyway(bytes);
        }
    }

    fn take(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        let inner = &*self.inner;
        let result = inner.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|total| *total <= inner.limit_bytes)
        });
        if let Err(used_bytes) = result {
            let (budget, limit_bytes) = (inner.name, inner.limit_bytes);
            return Err(BudgetExceeded { budget, asked_bytes: bytes, used_bytes, limit_bytes });
        }
        if let Some(parent) = &inner.parent
            && let Err(refused) = parent.take(bytes)
        {
            inner.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(refused);
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        let before = self.inner.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "budget {} gave back more than it lent", self.inner.name);
        if let Some(parent) = &self.inner.parent {
            parent.give_back(bytes);
        }
    }
}

/// Bytes on loan from a [`Budget`]; dropping returns them.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Charge {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Charges `more` bytes on top; on refusal the charge stays as it was.
    pub fn grow(&mut self, more: u64) -> Result<(), BudgetExceeded> {
        self.budget.take(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Charges `more` bytes on top whether there is room or not; see [`Budget::overdraw`].
    pub fn overdraw(&mut self, more: u64) {
        self.budget.take_anyway(more);
        self.bytes += more;
    }

    /// Returns `bytes` early (at most what is held).
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.budget.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_count_against_parent_and_child_and_are_returned() {
        let process = Budget::new("process", 100);
        let query = process.child("query", 60);
        let mut charge = query.charge(50).unwrap();
        assert_eq!((process.used_bytes(), query.used_bytes()), (50, 50));

        let refused = charge.grow(20).unwrap_err();
        assert_eq!((refused.budget, refused.limit_bytes), ("query", 60));
        assert_eq!((process.used_bytes(), query.used_bytes()), (50, 50));

        let other = process.child("other", 100);
        assert_eq!(other.charge(60).unwrap_err().budget, "process");
        assert_eq!(other.used_bytes(), 0);

        charge.shrink(10);
        assert_eq!(process.used_bytes(), 40);
        drop(charge);
        assert_eq!((process.used_bytes(), query.used_bytes()), (0, 0));
    }

    #[test]
    fn an_overdraft_refuses_everybody_else_until_it_is_given_back() {
        let process = Budget::new("process", 100);
        let mut charge = process.child("store", 60).overdraw(80);
        charge.overdraw(40);
        assert_eq!((charge.bytes(), process.used_bytes()), (120, 120));
        assert!(process.charge(1).is_err() && charge.grow(1).is_err());
        charge.shrink(100);
        assert!(process.charge(1).is_ok());
        drop(charge);
        assert_eq!(process.used_bytes(), 0);
    }
}
