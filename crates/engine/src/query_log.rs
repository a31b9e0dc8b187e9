//! Telling somebody of every query that was evaluated.

use std::fmt::Debug;

use crate::queries::{QueryAnswer, QueryError, QueryRequest, QueryTimings};

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QueryOrigin {
    /// The server itself, on nobody's behalf.
    #[default]
    Internal,
    Http {
        client_ip: String,
        method: String,
        /// With the prefix under which the API is served.
        path: String,
    },
    RuleGroup {
        file: String,
        name: String,
    },
}

/// A query that has ended, well or badly.
#[derive(Debug)]
pub struct FinishedQuery<'a> {
    pub request: &'a QueryRequest,
    /// As far as the query came.
    pub timings: QueryTimings,
    pub outcome: Result<&'a QueryAnswer, &'a QueryError>,
}

/// Is told on the thread that evaluated, so it must neither wait nor do much.
pub trait QueryLog: Send + Sync + Debug {
    fn log(&self, query: &FinishedQuery<'_>);
}
