//! The substrate as its users see it.

#[cfg(test)]
mod formats;
