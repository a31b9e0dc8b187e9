//! The test-script language of PromQL: `load` series, `eval` expressions, compare.
//!
//! A script is a list of commands. `load <step>` puts series into an empty store, `clear` empties it,
//! `eval` evaluates an expression and states what must come out. An instant evaluation is repeated
//! with every selector pinned to the evaluation time by `@`, at several other times, and each of
//! these once more as the middle step of a range query; all must agree with the stated result.

mod annotated;
mod compare;
mod load;
mod pinned;
mod run;
mod script;
mod start_times;

#[cfg(test)]
mod tests;

pub use compare::{Mismatch, almost_equal_histograms};
pub use run::{Failure, FailureKind, Report, engine_options, run};
pub use script::{Command, Eval, Load, Script, ScriptError, ScriptErrorKind};
