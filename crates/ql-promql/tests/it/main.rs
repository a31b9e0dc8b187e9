//! Tests of the language against upstream's own tables.

mod conformance;
mod parser_tables;
mod scripts;
