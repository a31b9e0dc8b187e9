//! Words every crate shares: clocks, randomness, sizes, durations, budgets, cancellation.
//! Knows nothing of series, files or sockets.

pub mod budget;
pub mod bytesize;
pub mod cancel;
pub mod clock;
pub mod duration;
pub mod gofloat;
pub mod rng;
pub mod shards;
pub mod tenant;

pub use budget::{Budget, BudgetExceeded, Charge};
pub use bytesize::ByteSize;
pub use cancel::{CancelToken, Cancelled};
pub use clock::{Clock, ManualClock, SystemClock};
pub use rng::Rng;
pub use shards::{SHARDS, ShardRange, ShardSet};
pub use tenant::{PerTenant, TenantId};
