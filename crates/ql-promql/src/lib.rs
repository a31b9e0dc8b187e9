//! PromQL: parse, check, evaluate over a series source. Knows no store and no protocol.

pub mod ast;
pub mod source;
