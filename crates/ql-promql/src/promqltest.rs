//! The test-script language of PromQL: `load` series, `eval` expressions, compare.
//!
//! A script is a list of commands. `load <step>` puts series into an empty store, `clear` empties it,
//! `eval` evaluates an expression and states what must come out. An instant evaluation is repeated
//! with every selector pinned to the evaluation time by `@`, at several other times, and each of
//! these once more as the middle step of a range query; all must agree with the stated result. A script
//! can be run in fragments too: then each of these queries is also evaluated at several places that hold
//! some of the shards each, and must give there what it gives as a whole.

mod annotated;
mod compare;
mod fragmented;
mod load;
mod pinned;
mod run;
mod script;
mod start_times;

#[cfg(test)]
mod tests;

pub use compare::{Mismatch, almost_equal_histograms};
pub use run::{Failure, FailureKind, Report, engine_options, run, run_in_fragments};
pub use script::{Command, Eval, Load, Script, ScriptError, ScriptErrorKind};
