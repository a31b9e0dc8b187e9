//! Targets, relabelling and the scrape cycle as state machines. No sockets.

pub mod sd_config;
