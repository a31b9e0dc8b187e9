//! The seeded simulator: clock, disk and crashes under one seed. It drives a store with random work on
//! a disk that fails, cuts the power at random moments, and compares what the store answers with a naive
//! model. Same seed, same run. Knows what must hold, and nothing of how the stores do it.

pub mod metric_store;
pub mod model;
pub mod run;
pub mod subject;
pub mod toy_store;

pub use metric_store::MetricSubject;
pub use run::{SimFailure, SimReport, run, run_on};
pub use subject::{Row, Settings, Subject};
pub use toy_store::ToyStore;
