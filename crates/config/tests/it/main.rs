//! The conformance files of upstream: what must load, what must fail, and how.

#[cfg(test)]
mod client_files;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod own_files;
#[cfg(test)]
mod prometheus_files;
#[cfg(test)]
mod prometheus_values;
#[cfg(test)]
mod rule_files;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod web_files;
