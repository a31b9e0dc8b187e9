//! What the live store owes its budget.

use base::{Budget, BudgetExceeded, Charge};
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct LiveCharge {
    charge: Mutex<Charge>,
}

impl LiveCharge {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { charge: Mutex::new(budget.overdraw(0)) }
    }

    pub(crate) fn grow(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        self.charge.lock().grow(bytes)
    }

    pub(crate) fn shrink(&self, bytes: u64) {
        self.charge.lock().shrink(bytes);
    }

    /// Replaces an estimate by what it came to, which exists already.
    pub(crate) fn correct(&self, estimate: u64, actual: u64) {
        let mut charge = self.charge.lock();
        if actual < estimate {
            charge.shrink(estimate - actual);
        } else {
            charge.overdraw(actual - estimate);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.charge.lock().bytes()
    }
}
