//! Recording and alerting rules, the queue to external Alertmanagers, and rule unit tests, as state
//! machines. Time, queries, writes, threads and HTTP are the caller's: nothing here waits, and
//! nothing here knows a store or a socket.

pub mod alert;
pub mod config;
pub mod group;
pub mod notify;
pub mod query;
pub mod rule;
pub mod ruler;
pub mod snapshot;
pub mod unittest;
