//! OTLP: bytes to model. Knows no store.
