//! How many samples a second each tenant may send.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, PerTenant, TenantId};
use parking_lot::Mutex;

/// Tenants whose pace is remembered. Beyond it those that have paid off everything are forgotten, which
/// changes nothing for them.
const TENANTS_KEPT: usize = 10_000;

/// A tenant sends more than it may; a little later it may again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tenant {tenant} sends more than {samples_per_second} samples per second")]
pub struct RateExceeded {
    pub tenant: TenantId,
    pub samples_per_second: u64,
}

/// A batch is taken whole while its tenant has nothing to pay off, whatever its size; what it is more
/// than a second's worth has to be waited for before the next. So large batches pass, and the average
/// holds.
#[derive(Debug)]
pub struct Rates {
    /// 0: no limit.
    samples_per_second: PerTenant<u64>,
    clock: Arc<dyn Clock>,
    left: Mutex<BTreeMap<TenantId, Left>>,
}

/// Samples that may be sent at once; negative while something has to be waited for.
#[derive(Debug, Clone, Copy)]
struct Left {
    samples: f64,
    at_ns: u64,
}

impl Left {
    fn now(self, per_second: f64, now_ns: u64) -> Self {
        let gained = now_ns.saturating_sub(self.at_ns) as f64 / 1e9 * per_second;
        Self { samples: (self.samples + gained).min(per_second), at_ns: now_ns }
    }
}

impl Rates {
    pub fn new(samples_per_second: PerTenant<u64>, clock: Arc<dyn Clock>) -> Self {
        Self { samples_per_second, clock, left: Mutex::default() }
    }

    /// Takes `n_samples` off what the tenant may send.
    pub fn admit(&self, tenant: &TenantId, n_samples: u64) -> Result<(), RateExceeded> {
        let samples_per_second = *self.samples_per_second.of(tenant);
        if samples_per_second == 0 {
            return Ok(());
        }
        let per_second = samples_per_second as f64;
        let now_ns = self.clock.monotonic_ns();
        let mut all = self.left.lock();
        if all.len() >= TENANTS_KEPT && !all.contains_key(tenant) {
            all.retain(|tenant, left| {
                let per_second = *self.samples_per_second.of(tenant) as f64;
                left.now(per_second, now_ns).samples < per_second
            });
        }
        let left = all.entry(tenant.clone()).or_insert(Left { samples: per_second, at_ns: now_ns });
        *left = left.now(per_second, now_ns);
        if left.samples <= 0.0 {
            return Err(RateExceeded { tenant: tenant.clone(), samples_per_second });
        }
        left.samples -= n_samples as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::ManualClock;

    use super::*;

    #[test]
    fn a_tenant_that_sends_too_much_waits_and_others_do_not() {
        let (slow, fast) = (TenantId::new("slow").unwrap(), TenantId::new("fast").unwrap());
        let mut limits = PerTenant::all(0);
        limits.overrides.insert(slow.clone(), 100);
        let clock = Arc::new(ManualClock::new(0));
        let rates = Rates::new(limits, Arc::clone(&clock) as Arc<dyn Clock>);
        for (after_ms, n_samples, taken) in [
            (0, 60, true),
            (0, 300, true), // begun with something left, so it passes whole: 260 to wait for
            (0, 1, false),
            (2_500, 1, false),
            (200, 10, true),
            (0, 1, false),
            (60_000, 100, true), // never more than a second's worth is saved up
            (0, 1, false),
        ] {
            clock.advance(Duration::from_millis(after_ms));
            let outcome = rates.admit(&slow, n_samples);
            assert_eq!(outcome.is_ok(), taken, "{n_samples} after {after_ms} ms: {outcome:?}");
            rates.admit(&fast, 1_000_000).unwrap();
        }
        let refused = rates.admit(&slow, 1).unwrap_err().to_string();
        assert_eq!(refused, "tenant slow sends more than 100 samples per second");
    }

    #[test]
    fn tenants_that_owe_nothing_are_forgotten() {
        let clock = Arc::new(ManualClock::new(0));
        let rates = Rates::new(PerTenant::all(10), Arc::clone(&clock) as Arc<dyn Clock>);
        for i in 0..TENANTS_KEPT {
            rates.admit(&TenantId::new(&format!("t{i}")).unwrap(), 11).unwrap();
        }
        rates.admit(&TenantId::new("one-more").unwrap(), 100).unwrap();
        assert_eq!(rates.left.lock().len(), TENANTS_KEPT + 1, "all of them owe");
        clock.advance(Duration::from_secs(2));
        rates.admit(&TenantId::new("another").unwrap(), 1).unwrap();
        assert_eq!(rates.left.lock().len(), 2);
    }
}
