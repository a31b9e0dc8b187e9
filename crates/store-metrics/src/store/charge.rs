//! What the live store owes its budget.

use base::{Budget, BudgetExceeded, Charge};
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct LiveCharge {
    budget: Budget,
    charge: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    charge: Option<Charge>,
    /// Bytes that are held although the budget refused them: they existed already when they were
    /// counted.
    uncharged: u64,
}

impl LiveCharge {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, charge: Mutex::new(Held { charge: None, uncharged: 0 }) }
    }

    pub(crate) fn grow(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        let mut held = self.charge.lock();
        match &mut held.charge {
            Some(charge) => charge.grow(bytes),
            None => {
                held.charge = Some(self.budget.charge(bytes)?);
                Ok(())
            }
        }
    }

    pub(crate) fn shrink(&self, bytes: u64) {
        let mut held = self.charge.lock();
        let from_uncharged = bytes.min(held.uncharged);
        held.uncharged -= from_uncharged;
        if let Some(charge) = &mut held.charge {
            charge.shrink(bytes - from_uncharged);
        }
    }

    /// Replaces an estimate by what it came to.
    pub(crate) fn correct(&self, estimate: u64, actual: u64) {
        if actual < estimate {
            self.shrink(estimate - actual);
        } else if actual > estimate && self.grow(actual - estimate).is_err() {
            self.charge.lock().uncharged += actual - estimate;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let held = self.charge.lock();
        held.charge.as_ref().map_or(0, Charge::bytes) + held.uncharged
    }
}
