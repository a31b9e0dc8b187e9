//! Targets, relabelling and the scrape cycle as state machines. No sockets.
//!
//! Discovery hands over target groups; [`pool::TargetPool`] turns them into targets; each target's
//! [`cycle::ScrapeCycle`] turns fetched bytes into a batch of samples.

mod cache;
pub mod config;
pub mod cycle;
pub mod pool;
mod sample_labels;
pub mod schedule;
pub mod sd_config;
pub mod target;
