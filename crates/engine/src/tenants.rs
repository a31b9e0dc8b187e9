//! What the queries of each tenant share: places to run in, and memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Budget, PerTenant, TenantId};
use parking_lot::Mutex;

use crate::admission::Admission;

/// What all queries of one tenant may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantQueryLimits {
    pub concurrency_max: usize,
    pub memory_bytes_max: u64,
}

/// One tenant's places and memory.
#[derive(Debug)]
struct TenantQueries {
    admission: Admission,
    budget: Budget,
}

/// The tenants that have queries at the moment. A tenant without any takes no memory, so their number
/// is bounded by that of queries that run and wait.
#[derive(Debug)]
pub(crate) struct Tenants {
    limits: PerTenant<TenantQueryLimits>,
    waiting_max: usize,
    /// What the budgets of tenants are parts of.
    budget: Budget,
    present: Mutex<BTreeMap<TenantId, (Arc<TenantQueries>, usize)>>,
}

/// A tenant's part in what all share, held by each of its queries from its arrival to its end.
#[derive(Debug)]
pub struct TenantShare {
    tenants: Arc<Tenants>,
    tenant: TenantId,
    queries: Arc<TenantQueries>,
}

impl TenantShare {
    pub(crate) fn admission(&self) -> &Admission {
        &self.queries.admission
    }

    /// Memory for one query of the tenant.
    pub fn budget(&self, name: &'static str, limit_bytes: u64) -> Budget {
        self.queries.budget.child(name, limit_bytes)
    }
}

impl Tenants {
    pub(crate) fn new(limits: PerTenant<TenantQueryLimits>, waiting_max: usize, budget: Budget) -> Self {
        Self { limits, waiting_max, budget, present: Mutex::default() }
    }

    pub(crate) fn enter(self: &Arc<Self>, tenant: &TenantId) -> TenantShare {
        let mut present = self.present.lock();
        let (queries, n_present) = present.entry(tenant.clone()).or_insert_with(|| {
            let limits = self.limits.of(tenant);
            let admission = Admission::new(limits.concurrency_max, self.waiting_max);
            let budget = self.budget.child("tenant queries", limits.memory_bytes_max);
            (Arc::new(TenantQueries { admission, budget }), 0)
        });
        *n_present += 1;
        TenantShare { tenants: Arc::clone(self), tenant: tenant.clone(), queries: Arc::clone(queries) }
    }

    /// Bytes that each tenant's queries use now.
    pub(crate) fn used_bytes(&self) -> Vec<(TenantId, u64)> {
        let present = self.present.lock();
        present.iter().map(|(tenant, (queries, _))| (tenant.clone(), queries.budget.used_bytes())).collect()
    }
}

impl Drop for TenantShare {
    fn drop(&mut self) {
        let mut present = self.tenants.present.lock();
        if let Some((_, n_present)) = present.get_mut(&self.tenant) {
            *n_present -= 1;
            if *n_present == 0 {
                present.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::CancelToken;

    use super::*;
    use crate::admission::AdmissionRefused;

    #[test]
    fn tenants_do_not_take_each_others_places_and_memory() {
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let mut limits = PerTenant::all(TenantQueryLimits { concurrency_max: 1, memory_bytes_max: 10 });
        limits.overrides.insert(b.clone(), TenantQueryLimits { concurrency_max: 2, memory_bytes_max: 100 });
        let process = Budget::new("queries", 50);
        let tenants = Arc::new(Tenants::new(limits, 0, process));
        let token = CancelToken::unbounded();

        let [first, second] = [tenants.enter(&a), tenants.enter(&a)];
        let _held = first.admission().enter(&token).unwrap();
        let refused = second.admission().enter(&token).unwrap_err();
        assert_eq!(refused, AdmissionRefused::QueueFull { waiting_max: 0 });
        let other = tenants.enter(&b);
        let _places = [other.admission().enter(&token).unwrap(), other.admission().enter(&token).unwrap()];

        assert_eq!(first.budget("query", 50).charge(11).unwrap_err().budget, "tenant queries");
        let charge = other.budget("query", 50).charge(45).unwrap();
        assert_eq!(first.budget("query", 50).charge(6).unwrap_err().budget, "queries");
        assert_eq!(tenants.used_bytes(), [(a, 0), (b, 45)]);
        drop(charge);
    }

    #[test]
    fn a_tenant_without_queries_takes_no_memory() {
        let limits = PerTenant::all(TenantQueryLimits { concurrency_max: 1, memory_bytes_max: 10 });
        let tenants = Arc::new(Tenants::new(limits, 0, Budget::unlimited()));
        let [first, second] = [(); 2].map(|()| tenants.enter(&TenantId::anonymous()));
        drop(first);
        assert_eq!(tenants.used_bytes().len(), 1);
        drop(second);
        assert!(tenants.used_bytes().is_empty());
    }
}
