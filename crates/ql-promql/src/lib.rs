//! PromQL: parse, check, evaluate over a series source. Knows no store and no protocol.

pub mod almost;
pub mod annotations;
pub mod ast;
pub mod ast_json;
pub mod eval;
pub(crate) mod functions;
pub(crate) mod lexer;
pub mod memory_source;
pub mod parser;
pub mod prettify;
pub(crate) mod printer;
pub mod promqltest;
pub mod query;
pub mod series_desc;
pub mod source;
pub mod value;
