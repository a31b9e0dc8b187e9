//! Relabelling rules, as Prometheus applies them to targets, samples, alerts and remote writes.
