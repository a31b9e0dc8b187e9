//! Evaluation against series in memory.
