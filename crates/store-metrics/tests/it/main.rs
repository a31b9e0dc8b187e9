//! The store as its owner sees it.

mod bench;
mod failures;
mod matchers;
mod model_run;
mod walk;
