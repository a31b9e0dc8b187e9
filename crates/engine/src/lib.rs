//! Joins languages to stores: sources, admission, limits. No sockets.
//!
//! A query is parsed, admitted (so many at once, so much memory each), evaluated over one view of
//! the store, and listed while it runs so that it can be cancelled.

pub mod active;
pub mod admission;
pub mod queries;
pub mod query_log;
pub mod remote;
pub mod source;
pub mod tenants;

pub use active::{ActiveQueries, ActiveQuery};
pub use admission::{Admission, AdmissionRefused};
pub use queries::{QueryAnswer, QueryEngine, QueryError, QueryLimits, QueryRequest, QueryTimings};
pub use query_log::{FinishedQuery, QueryLog, QueryOrigin};
pub use remote::{JoinedSource, Remote};
pub use source::StoreSource;
pub use tenants::{TenantQueryLimits, TenantShare};
