//! The store as its owner sees it.
#![cfg(test)]

mod bench;
mod budgets;
mod failures;
mod formats;
mod matchers;
mod model_run;
mod months;
mod shards;
mod sweep;
mod tenant_limits;
mod tenants;
mod threads;
mod walk;
