//! End to end: the built program, driven from outside as its users and its neighbours drive it.
//!
//! `smoke` needs nothing but the program. `seed` runs the monitoring stack of the seed with the
//! neighbours that Debian ships; what is missing on this machine is named and skipped.
//!
//! The modules are marked as test code because lints do not see it of a whole binary.

#[cfg(test)]
mod http;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod process;
#[cfg(test)]
mod seed;
#[cfg(test)]
mod sextant;
#[cfg(test)]
mod smoke;
#[cfg(test)]
mod tenants;
mod waiting;
