//! The server's parts together with real sockets and files.

mod otlp;
mod remote_write;
