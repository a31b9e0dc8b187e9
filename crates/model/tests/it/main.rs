//! Tests of the nouns against upstream's own tables.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod label_regex;
#[cfg(test)]
mod relabel;
