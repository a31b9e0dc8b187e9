//! Memory that it takes to write a part, besides the block at hand.

use base::{Budget, BudgetExceeded, Charge};

/// What happens when the budget has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenShort {
    /// A merge can wait.
    Refuse,
    /// A cut gives back more than it takes, so it is not held up.
    Overdraw,
}

#[derive(Debug)]
pub(crate) struct Memory {
    charge: Charge,
    when_short: WhenShort,
}

impl Memory {
    pub(crate) fn new(budget: &Budget, when_short: WhenShort) -> Self {
        Self { charge: budget.overdraw(0), when_short }
    }

    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), BudgetExceeded> {
        match self.when_short {
            WhenShort::Refuse => self.charge.grow(bytes),
            WhenShort::Overdraw => {
                self.charge.overdraw(bytes);
                Ok(())
            }
        }
    }

    /// Sees to it that at least so much is charged.
    pub(crate) fn reach(&mut self, bytes: u64) -> Result<(), BudgetExceeded> {
        self.grow(bytes.saturating_sub(self.charge.bytes()))
    }
}
