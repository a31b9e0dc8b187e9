//! Who may do what (leases with fencing epochs) and who should look again (notifications).

use std::fmt::Debug;

use crate::config_store::ConfigStoreError;

mod local;

pub use local::LocalBus;

/// The most notifications that wait for one subscriber; the oldest are dropped and counted.
pub const NOTIFICATIONS_WAITING_MAX: usize = 1024;

/// The right to do the work that `name` stands for until it expires. The epoch grows with every new
/// holder: whoever carries an older one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub owner: String,
    pub epoch: u64,
    pub expires_at_ms: i64,
}

/// Why the bus refused.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("lease {name:?} is held by {owner:?} until {expires_at_ms}")]
    Held { name: String, owner: String, expires_at_ms: i64 },
    #[error("lease {name:?} of epoch {epoch} is over; the current epoch is {current_epoch}")]
    Fenced { name: String, epoch: u64, current_epoch: u64 },
    #[error(transparent)]
    Store(#[from] ConfigStoreError),
}

/// A subscriber's queue of notifications.
pub trait Subscription: Send + Debug {
    /// What has arrived since the last call, oldest first.
    fn drain(&mut self) -> Vec<Vec<u8>>;
    /// How many were dropped because nobody drained.
    fn dropped(&self) -> u64;
}

/// Leases and notifications.
pub trait Bus: Send + Sync + Debug {
    /// Takes a free or expired lease, or renews one's own under the same epoch.
    fn acquire(&self, name: &str, owner: &str, ttl_ms: u64) -> Result<Lease, BusError>;
    /// Extends a lease that is still one's own and has not expired.
    fn renew(&self, lease: &Lease, ttl_ms: u64) -> Result<Lease, BusError>;
    /// Gives a lease back early; one that is over already is fine.
    fn release(&self, lease: &Lease) -> Result<(), BusError>;
    /// Succeeds while the lease is the current one and has not expired: the fence at commit time.
    fn check(&self, lease: &Lease) -> Result<(), BusError>;
    /// Tells every subscriber of `topic`. Delivery is at most once: a hint, never the truth.
    fn notify(&self, topic: &str, payload: &[u8]);
    fn subscribe(&self, topic: &str) -> Box<dyn Subscription>;
}
