//! PromQL: parse, check, evaluate over a series source. Knows no store and no protocol.

pub mod annotations;
pub mod ast;
pub mod eval;
pub(crate) mod functions;
pub mod memory_source;
pub mod query;
pub mod source;
pub mod value;
