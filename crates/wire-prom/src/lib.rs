//! Prometheus protocols: exposition formats, remote write and read, HTTP API bodies. Knows no store.
