//! The queries that run at this moment, for whoever wants to see or stop them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Budget, CancelToken, TenantId};
use parking_lot::Mutex;

/// One running query.
#[derive(Debug, Clone)]
pub struct ActiveQuery {
    pub id: u64,
    pub tenant: TenantId,
    pub text: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub started_ms: i64,
    pub budget: Budget,
    cancel: CancelToken,
}

/// The table of running queries.
#[derive(Debug, Default)]
pub struct ActiveQueries {
    next_id: AtomicU64,
    running: Mutex<BTreeMap<u64, ActiveQuery>>,
}

/// Removes the query from the table when it ends, however it ends.
#[derive(Debug)]
pub struct Listed<'a> {
    table: &'a ActiveQueries,
    id: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.table.running.lock().remove(&self.id);
    }
}

impl ActiveQueries {
    pub fn list(
        &self,
        tenant: TenantId,
        text: Arc<str>,
        started_ms: i64,
        budget: Budget,
        cancel: CancelToken,
    ) -> Listed<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.running.lock().insert(id, ActiveQuery { id, tenant, text, started_ms, budget, cancel });
        Listed { table: self, id }
    }

    /// How many run or wait to run.
    pub fn len(&self) -> usize {
        self.running.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Oldest first.
    pub fn snapshot(&self) -> Vec<ActiveQuery> {
        self.running.lock().values().cloned().collect()
    }

    /// Asks a query to stop; false if it is not running.
    pub fn cancel(&self, id: u64) -> bool {
        let running = self.running.lock();
        let Some(query) = running.get(&id) else { return false };
        query.cancel.cancel();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_listed_while_they_run() {
        let table = ActiveQueries::default();
        let token = CancelToken::unbounded();
        let tenant = TenantId::anonymous();
        let listed = table.list(tenant, Arc::from("up"), 5, Budget::unlimited(), token.clone());
        let id = table.snapshot()[0].id;
        assert!(table.cancel(id));
        assert!(token.check().is_err());
        drop(listed);
        assert!(table.snapshot().is_empty() && !table.cancel(id));
    }
}
