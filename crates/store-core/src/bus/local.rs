//! A bus within one process. Lease epochs live in the config store, so that they keep growing over
//! restarts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use base::Clock;
use parking_lot::Mutex;

use super::{Bus, BusError, Lease, NOTIFICATIONS_WAITING_MAX, Subscription};
use crate::config_store::{ConfigStore, ConfigStoreError, Expect};

/// A [`Bus`] whose only node is this process.
#[derive(Debug)]
pub struct LocalBus {
    config: Arc<dyn ConfigStore>,
    clock: Arc<dyn Clock>,
    leases: Mutex<BTreeMap<String, Lease>>,
    topics: Mutex<BTreeMap<String, Vec<Weak<Mutex<Queue>>>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Vec<u8>>,
    dropped: u64,
}

#[derive(Debug)]
struct LocalSubscription {
    queue: Arc<Mutex<Queue>>,
}

impl LocalBus {
    pub fn new(config: Arc<dyn ConfigStore>, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock, leases: Mutex::new(BTreeMap::new()), topics: Mutex::new(BTreeMap::new()) }
    }

    fn expiry_ms(&self, ttl_ms: u64) -> i64 {
        self.clock.now_ms().saturating_add(i64::try_from(ttl_ms).unwrap_or(i64::MAX))
    }

    /// The next epoch of a lease, durable before it is given out. It is the version of its record.
    fn next_epoch(&self, name: &str, owner: &str) -> Result<u64, ConfigStoreError> {
        self.config.put(&format!("lease/{name}"), owner.as_bytes(), Expect::Anything)
    }
}

impl Bus for LocalBus {
    fn acquire(&self, name: &str, owner: &str, ttl_ms: u64) -> Result<Lease, BusError> {
        let mut leases = self.leases.lock();
        let held = leases.get(name).filter(|held| held.expires_at_ms > self.clock.now_ms());
        let epoch = match held {
            Some(held) if held.owner == owner => held.epoch,
            Some(Lease { name, owner, expires_at_ms, .. }) => {
                let (name, owner, expires_at_ms) = (name.clone(), owner.clone(), *expires_at_ms);
                return Err(BusError::Held { name, owner, expires_at_ms });
            }
            None => self.next_epoch(name, owner)?,
        };
        let expires_at_ms = self.expiry_ms(ttl_ms);
        let lease = Lease { name: name.to_owned(), owner: owner.to_owned(), epoch, expires_at_ms };
        leases.insert(name.to_owned(), lease.clone());
        Ok(lease)
    }

    fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<Lease, BusError> {
        self.check(lease)?;
        self.acquire(&lease.name, &lease.owner, ttl_ms)
    }

    fn release(&self, lease: &Lease) -> Result<(), BusError> {
        let mut leases = self.leases.lock();
        if leases.get(&lease.name).is_some_and(|held| held.epoch == lease.epoch) {
            leases.remove(&lease.name);
        }
        Ok(())
    }

    fn check(&self, lease: &Lease) -> Result<(), BusError> {
        let leases = self.leases.lock();
        let held = leases.get(&lease.name);
        match held {
            Some(held) if held.epoch == lease.epoch && held.expires_at_ms > self.clock.now_ms() => Ok(()),
            _ => Err(BusError::Fenced {
                name: lease.name.clone(),
                epoch: lease.epoch,
                current_epoch: held.map_or(lease.epoch, |held| held.epoch),
            }),
        }
    }

    fn notify(&self, topic: &str, payload: &[u8]) {
        let mut topics = self.topics.lock();
        let Some(queues) = topics.get_mut(topic) else { return };
        queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut queue = queue.lock();
            if queue.waiting.len() == NOTIFICATIONS_WAITING_MAX {
                queue.waiting.pop_front();
                queue.dropped += 1;
            }
            queue.waiting.push_back(payload.to_vec());
            true
        });
    }

    fn subscribe(&self, topic: &str) -> Box<dyn Subscription> {
        let queue = Arc::new(Mutex::new(Queue::default()));
        self.topics.lock().entry(topic.to_owned()).or_default().push(Arc::downgrade(&queue));
        Box::new(LocalSubscription { queue })
    }
}

impl Subscription for LocalSubscription {
    fn drain(&mut self) -> Vec<Vec<u8>> {
        self.queue.lock().waiting.drain(..).collect()
    }

    fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::LocalBlobStore;
    use crate::config_store::LocalConfigStore;
    use base::ManualClock;
    use std::time::Duration;

    /// What every bus promises.
    fn check_contract(bus: &dyn Bus, advance: &dyn Fn(u64)) -> Lease {
        let first = bus.acquire("compactor", "a", 100).unwrap();
        assert!(matches!(bus.acquire("compactor", "b", 100), Err(BusError::Held { .. })));
        assert_eq!(bus.acquire("compactor", "a", 100).unwrap().epoch, first.epoch);
        bus.check(&first).unwrap();
        advance(60);
        let renewed = bus.renew(&first, 100).unwrap();
        advance(60);
        bus.check(&renewed).unwrap();
        advance(60);
        assert!(matches!(bus.check(&renewed), Err(BusError::Fenced { .. })));
        assert!(matches!(bus.renew(&renewed, 100), Err(BusError::Fenced { .. })));
        let second = bus.acquire("compactor", "b", 100).unwrap();
        assert!(second.epoch > first.epoch);
        bus.release(&renewed).unwrap();
        bus.check(&second).unwrap();
        bus.release(&second).unwrap();
        assert!(bus.acquire("compactor", "a", 100).unwrap().epoch > second.epoch);

        let (mut early, mut other) = (bus.subscribe("parts"), bus.subscribe("rules"));
        bus.notify("parts", b"1");
        let mut late = bus.subscribe("parts");
        bus.notify("parts", b"2");
        assert_eq!(early.drain(), [b"1", b"2"]);
        assert_eq!((late.drain(), other.drain()), (vec![b"2".to_vec()], vec![]));
        for _ in 0..NOTIFICATIONS_WAITING_MAX + 3 {
            bus.notify("parts", b"x");
        }
        assert_eq!((late.dropped(), late.drain().len()), (3, NOTIFICATIONS_WAITING_MAX));
        second
    }

    #[test]
    fn the_local_bus_keeps_the_contract_and_its_epochs_grow_over_restarts() {
        let blobs =
            LocalBlobStore::open(Arc::new(vfs::MemVfs::default()), std::path::Path::new("d")).unwrap();
        let config = Arc::new(LocalConfigStore::new(Arc::new(blobs)));
        let clock = Arc::new(ManualClock::new(0));
        let open = || {
            let (config, clock) = (Arc::clone(&config), Arc::clone(&clock));
            LocalBus::new(config, clock)
        };
        let lease = check_contract(&open(), &|ms| clock.advance(Duration::from_millis(ms)));
        assert!(open().acquire("compactor", "a", 100).unwrap().epoch > lease.epoch);
    }
}
