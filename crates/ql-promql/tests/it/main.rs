//! Tests of the language against upstream's own tables.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod parser_tables;
#[cfg(test)]
mod scripts;
