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

pub use alert::{Alert, AlertState, RESOLVED_RETENTION_MS};
pub use group::{Equipment, Group, GroupCounters, GroupKey, IterationReport};
pub use query::{
    AppendError, Hands, LastSample, Notification, OneHand, QueryError, RefusedSample, RuleQuery, RuleSample,
    RuleSink, RuleVector, rule_vector,
};
pub use rule::{InvalidRule, RuleHealth};
pub use ruler::{DueWork, GroupEval, RuleManager, RuleOptions, StaleSeries, UpdateReport};
pub use snapshot::{GroupSnapshot, RuleSnapshot, RuleSnapshotKind};
