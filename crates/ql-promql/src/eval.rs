//! The evaluation engine.
//!
//! An expression is prepared ([`plan`]): durations and times are resolved, step-invariant parts
//! found. Then each node gives a [`block::Block`] over all steps at once.

pub(crate) mod block;
pub(crate) mod durations;
pub mod error;

pub(crate) mod grid;
pub(crate) mod plan;

pub use error::EvalError;
