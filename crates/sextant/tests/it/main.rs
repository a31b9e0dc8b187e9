//! End to end: the built program, driven from outside as its users and its neighbours drive it.
//!
//! `smoke` needs nothing but the program. `seed` runs the monitoring stack of the seed with the
//! neighbours that Debian ships; what is missing on this machine is named and skipped.

mod http;
mod neighbours;
mod process;
mod seed;
mod sextant;
mod smoke;
mod waiting;
