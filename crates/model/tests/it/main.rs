//! Tests of the nouns against upstream's own tables.

mod conformance;
mod label_regex;
mod relabel;
